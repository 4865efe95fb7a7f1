#include "daemon/reactor.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <utility>

#include "base/check.hpp"

namespace clusterd {

namespace {

using std::chrono::milliseconds;

// Later than this, and what waits in the sockets is read before anything is concluded.
constexpr Duration kLate = milliseconds(2);
// Deadlines that move away by less do not move the timer.
constexpr Duration kTrifle = milliseconds(1);
// A timer is never set further away than this; it then simply looks again.
constexpr Duration kFarthest = std::chrono::hours(1);

WallTime wall_now() { return std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now()); }

// Runs `work`; whatever it throws ends the process, with the cause on stderr.
template <class Work>
void guarded(const char* where, Work&& work) {
  try {
    std::forward<Work>(work)();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "<2>clusterd: exception in %s: %s; ending, the gate falls shut by itself\n", where,
                 error.what());
    std::abort();
  } catch (...) {
    std::fprintf(stderr, "<2>clusterd: unknown exception in %s; ending, the gate falls shut by itself\n",
                 where);
    std::abort();
  }
}

}  // namespace

Reactor::Reactor(EventLoop& loop, Decider& decider, size_t services, Log& log)
    : loop_(loop),
      decider_(decider),
      log_(log),
      alive_(std::make_shared<bool>(true)),
      gate_deadlines_(services, kLongAgo) {
  teller_.log = [this](const LogLine& line) { log_.line(line.severity, line.text); };
  teller_.decision = [this](const Decision& decision) {
    if (decisions_.size() >= kHistory) decisions_.pop_front();
    decisions_.push_back({wall_now(), decision});
    std::string line = "decides: " + decision.what;
    for (size_t i = 0; i < decision.evidence.size(); ++i) {
      line += (i == 0 ? ", because " : "; ") + decision.evidence[i];
    }
    log_.line(Severity::kNotice, line);
  };
  teller_.reply = [this](const Reply& reply) { answer(reply); };
}

Reactor::~Reactor() { *alive_ = false; }

EventSink Reactor::sink() {
  return [this, alive = alive_](Event event) {
    if (*alive) receive(std::move(event));
  };
}

void Reactor::start(const Ports& ports, const Started& started) {
  CLUSTERD_CHECK(!running_, "a reactor starts once");
  ports_ = ports;
  running_ = true;
  minute_began_ = EventLoop::now();
  guarded("the first step", [&] {
    step(started);
    arm();
  });
  schedule_turn();  // for what the ports reported while they were built
}

void Reactor::command(Command command, std::function<void(CommandAnswer)> answer) {
  command.id = next_command_++;
  if (waiting_.size() >= kWaiting) {
    const auto oldest = waiting_.begin();
    const auto give_up = std::exchange(oldest->second, nullptr);
    waiting_.erase(oldest);
    give_up({false, "given up: too many later commands wait for an answer"});
  }
  waiting_.emplace(command.id, std::move(answer));
  receive(Event{std::move(command)});
}

void Reactor::receive(Event event) {
  if (halted_) return;
  queue_.push_back(std::move(event));
  schedule_turn();
}

void Reactor::schedule_turn() {
  if (turn_posted_ || !running_ || queue_.empty()) return;
  turn_posted_ = true;
  loop_.post([this, alive = alive_] {
    if (!*alive) return;
    turn_posted_ = false;
    turn();
  });
}

// One turn: what has been received, then the time.
void Reactor::turn() {
  if (halted_ || polling_) return;
  guarded("a turn", [this] {
    if (!is_late()) drain();
    if (is_late()) return poll_first();  // draining may have taken its time, too
    tick_if_due();
    arm();
  });
}

bool Reactor::is_late() const {
  const Instant due = decider_.next_deadline();
  return due != kNever && EventLoop::now() > due + kLate;
}

// Gives control back to the loop twice: the first callback may run before the sockets were looked at, the
// second one only after everything that was readable has been read into our queue.
void Reactor::poll_first() {
  const Instant now = EventLoop::now();
  note_lateness(now, now - decider_.next_deadline());
  polling_ = true;
  loop_.post([this, alive = alive_] {
    if (!*alive) return;
    loop_.post([this, alive] {
      if (*alive) guarded("a late turn", [this] { late_turn(); });
    });
  });
}

void Reactor::late_turn() {
  polling_ = false;
  if (halted_) return;
  std::stable_partition(queue_.begin(), queue_.end(), [](const Event& event) {
    return std::holds_alternative<HeartbeatReceived>(event) || std::holds_alternative<SignOfLife>(event);
  });
  drain();
  tick_if_due();
  arm();
}

void Reactor::drain() {
  // What arrives meanwhile waits for the next turn, so that a flood of events cannot hold back the time.
  for (size_t left = queue_.size(); left > 0 && !halted_; --left) {
    const Event event = std::move(queue_.front());
    queue_.pop_front();
    step(event);
  }
  schedule_turn();
}

void Reactor::tick_if_due() {
  if (halted_ || EventLoop::now() < decider_.next_deadline()) return;
  step(Tick{wall_now()});
}

void Reactor::step(const Event& event) {
  const Instant now = EventLoop::now();
  if (recorder_ != nullptr) recorder_->event(now, event);
  const Actions actions = decider_.step(now, event);
  note_gates(actions);
  perform(actions, ports_, teller_);
  if (recorder_ != nullptr) recorder_->outcome(actions);
  if (actions.exit && !halted_) {
    // A later step might take back what the clean restart was promised.
    halted_ = true;
    queue_.clear();
    timer_.reset();
    if (on_exit_) on_exit_();
  }
}

// A timer that fires too early finds nothing due and is set anew. Setting it costs one system call, waking up
// for nothing costs several: so it is set anew at once when the deadline has moved by more than a trifle.
void Reactor::arm() {
  if (halted_) return;
  const Instant due = decider_.next_deadline();
  if (timer_ && armed_ <= due && due - armed_ < kTrifle) return;
  const Instant now = EventLoop::now();
  armed_ = std::min(due, now + kFarthest);
  timer_ = loop_.at(armed_, [this] {
    armed_ = kNever;
    timer_.reset();
    turn();
  });
}

void Reactor::note_lateness(Instant now, Duration late) {
  if (now - minute_began_ > std::chrono::minutes(1)) {
    worst_before_ = now - minute_began_ > std::chrono::minutes(2) ? Duration{} : worst_now_;
    worst_now_ = Duration{};
    minute_began_ = now;
  }
  worst_now_ = std::max(worst_now_, late);
}

Duration Reactor::worst_lateness() const {
  const Duration age = EventLoop::now() - minute_began_;
  if (age > std::chrono::minutes(2)) return Duration{};
  return std::max(worst_now_, age > std::chrono::minutes(1) ? Duration{} : worst_before_);
}

void Reactor::note_gates(const Actions& actions) {
  for (const ServiceId service : actions.shut_gates) gate_deadlines_.at(service.at()) = kLongAgo;
  for (const SetGate& order : actions.set_gates) gate_deadlines_.at(order.service.at()) = order.deadline;
}

void Reactor::answer(const Reply& reply) {
  const auto found = waiting_.find(reply.command);
  if (found == waiting_.end()) return;
  const auto callback = std::exchange(found->second, nullptr);
  waiting_.erase(found);
  callback({reply.ok, reply.text});
}

}  // namespace clusterd
