#include "linux/units/ocf_unit.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "config/passwords.hpp"
#include "linux/fd.hpp"

namespace clusterd {

using Outcome = UnitReport::Outcome;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr Duration kRetry = milliseconds(200);
constexpr Duration kVerifyLimit = seconds(3);  // for what was started or stopped to show
constexpr off_t kLogLimit = 1 << 20;
constexpr unsigned kUnansweredLimit = 2;

bool runs(const ChildResult& result) {
  const OcfMeaning meaning = ocf_meaning(result);
  return meaning == OcfMeaning::kGood || meaning == OcfMeaning::kWarning;
}

UnitReport::Again again_after(const ChildResult& result) {
  const OcfMeaning meaning = ocf_meaning(result);
  if (meaning == OcfMeaning::kNowhere) return UnitReport::Again::kNowhere;
  return meaning == OcfMeaning::kNotHere ? UnitReport::Again::kElsewhere : UnitReport::Again::kHere;
}

// Codes 2 to 6: the agent cannot be used here as it is.
bool is_hopeless(const ChildResult& result) {
  const OcfMeaning meaning = ocf_meaning(result);
  return meaning == OcfMeaning::kNotHere || meaning == OcfMeaning::kNowhere;
}

bool is_code(const ChildResult& result, OcfCode code) {
  return ocf_meaning(result) != OcfMeaning::kUnknown && result.exit_code == static_cast<int>(code);
}

}  // namespace

OcfUnit::OcfUnit(UnitContext context) : context_(std::move(context)) {}

// ---- helpers

void OcfUnit::after(Duration wait, void (OcfUnit::*what)()) {
  timer_ = context_.loop.at(EventLoop::now() + wait, [this, what] { (this->*what)(); });
}

void OcfUnit::launch(ChildSpec spec, Step step) {
  action_ = run_child(context_.loop, std::move(spec), [this, step](const ChildResult& result) {
    action_.reset();
    ChildResult shown = result;
    shown.output = hide_passwords(agent().parameters, std::move(shown.output));
    (this->*step)(shown);
  });
}

// Start and stop: the core has their time limits.
void OcfUnit::act(const char* action, Duration limit, Step step) {
  OcfCall call;
  call.action = action;
  call.timeout = limit;
  ChildSpec spec = ocf_command(agent(), context_.service, context_.config.name, call);
  spec.output_file = context_.stem + ".log";
  struct stat info {};
  if (stat(spec.output_file.c_str(), &info) == 0 && info.st_size > kLogLimit) {
    [[maybe_unused]] const int ignored = truncate(spec.output_file.c_str(), 0);
  }
  launch(std::move(spec), step);
}

void OcfUnit::ask(bool first, unsigned depth, Step step) {
  OcfCall call;
  call.action = "monitor";
  call.timeout = agent().monitor_timeout;
  call.interval = first ? Duration::zero() : agent().monitor_every;
  call.depth = depth;
  ChildSpec spec = ocf_command(agent(), context_.service, context_.config.name, call);
  spec.timeout = agent().monitor_timeout;
  launch(std::move(spec), step);
}

bool OcfUnit::touched() const { return access((context_.stem + ".ocf").c_str(), F_OK) == 0; }

bool OcfUnit::touch() const {
  const Fd file(open((context_.stem + ".ocf").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640));
  return file.get() >= 0;
}

// ---- start

void OcfUnit::start() {
  if (state_ == State::kStarting) return;
  if (state_ == State::kRunning) {
    context_.report(Outcome::kStarted, "runs already");
    return;
  }
  action_.reset();  // a stop under way is superseded: what it has stopped so far is started again
  timer_.reset();
  state_ = State::kStarting;
  if (const std::string why = ocf_obstacle(agent()); !why.empty()) {
    start_failed(why, UnitReport::Again::kElsewhere);
    return;
  }
  ask(true, 0, &OcfUnit::before_start);
}

void OcfUnit::before_start(const ChildResult& result) {
  switch (ocf_meaning(result)) {
    case OcfMeaning::kGood:
    case OcfMeaning::kWarning:
      warn_of(result);
      if (touch()) return now_running("runs already");
      return start_failed(context_.stem + ".ocf cannot be written");
    case OcfMeaning::kNotRunning:
    case OcfMeaning::kNotHere:  // the start finds out, and gives its reason
    case OcfMeaning::kNowhere:
      return run_start();
    case OcfMeaning::kFailed:
    case OcfMeaning::kUnknown:
      break;
  }
  act("stop", context_.config.stop_timeout, &OcfUnit::clear_done);
}

void OcfUnit::clear_done(const ChildResult& result) {
  if (runs(result)) return run_start();
  start_failed("it was half up, and does not stop: " + ocf_text(result));
}

