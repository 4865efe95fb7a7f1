// The rare ways between the states of a service: handovers that come to nothing, stops that do not stop,
// rights that are gone before they could be used.
#include <gtest/gtest.h>

#include <algorithm>

#include "unit/core/bench_stories.hpp"

namespace clusterd::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

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

// What the peer said may have waited in a queue while it took over meanwhile.
TEST(States, ASuspendedServiceDoesNotResumeByAnAcknowledgementOfLongAgo) {
  Bench b;
  b.become_active();
  isolate(b, milliseconds(800));
  ASSERT_EQ(b.role(), Role::kSuspended);
  const uint64_t after = b.own.sequence;  // sent when the lease had run out
  b.run(milliseconds(600));
  b.host_answers = true;
  b.run(milliseconds(110));  // the lease would be there, by the host
  b.hear(after);
  EXPECT_FALSE(b.open());
  b.run(milliseconds(1));
  b.hear();
  EXPECT_TRUE(b.open());
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

// The standby, too, says of each mirror whether its files are complete.
TEST(States, AStandbySaysThatItsFilesComeFromThePeer) {
  Bench b;
  b.config.services.front().mirrors.resize(1);
  b.config.services.front().mirrors.front().paths = {"/srv/web/"};
  b.start();
  b.peer_alive = true;
  b.peer_web().role = Role::kActive;
  b.peer_web().epoch = Epoch{3};
  b.run(seconds(1));
  const auto mirror = [&] { return b.node->status().services.front().mirrors.front(); };
  EXPECT_EQ(mirror().state, MirrorStatus::State::kReceiving);
  EXPECT_FALSE(mirror().synced);
  b.peer_web().peer_synced = true;
  b.run(seconds(1));
  EXPECT_TRUE(mirror().synced);
}

}  // namespace
}  // namespace clusterd::testing
