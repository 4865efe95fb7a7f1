// Asks the daemon over its control socket. Blocks, with a time limit.
#pragma once

#include <chrono>
#include <string>
#include <tl/expected.hpp>

namespace clusterd::ctl {

struct Answer {
  int status = 0;  // of HTTP: 200, 409, …
  std::string body;
};

inline constexpr int kForbidden = 403;  // the text of the body says who may, and how to become one of them

class Client {
 public:
  explicit Client(std::string run_dir) : path_(std::move(run_dir) + "/control.sock") {}

  // The error says why the daemon was not reached, and what to do. A socket that this user may not open is an
  // answer, too: 403, with a body as the daemon's own.
  [[nodiscard]] tl::expected<Answer, std::string> get(const std::string& target) const;
  [[nodiscard]] tl::expected<Answer, std::string> post(const std::string& target,
                                                       const std::string& body) const;

 private:
  [[nodiscard]] tl::expected<Answer, std::string> ask(const std::string& request,
                                                      std::chrono::seconds limit) const;
  std::string path_;
};

// Splits the bytes of a whole HTTP/1.1 answer (the connection was closed after it).
[[nodiscard]] tl::expected<Answer, std::string> parse_answer(const std::string& bytes);

}  // namespace clusterd::ctl
