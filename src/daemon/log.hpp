// Log lines to stderr with sd-daemon prefixes ("<6>…"), written by a helper thread: a journal that stands
// still must not stop the thread that renews leases. When the writer cannot follow, lines are dropped and
// counted, and the count is logged as soon as it can.
#pragma once

#include <memory>
#include <string>

#include "core/actions.hpp"

namespace clusterd {

class Log {
 public:
  explicit Log(bool debug, int fd = 2);
  ~Log();  // writes what is queued, for at most one second
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  void line(Severity severity, std::string text);

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
  bool debug_;
};

// "<4>": what systemd reads as the priority of a line.
[[nodiscard]] const char* priority_prefix(Severity severity);

}  // namespace clusterd
