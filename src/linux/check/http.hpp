// Asks a web server once, and judges its answer.
//
// No name is ever looked up: the connection goes to `connect`, and the URL's host is only told to the server
// (Host, and the name that its certificate must have). Redirections are answers, not followed. Proxies of the
// environment are ignored. At most 1 MiB of the body is read.
#pragma once

#include <string>

#include "base/time.hpp"
#include "linux/check/verdict.hpp"

namespace clusterd {

struct HttpQuestion {
  std::string url;
  std::string connect;  // "192.168.1.20:443", "[fd00::20]:443"
  long status_least = 200, status_most = 399;
  std::string body;    // part of the answer; empty = anything
  bool verify = true;  // the certificate
  Duration timeout = std::chrono::seconds(5);
};

[[nodiscard]] Verdict ask_http(const HttpQuestion& question);

}  // namespace clusterd
