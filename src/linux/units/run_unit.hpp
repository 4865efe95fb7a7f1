// One command that stays in the foreground (UnitConfig::Kind::kRun).
//
// It lives in its own session and survives the daemon: its pid and start time stand in <stem>.pid, and a
// restarted daemon adopts it from there (never a stranger that was given the number later). Its output goes
// to <stem>.log, which is copied to <stem>.log.1 and emptied when it exceeds 1 MiB.
//
// Running means: the leader lives. Stopped means: no process of its group lives. When the leader ends without
// an order, what is left of its group is killed before the crash is reported, so that a new start meets
// nobody. When clusterd runs as a systemd service, that service must have KillMode=process.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "linux/units/process.hpp"
#include "linux/units/process_identity.hpp"
#include "linux/units/unit_driver.hpp"

namespace clusterd {

class RunUnit final : public UnitDriver {
 public:
  explicit RunUnit(UnitContext context);
  void start() override;
  void stop(bool kill) override;

 private:
  enum class State { kIdle, kStarting, kRunning, kStopping, kClearing };

  void begin();
  void find();  // looks for what an earlier daemon has left
  void spawn();
  void started();
  void leader_ended(bool was_started, std::string how);
  void settle();  // waits for the group to be empty
  void finish();
  void trim_log();
  std::string file(const char* extension) const { return context_.stem + extension; }

  UnitContext context_;
  State state_ = State::kIdle;
  bool start_after_ = false;  // when the group is empty
  bool kill_ = false;         // the stop under way may use SIGKILL
  ProcessIdentity leader_;    // pid 0: none; may have ended while its group lives on
  bool leader_lives_ = false;
  std::unique_ptr<ChildProcess> child_;    // started by this daemon…
  std::unique_ptr<ProcessWatch> adopted_;  // …or by an earlier one
  std::unique_ptr<Timer> settle_timer_, log_timer_;
  std::unique_ptr<ChildProcess> trimmer_;
  Instant clearing_since_{};
  std::string crash_;
};

}  // namespace clusterd
