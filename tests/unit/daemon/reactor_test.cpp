// The reactor: order of events, order of actions, lateness, commands.
#include "daemon/reactor.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

namespace clusterd {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;

std::string kind(const Event& event) {
  static constexpr const char* kNames[] = {
      "started",        "tick",    "heartbeat",    "sign-of-life", "probe", "nic",
      "address-answer", "address", "address-lost", "unit",         "check", "mirror",
      "persisted",      "command", "watchdog",     "fence",        "lack",  "guard"};
  static_assert(std::size(kNames) == std::variant_size_v<Event>);
  return kNames[event.index()];
}

// A core that notes what it is given, and does what the test says.
class Script final : public Decider {
 public:
  Actions step(Instant now, const Event& event) override {
    EXPECT_GE(now, last_now);
    last_now = now;
    seen.push_back(kind(event));
    if (std::holds_alternative<Tick>(event)) deadline = kNever;
    return on_event ? on_event(event) : Actions{};
  }
  [[nodiscard]] Instant next_deadline() const override { return deadline; }
  [[nodiscard]] const Status& status() const override { return status_; }

  std::function<Actions(const Event&)> on_event;
  std::vector<std::string> seen;
  Instant deadline = kNever;
  Instant last_now{};

 private:
  Status status_;
};

// All ports at once: notes each call by name.
class Ports9 final : public Transport,
                     public Prober,
                     public Addresses,
                     public Gate,
                     public Units,
                     public Checks,
                     public MirrorPeer,
                     public StateStore,
                     public Notifier {
 public:
  void send(const SendHeartbeat& /*order*/) override { note("send"); }
  void probe(const SendProbe& /*order*/) override { note("probe"); }
  void add(ServiceId /*service*/) override { note("add-address"); }
  void remove(ServiceId /*service*/) override { note("remove-address"); }
  void announce(ServiceId /*service*/) override { note("announce"); }
  void probe(const ProbeAddress& /*order*/) override { note("probe-address"); }
  Result<void> attach(ServiceId /*service*/) override { return {}; }
  void set(ServiceId /*service*/, Instant /*deadline*/) override { note("set-gate"); }
  void shut(ServiceId /*service*/) override { note("shut-gate"); }
  void start(const StartUnit& /*order*/) override { note("start-unit"); }
  void stop(const StopUnit& /*order*/) override { note("stop-unit"); }
  void start(ServiceId /*service*/) override { note("start-checks"); }
  void stop(ServiceId /*service*/) override { note("stop-checks"); }
  void order(const MirrorOrder& /*order*/) override { note("mirror-order"); }
  void cancel(ServiceId /*service*/) override { note("cancel-mirror"); }
  void stop_receivers(ServiceId /*service*/) override { note("stop-receivers"); }
  void set_guard(ServiceId /*service*/) override { note("set-guard"); }
  void lift_guard(ServiceId /*service*/) override { note("lift-guard"); }
  void persist(uint64_t /*version*/, const PersistedState& /*state*/) override { note("persist"); }
  void notify(const Notice& /*notice*/) override { note("notify"); }

  [[nodiscard]] Ports all() {
    Ports ports;
    ports.transport = this;
    ports.prober = this;
    ports.addresses = this;
    ports.gate = this;
    ports.units = this;
    ports.checks = this;
    ports.mirror = this;
    ports.state = this;
    ports.notifier = this;
    return ports;
  }
  std::vector<std::string> calls;

 private:
  void note(const char* call) { calls.emplace_back(call); }
};

class ReactorTest : public testing::Test {
 protected:
  bool until(const std::function<bool()>& done) { return loop_.run_until(done, seconds(20)); }

