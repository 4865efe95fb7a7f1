// Rights to serve: when a release, a grant or a silence may be used, when a veto stops it, and what is let go
// by.
#include <gtest/gtest.h>

#include <algorithm>

#include "unit/core/bench_stories.hpp"

namespace clusterd::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

// The peer's release is fresh, but this node has no evidence of its own any more.
TEST(Rights, AReleaseIsTakenOnlyUnderALease) {
  Bench b;
  b.host_answers = false;
  b.start();
  b.peer_alive = true;
  b.peer_web().role = Role::kActive;
  b.peer_web().epoch = b.peer_web().data_epoch = Epoch{2};
  b.run(seconds(1));
  b.peer_alive = false;
  const uint64_t known = b.own.sequence;
  b.peer_web().role = Role::kReleased;
  b.run(milliseconds(300));
  b.hear(known);
  b.run(milliseconds(350));  // the lease of that acknowledgement is over, the release is still fresh
  b.hear(known);
  EXPECT_FALSE(b.open());
  EXPECT_NE(b.role(), Role::kActive);
  b.hear();
  b.run(milliseconds(10));
  EXPECT_TRUE(b.open());
}

// A cold start of both: nobody serves, and this node judges the peer the right one.
TEST(Rights, AGrantIsWithdrawnWhenThePeerIsNotTheRightOneAnyMore) {
  Bench b;
  b.peer_alive = true;
  b.start();
  b.run(milliseconds(300));
  ASSERT_EQ(b.role(), Role::kReleased);
  b.peer.locked = true;
  b.run(milliseconds(300));
  EXPECT_EQ(b.role(), Role::kStandby);
  b.peer.locked = false;
  b.run(milliseconds(300));
  EXPECT_EQ(b.role(), Role::kReleased);
  b.peer_web().role = Role::kStarting;
  b.run(milliseconds(300));
  EXPECT_EQ(b.role(), Role::kStandby);
}

// Who is the right one if no node is preferred: who reaches more, else the first node; nobody if nobody may.
TEST(Rights, TheRightNodeAtAColdStart) {
  const auto role = [](const std::function<void(Bench&)>& set_up) {
    Bench b;
    b.peer_alive = true;
    set_up(b);
    b.start();
    b.run(seconds(2));
    return b.role();
  };
  EXPECT_EQ(role([](Bench&) {}), Role::kReleased);  // to serv1, the first
  EXPECT_EQ(role([](Bench& b) { b.peer.hosts.front().answers = false; }), Role::kStandby);
  EXPECT_EQ(role([](Bench& b) { b.host_answers = false; }), Role::kReleased);
  EXPECT_EQ(role([](Bench& b) { b.config.services.front().prefer = NodeId(1); }), Role::kStandby);
  EXPECT_EQ(role([](Bench& b) {
              b.peer.locked = true;
              b.disk.locked = true;
            }),
            Role::kStandby);
  EXPECT_EQ(role([](Bench& b) { b.peer.leaving = true; }), Role::kStandby);
  EXPECT_EQ(role([](Bench& b) { b.peer_web().blocked = true; }), Role::kStandby);
  EXPECT_EQ(role([](Bench& b) { b.peer.service_nic_up = false; }), Role::kStandby);
}

TEST(Rights, TheSideWithTheNewerFilesIsTheRightOne) {
  Bench newer;
  mirrored(newer);
  newer.disk.services.resize(1);
  newer.disk.services.front().epoch = newer.disk.services.front().data_epoch = Epoch{5};
  newer.peer_alive = true;
  newer.start();
  newer.run(seconds(1));
  EXPECT_EQ(newer.role(), Role::kStandby);
  Bench older;
  mirrored(older);
  older.peer_web().epoch = older.peer_web().data_epoch = Epoch{4};
  older.peer_alive = true;
  older.start();
  older.run(seconds(1));
  EXPECT_EQ(older.role(), Role::kReleased);
}

// S5: who sees more reference hosts for the settle time gets the service, and the evidence says so.
TEST(Rights, ANodeThatLosesItsHostsHandsOver) {
  Bench b;
  b.become_active();
  b.host_answers = false;
  b.run(seconds(4));  // the host counts as answering for three slow probes
  EXPECT_EQ(b.role(), Role::kActive);
  b.run(seconds(2));
  EXPECT_EQ(b.role(), Role::kReleased);
  const auto decision = b.node->status().last_decision;
  ASSERT_TRUE(decision.has_value());
  EXPECT_EQ(decision->what, "hands web over to serv1");
  EXPECT_NE(decision->evidence.front().find("1 reference hosts there, 0 here"), std::string::npos);
}

