// Log lines to stderr with sd-daemon prefixes ("<6>…"), written by a helper thread: a journal that stands
// still must not stop the thread that renews leases. When the writer cannot follow, lines are dropped and
// counted, and the count is logged as soon as it can.
//
// Where stderr leads into the journal, a line with fields goes there by journald's own protocol, so that the
// fields can be searched. Everywhere else the fields are left out.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/actions.hpp"

namespace clusterd {

// Names of capital letters, digits and "_"; values of one line.
using LogFields = std::vector<std::pair<std::string, std::string>>;

class Log {
 public:
  // `journal`: a datagram socket that is connected to journald, or -1. Owned by the log.
  explicit Log(bool debug, int fd = 2, int journal = -1);
  ~Log();  // writes what is queued, for at most one second
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  void line(Severity severity, std::string text, LogFields fields = {});

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
  bool debug_;
};

// A socket to journald if `fd` leads into the journal, as $JOURNAL_STREAM says; otherwise -1.
[[nodiscard]] int connect_to_journal(int fd = 2);

// "<4>": what systemd reads as the priority of a line.
[[nodiscard]] const char* priority_prefix(Severity severity);

}  // namespace clusterd
