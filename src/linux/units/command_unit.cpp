#include "linux/units/command_unit.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <utility>

namespace clusterd {

using Outcome = UnitReport::Outcome;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr Duration kStatusTimeout = seconds(10);
constexpr Duration kPoll = seconds(2);
constexpr Duration kRetry = milliseconds(100);
constexpr Duration kVerifyLimit = seconds(3);  // for a daemon to write its pid file, or to be gone
constexpr off_t kLogLimit = 1 << 20;

// A pid file that is older than the running kernel. Only asked when nothing better is known, because it rests
// on the wall clock not having been set since.
bool older_than_boot(const std::string& file) {
  struct stat info {};
  if (stat(file.c_str(), &info) != 0) return true;
  timespec wall{}, boot{};
  clock_gettime(CLOCK_REALTIME, &wall);
  clock_gettime(CLOCK_BOOTTIME, &boot);
  return info.st_mtim.tv_sec < wall.tv_sec - boot.tv_sec - 2;
}

// What the LSB means by the exit codes of `start` that stand for more than a failure; nullptr for all others.
const char* lsb_meaning(const ChildResult& result) {
  if (!result.started || result.timed_out || result.signal != 0) return nullptr;
  switch (result.exit_code) {
    case 2:
      return "wrong arguments";
    case 3:
      return "the script cannot do that";
    case 4:
      return "not permitted";
    case 5:
      return "not installed";
    case 6:
      return "not configured";
    default:
      return nullptr;
  }
}

}  // namespace

CommandUnit::CommandUnit(UnitContext context) : context_(std::move(context)) {}

// ---- helpers

void CommandUnit::after(Duration wait, void (CommandUnit::*what)()) {
  timer_ = context_.loop.at(EventLoop::now() + wait, [this, what] { (this->*what)(); });
}

void CommandUnit::launch(const std::string& command, void (CommandUnit::*done)(const ChildResult&)) {
  ChildSpec spec = ChildSpec::shell(command);
  spec.environment = {{"CLUSTERD_SERVICE", context_.service}, {"CLUSTERD_UNIT", context_.config.name}};
  if (kill_) spec.environment.emplace_back("CLUSTERD_KILL", "1");
  spec.output_file = context_.stem + ".log";
  struct stat info {};
  if (stat(spec.output_file.c_str(), &info) == 0 && info.st_size > kLogLimit) {
    [[maybe_unused]] const int ignored = truncate(spec.output_file.c_str(), 0);
  }
  command_ = run_child(context_.loop, std::move(spec), [this, done](const ChildResult& result) {
    command_.reset();
    (this->*done)(result);
  });
}

void CommandUnit::ask_status(AnswerHandler handler) {
  ChildSpec spec = ChildSpec::shell(context_.config.status);
  spec.environment = {{"CLUSTERD_SERVICE", context_.service}, {"CLUSTERD_UNIT", context_.config.name}};
  spec.timeout = kStatusTimeout;
  command_ = run_child(context_.loop, std::move(spec), [this, handler](const ChildResult& result) {
    command_.reset();
    const int code = result.exit_code;
    const bool unknown =
        !result.started || result.timed_out || result.signal != 0 || code == 4 || code == 126 || code == 127;
    const Answer answer = unknown ? Answer::kUnknown : code == 0 ? Answer::kRuns : Answer::kDoesNotRun;
    (this->*handler)(answer, "status: " + result.text());
  });
}

bool CommandUnit::watch_process() {
  if (context_.config.pid_file.empty()) return false;
  const auto pid = read_pid_file(context_.config.pid_file);
  const auto identity = pid ? identify(*pid) : std::nullopt;
  if (!identity) return false;
  if (watch_ && process_ == identity) return true;
  const std::string record = context_.stem + ".pid";
  const auto known = read_record(record);
  const bool same_number = known && known->pid == identity->pid;
  if (same_number && known != identity) return false;  // the number was given to somebody else
  if (!same_number && !touched_ && older_than_boot(context_.config.pid_file)) return false;
  watch_ = ProcessWatch::open(context_.loop, *identity, [this] { process_ended(); });
  if (!watch_) return false;
  process_ = identity;
  // Losing the record costs a check at the next start of the daemon, nothing now.
  [[maybe_unused]] const auto written = write_record(record, *identity);
  return true;
}

