// Which process a number means: a pid alone is given again, a pid with its start time is not.
//
// All of this reads /proc and /run, which are memory, not disks.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/result.hpp"
#include "linux/event_loop.hpp"
#include "linux/fd.hpp"

namespace clusterd {

struct ProcessIdentity {
  pid_t pid = 0;
  uint64_t start = 0;  // field 22 of /proc/<pid>/stat: clock ticks since the kernel was booted
  bool operator==(const ProcessIdentity&) const = default;
};

// nullopt: no such process, or (unless `also_dead`) only its unreaped body.
[[nodiscard]] std::optional<ProcessIdentity> identify(pid_t pid, bool also_dead = false);

// Its process group; nullopt if it does not live.
[[nodiscard]] std::optional<pid_t> group_of(pid_t pid);

// True if no living process is in the group.
[[nodiscard]] bool group_is_empty(pid_t group);

// Sends to the group of `leader`, which may have ended. Refuses (false) when the number means somebody else
// by now, or when nobody is there.
bool signal_group(const ProcessIdentity& leader, int number);

// A record "pid start boot-id" in a file, replaced atomically. Reading gives nullopt unless it is whole, of
// this boot of the kernel, and plausible; it does not look whether the process still exists.
[[nodiscard]] Result<void> write_record(const std::string& file, const ProcessIdentity& process);
[[nodiscard]] std::optional<ProcessIdentity> read_record(const std::string& file);

// Reads a daemon's own pid file: one number, nothing else but white space; nullopt for anything else,
// for 0, 1 and the own pid.
[[nodiscard]] std::optional<pid_t> read_pid_file(const std::string& file);

// Calls back once when a process that need not be a child has ended.
class ProcessWatch {
 public:
  // nullptr if that very process does not live any more.
  [[nodiscard]] static std::unique_ptr<ProcessWatch> open(EventLoop& loop, const ProcessIdentity& process,
                                                          std::function<void()> ended);
  // To this very process, never to another one.
  void signal(int number) const;

 private:
  ProcessWatch() = default;
  Fd pidfd_;
  std::unique_ptr<Watch> watch_;
};

// The kernel's boot id, or what the file named by CLUSTERD_BOOT_ID_FILE says (for labs where several nodes
// share one kernel). Empty if it cannot be read.
[[nodiscard]] std::string kernel_boot_id();

}  // namespace clusterd
