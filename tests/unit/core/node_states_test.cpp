// The rare ways between the states of a service: handovers that come to nothing, stops that do not stop,
// rights that are gone before they could be used.
#include <gtest/gtest.h>

#include <algorithm>

#include "unit/core/bench.hpp"

namespace clusterd::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

Command order(Command::Kind kind) { return Command{kind, 1, Bench::web, std::nullopt, "", {}}; }

bool told(const Bench& b, const std::string& kind) {
  return std::any_of(b.notices.begin(), b.notices.end(), [&](const Notice& n) { return n.kind == kind; });
}

void mirrored(Bench& b) {
  MirrorConfig mirror;
  mirror.name = "files";
  mirror.every = minutes(60);
  b.config.services.front().mirrors = {mirror};
}

void report(Bench& b, MirrorReport::Kind kind, MirrorReport::Outcome outcome,
            const std::string& detail = "") {
  MirrorReport event;
  event.service = Bench::web;
  event.mirror = MirrorId(0);
  event.epoch = b.disk.services.at(0).epoch;
  event.kind = kind;
  event.outcome = outcome;
  event.detail = detail;
  b.step(event);
}

// Active with a peer that has everything.
void become_active_with_mirror(Bench& b) {
  mirrored(b);
  b.become_active();
  report(b, MirrorReport::Kind::kResync, MirrorReport::Outcome::kDone);
}

void fail_the_unit(Bench& b) {
  b.step(UnitReport{Bench::web, UnitId(0), UnitReport::Outcome::kCrashed, "signal 9"});
}

// Neither peer nor host is heard until the lease has run out.
void isolate(Bench& b, Duration span) {
  b.peer_alive = b.host_answers = false;
  b.run(span);
}

std::string why_broken_off(const Bench& b) {
  for (const auto& notice : b.notices) {
    if (notice.kind == "handover-failed") return notice.text;
  }
  return "";
}

TEST(States, AFlushThatTakesTooLongBreaksTheHandoverOff) {
  Bench b;
  become_active_with_mirror(b);
  b.step(order(Command::Kind::kMove));
  ASSERT_EQ(b.role(), Role::kStopping);
  b.run(minutes(4));
  EXPECT_EQ(b.role(), Role::kStopping);
  b.run(minutes(2));
  EXPECT_EQ(why_broken_off(b), "web: its files could not be flushed to the peer (time limit): it stays here");
  EXPECT_EQ(b.role(), Role::kActive);  // the peer acknowledges that it has not begun
}

TEST(States, AFlushEndsWhenThePeerIsLost) {
  Bench b;
  become_active_with_mirror(b);
  b.step(order(Command::Kind::kMove));
  b.peer_alive = false;
  b.run(milliseconds(900));
  EXPECT_EQ(
      why_broken_off(b),
      "web: its files could not be flushed to the peer (the peer is not heard any more): it stays here");
  EXPECT_EQ(b.role(), Role::kActive);  // by its own right to take over
}

TEST(States, AFlushThatFailsBreaksTheHandoverOff) {
  Bench b;
  become_active_with_mirror(b);
  b.step(order(Command::Kind::kMove));
  report(b, MirrorReport::Kind::kFlush, MirrorReport::Outcome::kFailed, "disk full");
  EXPECT_EQ(why_broken_off(b), "web: its files could not be flushed to the peer (disk full): it stays here");
}

TEST(States, AShutdownDuringAStartStopsAndStaysTheLastActive) {
  Bench b;
  b.become_active();
  b.peer_web().ready = false;
  b.hear();
  b.units_answer = false;
  fail_the_unit(b);
  ASSERT_EQ(b.role(), Role::kStarting);
  b.step(order(Command::Kind::kStopServices));
  EXPECT_EQ(b.role(), Role::kStopping);
  b.step(UnitReport{Bench::web, UnitId(0), UnitReport::Outcome::kStopped, ""});
  EXPECT_EQ(b.role(), Role::kReleased);  // should the peer become ready after all, it may have it
  EXPECT_TRUE(b.disk.services.at(0).active);
  EXPECT_FALSE(b.open());
}

