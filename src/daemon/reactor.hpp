// The reactor: gives events to the core one at a time, and performs what the core wants done.
//
// Order within a turn. Events of the ports are queued and given to the core when the ports' callbacks of this
// turn have run. A Tick comes after them. When the reactor finds itself late (its thread did not run for a
// while, or the whole machine stood still), the sockets are read once more before anything is given to the
// core, and heartbeats go first: a peer whose heartbeats wait in a socket is never suspected because of this
// node's own sleep.
//
// An exception, from wherever, ends the process: a dead daemon is a safe failover, a daemon that goes on with
// half of its actions done is not.
//
// Threading: the event loop's thread only.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>

#include "core/config.hpp"
#include "core/events.hpp"
#include "core/status.hpp"
#include "daemon/control_backend.hpp"
#include "daemon/log.hpp"
#include "daemon/perform.hpp"
#include "daemon/status_json.hpp"
#include "linux/event_loop.hpp"
#include "record/step_recorder.hpp"

namespace clusterd {

// The core as the reactor sees it: `Node`, or a script in a test.
class Decider {
 public:
  virtual ~Decider() = default;
  [[nodiscard]] virtual Actions step(Instant now, const Event& event) = 0;
  [[nodiscard]] virtual Instant next_deadline() const = 0;
  [[nodiscard]] virtual const Status& status() const = 0;
};

class Reactor {
 public:
  static constexpr size_t kHistory = 500;  // decisions that are kept
  static constexpr size_t kWaiting = 128;  // commands without an answer; beyond it the oldest is given up

  Reactor(EventLoop& loop, Decider& decider, size_t services, Log& log);
  ~Reactor();
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  // For the constructors of the ports: may be called at any time on the loop's thread.
  [[nodiscard]] EventSink sink();
  // From now on actions are performed. `started` is the first event.
  void start(const Ports& ports, const Started& started);
  // Called when the core says that the daemon may end. No step is taken after that.
  void on_exit(std::function<void()> callback) { on_exit_ = std::move(callback); }

  // Every step from now on is recorded there. Owned elsewhere; outlives the reactor.
  void record_to(StepRecorder& recorder) { recorder_ = &recorder; }

  // Gives the command to the core; `answer` is called with its reply. `command.id` is set here.
  void command(Command command, std::function<void(CommandAnswer)> answer);

  [[nodiscard]] const Status& status() const { return decider_.status(); }
  [[nodiscard]] const std::deque<DatedDecision>& decisions() const { return decisions_; }
  [[nodiscard]] const std::vector<Instant>& gate_deadlines() const { return gate_deadlines_; }
  [[nodiscard]] Duration worst_lateness() const;

 private:
  void receive(Event event);
  void schedule_turn();
  void turn();
  [[nodiscard]] bool is_late() const;
  void poll_first();
  void late_turn();
  void drain();
  void step(const Event& event);
  void tick_if_due();
  void arm();
  void note_lateness(Instant now, Duration late);
  void note_gates(const Actions& actions);
  void answer(const Reply& reply);

  EventLoop& loop_;
  Decider& decider_;
  Log& log_;
  Ports ports_;
  StepRecorder* recorder_ = nullptr;
  Teller teller_;
  std::shared_ptr<bool> alive_;  // false after destruction: for callbacks that are still posted
  std::deque<Event> queue_;
  bool running_ = false;
  bool halted_ = false;
  bool turn_posted_ = false;
  bool polling_ = false;  // late: the sockets are being read once more before the next step
  std::unique_ptr<Timer> timer_;
  Instant armed_ = kNever;
  std::function<void()> on_exit_;

  uint64_t next_command_ = 1;
  std::map<uint64_t, std::function<void(CommandAnswer)>> waiting_;  // bounded by kWaiting

  std::deque<DatedDecision> decisions_;
  std::vector<Instant> gate_deadlines_;
  Instant minute_began_{};
  Duration worst_now_{}, worst_before_{};
};

}  // namespace clusterd
