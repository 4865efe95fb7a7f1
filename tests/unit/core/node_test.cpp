// What a node does in situations that a transcript cannot bring about: queued heartbeats, an unlucky order of
// events, hostile reports.
#include "core/node.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "unit/core/bench.hpp"

namespace clusterd::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Node, TakesWhatThePeerHasReleased) {
  Bench b;
  b.become_active();
  EXPECT_EQ(b.role(), Role::kActive);
  EXPECT_TRUE(b.open());
  EXPECT_EQ(b.disk.services.at(0).epoch.value % 2, 1U);
  EXPECT_TRUE(b.disk.services.at(0).active);
}

// S4.
TEST(Node, DoesNotServeBeforeItsEpochIsDurable) {
  Bench b;
  b.disk_answers = false;
  b.start();
  b.peer_alive = true;
  b.peer_web().role = Role::kReleased;
  b.run(milliseconds(500));
  EXPECT_FALSE(b.open());
  EXPECT_EQ(b.role(), Role::kStandby);
  EXPECT_GT(b.disk.services.at(0).claimed.value, 0U);
  b.step(Persisted{b.version, false, "No space left on device"});
  EXPECT_FALSE(b.open());
  b.step(Persisted{b.version, true, ""});
  EXPECT_TRUE(b.open());
}

// S1: while a stop takes its time the lease may run out; evidence that comes later opens nothing, since the
// peer may have taken over meanwhile.
TEST(Node, AStopThatOutlivesTheLeaseStaysSilent) {
  Bench b;
  b.become_active();
  b.units_answer = false;
  Command move;
  move.kind = Command::Kind::kMove;
  move.id = 1;
  move.service = Bench::web;
  b.step(move);
  ASSERT_EQ(b.role(), Role::kStopping);
  ASSERT_TRUE(b.open());  // serves until the unit has stopped
  b.peer_alive = false;
  b.host_answers = false;
  b.run(milliseconds(800));
  ASSERT_FALSE(b.open());
  b.host_answers = true;
  b.run(milliseconds(800));
  EXPECT_EQ(b.role(), Role::kStopping);
  EXPECT_FALSE(b.open());
}

// S1, S5: the node stood still; the peer had released the service, and took it back when nobody came.
TEST(Node, AReleaseThatWaitedInAQueueIsNotBelieved) {
  Bench b;
  b.start();
  b.peer_alive = true;
  b.peer_web().role = Role::kActive;
  b.peer_web().epoch = b.peer_web().data_epoch = Epoch{2};
  b.run(seconds(2));
  ASSERT_EQ(b.role(), Role::kStandby);
  b.peer_alive = false;
  const uint64_t before = b.own.sequence;
  b.now += seconds(60);
  b.peer_web().role = Role::kReleased;
  b.hear(before);
  b.run(milliseconds(50));
  EXPECT_FALSE(b.open());
  b.hear();  // said with the knowledge of what this node sent just now
  b.run(milliseconds(50));
  EXPECT_TRUE(b.open());
}

// Both nodes have released to each other and changed their minds: only a release that was said after the peer
// had learnt of the withdrawal counts, else both could take.
TEST(Node, AfterAnOwnReleaseThePeerMustKnowThatItIsWithdrawn) {
  Bench b;
  b.config.services.front().prefer = NodeId(0);
  b.start();
  b.peer_alive = true;
  b.run(seconds(1));
  ASSERT_EQ(b.role(), Role::kReleased);
  b.peer_alive = false;
  const uint64_t before = b.own.sequence;
  b.peer.service_nic_up = false;
  b.peer_web().role = Role::kReleased;
  b.hear(before);
  ASSERT_EQ(b.role(), Role::kStandby);
  b.run(milliseconds(20));
  EXPECT_FALSE(b.open());
  b.hear();
  b.run(milliseconds(20));
  EXPECT_TRUE(b.open());
}

// The predecessor's gate is still open: a daemon that does not go on shuts it before it stops anything.
TEST(Node, ADaemonThatDoesNotGoOnShutsTheGateFirst) {
  Bench b;
  b.units_answer = false;
  b.start(false, b.now + milliseconds(400));
  EXPECT_FALSE(b.open());
  EXPECT_EQ(b.stops, 1U);
}