TEST(States, ASuspendedServiceResumesAtItsEpochOnceThePeerHasSaidThatItDoesNotHoldIt) {
  Bench b;
  b.become_active();
  const Epoch epoch = b.disk.services.at(0).epoch;
  isolate(b, milliseconds(700));
  ASSERT_EQ(b.role(), Role::kSuspended);
  ASSERT_FALSE(b.open());
  const uint64_t before = b.own.sequence;
  b.host_answers = true;
  b.hear(before - 5);  // heard, but of what was sent before
  EXPECT_FALSE(b.open());
  b.peer_alive = true;
  b.run(milliseconds(300));
  EXPECT_TRUE(b.open());
  EXPECT_EQ(b.role(), Role::kActive);
  EXPECT_EQ(b.disk.services.at(0).epoch, epoch);
}

TEST(States, ASuspendedServiceWhoseMembersAreDownResumesAtANewEpoch) {
  Bench b;
  b.become_active();
  const Epoch epoch = b.disk.services.at(0).epoch;
  const size_t stops = b.stops;
  isolate(b, seconds(4));
  ASSERT_EQ(b.stops, stops + 1);
  b.peer_alive = b.host_answers = true;
  b.run(seconds(1));
  EXPECT_EQ(b.role(), Role::kActive);
  EXPECT_GT(b.disk.services.at(0).epoch, epoch);
}

TEST(States, ASuspendedServiceDoesNotResumeWhileThePeerHoldsIt) {
  Bench b;
  b.become_active();
  isolate(b, milliseconds(700));
  b.peer_alive = b.host_answers = true;
  b.peer_web().role = Role::kStopping;  // at an epoch that is not higher: it lets go of an earlier one
  b.run(milliseconds(500));
  EXPECT_EQ(b.role(), Role::kSuspended);
  EXPECT_FALSE(b.open());
  b.peer_web().role = Role::kStandby;
  b.run(milliseconds(500));
  EXPECT_EQ(b.role(), Role::kActive);
}

TEST(States, ASuspendedServiceOfANodeThatIsLockedIsLetGo) {
  Bench b;
  b.become_active();
  isolate(b, milliseconds(700));
  b.peer_web().ready = false;
  b.peer.lock_peer = true;
  b.peer_alive = true;
  b.run(milliseconds(300));
  EXPECT_TRUE(b.disk.locked);
  EXPECT_EQ(b.role(), Role::kReleased);
  EXPECT_FALSE(b.open());
}

TEST(States, ASuspendedServiceRestsWhenTheNodeIsShutDown) {
  Bench b;
  b.become_active();
  isolate(b, milliseconds(700));
  b.step(order(Command::Kind::kStopServices));
  EXPECT_EQ(b.role(), Role::kStandby);
  EXPECT_TRUE(b.disk.services.at(0).active);
  EXPECT_EQ(b.replies.back().text, "serv2 holds no service any more");
}

// S7.
TEST(States, ASuspendedServiceThatDoesNotStopNeedsAHuman) {
  Bench b;
  b.become_active();
  b.units_answer = false;
  isolate(b, seconds(3));
  ASSERT_EQ(b.role(), Role::kSuspended);
  b.run(seconds(36));  // the stop's limit, and the kill's
  EXPECT_EQ(b.role(), Role::kFailed);
  EXPECT_TRUE(b.node->status().services.front().wants_human);
}

// A service that failed here goes to the peer; if the peer does not take it, it rests as failed, and is
// offered again after a pause.
TEST(States, AFailedServiceThatThePeerDidNotTakeIsOfferedAgain) {
  Bench b;
  b.config.services.front().budget.restarts = 0;
  b.become_active();
  fail_the_unit(b);
  EXPECT_EQ(b.role(), Role::kReleased);
  EXPECT_TRUE(told(b, "service-failed"));
  b.run(seconds(11));
  EXPECT_EQ(why_broken_off(b), "web: the peer did not take it: it stays here");
  EXPECT_EQ(b.role(), Role::kFailed);
  b.run(seconds(40));
  EXPECT_EQ(b.role(), Role::kFailed);
  b.run(seconds(20));
  EXPECT_EQ(b.role(), Role::kReleased);
  b.peer_web().role = Role::kStarting;
  b.peer_web().epoch = Epoch{b.disk.services.at(0).epoch.value + 1};
  b.hear();
  EXPECT_EQ(b.role(), Role::kStandby);
}

