// S13: when the end of the peer counts as known, who may fence it, and when the own watchdog is petted.
#include "core/fencing.hpp"

#include <gtest/gtest.h>

#include "unit/core/bench.hpp"

namespace clusterd {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Bench;
using Power = FenceReport::Power;

// A node under test whose service acts by other ways than its addresses.
class EffectsBench : public Bench {
 public:
  explicit EffectsBench(bool watchdog, bool fence) {
    ServiceConfig& service = config.services.front();
    service.effects = Effects::kNode;
    service.units.front().stop_timeout = seconds(5);
    if (watchdog) config.watchdog.emplace();
    if (fence) config.fences.front().emplace().agent = "/usr/sbin/fence_test";
    peer.watchdog = watchdog;
  }

  // As Bench::step, and the device answers; fences are kept for the test to answer.
  void act(const Event& event) {
    const Actions actions = node->step(now, event);
    for (const auto service : actions.shut_gates) {
      if (service == web) gate = kLongAgo;
    }
    for (const auto& set : actions.set_gates) gate = set.deadline;
    for (const auto& send : actions.heartbeats) own = send.heartbeat;
    notices.insert(notices.end(), actions.notices.begin(), actions.notices.end());
    replies.insert(replies.end(), actions.replies.begin(), actions.replies.end());
    if (actions.watchdog) {
      last_order = *actions.watchdog;
      pets += last_order == WatchdogOrder::kPet ? 1U : 0U;
      last_touched = now;
    }
    if (actions.fence) fences.push_back(*actions.fence);
    if (actions.persist) {
      disk = *actions.persist;
      act(Persisted{actions.persist_version, true, ""});
    }
    for (const auto& probe : actions.probes) {
      if (host_answers) act(ProbeAnswered{probe.host, probe.sent});
    }
    for (const auto service : actions.add_addresses) act(AddressReport{service, true, ""});
    for (const auto& unit : actions.start_units) {
      running = true;
      act(UnitReport{unit.service, unit.unit, UnitReport::Outcome::kStarted, ""});
    }
    for (const auto& unit : actions.stop_units) {
      if (!units_answer) continue;
      running = false;
      act(UnitReport{unit.service, unit.unit, UnitReport::Outcome::kStopped, ""});
    }
    if (actions.watchdog == WatchdogOrder::kArm) {
      act(device_works ? WatchdogReport{true, "fake"} : WatchdogReport{false, "no such device"});
    }
  }

  void pass(Duration span) {
    const Instant end = now + span;
    Instant next_peer = now;
    while (true) {
      const Instant tick = node->next_deadline();
      const Instant next = peer_alive ? std::min(tick, next_peer) : tick;
      if (next > end) break;
      now = std::max(now, next);
      if (peer_alive && next_peer <= now) {
        next_peer = now + config.timing.heartbeat;
        ++peer.sequence;
        peer.ack = {own_boot, own.sequence};
        act(HeartbeatReceived{LinkId(0), std::nullopt, peer});
      } else {
        act(Tick{});
      }
    }
    now = end;
  }

  void begin() {
    node.emplace(config, disk);
    own_boot = BootId{own_boot.value + 1};
    Started event;
    event.boot = own_boot;
    event.gate_deadlines = {kLongAgo};
    act(event);
  }

  // The peer was heard, serves, and falls silent.
  void lose_active_peer() {
    begin();
    peer_alive = true;
    peer_web().role = Role::kActive;
    peer_web().epoch = peer_web().data_epoch = Epoch{2};
    pass(seconds(3));
    peer_alive = false;
  }

  // The peer lets go, and this node serves.
  void serve() {
    begin();
    peer_alive = true;
    peer_web().role = Role::kReleased;
    pass(milliseconds(500));
    peer_web() = {};
    peer_web().ready = true;
    pass(milliseconds(500));
  }

  [[nodiscard]] bool noticed(const std::string& kind) const {
    return std::any_of(notices.begin(), notices.end(), [&](const Notice& n) { return n.kind == kind; });
  }
  [[nodiscard]] Duration bound() const {
    return effects_bound(config.timing, effects_stop_limit(config.services), config.watchdog->timeout);
  }