TEST(Node, ADaemonThatGoesOnStopsNothing) {
  PersistedState state;
  state.services.resize(1);
  state.services.front().epoch = state.services.front().data_epoch = Epoch{3};
  state.services.front().active = true;
  Bench b(state);
  b.start(false, b.now + milliseconds(400));
  EXPECT_TRUE(b.open());
  EXPECT_EQ(b.stops, 0U);
  EXPECT_EQ(b.disk.services.at(0).epoch.value, 3U);
}

// S6: a claimed epoch says that nobody knows at which one the predecessor served.
TEST(Node, ADaemonWithAClaimedEpochDoesNotGoOn) {
  PersistedState state;
  state.services.resize(1);
  state.services.front().epoch = state.services.front().data_epoch = Epoch{3};
  state.services.front().claimed = Epoch{5};
  state.services.front().active = true;
  state.hosts = {PersistedHost{true, true}};
  Bench b(state);
  b.start(false, b.now + milliseconds(400));
  EXPECT_FALSE(b.open());
  b.run(seconds(2));  // alone, with the evidence of its host
  EXPECT_TRUE(b.open());
  EXPECT_EQ(b.disk.services.at(0).epoch, Epoch{7});
}

// S12: the indices of a different configuration mean nothing here.
TEST(Node, APeerWithAnotherConfigurationMovesNothing) {
  Bench b;
  b.start();
  b.peer_alive = true;
  b.peer.config_hash = 8;
  b.peer.services.clear();
  b.peer.hosts.assign(kMaxHosts, CountedState{true, true, true, true, true});
  b.run(seconds(2));
  b.peer_alive = false;
  b.run(seconds(5));
  EXPECT_FALSE(b.open());
  EXPECT_EQ(std::count_if(b.notices.begin(), b.notices.end(),
                          [](const Notice& n) { return n.kind == "config-differs"; }),
            1);
}

// The peer's daemon comes back with another configuration in the middle of a handover.
TEST(Node, AHandoverToANodeWhoseConfigurationChangesIsBrokenOff) {
  Bench b;
  b.become_active();
  Command move;
  move.kind = Command::Kind::kMove;
  move.id = 1;
  move.service = Bench::web;
  b.step(move);
  ASSERT_EQ(b.role(), Role::kReleased);
  b.peer.config_hash = 8;
  b.peer.services.clear();
  b.hear();
  EXPECT_EQ(b.role(), Role::kSuspended);
}

// Every command is answered, whatever the peer says or does not say.
TEST(Node, AnOrderThatThePeerNeverAnswersIsAnswered) {
  Bench b;
  b.start();
  b.peer_alive = true;
  b.peer_web().role = Role::kActive;
  b.peer_web().epoch = b.peer_web().data_epoch = Epoch{2};
  b.run(seconds(1));
  Command move;
  move.kind = Command::Kind::kMove;
  move.id = 9;
  move.service = Bench::web;
  b.step(move);
  b.run(seconds(6));
  ASSERT_EQ(b.replies.size(), 1U);
  EXPECT_EQ(b.replies.front().command, 9U);
  EXPECT_FALSE(b.replies.front().ok);
  EXPECT_EQ(b.own.request.kind, Request::Kind::kNone);  // not said for ever
}

// An answer with the same number, to an order of this node's earlier daemon.
TEST(Node, AnOldAnswerIsNotTheAnswerToANewOrder) {
  Bench b;
  b.start();
  b.peer_alive = true;
  b.peer_web().role = Role::kActive;
  b.peer_web().epoch = b.peer_web().data_epoch = Epoch{2};
  b.peer.answer = {1, RequestAnswer::Outcome::kRefused, "long ago"};
  b.run(seconds(1));
  b.peer_alive = false;
  const uint64_t before = b.own.sequence;
  Command move;
  move.kind = Command::Kind::kMove;
  move.id = 9;
  move.service = Bench::web;
  b.step(move);
  b.hear(before);
  EXPECT_TRUE(b.replies.empty());
}

