#include "linux/units/run_unit.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <utility>

namespace clusterd {

using Outcome = UnitReport::Outcome;

namespace {

constexpr Duration kSettlePoll = std::chrono::milliseconds(20);
constexpr Duration kClearingLimit = std::chrono::seconds(5);
constexpr Duration kLogCheck = std::chrono::seconds(30);
constexpr off_t kLogLimit = 1 << 20;

}  // namespace

RunUnit::RunUnit(UnitContext context) : context_(std::move(context)) {}

void RunUnit::start() {
  switch (state_) {
    case State::kRunning:
      context_.report(Outcome::kStarted, "runs already as process " + std::to_string(leader_.pid));
      return;
    case State::kStarting:
      return;
    case State::kStopping:
    case State::kClearing:
      start_after_ = true;
      return;
    case State::kIdle:
      begin();
      return;
  }
}

void RunUnit::begin() {
  start_after_ = false;
  kill_ = false;
  find();
  if (leader_lives_) {
    started();
    return;
  }
  if (leader_.pid != 0) {
    // The leader died while no daemon looked, and left processes behind.
    state_ = State::kClearing;
    clearing_since_ = EventLoop::now();
    start_after_ = true;
    settle();
    return;
  }
  spawn();
}

void RunUnit::find() {
  if (leader_.pid != 0) return;
  const auto record = read_record(file(".pid"));
  if (!record) return;
  adopted_ = ProcessWatch::open(context_.loop, *record, [this] { leader_ended(true, "ended"); });
  if (adopted_) {
    leader_ = *record;
    leader_lives_ = true;
  } else if (signal_group(*record, 0) && !group_is_empty(record->pid)) {
    leader_ = *record;
  }
}

void RunUnit::spawn() {
  state_ = State::kStarting;
  ChildSpec spec = ChildSpec::shell(context_.config.start);
  spec.detached = true;
  spec.output_file = file(".log");
  spec.environment = {{"CLUSTERD_SERVICE", context_.service}, {"CLUSTERD_UNIT", context_.config.name}};
  spec.on_started = [this] { started(); };
  child_ = run_child(context_.loop, std::move(spec),
                     [this](const ChildResult& result) { leader_ended(result.started, result.text()); });
  const auto identity = identify(child_->pid(), true);  // it is our child: its number cannot be another's
  if (!identity) return;                                // the result says why
  leader_ = *identity;
  leader_lives_ = true;
  if (const auto written = write_record(file(".pid"), leader_); !written) {
    // Without the record a restarted daemon could not find it: better not to run it at all.
    child_->signal(SIGKILL);
    child_.reset();
    leader_ = {};
    leader_lives_ = false;
    state_ = State::kIdle;
    context_.report(Outcome::kStartFailed, written.error().message);
  }
}

void RunUnit::started() {
  if (state_ == State::kStopping) return;
  state_ = State::kRunning;
  log_timer_ = context_.loop.at(EventLoop::now() + kLogCheck, [this] { trim_log(); });
  context_.report(Outcome::kStarted,
                  (adopted_ ? "goes on as process " : "process ") + std::to_string(leader_.pid));
}

void RunUnit::stop(bool kill) {
  start_after_ = false;
  kill_ = kill_ || kill;
  if (state_ == State::kIdle) {
    kill_ = kill;
    find();
    if (leader_.pid == 0) {
      context_.report(Outcome::kStopped, "does not run");
      return;
    }
  }
  state_ = State::kStopping;
  log_timer_.reset();
  if (child_) child_->signal(kill_ ? SIGKILL : SIGTERM);
  signal_group(leader_, kill_ ? SIGKILL : SIGTERM);
  signal_group(leader_, SIGCONT);  // a stopped process would not end on SIGTERM
  if (!leader_lives_) settle();
}

void RunUnit::leader_ended(bool was_started, std::string how) {
  const bool recorded = leader_.pid != 0;
  leader_lives_ = false;
  child_.reset();
  adopted_.reset();
  log_timer_.reset();
  if (state_ == State::kStarting && !was_started) {
    leader_ = {};
    unlink(file(".pid").c_str());
    state_ = State::kIdle;
    context_.report(Outcome::kStartFailed, std::move(how));
    return;
  }
  if (state_ != State::kStopping) {
    state_ = State::kClearing;
    clearing_since_ = EventLoop::now();
    crash_ = recorded ? "process " + std::to_string(leader_.pid) + ": " + how : std::move(how);
  }
  settle();
}

void RunUnit::settle() {
  if (state_ == State::kClearing || kill_) signal_group(leader_, SIGKILL);
  const bool given_up =
      state_ == State::kClearing && EventLoop::now() - clearing_since_ > kClearingLimit && !start_after_;
  if (leader_.pid == 0 || group_is_empty(leader_.pid)) {
    finish();
  } else if (given_up) {
    crash_ += "; processes of its group cannot be killed";
    finish();
  } else {
    settle_timer_ = context_.loop.at(EventLoop::now() + kSettlePoll, [this] { settle(); });
  }
}

void RunUnit::finish() {
  settle_timer_.reset();
  const State was = std::exchange(state_, State::kIdle);
  leader_ = {};
  unlink(file(".pid").c_str());
  if (start_after_) {
    begin();
  } else if (was == State::kStopping) {
    kill_ = false;
    context_.report(Outcome::kStopped, "");
  } else {
    context_.report(Outcome::kCrashed, std::exchange(crash_, {}));
  }
}

// The unit holds the file open for appending: after it was emptied, writing goes on at its new end.
void RunUnit::trim_log() {
  log_timer_ = context_.loop.at(EventLoop::now() + kLogCheck, [this] { trim_log(); });
  struct stat info {};
  if (trimmer_ || stat(file(".log").c_str(), &info) != 0 || info.st_size < kLogLimit) return;
  ChildSpec spec;
  spec.argv = {"/bin/sh", "-c", "cp -f -- \"$1\" \"$1.1\"; : > \"$1\"", "sh", file(".log")};
  trimmer_ = run_child(context_.loop, std::move(spec), [this](const ChildResult&) { trimmer_.reset(); });
}

}  // namespace clusterd