// An answer on the LAN to a probe of before the silence says nothing: it may have been the peer's own.
TEST(Rights, AnAnswerOfBeforeTheSilenceIsNoVeto) {
  Bench b;
  b.start();
  b.peer_alive = true;
  b.peer_web().role = Role::kActive;
  b.peer_web().epoch = b.peer_web().data_epoch = Epoch{2};
  b.run(seconds(2));
  b.peer_alive = false;
  const Instant before = b.now;
  b.run(milliseconds(650));
  ASSERT_GT(b.disk.services.at(0).claimed.value, 0U);
  b.step(AddressAnswered{Bench::web, {}, {}, before});
  b.run(milliseconds(150));
  EXPECT_TRUE(b.open());
  EXPECT_FALSE(told(b, "address-in-use"));
}

TEST(Rights, AStrangerWhoAnswersIsToldOncePerWindowAndVetoes) {
  Bench b;
  b.start();
  b.peer_alive = true;
  b.peer_web().role = Role::kActive;
  b.peer_web().epoch = b.peer_web().data_epoch = Epoch{2};
  b.run(seconds(2));
  b.peer_alive = false;
  b.run(milliseconds(650));
  const auto answer = [&] { b.step(AddressAnswered{Bench::web, {}, {}, b.now}); };
  answer();
  b.run(milliseconds(20));
  answer();
  EXPECT_EQ(std::count_if(b.notices.begin(), b.notices.end(),
                          [](const Notice& n) { return n.kind == "address-in-use"; }),
            1);
  b.run(milliseconds(300));
  EXPECT_FALSE(b.open());
  b.run(milliseconds(600));
  EXPECT_TRUE(b.open());
}

// The right to take over is gone before it was used: the claimed number is given back.
TEST(Rights, AClaimIsGivenUpWhenThePeerIsHeardAgain) {
  Bench b;
  b.start();
  b.peer_alive = true;
  b.peer_web().role = Role::kActive;
  b.peer_web().epoch = b.peer_web().data_epoch = Epoch{2};
  b.run(seconds(2));
  b.peer_alive = false;
  b.run(milliseconds(650));
  ASSERT_GT(b.disk.services.at(0).claimed.value, 0U);
  b.peer_alive = true;
  b.run(milliseconds(200));
  EXPECT_EQ(b.disk.services.at(0).claimed.value, 0U);
  EXPECT_EQ(b.role(), Role::kStandby);
}

// S8: whoever is permitted to write is registered with the permission, and ended with all others when a
// higher epoch is heard of. A permission that waited for the disk would be given after that.
TEST(Rights, APermissionToWriteDoesNotWaitForTheDisk) {
  Bench b;
  mirrored(b);
  b.start();
  b.peer_alive = true;
  b.peer_web().role = Role::kActive;
  b.peer_web().epoch = b.peer_web().data_epoch = Epoch{2};
  b.run(seconds(2));
  b.disk_answers = false;
  b.peer_web().epoch = b.peer_web().data_epoch = Epoch{4};
  b.run(milliseconds(200));
  ASSERT_EQ(b.disk.services.at(0).epoch, Epoch{4}) << "on its way";
  Command receive = order(Command::Kind::kMirrorReceive);
  receive.text = "files";
  receive.epoch = Epoch{4};
  const size_t before = b.replies.size();
  b.step(receive);
  ASSERT_EQ(b.replies.size(), before + 1);
  EXPECT_TRUE(b.replies.back().ok) << b.replies.back().text;
}

// S8: that this node has everything was said of an earlier epoch; of the one at which the peer has served and
// failed since, it has nothing.
TEST(Rights, HavingEverythingOfAnEarlierEpochIsNotEnough) {
  Bench b;
  mirrored(b);
  b.peer_web().peer_synced = true;
  b.start();
  b.peer_alive = true;
  b.peer_web().role = Role::kActive;
  b.peer_web().epoch = b.peer_web().data_epoch = Epoch{2};
  b.run(seconds(2));
  b.peer_web().role = Role::kFailed;
  b.peer_web().peer_synced = false;
  b.peer_web().epoch = b.peer_web().data_epoch = Epoch{4};
  b.run(seconds(1));
  b.peer_alive = false;
  b.run(seconds(5));
  EXPECT_EQ(b.role(), Role::kStandby);
  EXPECT_FALSE(b.open());
}

