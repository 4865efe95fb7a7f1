// A unit of start, stop and status commands (UnitConfig::Kind::kCommand), and what is carried out by them:
// init scripts (kLsb) and mounts (kMount; src/config/read_mount.cpp makes their commands).
//
// What proves that it runs, best first: the process that its pid file names (watched by pidfd: its end is an
// event), the status command (0 = runs; 4, 126, 127, a timeout or a signal = cannot be said; anything else =
// does not run; asked every 2 s when there is no process to watch), and else only the exit code of the start
// command. Start and stop are verified by the same means. A stop that cannot be verified is a failed stop.
//
// A stale pid file is not believed: one that was written before the kernel was booted, or whose number now
// belongs to another process than the one seen before (<stem>.pid remembers its start time).
//
// A stop that comes with a kill has CLUSTERD_KILL=1 in its environment. Of an init script, exit codes 2 to 6
// of `start` say that trying again on this node is no use.
//
// Start and stop commands write to <stem>.log, because what they leave running in the background may write on
// after clusterd has gone. It is emptied before a start once it exceeds 1 MiB.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "linux/units/process.hpp"
#include "linux/units/process_identity.hpp"
#include "linux/units/unit_driver.hpp"

namespace clusterd {

class CommandUnit final : public UnitDriver {
 public:
  explicit CommandUnit(UnitContext context);
  void start() override;
  void stop(bool kill) override;

 private:
  enum class State { kIdle, kStarting, kRunning, kStopping };
  enum class Answer { kRuns, kDoesNotRun, kUnknown };
  using AnswerHandler = void (CommandUnit::*)(Answer, const std::string& detail);

  void launch(const std::string& command, void (CommandUnit::*done)(const ChildResult&));
  void ask_status(AnswerHandler handler);
  bool watch_process();  // true: the pid file names a living process, now watched
  void process_ended();
  void after(Duration wait, void (CommandUnit::*what)());

  void before_start(Answer answer, const std::string& detail);
  void run_start();
  void start_done(const ChildResult& result);
  void verify_start();
  void start_verified(Answer answer, const std::string& detail);
  void now_running(const std::string& detail);
  void start_failed(const std::string& detail, UnitReport::Again again = UnitReport::Again::kHere);

  void schedule_poll();
  void poll();
  void polled(Answer answer, const std::string& detail);
  void gone(const std::string& detail);

  void before_stop(Answer answer, const std::string& detail);
  void run_stop();
  void stop_done(const ChildResult& result);
  void verify_stop();
  void stop_verified(Answer answer, const std::string& detail);
  void stopped();
  void stop_failed(const std::string& detail);
  void kill_process();

  UnitContext context_;
  State state_ = State::kIdle;
  bool kill_ = false;
  bool touched_ = false;  // a start was attempted: the stop command has something to clean up
  std::optional<ProcessIdentity> process_;
  std::unique_ptr<ProcessWatch> watch_;
  std::unique_ptr<ChildProcess> command_;  // start, stop or status: one at a time
  std::unique_ptr<Timer> timer_;
  Instant deadline_{};   // of the verification under way
  std::string outcome_;  // of the stop command, if it was not exit code 0
};

}  // namespace clusterd