void CommandUnit::process_ended() {
  watch_.reset();
  switch (state_) {
    case State::kIdle:
      break;
    case State::kStarting:
      break;  // the verification finds out
    case State::kStopping:
      if (!command_) verify_stop();
      break;
    case State::kRunning:
      // A program that replaces itself (an upgrade on the fly) has written its successor's number.
      if (watch_process()) break;
      command_.reset();
      timer_.reset();
      if (context_.config.status.empty()) {
        gone("process " + std::to_string(process_->pid) + " ended");
      } else {
        ask_status(&CommandUnit::polled);
      }
      break;
  }
}

// ---- start

void CommandUnit::start() {
  switch (state_) {
    case State::kStarting:
      return;
    case State::kRunning:
      context_.report(Outcome::kStarted, "runs already");
      return;
    case State::kStopping:  // superseded: what was stopped so far is started again
    case State::kIdle:
      break;
  }
  command_.reset();
  timer_.reset();
  kill_ = false;
  state_ = State::kStarting;
  if (watch_process()) {
    now_running("runs already as process " + std::to_string(process_->pid));
  } else if (!context_.config.status.empty()) {
    ask_status(&CommandUnit::before_start);
  } else {
    run_start();
  }
}

void CommandUnit::before_start(Answer answer, const std::string&) {
  if (answer == Answer::kRuns) {
    now_running("runs already");
  } else {
    run_start();
  }
}

void CommandUnit::run_start() {
  touched_ = true;
  unlink((context_.stem + ".pid").c_str());  // the new process may happen to get the old one's number
  launch(context_.config.start, &CommandUnit::start_done);
}

void CommandUnit::start_done(const ChildResult& result) {
  if (!result.ok()) {
    const char* meaning = context_.config.kind == UnitConfig::Kind::kLsb ? lsb_meaning(result) : nullptr;
    // What the LSB calls not installed, not configured and the like does not get better by itself.
    const auto again = meaning != nullptr ? UnitReport::Again::kElsewhere : UnitReport::Again::kHere;
    start_failed(meaning != nullptr ? fmt::format("{} ({})", result.text(), meaning) : result.text(), again);
    return;
  }
  deadline_ = EventLoop::now() + kVerifyLimit;
  verify_start();
}

void CommandUnit::verify_start() {
  if (!context_.config.status.empty()) {
    ask_status(&CommandUnit::start_verified);
  } else {
    start_verified(Answer::kRuns, "");
  }
}

void CommandUnit::start_verified(Answer answer, const std::string& detail) {
  const bool late = EventLoop::now() >= deadline_;
  const bool wants_pid_file = !context_.config.pid_file.empty();
  const bool watched = watch_process();
  if (answer == Answer::kRuns && (watched || !wants_pid_file)) {
    now_running(watched ? "process " + std::to_string(process_->pid) : "");
  } else if (!late) {
    after(kRetry, &CommandUnit::verify_start);
  } else if (answer != Answer::kRuns) {
    start_failed("the start command succeeded, but " + detail);
  } else if (!context_.config.status.empty()) {
    now_running(context_.config.pid_file + " names no living process: its end is noticed by status only");
  } else {
    start_failed("the start command succeeded, but " + context_.config.pid_file + " names no living process");
  }
}

void CommandUnit::now_running(const std::string& detail) {
  state_ = State::kRunning;
  touched_ = true;
  schedule_poll();
  context_.report(Outcome::kStarted, detail);
}

void CommandUnit::start_failed(const std::string& detail, UnitReport::Again again) {
  state_ = State::kIdle;
  watch_.reset();
  context_.report_again(Outcome::kStartFailed, detail, again);
}

// ---- while it runs

void CommandUnit::schedule_poll() {
  if (!watch_ && !context_.config.status.empty()) after(kPoll, &CommandUnit::poll);
}