// S8: a mirror run that asks while this node is about to take over would write under the service that starts.
TEST(Rights, NothingIsReceivedOnceATakeoverIsPrepared) {
  Bench b;
  mirrored(b);
  b.peer_web().peer_synced = true;
  b.start();
  b.peer_alive = true;
  b.peer_web().role = Role::kActive;
  b.peer_web().epoch = b.peer_web().data_epoch = Epoch{2};
  b.run(seconds(2));
  Command receive = order(Command::Kind::kMirrorReceive);
  receive.text = "files";
  receive.epoch = Epoch{2};
  b.step(receive);
  EXPECT_TRUE(b.replies.back().ok);
  b.peer_alive = false;
  b.run(milliseconds(650));
  ASSERT_GT(b.disk.services.at(0).claimed.value, 0U);
  b.step(receive);
  EXPECT_FALSE(b.replies.back().ok);
  EXPECT_EQ(b.replies.back().text, "web is about to be active on this node: nothing is mirrored to it");
}

// A promise that was given to an earlier question says nothing of this one.
TEST(Rights, APromiseCountsOnlyIfItAnswersThisQuestion) {
  Bench b;
  b.become_active();
  b.peer_alive = false;
  b.peer.promise_given = true;
  const uint64_t before = b.own.sequence;
  b.step(order(Command::Kind::kPrepareRestart));
  b.hear(before);
  EXPECT_TRUE(b.replies.empty());
  EXPECT_LE(b.gate, b.now + b.config.timing.lease);
  b.hear();
  ASSERT_EQ(b.replies.size(), 1U);
  EXPECT_EQ(b.replies.back().text, "ready");
}

// S11: when automatic moves are stopped, a failure stays where it is, and so does what failed before.
TEST(Rights, NothingMovesByItselfOnceMovesAreStopped) {
  Bench b;
  b.config.services.front().budget.restarts = 0;
  b.config.max_takeovers_per_hour = 0;
  b.become_active();
  b.disk.takeovers = {WallTime{}};
  Bench stopped(b.disk);
  stopped.config = b.config;
  stopped.become_active();
  ASSERT_EQ(stopped.role(), Role::kActive);
  ASSERT_TRUE(stopped.node->status().moves_stopped);
  fail_the_unit(stopped);
  EXPECT_EQ(stopped.role(), Role::kFailed);
  stopped.run(minutes(2));
  EXPECT_EQ(stopped.role(), Role::kFailed);
}

// The first evidence after the peer's return is what resumes a service, not the return alone.
TEST(Rights, ASuspendedServiceDoesNotResumeWithoutALease) {
  Bench b;
  b.become_active();
  isolate(b, milliseconds(700));
  ASSERT_EQ(b.role(), Role::kSuspended);
  b.hear();
  const uint64_t known = b.own.sequence;
  ASSERT_TRUE(b.open());  // this one was acknowledged after the lease had run out
  b.run(milliseconds(650));
  ASSERT_FALSE(b.open());
  b.hear(known);  // heard, and knows only of what was sent before
  EXPECT_FALSE(b.open());
}

// A failed check counts like a crash.
TEST(Rights, AServiceWhoseCheckFailsIsRestarted) {
  Bench b;
  CheckConfig check;
  check.text = "tcp 80";
  check.failures = 2;
  check.grace = seconds(0);
  b.config.services.front().checks = {check};
  b.become_active();
  const size_t stops = b.stops;
  b.step(CheckReport{Bench::web, CheckId(0), false, "refused"});
  EXPECT_EQ(b.stops, stops);
  b.step(CheckReport{Bench::web, CheckId(0), false, "refused"});
  EXPECT_EQ(b.stops, stops + 1);
  EXPECT_EQ(b.role(), Role::kActive);  // the unit has been started again
}

// S7.
TEST(Rights, AFailedStopIsNoReasonToForce) {
  Bench b;
  b.become_active();
  b.units_answer = false;
  b.step(order(Command::Kind::kMove));
  b.run(seconds(36));
  ASSERT_EQ(b.role(), Role::kFailed);
  isolate(b, seconds(2));
  b.step(order(Command::Kind::kStartForce));
  EXPECT_FALSE(b.replies.back().ok);
  EXPECT_EQ(b.replies.back().text, "web has not stopped here yet");
}

// A configuration may have no services yet: the nodes watch each other all the same.
TEST(Rights, ANodeWithoutServicesHearsItsPeer) {
  Bench b;
  b.config.services.clear();
  b.peer.services.clear();
  b.start();
  b.peer_alive = true;
  b.run(seconds(1));
  EXPECT_TRUE(b.node->status().nodes.at(0).heard);
  EXPECT_TRUE(b.own.lineage.empty());
  b.peer_alive = false;
  b.run(seconds(1));
  EXPECT_TRUE(told(b, "peer-lost"));
}

}  // namespace
}  // namespace clusterd::testing