// Nothing that a heartbeat of the peer may carry breaks the node, and its clock never stands still.
TEST(Node, SurvivesEveryHeartbeatThatCanBeDecoded) {
  std::mt19937_64 random(2);
  const auto draw = [&](uint64_t below) { return random() % below; };
  for (int round = 0; round < 200; ++round) {
    Bench b;
    b.start();
    for (int i = 0; i < 200; ++i) {
      Heartbeat& h = b.peer;
      h.boot = BootId{1 + draw(3)};
      h.config_hash = draw(4) == 0 ? 1 : 7;
      h.promise_wanted = draw(4) == 0;
      h.promise = Duration{static_cast<int64_t>(random())};
      h.lock_peer = draw(20) == 0;
      h.services.resize(draw(4) == 0 ? draw(kMaxServices) : 1);
      for (auto& s : h.services) {
        s.role = static_cast<Role>(draw(7));
        s.epoch = Epoch{draw(6)};
        s.data_epoch = Epoch{draw(6)};
        s.ready = draw(2) == 0;
      }
      h.hosts.resize(draw(4) == 0 ? draw(kMaxHosts) : 1);
      h.lineage_of = static_cast<uint16_t>(draw(3));
      h.lineage.assign(draw(kMaxLineage), Epoch{draw(6)});
      h.request = {static_cast<Request::Kind>(draw(6)), draw(5), static_cast<uint16_t>(draw(3))};
      h.answer.id = draw(3);
      h.links_up = static_cast<uint8_t>(draw(256));
      b.hear(draw(2) == 0 ? random() : b.own.sequence);
      ASSERT_GT(b.node->next_deadline(), b.now);
      b.now += milliseconds(draw(200));
      b.step(Tick{});
      ASSERT_GT(b.node->next_deadline(), b.now);
      (void)b.node->status();
    }
  }
}

// Heartbeats of the peer may come at the very moments at which the node would be called for its own sake.
TEST(Node, ATimeLimitIsNotMissedBecauseAHeartbeatComesFirst) {
  Bench b;
  b.start();
  b.peer_alive = true;
  b.units_answer = false;
  b.peer_web().role = Role::kReleased;
  b.run(milliseconds(500));
  ASSERT_EQ(b.role(), Role::kStarting);
  b.peer_web().role = Role::kFailed;
  const size_t before = b.stops;
  const Instant limit = b.now + b.config.services.front().units.front().start_timeout;
  while (b.now < limit + seconds(1)) {
    const Instant due = b.node->next_deadline();
    if (due > b.now) {
      b.now = due;
      b.hear();
    } else {
      b.step(Tick{});
    }
  }
  EXPECT_GT(b.stops, before);
}

// A heartbeat that was on its way for long: what it says of the peer's services may be over.
TEST(Node, OldNewsOfAForerunnerStartsNothing) {
  Bench b;
  ServiceConfig after = b.config.services.front();
  after.name = "mail";
  after.addresses = {*Prefix::parse("192.168.1.21/24")};
  after.after = {Bench::web};
  b.config.services.push_back(after);
  b.peer.services.resize(2);
  b.peer.services.at(1).role = Role::kReleased;
  b.start();
  b.peer_alive = true;
  b.run(seconds(1));
  ASSERT_EQ(b.node->status().services.at(1).here, Role::kStarting);  // it waits
  ASSERT_EQ(b.starts, 0U);
  const uint64_t old = b.own.sequence;
  b.peer_alive = false;
  for (const Instant end = b.now + b.config.timing.window; b.now < end;) {
    b.run(b.config.timing.heartbeat);
    b.hear(old);
  }
  b.peer.services.at(1) = {};
  b.peer_web().role = Role::kActive;
  b.peer_web().epoch = Epoch{2};
  b.hear(old);
  EXPECT_EQ(b.starts, 0U);
  b.hear();
  EXPECT_EQ(b.starts, 1U);
}

}  // namespace
}  // namespace clusterd::testing