TEST(States, AFailedServiceIsFlushedBeforeItIsOfferedAgain) {
  Bench b;
  b.config.services.front().budget.restarts = 0;
  become_active_with_mirror(b);
  b.peer_web().ready = false;
  b.hear();
  fail_the_unit(b);
  ASSERT_EQ(b.role(), Role::kFailed);
  b.peer_web().ready = true;
  b.hear();
  EXPECT_EQ(b.role(), Role::kStopping);
  report(b, MirrorReport::Kind::kFlush, MirrorReport::Outcome::kDone);
  EXPECT_EQ(b.role(), Role::kReleased);
}

TEST(States, AFailedServiceIsForgivenByTheAdministrator) {
  Bench b;
  b.config.services.front().budget.restarts = 0;
  b.become_active();
  b.peer_web().ready = false;
  b.hear();
  fail_the_unit(b);
  ASSERT_EQ(b.role(), Role::kFailed);
  b.peer.locked = true;  // so that this node is the right one
  b.hear();
  b.step(order(Command::Kind::kOnline));
  EXPECT_EQ(b.role(), Role::kStandby);
  EXPECT_FALSE(b.disk.services.at(0).blocked);
}

// S7: what a predecessor left running on a standby and cannot be stopped needs a human, and is tried again
// when the human says so.
TEST(States, AStopThatFailsOnAStandbyIsToldAndTriedAgain) {
  Bench b;
  b.units_answer = false;
  b.start(false);
  b.peer_alive = true;
  b.run(seconds(36));
  EXPECT_EQ(b.role(), Role::kFailed);
  EXPECT_TRUE(told(b, "stop-failed"));
  EXPECT_FALSE(b.own.services.front().ready);
  // A higher epoch at the peer changes nothing of that.
  b.peer_web().epoch = Epoch{4};
  b.peer_web().role = Role::kActive;
  b.run(seconds(1));
  EXPECT_EQ(b.role(), Role::kFailed);
  const size_t stops = b.stops;
  b.step(order(Command::Kind::kOnline));
  EXPECT_GT(b.stops, stops);
  b.step(UnitReport{Bench::web, UnitId(0), UnitReport::Outcome::kStopped, ""});
  EXPECT_EQ(b.role(), Role::kStandby);
}

TEST(States, AStopThatFailsDuringAHandoverEndsAfterAll) {
  Bench b;
  b.become_active();
  b.units_answer = false;
  b.step(order(Command::Kind::kMove));
  b.run(seconds(36));
  ASSERT_EQ(b.role(), Role::kFailed);
  EXPECT_FALSE(b.open());
  b.step(UnitReport{Bench::web, UnitId(0), UnitReport::Outcome::kStopped, ""});
  EXPECT_EQ(b.role(), Role::kReleased);
}

// The peer's release is fresh, but this node has no evidence of its own any more.
TEST(States, AReleaseIsTakenOnlyUnderALease) {
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
TEST(States, AGrantIsWithdrawnWhenThePeerIsNotTheRightOneAnyMore) {
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
TEST(States, TheRightNodeAtAColdStart) {
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

TEST(States, TheSideWithTheNewerFilesIsTheRightOne) {
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
TEST(States, ANodeThatLosesItsHostsHandsOver) {
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
TEST(States, AnAnswerOfBeforeTheSilenceIsNoVeto) {
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

TEST(States, AStrangerWhoAnswersIsToldOncePerWindowAndVetoes) {
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
TEST(States, AClaimIsGivenUpWhenThePeerIsHeardAgain) {
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

}  // namespace
}  // namespace clusterd::testing
