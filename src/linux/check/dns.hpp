// Asks a name server once, over UDP, and judges its answer.
//
// The answer must come from the address that was asked, carry the question's number and repeat the question:
// then it is good if its code is 0 and it has at least one record of the wanted type (and, where `answer` is
// given, one that says it). A truncated answer is an answer.
#pragma once

#include <string>

#include "base/address.hpp"
#include "base/time.hpp"
#include "linux/check/verdict.hpp"

namespace clusterd {

struct DnsQuestion {
  std::string name;
  std::string type = "A";  // A, AAAA, CNAME, MX, NS, PTR, SOA, SRV or TXT
  std::string answer;      // of A and AAAA an address, of CNAME, NS and PTR a name; empty = any
  IpAddress server;
  uint16_t port = 53;
  Duration timeout = std::chrono::seconds(5);
};

[[nodiscard]] Verdict ask_dns(const DnsQuestion& question);

// Whether the type can be asked for; whether an answer of it can be compared.
[[nodiscard]] bool is_dns_type(const std::string& type);

}  // namespace clusterd