void CommandUnit::poll() { ask_status(&CommandUnit::polled); }

void CommandUnit::polled(Answer answer, const std::string& detail) {
  if (answer == Answer::kDoesNotRun) {
    gone(detail);
  } else {
    watch_process();
    schedule_poll();  // an unknown answer proves nothing: asked again
  }
}

void CommandUnit::gone(const std::string& detail) {
  state_ = State::kIdle;
  watch_.reset();
  timer_.reset();
  context_.report(Outcome::kCrashed, detail);
}

// ---- stop

void CommandUnit::stop(bool kill) {
  kill_ = kill;
  timer_.reset();
  if (state_ == State::kStopping) {
    if (!kill) return;
    if (command_) outcome_ = "the stop command did not end";
    command_.reset();  // kills it with its group
    kill_process();
    if (context_.config.kind == UnitConfig::Kind::kMount) return run_stop();
    deadline_ = EventLoop::now() + kVerifyLimit;
    verify_stop();
    return;
  }
  command_.reset();  // kills a start command under way with its group
  state_ = State::kStopping;
  outcome_.clear();
  watch_process();
  if (kill) kill_process();
  if (touched_ || watch_) {
    run_stop();
  } else if (!context_.config.status.empty()) {
    ask_status(&CommandUnit::before_stop);
  } else if (!context_.config.pid_file.empty()) {
    stopped();  // never started here, and the pid file names nobody
  } else {
    run_stop();
  }
}

void CommandUnit::before_stop(Answer answer, const std::string&) {
  if (answer == Answer::kDoesNotRun) {
    stopped();
  } else {
    run_stop();
  }
}

void CommandUnit::run_stop() {
  deadline_ = kNever;
  if (!context_.config.stop.empty()) {
    launch(context_.config.stop, &CommandUnit::stop_done);
    return;
  }
  if (watch_) watch_->signal(kill_ ? SIGKILL : SIGTERM);
  verify_stop();
}

void CommandUnit::stop_done(const ChildResult& result) {
  if (!result.ok()) outcome_ = "stop: " + result.text();
  deadline_ = EventLoop::now() + kVerifyLimit;
  verify_stop();
}

// Waits for a watched process without a limit of its own (the core has one), then asks for the status.
void CommandUnit::verify_stop() {
  timer_.reset();
  if (watch_) {
    if (outcome_.empty()) return;
    if (EventLoop::now() < deadline_) {
      after(kVerifyLimit, &CommandUnit::verify_stop);
    } else {
      stop_failed("process " + std::to_string(process_->pid) + " still runs");
    }
    return;
  }
  if (!context_.config.status.empty()) {
    ask_status(&CommandUnit::stop_verified);
  } else if (!context_.config.pid_file.empty() || outcome_.empty()) {
    stopped();
  } else {
    stop_failed("cannot be verified: there is neither a status command nor a pid file");
  }
}

void CommandUnit::stop_verified(Answer answer, const std::string& detail) {
  if (answer == Answer::kDoesNotRun) {
    stopped();
  } else if (EventLoop::now() < deadline_) {
    after(kRetry, &CommandUnit::verify_stop);
  } else {
    stop_failed(answer == Answer::kRuns ? "the status command says that it still runs" : detail);
  }
}

void CommandUnit::stopped() {
  state_ = State::kIdle;
  touched_ = false;
  process_.reset();
  unlink((context_.stem + ".pid").c_str());
  context_.report(Outcome::kStopped, "");
}

// The state stays idle with the process watched: the next order looks again.
void CommandUnit::stop_failed(const std::string& detail) {
  state_ = State::kIdle;
  context_.report(Outcome::kStopFailed, outcome_.empty() ? detail : outcome_ + "; " + detail);
}

// The watched process, and its whole group if it leads one.
void CommandUnit::kill_process() {
  if (!watch_) return;
  const auto group = group_of(process_->pid);
  if (group == process_->pid) signal_group(*process_, SIGKILL);
  watch_->signal(SIGKILL);
}

}  // namespace clusterd