void OcfUnit::run_start() {
  if (!touch()) return start_failed(context_.stem + ".ocf cannot be written");
  act("start", context_.config.start_timeout, &OcfUnit::start_done);
}

void OcfUnit::start_done(const ChildResult& result) {
  // An agent that cannot do its work at all has not begun with it.
  if (is_hopeless(result)) unlink((context_.stem + ".ocf").c_str());
  if (!runs(result)) return start_failed("start: " + ocf_text(result), again_after(result));
  warn_of(result);
  deadline_ = EventLoop::now() + kVerifyLimit;
  verify_start();
}

void OcfUnit::verify_start() { ask(false, 0, &OcfUnit::start_verified); }

void OcfUnit::start_verified(const ChildResult& result) {
  if (runs(result)) {
    warn_of(result);
    return now_running("");
  }
  if (EventLoop::now() < deadline_) return after(kRetry, &OcfUnit::verify_start);
  start_failed("start succeeded, but monitor: " + ocf_text(result));
}

void OcfUnit::now_running(const std::string& detail) {
  state_ = State::kRunning;
  unanswered_ = 0;
  after(agent().monitor_every, &OcfUnit::poll);
  context_.report(Outcome::kStarted, detail);
}

void OcfUnit::start_failed(const std::string& detail, UnitReport::Again again) {
  state_ = State::kIdle;
  context_.report_again(Outcome::kStartFailed, detail, again);
}

// ---- while it runs

void OcfUnit::poll() { ask(false, agent().monitor_depth, &OcfUnit::polled); }

void OcfUnit::polled(const ChildResult& result) {
  const bool answered = ocf_meaning(result) != OcfMeaning::kUnknown;
  unanswered_ = answered ? 0 : unanswered_ + 1;
  if (answered && !runs(result)) return gone("monitor: " + ocf_text(result), again_after(result));
  if (unanswered_ >= kUnansweredLimit)
    return gone("monitor gave no answer twice: " + ocf_text(result), UnitReport::Again::kHere);
  if (!answered) return poll();
  warn_of(result);
  after(agent().monitor_every, &OcfUnit::poll);
}

void OcfUnit::warn_of(const ChildResult& result) {
  const bool warning = ocf_meaning(result) == OcfMeaning::kWarning;
  if (warning && !std::exchange(warned_, true) && context_.warn) context_.warn(ocf_text(result));
  if (!warning) warned_ = false;
}

void OcfUnit::gone(const std::string& detail, UnitReport::Again again) {
  state_ = State::kIdle;
  context_.report_again(Outcome::kCrashed, detail, again);
}

// ---- stop

void OcfUnit::stop(bool kill) {
  timer_.reset();
  outcome_.clear();
  if (state_ == State::kStopping) {
    if (!kill) return;
    if (action_) outcome_ = "the action under way did not end";
  }
  action_.reset();  // kills a start, stop or monitor under way with its group
  state_ = State::kStopping;
  if (const std::string why = ocf_obstacle(agent()); !why.empty()) {
    if (touched()) return stop_failed("something may run, and " + why);
    return stopped();
  }
  if (touched()) return run_stop();
  ask(true, 0, &OcfUnit::before_stop);
}

void OcfUnit::before_stop(const ChildResult& result) {
  if (is_code(result, OcfCode::kNotRunning) || is_hopeless(result)) return stopped();
  run_stop();
}

void OcfUnit::run_stop() { act("stop", context_.config.stop_timeout, &OcfUnit::stop_done); }

void OcfUnit::stop_done(const ChildResult& result) {
  outcome_ = runs(result) ? "" : "stop: " + ocf_text(result);
  deadline_ = EventLoop::now() + kVerifyLimit;
  verify_stop();
}

void OcfUnit::verify_stop() { ask(true, 0, &OcfUnit::stop_verified); }

void OcfUnit::stop_verified(const ChildResult& result) {
  const bool not_running = is_code(result, OcfCode::kNotRunning);
  if (not_running && outcome_.empty()) return stopped();
  if (!not_running && outcome_.empty() && EventLoop::now() < deadline_)
    return after(kRetry, &OcfUnit::verify_stop);
  stop_failed("monitor: " + ocf_text(result));
}

void OcfUnit::stopped() {
  state_ = State::kIdle;
  warned_ = false;
  unlink((context_.stem + ".ocf").c_str());
  context_.report(Outcome::kStopped, "");
}

// The next order begins afresh.
void OcfUnit::stop_failed(const std::string& detail) {
  state_ = State::kIdle;
  context_.report(Outcome::kStopFailed, outcome_.empty() ? detail : outcome_ + "; " + detail);
}

}  // namespace clusterd