  std::optional<WatchdogOrder> last_order;
  Instant last_touched = kLongAgo;
  size_t pets = 0;
  std::vector<FenceOrder> fences;
  bool running = false, device_works = true;
};

TEST(Effects, TakenOverOnlyAfterTheBoundOfThePeersWatchdog) {
  EffectsBench b(true, false);
  b.lose_active_peer();
  b.pass(b.bound() - milliseconds(200));
  EXPECT_FALSE(b.running);
  b.pass(seconds(1));
  EXPECT_TRUE(b.running);
  EXPECT_EQ(b.role(), Role::kActive);
}

TEST(Effects, NeverTakenOverFromAPeerWhoseWatchdogWasNotArmed) {
  EffectsBench b(true, false);
  b.peer.watchdog = false;
  b.lose_active_peer();
  b.pass(2 * b.bound());
  EXPECT_FALSE(b.running);
  EXPECT_NE(b.node->status().services.front().detail.find("was not armed"), std::string::npos);
}

TEST(Effects, WhatThePeerSaidLastOfItsWatchdogSurvivesARestart) {
  EffectsBench b(true, false);
  b.lose_active_peer();
  EXPECT_TRUE(b.disk.peer_watchdog);
  b.peer.watchdog = false;
  b.peer_alive = true;
  b.pass(seconds(1));
  EXPECT_FALSE(b.disk.peer_watchdog);
}

TEST(Effects, ABlinkOfAReferenceHostBeginsTheBoundAnew) {
  EffectsBench b(true, false);
  b.lose_active_peer();
  b.pass(b.bound() - seconds(2));
  b.host_answers = false;
  b.pass(seconds(1));
  b.host_answers = true;
  b.pass(b.bound() - seconds(1));
  EXPECT_FALSE(b.running);
  b.pass(seconds(2));
  EXPECT_TRUE(b.running);
}

TEST(Effects, AConfirmedFencePermitsTheTakeoverAtOnce) {
  EffectsBench b(false, true);
  b.lose_active_peer();
  b.pass(seconds(1));
  ASSERT_EQ(b.fences.size(), 1U);
  EXPECT_EQ(b.fences.front().node, NodeId(0));
  EXPECT_FALSE(b.running);
  b.act(FenceReport{b.fences.front().order, true, Power::kOff, "off"});
  b.pass(milliseconds(500));
  EXPECT_TRUE(b.running);
  EXPECT_TRUE(b.noticed("fenced"));
}

// S13: a peer whose daemon has just started serves nothing, and its units may run all the same.
TEST(Effects, ResumesOnlyWhenThePeersUnitsAreDown) {
  EffectsBench b(true, false);
  b.serve();
  const auto role = [&] { return b.node->status().services.front().here; };
  ASSERT_EQ(role(), Role::kActive);
  b.peer_alive = b.host_answers = false;
  b.pass(seconds(1));
  ASSERT_EQ(role(), Role::kSuspended);
  b.peer_web() = {};
  b.peer_web().may_run = true;
  b.peer_alive = b.host_answers = true;
  b.pass(seconds(2));
  EXPECT_EQ(role(), Role::kSuspended);
  b.peer_web().may_run = false;
  b.pass(seconds(1));
  EXPECT_EQ(role(), Role::kActive);
}

// The agent found the peer off; it was switched on, was heard, and falls silent again, and only then the
// answer comes.
TEST(Effects, AnAnswerSaysNothingOfAPeerThatWasHeardAfterTheOrder) {
  EffectsBench b(false, true);
  b.lose_active_peer();
  b.pass(seconds(1));
  ASSERT_EQ(b.fences.size(), 1U);
  b.peer_alive = true;
  b.pass(milliseconds(300));
  b.peer_alive = false;
  b.pass(milliseconds(100));
  b.act(FenceReport{b.fences.front().order, true, Power::kOff, "off"});
  b.pass(seconds(2));
  EXPECT_FALSE(b.running);
  ASSERT_EQ(b.fences.size(), 2U) << "it is fenced again";
  b.act(FenceReport{b.fences.back().order, true, Power::kOff, "off"});
  b.pass(milliseconds(500));
  EXPECT_TRUE(b.running);
}

TEST(Effects, WhatIsNoFence) {
  struct Case {
    bool off_done;
    Power power;
  };
  for (const Case& c : {Case{false, Power::kOff}, Case{false, Power::kUnknown}, Case{true, Power::kOn},
                        Case{true, Power::kUnknown}}) {
    EffectsBench b(false, true);
    b.lose_active_peer();
    b.pass(seconds(1));
    ASSERT_EQ(b.fences.size(), 1U);
    b.act(FenceReport{b.fences.front().order, c.off_done, c.power, "?"});
    b.pass(seconds(20));
    EXPECT_FALSE(b.running);
    EXPECT_TRUE(b.noticed("fence-failed"));
    EXPECT_EQ(b.fences.size(), 1U);
    b.pass(seconds(15));
    EXPECT_EQ(b.fences.size(), 2U);  // tried again
  }
}

TEST(Effects, AnAnswerToAnotherOrderIsIgnored) {
  EffectsBench b(false, true);
  b.lose_active_peer();
  b.pass(seconds(1));
  b.act(FenceReport{b.fences.front().order + 1, true, Power::kOff, "off"});
  b.pass(seconds(2));
  EXPECT_FALSE(b.running);
}

TEST(Effects, AnAgentThatDoesNotAnswerHasFailed) {
  EffectsBench b(false, true);
  b.lose_active_peer();
  b.pass(seconds(240));
  EXPECT_FALSE(b.running);
  EXPECT_GE(b.fences.size(), 2U);
  b.act(FenceReport{b.fences.front().order, true, Power::kOff, "late"});
  b.pass(seconds(1));
  EXPECT_FALSE(b.running);
}

TEST(Effects, NobodyFencesWithoutAllReferenceHosts) {
  EffectsBench b(false, true);
  b.lose_active_peer();
  b.host_answers = false;
  b.pass(seconds(60));
  EXPECT_TRUE(b.fences.empty());
}

TEST(Effects, NobodyIsFencedForAServiceThatTheGateSilences) {
  EffectsBench b(false, true);
  b.config.services.front().effects = Effects::kAddress;
  b.lose_active_peer();
  b.pass(seconds(5));
  EXPECT_TRUE(b.fences.empty());
  EXPECT_TRUE(b.running);
}

TEST(Effects, AFencedPeerThatIsHeardAsBeforeMakesTheDeviceDoubtful) {
  EffectsBench b(false, true);
  b.lose_active_peer();
  b.pass(seconds(1));
  b.act(FenceReport{b.fences.front().order, true, Power::kOff, "off"});
  b.pass(seconds(2));
  b.peer_alive = true;
  b.pass(seconds(1));
  EXPECT_TRUE(b.noticed("fence-lied"));
}

TEST(Effects, WithoutReferenceHostsAFenceDecidesAlone) {
  EffectsBench b(false, true);
  b.config.hosts.clear();
  b.config.services.front().effects = Effects::kAddress;
  b.peer.hosts.clear();
  b.lose_active_peer();
  b.pass(seconds(1));
  EXPECT_EQ(b.node->status().mode, "fence");
  ASSERT_EQ(b.fences.size(), 1U);
  EXPECT_FALSE(b.open());
  b.act(FenceReport{b.fences.front().order, true, Power::kOff, "off"});
  b.pass(seconds(60));
  EXPECT_TRUE(b.open());  // and it stays: nobody else can be active
}

// S2: nobody has asked the LAN while this node stood still.
TEST(Effects, ANodeThatStoodStillAsksTheLanAnew) {
  EffectsBench b(false, true);
  b.config.hosts.clear();
  b.peer.hosts.clear();
  b.lose_active_peer();
  b.pass(seconds(1));
  ASSERT_EQ(b.fences.size(), 1U);
  b.act(FenceReport{b.fences.front().order, true, Power::kOff, "off"});
  b.act(AddressAnswered{Bench::web, {}, {}, b.now});
  b.pass(milliseconds(300));
  ASSERT_FALSE(b.running);
  b.now += seconds(2);
  b.act(Tick{});
  EXPECT_FALSE(b.running);
  b.act(AddressAnswered{Bench::web, {}, {}, b.now});
  b.pass(milliseconds(500));
  EXPECT_FALSE(b.running);
  b.pass(seconds(3));
  EXPECT_TRUE(b.running);
}

TEST(Effects, WithoutReferenceHostsNobodyShootsBackAfterItsBoot) {
  EffectsBench b(false, true);
  b.config.hosts.clear();
  b.disk.services.resize(1);
  b.disk.services.front().epoch = b.disk.services.front().data_epoch = Epoch{1};
  b.disk.services.front().active = true;
  b.begin();  // booted, and its peer is not heard
  b.pass(seconds(60));
  EXPECT_TRUE(b.fences.empty());
  EXPECT_FALSE(b.running);
}

TEST(Effects, TheDelayLetsAPeerThatComesBackLive) {
  EffectsBench b(false, true);
  b.config.fences.front()->delay = seconds(5);
  b.lose_active_peer();
  b.pass(seconds(3));
  EXPECT_TRUE(b.fences.empty());
  b.peer_alive = true;
  b.pass(seconds(10));
  EXPECT_TRUE(b.fences.empty());
}

TEST(Effects, AnOldConfirmationIsNotUsed) {
  EffectsBench b(false, true);
  b.lose_active_peer();
  b.pass(seconds(1));
  b.host_answers = false;
  b.pass(milliseconds(300));  // the answers from before are too old by now
  b.act(FenceReport{b.fences.front().order, true, Power::kOff, "off"});
  b.pass(seconds(40));
  EXPECT_FALSE(b.running);
  b.host_answers = true;
  b.pass(seconds(5));
  EXPECT_FALSE(b.running);
  ASSERT_EQ(b.fences.size(), 2U);  // it might have been switched on again
  b.act(FenceReport{b.fences.back().order, true, Power::kOff, "off"});
  b.pass(seconds(1));
  EXPECT_TRUE(b.running);
}

// ---- the own watchdog ----

TEST(OwnWatchdog, IsArmedOnceEverythingIsKnownToBeDownAndPettedFromThenOn) {
  EffectsBench b(true, false);
  b.units_answer = false;
  b.begin();
  b.pass(seconds(1));
  EXPECT_FALSE(b.last_order);  // opening the device would pet it
  b.units_answer = true;
  b.act(UnitReport{Bench::web, UnitId(0), UnitReport::Outcome::kStopped, ""});
  b.pass(seconds(20));
  EXPECT_GE(b.pets, 7U);
  EXPECT_TRUE(b.own.watchdog);
}

TEST(OwnWatchdog, ADeviceThatCannotBeArmedKeepsTheNodeFromServing) {
  EffectsBench b(true, false);
  b.device_works = false;
  b.serve();
  EXPECT_FALSE(b.running);
  EXPECT_TRUE(b.noticed("watchdog-failed"));
  b.peer_alive = false;
  b.pass(2 * b.bound());
  EXPECT_FALSE(b.running);
  Command force;
  force.kind = Command::Kind::kStartForce;
  force.service = Bench::web;
  b.act(force);
  b.pass(seconds(5));
  EXPECT_FALSE(b.running);
}

TEST(OwnWatchdog, IsPettedWhileTheUnitsHaveTimeToStopAndNotAfter) {
  EffectsBench b(true, false);
  b.serve();
  ASSERT_TRUE(b.running);
  b.peer_alive = b.host_answers = b.units_answer = false;
  const Instant silent = b.now;
  b.pass(seconds(60));
  EXPECT_TRUE(b.running);
  EXPECT_TRUE(b.noticed("watchdog-starved"));
  const Duration limit = b.config.timing.lease + effects_stop_limit(b.config.services);
  EXPECT_LE(b.last_touched, silent + limit);
  EXPECT_GE(b.last_touched, silent + limit - b.config.watchdog->timeout / 2);
}

TEST(OwnWatchdog, ALongStandstillIsNotHealedByAPet) {
  EffectsBench b(true, false);
  b.serve();
  ASSERT_TRUE(b.running);
  b.peer_alive = b.host_answers = b.units_answer = false;
  const Instant before = b.last_touched;
  b.now += seconds(30);  // the daemon stood still, its machine did not
  b.pass(seconds(5));
  EXPECT_EQ(b.last_touched, before);
}

TEST(OwnWatchdog, IsPettedAgainWhenTheUnitsHaveStoppedAfterAll) {
  EffectsBench b(true, false);
  b.serve();
  b.peer_alive = b.host_answers = b.units_answer = false;
  b.pass(seconds(15));
  ASSERT_TRUE(b.noticed("watchdog-starved"));
  b.act(UnitReport{Bench::web, UnitId(0), UnitReport::Outcome::kStopped, ""});
  EXPECT_EQ(b.last_touched, b.now);
}

TEST(OwnWatchdog, OnePetThatDidNotArriveChangesNothing) {
  EffectsBench b(true, false);
  b.serve();
  b.act(WatchdogReport{false, "the watchdog cannot be petted: Input/output error"});
  b.pass(seconds(10));
  EXPECT_TRUE(b.running);
  EXPECT_TRUE(b.own.watchdog);
}

TEST(OwnWatchdog, IsDisarmedAtTheEndOnlyIfNothingRuns) {
  for (const bool serving : {false, true}) {
    EffectsBench b(true, false);
    if (serving) {
      b.serve();
      b.peer.promise_given = true;
    } else {
      b.begin();
      b.pass(seconds(1));
    }
    Command restart;
    restart.kind = Command::Kind::kPrepareRestart;
    b.act(restart);
    b.pass(seconds(3));
    EXPECT_EQ(b.last_order == WatchdogOrder::kDisarm, !serving);
  }
}

}  // namespace
}  // namespace clusterd