  EventLoop loop_;
  Script script_;
  Ports9 ports_;
  Log log_{false};
  Reactor reactor_{loop_, script_, 2, log_};
};

Actions everything() {
  const ServiceId service(size_t{0});
  Actions actions;
  actions.persist.emplace();
  actions.shut_gates = {service};
  actions.stop_receivers = {service};
  actions.lift_guards = {service};
  actions.cancel_mirrors = {service};
  actions.stop_checks = {service};
  actions.stop_units.push_back({service, UnitId(size_t{0}), false});
  actions.remove_addresses = {service};
  actions.heartbeats.emplace_back();
  actions.probes.emplace_back();
  actions.address_probes.emplace_back();
  actions.set_gates.push_back({service, Instant{seconds(1)}});
  actions.add_addresses = {service};
  actions.announce = {service};
  actions.start_units.push_back({service, UnitId(size_t{0})});
  actions.start_checks = {service};
  actions.mirror_orders.emplace_back();
  actions.set_guards = {service};
  actions.notices.emplace_back();
  return actions;
}

TEST_F(ReactorTest, PerformsInTheDocumentedOrder) {
  script_.on_event = [](const Event& /*event*/) { return everything(); };
  reactor_.start(ports_.all(), Started{});
  EXPECT_THAT(ports_.calls, ElementsAre("persist", "shut-gate", "stop-receivers", "lift-guard",
                                        "cancel-mirror", "stop-checks", "stop-unit", "remove-address", "send",
                                        "probe", "probe-address", "set-gate", "add-address", "announce",
                                        "start-unit", "start-checks", "mirror-order", "set-guard", "notify"));
  EXPECT_EQ(reactor_.gate_deadlines()[0], Instant{seconds(1)});
  EXPECT_EQ(reactor_.gate_deadlines()[1], kLongAgo);
}

TEST_F(ReactorTest, StartedComesFirstThenWhatThePortsReportedMeanwhile) {
  reactor_.sink()(NicChanged{"eth0", true, ""});
  reactor_.sink()(UnitReport{});
  EXPECT_TRUE(script_.seen.empty());
  reactor_.start(ports_.all(), Started{});
  EXPECT_TRUE(until([&] { return script_.seen.size() == 3; }));
  EXPECT_THAT(script_.seen, ElementsAre("started", "nic", "unit"));
}

TEST_F(ReactorTest, EventsFromInsideAPortsCallWaitForTheirTurn) {
  size_t depth = 0;
  script_.on_event = [&](const Event& event) {
    EXPECT_EQ(depth++, 0U);  // never a step inside a step
    if (kind(event) == "nic") reactor_.sink()(CheckReport{});
    --depth;
    return Actions{};
  };
  reactor_.start(ports_.all(), Started{});
  reactor_.sink()(NicChanged{});
  EXPECT_TRUE(until([&] { return script_.seen.size() == 3; }));
  EXPECT_THAT(script_.seen, ElementsAre("started", "nic", "check"));
}

TEST_F(ReactorTest, TicksWhenTheDeadlineHasCome) {
  script_.deadline = EventLoop::now() + milliseconds(20);
  const Instant due = script_.deadline;
  reactor_.start(ports_.all(), Started{});
  EXPECT_TRUE(until([&] { return script_.seen.size() == 2; }));
  EXPECT_EQ(script_.seen[1], "tick");
  EXPECT_GE(script_.last_now, due);
}

TEST_F(ReactorTest, FollowsADeadlineThatMovesNearer) {
  script_.deadline = EventLoop::now() + std::chrono::hours(30);
  reactor_.start(ports_.all(), Started{});
  script_.on_event = [&](const Event& event) {
    if (kind(event) == "nic") script_.deadline = EventLoop::now() + milliseconds(5);
    return Actions{};
  };
  reactor_.sink()(NicChanged{});
  EXPECT_TRUE(until([&] { return script_.seen.size() == 3; }));
  EXPECT_EQ(script_.seen.back(), "tick");
}

// The machine stood still; a heartbeat waits in a socket, and the deadline has passed.
TEST_F(ReactorTest, LateLoopReadsTheSocketsBeforeTheTime) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const auto watch = loop_.watch_readable(ends[0], [&] {
    char bytes[2] = {};
    EXPECT_EQ(::read(ends[0], bytes, 2), 2);
    reactor_.sink()(CheckReport{});
    reactor_.sink()(HeartbeatReceived{});
  });
  reactor_.start(ports_.all(), Started{});
  script_.on_event = [&](const Event& event) {
    if (kind(event) == "nic") {
      script_.deadline = EventLoop::now() + milliseconds(1);
      EXPECT_EQ(::write(ends[1], "ch", 2), 2);
      std::this_thread::sleep_for(milliseconds(50));  // stands still
    }
    return Actions{};
  };
  reactor_.sink()(NicChanged{});
  EXPECT_TRUE(until([&] { return script_.seen.back() == "tick"; }));
  EXPECT_THAT(script_.seen, ElementsAre("started", "nic", "heartbeat", "check", "tick"));
  EXPECT_GE(reactor_.worst_lateness(), milliseconds(40));
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_F(ReactorTest, HeartbeatsGoFirstWhenLate) {
  reactor_.start(ports_.all(), Started{});
  script_.deadline = EventLoop::now() - milliseconds(100);
  reactor_.sink()(CheckReport{});
  reactor_.sink()(HeartbeatReceived{});
  reactor_.sink()(ProbeAnswered{});
  EXPECT_TRUE(until([&] { return script_.seen.size() == 5; }));
  EXPECT_THAT(script_.seen, ElementsAre("started", "heartbeat", "check", "probe", "tick"));
}

TEST_F(ReactorTest, GivesEachCommandItsOwnAnswer) {
  std::vector<std::string> answers;
  std::vector<uint64_t> ids;
  script_.on_event = [&](const Event& event) {
    if (const auto* command = std::get_if<Command>(&event)) ids.push_back(command->id);
    return Actions{};
  };
  reactor_.start(ports_.all(), Started{});
  reactor_.command(Command{}, [&](const CommandAnswer& a) { answers.push_back("first " + a.text); });
  reactor_.command(Command{}, [&](const CommandAnswer& a) { answers.push_back("second " + a.text); });
  ASSERT_TRUE(until([&] { return ids.size() == 2; }));
  script_.on_event = [&](const Event& /*event*/) {
    Actions actions;
    actions.replies = {
        {ids[1], false, "no"}, {ids[0], true, "yes"}, {ids[0], true, "twice"}, {999, true, "unknown"}};
    return actions;
  };
  reactor_.sink()(NicChanged{});
  ASSERT_TRUE(until([&] { return script_.seen.size() == 4; }));
  EXPECT_THAT(answers, ElementsAre("second no", "first yes"));
}

TEST_F(ReactorTest, TakesNoStepAfterExit) {
  bool ended = false;
  reactor_.on_exit([&] { ended = true; });
  script_.on_event = [](const Event& event) {
    Actions actions;
    actions.exit = kind(event) == "nic";
    return actions;
  };
  script_.deadline = EventLoop::now() + milliseconds(10);
  reactor_.start(ports_.all(), Started{});
  reactor_.sink()(NicChanged{});
  reactor_.sink()(CheckReport{});
  ASSERT_TRUE(until([&] { return ended; }));
  bool later = false;
  const auto timer = loop_.at(EventLoop::now() + milliseconds(50), [&] { later = true; });
  ASSERT_TRUE(until([&] { return later; }));
  EXPECT_EQ(script_.seen.back(), "nic");
}

TEST_F(ReactorTest, KeepsABoundedHistory) {
  int number = 0;
  script_.on_event = [&](const Event& /*event*/) {
    Actions actions;
    for (int i = 0; i < 100; ++i) {
      Decision decision;
      decision.what = std::to_string(number++);
      actions.decisions.push_back(decision);
    }
    return actions;
  };
  reactor_.start(ports_.all(), Started{});
  for (int i = 0; i < 9; ++i) reactor_.sink()(CheckReport{});
  ASSERT_TRUE(until([&] { return script_.seen.size() == 10; }));
  EXPECT_EQ(reactor_.decisions().size(), Reactor::kHistory);
  EXPECT_EQ(reactor_.decisions().back().decision.what, "999");
}

TEST_F(ReactorTest, AnExceptionEndsTheProcess) {
  script_.on_event = [](const Event& /*event*/) -> Actions { throw std::runtime_error("broken"); };
  EXPECT_DEATH(reactor_.start(ports_.all(), Started{}), "exception in the first step: broken");
}

}  // namespace
}  // namespace clusterd
