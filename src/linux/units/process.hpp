// Child processes on the event loop: units, checks, hooks, the notifier and the mirror all start theirs here.
//
//   ChildSpec spec = ChildSpec::shell("/usr/bin/true");
//   spec.timeout = std::chrono::seconds(5);
//   child_ = run_child(loop, std::move(spec), [](const ChildResult& r) { if (!r.ok()) log(r.text()); });
//
// Guarantees
// - Nothing here waits: a child is forked (never vforked, which would wait for the program to be read from
// the
//   disk), its end is read from a pidfd, its output from a nonblocking pipe. There is no SIGCHLD handler.
// - The child starts clean, whatever the daemon is: own session and process group, SCHED_OTHER, nice >= 0,
//   oom_score_adj >= 0, no memory locks, default signal dispositions, empty signal mask, umask 022, no
//   descriptor but 0, 1 and 2, and none of systemd's variables (NOTIFY_SOCKET, WATCHDOG_*, LISTEN_*).
// - Signals go to the child's whole process group, and only while its number cannot have been given to
//   somebody else: the child is reaped after the last signal was sent.
// - The callback comes exactly once, on the loop's thread, never from inside run_child, and not at all after
//   the handle was destroyed. It may destroy the handle. A program that cannot be started is a result too.
// - The result comes with the end of the child itself. Descendants that it left in the background go on (that
//   is how start commands make daemons); after a timeout they are killed with it. A child in uninterruptible
//   sleep ends only when the kernel lets it: whoever needs an answer by then sets a timer of its own.
//
// Destroying the handle kills the process group with SIGKILL unless the child was started `detached`; the
// body is reaped later without waiting.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.hpp"
#include "linux/event_loop.hpp"

namespace clusterd {

struct ChildSpec {
  std::vector<std::string> argv;  // argv[0] is looked up in PATH if it has no slash
  std::vector<std::pair<std::string, std::string>> environment;  // added to, or replacing, the daemon's
  bool bare = false;  // nothing of the daemon's environment, but for a PATH of the system's folders
  std::string directory = "/";
  std::string input;                    // the child's stdin; empty = /dev/null
  size_t output_limit = 16 * 1024;      // bytes of stdout and stderr that are kept: the last ones
  std::string output_file;              // append stdout and stderr here instead of reading them; see below
  Duration timeout = Duration::zero();  // then SIGTERM to the process group; zero = no limit
  Duration kill_after = std::chrono::seconds(2);  // after SIGTERM: SIGKILL
  bool detached = false;                          // goes on when the handle is destroyed
  // Set: stdout comes here in chunks as it is written, and ChildResult::output holds stderr alone.
  std::function<void(std::string_view)> on_stdout;
  // Set: called once when the program was executed (not when that failed).
  std::function<void()> on_started;

  // `/bin/sh -c command`
  [[nodiscard]] static ChildSpec shell(std::string command);
};

// A pipe would break (SIGPIPE) for what the child leaves in the background once clusterd is gone. With
// `output_file` it does not: the file is created with mode 0640 and appended to; `ChildResult::output` is
// then the tail of what was appended since the start, by whomever.

struct ChildResult {
  bool started = false;    // false: `output` says why not
  int exit_code = -1;      // if it exited by itself
  int signal = 0;          // if a signal ended it
  bool timed_out = false;  // whatever exit_code and signal say
  std::string output;

  [[nodiscard]] bool ok() const { return started && !timed_out && exit_code == 0; }
  // In words, with the last line of the output: "exit code 3: no such database", "timed out".
  [[nodiscard]] std::string text() const;
};

class ChildProcess {
 public:
  virtual ~ChildProcess() = default;
  [[nodiscard]] virtual pid_t pid() const = 0;  // also its process group and session; 0 if fork failed
  [[nodiscard]] virtual bool running() const = 0;
  // To the process group; ignored when the child has ended. Sets no timed_out.
  virtual void signal(int number) = 0;
  // As if the timeout had come now: SIGTERM, then SIGKILL after `kill_after`.
  virtual void terminate() = 0;
};

using ChildDone = std::function<void(const ChildResult&)>;

[[nodiscard]] std::unique_ptr<ChildProcess> run_child(EventLoop& loop, ChildSpec spec, ChildDone done);

// The last non-empty line, without control characters, cut to `limit` bytes: for details of reports and logs.
[[nodiscard]] std::string last_line(std::string_view output, size_t limit = 200);

}  // namespace clusterd
