#include "linux/units/systemd_unit.hpp"

#include <unistd.h>

#include <csignal>
#include <utility>

namespace clusterd {

using Outcome = UnitReport::Outcome;

namespace {

constexpr Duration kKillAgain = std::chrono::milliseconds(300);

std::string in_words(const std::string& job_result) {
  if (job_result == "timeout") return "it took longer than systemd allows";
  if (job_result == "dependency") return "a unit that it depends on failed";
  if (job_result == "canceled") return "somebody else replaced or cancelled the order";
  if (job_result == "skipped") return "a condition of the unit is not met";
  if (job_result == "assert") return "an assertion of the unit is not met";
  if (job_result == "unsupported") return "units of its kind are not supported here";
  return job_result;
}

bool is_systemd_here() { return access("/run/systemd/system", F_OK) == 0; }

}  // namespace

SystemdUnit::SystemdUnit(UnitContext context, SystemdBus& bus)
    : context_(std::move(context)), bus_(bus), alive_(std::make_shared<bool>(true)) {}

SystemdUnit::~SystemdUnit() {
  *alive_ = false;
  bus_.drop(this);
}

template <class T>
SystemdBus::Done<T> SystemdUnit::guarded(std::function<void(Result<T>)> next) {
  return [this, alive = alive_, turn = turn_, next = std::move(next)](Result<T> result) {
    if (*alive && turn == turn_) next(std::move(result));
  };
}

// ---- orders

void SystemdUnit::start() {
  if (state_ == State::kStarting) return;
  ++turn_;
  state_ = State::kStarting;
  kill_timer_.reset();
  look();
}

void SystemdUnit::stop(bool kill) {
  if (state_ == State::kStopping && (!kill || kill_)) return;
  ++turn_;
  state_ = State::kStopping;
  kill_ = kill;
  look();
}

void SystemdUnit::look() {
  job_.clear();
  looking_ = look_again_ = false;
  bus_.load_unit(name(), guarded<std::string>([this](Result<std::string> path) {
                   if (!path) {
                     order_failed(path.error().message);
                     return;
                   }
                   path_ = *path;
                   bus_.follow(this, path_);
                   bus_.state(path_, guarded<SystemdState>([this](Result<SystemdState> state) {
                                if (!state) {
                                  order_failed(state.error().message);
                                  return;
                                }
                                id_ = state->id;
                                if (state_ == State::kStarting) {
                                  go_on_starting(*state);
                                } else {
                                  go_on_stopping(*state);
                                }
                              }));
                 }));
}

// Nothing is known of the unit: the order cannot be carried out.
void SystemdUnit::order_failed(const std::string& why) {
  ++turn_;
  kill_timer_.reset();
  const State was = std::exchange(state_, State::kIdle);
  if (was == State::kStarting) {
    context_.report(Outcome::kStartFailed, why);
  } else if (was == State::kStopping && !is_systemd_here()) {
    context_.report(Outcome::kStopped, "there is no systemd on this node");
  } else if (was == State::kStopping) {
    context_.report(Outcome::kStopFailed, why);
  }
}

// ---- start

void SystemdUnit::go_on_starting(const SystemdState& state) {
  if (state.runs() && state.job == 0) {
    state_ = State::kRunning;
    context_.report(Outcome::kStarted, "runs already");
    return;
  }
  if (const std::string why = systemd_obstacle(name(), state); !why.empty()) {
    order_failed(why);
    return;
  }
  if (state.active == "failed") {
    bus_.reset_failed(name(), guarded<std::string>([this](Result<std::string>) { send_start(false); }));
  } else {
    // systemd keeps a mere start waiting until its own restart is due.
    send_start(state.sub == "auto-restart");
  }
}

void SystemdUnit::send_start(bool at_once) {
  auto sent = guarded<std::string>([this](Result<std::string> job) {
    if (job) {
      job_ = *job;
    } else {
      order_failed(job.error().message);
    }
  });
  if (at_once) {
    bus_.restart_unit(name(), std::move(sent));
  } else {
    bus_.start_unit(name(), std::move(sent));
  }
}

void SystemdUnit::start_verdict(const std::string& job_result, const SystemdState& state) {
  if (state.runs()) {
    state_ = State::kRunning;
    context_.report(Outcome::kStarted, "");
    return;
  }
  // systemd would try again and again (Restart=), against what the core decides now.
  if (!state.stopped()) bus_.stop_unit(name(), [](Result<std::string>) {});
  state_ = State::kIdle;
  std::string why = state.text();
  if (job_result != "done" && job_result != "failed") {
    why = in_words(job_result) + ": " + why;
  } else if (job_result == "done" && state.active == "inactive") {
    why = "it ended at once: " + why + "; a oneshot unit needs RemainAfterExit=yes";
  }
  context_.report(Outcome::kStartFailed, why + "; see `journalctl -u " + name() + "`");
}

// ---- stop

void SystemdUnit::go_on_stopping(const SystemdState& state) {
  if (state.stopped() && state.job == 0) {
    state_ = State::kIdle;
    kill_timer_.reset();
    context_.report(Outcome::kStopped, state.active == "failed" ? state.text() : "");
    return;
  }
  send_stop();
}

// Also before a kill: without a stop job, Restart= would start again what was killed.
void SystemdUnit::send_stop() {
  bus_.stop_unit(name(), guarded<std::string>([this](Result<std::string> job) {
                   if (!job) {
                     order_failed(job.error().message);
                     return;
                   }
                   job_ = *job;
                   if (kill_) send_kill();
                 }));
}

// Again and again until the job ends: systemd may go on to the next command of the stop (ExecStopPost).
void SystemdUnit::send_kill() {
  bus_.kill_unit(name(), SIGKILL, [](Result<std::string>) {});  // nobody there to kill is no failure
  kill_timer_ = context_.loop.at(EventLoop::now() + kKillAgain, [this] { send_kill(); });
}

void SystemdUnit::stop_verdict(const std::string& job_result, const SystemdState& state) {
  kill_timer_.reset();
  state_ = State::kIdle;
  if (state.stopped() && state.job == 0) {
    context_.report(Outcome::kStopped, state.active == "failed" ? state.text() : "");
  } else {
    context_.report(Outcome::kStopFailed,
                    "stop job: " + in_words(job_result) + "; the unit is " + state.text());
  }
}

// ---- what systemd tells

void SystemdUnit::job_removed(const std::string& job, const std::string& unit, const std::string& result) {
  if (!job_.empty() && job == job_) {
    job_.clear();
    job_ended(result);
  } else if (state_ == State::kRunning && unit == id_) {
    unit_changed();
  }
}

void SystemdUnit::job_ended(const std::string& result) {
  bus_.state(path_, guarded<SystemdState>([this, result](Result<SystemdState> state) {
               if (!state) {
                 order_failed(state.error().message);
               } else if (state_ == State::kStarting) {
                 start_verdict(result, *state);
               } else {
                 stop_verdict(result, *state);
               }
             }));
}

void SystemdUnit::unit_changed() {
  if (state_ != State::kRunning) return;
  if (looking_) {
    look_again_ = true;
    return;
  }
  looking_ = true;
  bus_.state(path_, guarded<SystemdState>([this](Result<SystemdState> state) {
               looking_ = false;
               const bool again = std::exchange(look_again_, false);
               if (state && state_ == State::kRunning) judge_running(*state);
               if (again) unit_changed();
             }));
}

void SystemdUnit::judge_running(const SystemdState& state) {
  const bool restarting = state.sub == "auto-restart";
  if (state.runs() || (!state.stopped() && !restarting)) return;  // on its way: there will be another change
  if (!restarting && state.job != 0) return;                      // somebody restarts it
  // In a shutdown systemd stops every unit, and could not start one again: that is no crash. The order to
  // hand over is on its way, and finds the unit stopped.
  bus_.system_state(guarded<std::string>([this, state, restarting](const Result<std::string>& system) {
    if (state_ != State::kRunning || (system && *system == "stopping")) return;
    ++turn_;
    state_ = State::kIdle;
    context_.report(Outcome::kCrashed, restarting ? state.text() + "; systemd restarts it" : state.text());
  }));
}

void SystemdUnit::connection_lost(const std::string& why) {
  looking_ = look_again_ = false;
  if (state_ == State::kStarting || state_ == State::kStopping) order_failed(why);
}

}  // namespace clusterd
