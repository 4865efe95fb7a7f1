// When mirrors run, and when the peer counts as having everything (docs/safety.md, S8 to S10).
#include "core/mirror_rules.hpp"

#include <gtest/gtest.h>

namespace clusterd {
namespace {

using std::chrono::seconds;
using Kind = MirrorReport::Kind;
using Outcome = MirrorReport::Outcome;

constexpr Instant kStart{seconds(1000)};
constexpr Epoch kEpoch{4};

class MirrorRulesTest : public ::testing::Test {
 protected:
  MirrorRulesTest() {
    config_.services.resize(1);
    auto& mirrors = config_.services.front().mirrors;
    mirrors.resize(2);
    mirrors.at(0).name = "files";
    mirrors.at(0).every = seconds(60);
    mirrors.at(1).name = "off-site";
    mirrors.at(1).every = seconds(600);
    mirrors.at(1).to = "user@host:/copy/";
  }

  std::vector<MirrorOrder> review(Instant now, bool peer_receives = true) {
    Actions out;
    rules().review(now, peer_receives, out);
    return out.mirror_orders;
  }
  void report(Instant now, size_t mirror, Kind kind, Outcome outcome, Epoch epoch = kEpoch) {
    MirrorReport event;
    event.service = ServiceId(0);
    event.mirror = MirrorId(mirror);
    event.epoch = epoch;
    event.kind = kind;
    event.outcome = outcome;
    Actions out;
    rules().on(now, event, out);
  }
  std::vector<ServiceId> begin(Instant now = kStart, Epoch epoch = kEpoch) {
    Actions out;
    rules().begin(now, epoch, out);
    return out.cancel_mirrors;
  }
  void begin_and_resync() {
    begin();
    (void)review(kStart);
    report(kStart, 0, Kind::kResync, Outcome::kDone);
    report(kStart, 1, Kind::kRun, Outcome::kDone);
  }
  MirrorRules& rules() {
    if (!rules_) rules_.emplace(config_, ServiceId(0));
    return *rules_;
  }

  Config config_;
  std::optional<MirrorRules> rules_;
};

// A service that lost its lease and takes over again: the run of its earlier epoch may not go on beside the
// resync.
TEST_F(MirrorRulesTest, EndsTheRunsOfAnEarlierEpochWhenItBeginsAnew) {
  EXPECT_TRUE(begin().empty());
  ASSERT_EQ(review(kStart).size(), 2U);
  EXPECT_EQ(begin(kStart + seconds(3), Epoch{6}).size(), 1U);
}

TEST_F(MirrorRulesTest, BeginsWithAResyncOfThePeer) {
  begin();
  EXPECT_FALSE(rules().peer_synced());
  const auto orders = review(kStart);
  ASSERT_EQ(orders.size(), 2U);
  EXPECT_EQ(orders.at(0).kind, Kind::kResync);
  EXPECT_EQ(orders.at(0).epoch, kEpoch);
  EXPECT_EQ(orders.at(1).kind, Kind::kRun);  // a target of its own is never resynchronised
  EXPECT_TRUE(review(kStart).empty());       // both are under way
  report(kStart, 0, Kind::kResync, Outcome::kDone);
  EXPECT_TRUE(rules().peer_synced());
}

TEST_F(MirrorRulesTest, NothingRunsTowardsAPeerThatDoesNotReceive) {
  begin();
  const auto orders = review(kStart, false);
  ASSERT_EQ(orders.size(), 1U);
  EXPECT_EQ(orders.at(0).mirror, MirrorId(1));
}

TEST_F(MirrorRulesTest, RunsOnItsScheduleAfterwards) {
  begin_and_resync();
  EXPECT_TRUE(review(kStart + seconds(59)).empty());
  const auto orders = review(kStart + seconds(60));
  ASSERT_EQ(orders.size(), 1U);
  EXPECT_EQ(orders.front().kind, Kind::kRun);
}

TEST_F(MirrorRulesTest, APeerThatWasAwayIsResynchronisedAtOnce) {
  begin_and_resync();
  rules().peer_was_away();
  EXPECT_FALSE(rules().peer_synced());
  const auto orders = review(kStart + seconds(1));
  ASSERT_EQ(orders.size(), 1U);
  EXPECT_EQ(orders.front().kind, Kind::kResync);
}

// A run that was ordered before the peer went away does not make it complete.
TEST_F(MirrorRulesTest, AnOrdinaryRunDoesNotReplaceAResync) {
  begin_and_resync();
  (void)review(kStart + seconds(60));
  rules().peer_was_away();
  report(kStart + seconds(61), 0, Kind::kRun, Outcome::kDone);
  EXPECT_FALSE(rules().peer_synced());
}

TEST_F(MirrorRulesTest, ReportsOfAnotherEpochOrKindAreIgnored) {
  begin();
  (void)review(kStart);
  report(kStart, 0, Kind::kResync, Outcome::kDone, Epoch{2});
  report(kStart, 0, Kind::kRun, Outcome::kDone);
  EXPECT_FALSE(rules().peer_synced());
}

TEST_F(MirrorRulesTest, AFailedResyncIsRepeatedLaterAndLater) {
  begin();
  (void)review(kStart);
  report(kStart, 0, Kind::kResync, Outcome::kFailed);
  EXPECT_TRUE(review(kStart + seconds(1)).empty());
  ASSERT_EQ(review(kStart + seconds(2)).size(), 1U);
  report(kStart + seconds(2), 0, Kind::kResync, Outcome::kFailed);
  EXPECT_TRUE(review(kStart + seconds(5)).empty());
  EXPECT_EQ(review(kStart + seconds(6)).size(), 1U);
  const auto finished = rules().take_finished();
  ASSERT_EQ(finished.size(), 2U);
  EXPECT_TRUE(finished.at(0).first_failure);
  EXPECT_FALSE(finished.at(1).first_failure);
}

TEST_F(MirrorRulesTest, AHaltWaitsForTheAdministrator) {
  begin_and_resync();
  (void)review(kStart + seconds(60));
  report(kStart + seconds(61), 0, Kind::kRun, Outcome::kHalted);
  EXPECT_TRUE(review(kStart + seconds(300)).empty());
  EXPECT_FALSE(rules().confirm("nonsense", kStart + seconds(300)));
  EXPECT_TRUE(rules().confirm("files", kStart + seconds(300)));
  EXPECT_FALSE(rules().confirm("files", kStart + seconds(300)));
  auto orders = review(kStart + seconds(300));
  ASSERT_EQ(orders.size(), 1U);
  EXPECT_TRUE(orders.front().confirmed);
  report(kStart + seconds(301), 0, Kind::kRun, Outcome::kDone);
  orders = review(kStart + seconds(400));
  ASSERT_EQ(orders.size(), 1U);
  EXPECT_FALSE(orders.front().confirmed);  // once only
}

TEST_F(MirrorRulesTest, AHaltIsRestoredUntilTheFilesAreReplaced) {
  rules().restore_halts({"files", "a mirror that is gone"});
  begin();
  ASSERT_EQ(review(kStart).size(), 1U);  // the off-site copy
  EXPECT_EQ(rules().status().at(0).state, MirrorStatus::State::kHalted);
  rules().forget_halts();
  EXPECT_EQ(review(kStart).size(), 1U);
}

TEST_F(MirrorRulesTest, AFlushRunsEveryMirrorToThePeerOnceMore) {
  begin_and_resync();
  Actions out;
  rules().flush(kStart + seconds(5), out);
  ASSERT_EQ(out.mirror_orders.size(), 1U);
  EXPECT_EQ(out.mirror_orders.front().kind, Kind::kFlush);
  EXPECT_EQ(rules().flush_state(), MirrorRules::Flush::kRunning);
  EXPECT_TRUE(review(kStart + seconds(700)).empty());  // nothing else while it runs
  report(kStart + seconds(6), 0, Kind::kFlush, Outcome::kDone);
  EXPECT_EQ(rules().flush_state(), MirrorRules::Flush::kDone);
}

TEST_F(MirrorRulesTest, AHaltedMirrorIsNotFlushed) {
  begin_and_resync();
  (void)review(kStart + seconds(60));
  report(kStart + seconds(60), 0, Kind::kRun, Outcome::kHalted);
  EXPECT_EQ(rules().halted_to_peer(), "files");
  Actions out;
  rules().flush(kStart + seconds(61), out);
  EXPECT_TRUE(out.mirror_orders.empty());
  EXPECT_EQ(rules().flush_state(), MirrorRules::Flush::kFailed);
  EXPECT_EQ(rules().flush_trouble(), "mirror files is halted");
  // One with a target of its own is none of the peer's business.
  ASSERT_TRUE(rules().confirm("files", kStart + seconds(62)));
  EXPECT_EQ(rules().halted_to_peer(), std::nullopt);
}

TEST_F(MirrorRulesTest, AFlushThatFailsSaysWhy) {
  begin_and_resync();
  Actions out;
  rules().flush(kStart + seconds(5), out);
  report(kStart + seconds(6), 0, Kind::kFlush, Outcome::kFailed);
  EXPECT_EQ(rules().flush_state(), MirrorRules::Flush::kFailed);
}

// Nobody receives: what waits for the peer is no reason to be called, and hides nothing that is.
TEST_F(MirrorRulesTest, WhatHasBeenDueForAWhileHidesNotWhatIsDueNext) {
  begin();
  EXPECT_EQ(review(kStart, false).size(), 1U);  // the one with a target of its own
  report(kStart, 1, Kind::kRun, Outcome::kDone);
  EXPECT_EQ(rules().next_deadline(kStart + seconds(1)), kStart + seconds(600));
}

TEST_F(MirrorRulesTest, TheEndCancelsWhatRuns) {
  begin();
  (void)review(kStart);
  Actions out;
  rules().end(out);
  EXPECT_EQ(out.cancel_mirrors.size(), 1U);
  EXPECT_EQ(rules().next_deadline(kStart), kNever);
  report(kStart, 0, Kind::kResync, Outcome::kDone);
  EXPECT_FALSE(rules().peer_synced());
}

// What is cancelled comes first in a step's actions: a run that the same step had ordered would go on.
TEST_F(MirrorRulesTest, TheEndTakesBackWhatTheSameStepHasOrdered) {
  begin();
  Actions out;
  rules().review(kStart, true, out);
  ASSERT_FALSE(out.mirror_orders.empty());
  const MirrorOrder other{ServiceId(1), MirrorId(0), Kind::kRun, kEpoch, false};
  out.mirror_orders.push_back(other);
  rules().end(out);
  ASSERT_EQ(out.mirror_orders.size(), 1U);
  EXPECT_EQ(out.mirror_orders.front().service, ServiceId(1));
}

TEST_F(MirrorRulesTest, ProgressSaysWhatGoesOnAndEndsNothing) {
  begin();
  (void)review(kStart);
  MirrorReport event;
  event.service = ServiceId(0);
  event.mirror = MirrorId(0);
  event.epoch = kEpoch;
  event.kind = Kind::kResync;
  event.outcome = Outcome::kProgress;
  event.detail = "7 of 9 files";
  Actions out;
  rules().on(kStart, event, out);
  EXPECT_EQ(rules().status().at(0).detail, "7 of 9 files");
  EXPECT_EQ(rules().status().at(0).state, MirrorStatus::State::kRunning);
  EXPECT_TRUE(rules().take_finished().empty());
}

TEST_F(MirrorRulesTest, OrdersOfTheAdministratorAreDueAtOnce) {
  begin_and_resync();
  EXPECT_TRUE(review(kStart + seconds(10)).empty());
  EXPECT_TRUE(rules().run_now(kStart + seconds(10)));
  auto orders = review(kStart + seconds(10));
  ASSERT_EQ(orders.size(), 2U);
  EXPECT_EQ(orders.front().kind, Kind::kRun);
  report(kStart + seconds(11), 0, Kind::kRun, Outcome::kFailed);
  rules().resync_now(kStart + seconds(11));
  EXPECT_FALSE(rules().peer_synced());
  orders = review(kStart + seconds(11));
  ASSERT_EQ(orders.size(), 1U);  // the off-site run is still under way
  EXPECT_EQ(orders.front().kind, Kind::kResync);
}

TEST_F(MirrorRulesTest, AMirrorToAnotherTargetCountsForNothingElse) {
  config_.services.front().mirrors.erase(config_.services.front().mirrors.begin());
  EXPECT_FALSE(rules().any_to_peer());
  begin();
  EXPECT_TRUE(rules().peer_synced());
  rules().peer_was_away();
  const auto orders = review(kStart, false);
  ASSERT_EQ(orders.size(), 1U);
  EXPECT_EQ(orders.front().kind, Kind::kRun);
}

TEST_F(MirrorRulesTest, NothingIsOrderedAfterTheEnd) {
  begin_and_resync();
  Actions out;
  rules().end(out);
  EXPECT_TRUE(out.cancel_mirrors.empty());  // nothing ran
  EXPECT_TRUE(review(kStart + seconds(100)).empty());
  EXPECT_EQ(rules().next_deadline(kStart), kNever);
}

TEST_F(MirrorRulesTest, AMirrorWithoutHaltsHasNothingToConfirm) {
  begin_and_resync();
  EXPECT_FALSE(rules().confirm("files", kStart));
  rules().restore_halts({"files"});
  EXPECT_FALSE(rules().confirm("other", kStart));
  EXPECT_TRUE(rules().confirm("files", kStart));
}

// ---- live mirrors ----

class LiveMirrorRulesTest : public MirrorRulesTest {
 protected:
  LiveMirrorRulesTest() {
    config_.services.front().mirrors.resize(1);
    config_.services.front().mirrors.front().live = true;
    config_.services.front().mirrors.front().every = seconds(3600);
  }

  std::vector<MirrorOrder> begin_live(Instant now = kStart, Epoch epoch = kEpoch) {
    Actions out;
    rules().begin(now, epoch, out);
    cancelled_ = out.cancel_mirrors.size();
    return out.mirror_orders;
  }
  void follow() {
    (void)begin_live();
    (void)review(kStart);
    report(kStart, 0, Kind::kResync, Outcome::kDone);
    (void)rules().take_finished();
  }
  [[nodiscard]] MirrorStatus::State state() { return rules().status().front().state; }
  static std::vector<Kind> kinds(const std::vector<MirrorOrder>& orders) {
    std::vector<Kind> out;
    for (const auto& order : orders) out.push_back(order.kind);
    return out;
  }

  size_t cancelled_ = 0;
};

TEST_F(LiveMirrorRulesTest, NotesChangesFromTheActivationOnAndThenResyncs) {
  const auto orders = begin_live();
  EXPECT_EQ(kinds(orders), std::vector{Kind::kFollow});
  EXPECT_EQ(orders.front().epoch, kEpoch);
  EXPECT_TRUE(review(kStart, false).empty());  // nobody is there: what changes is noted already
  EXPECT_EQ(kinds(review(kStart)), std::vector{Kind::kResync});
  EXPECT_EQ(state(), MirrorStatus::State::kRunning);
  report(kStart, 0, Kind::kResync, Outcome::kDone);
  EXPECT_TRUE(rules().peer_synced());
  EXPECT_EQ(state(), MirrorStatus::State::kFollowing);
  EXPECT_TRUE(review(kStart + seconds(3599)).empty());
  EXPECT_EQ(kinds(review(kStart + seconds(3600))), std::vector{Kind::kRun});  // for safety's sake
  EXPECT_EQ(state(), MirrorStatus::State::kFollowing);
}

TEST_F(LiveMirrorRulesTest, SaysHowFarThePeerIsBehind) {
  follow();
  MirrorReport event;
  event.service = ServiceId(0);
  event.mirror = MirrorId(0);
  event.epoch = kEpoch;
  event.kind = Kind::kResync;
  event.outcome = Outcome::kProgress;
  event.lag = {3, 4096, std::chrono::milliseconds(7)};
  Actions out;
  rules().on(kStart + seconds(1), event, out);
  const MirrorStatus status = rules().status().front();
  ASSERT_TRUE(status.lag);
  EXPECT_EQ(*status.lag, event.lag);
  EXPECT_EQ(status.lag_at, kStart + seconds(1));
  EXPECT_EQ(status.state, MirrorStatus::State::kFollowing);
}

TEST_F(LiveMirrorRulesTest, AStreamThatBreaksIsTakenUpAtOnceAndThenLaterAndLater) {
  follow();
  report(kStart + seconds(50), 0, Kind::kResync, Outcome::kFailed);
  EXPECT_EQ(state(), MirrorStatus::State::kFailed);
  EXPECT_TRUE(rules().peer_synced());  // behind, as between two runs
  auto finished = rules().take_finished();
  ASSERT_EQ(finished.size(), 1U);
  EXPECT_FALSE(finished.front().first_failure);  // nobody is called for it
  EXPECT_EQ(kinds(review(kStart + seconds(50))), std::vector{Kind::kRun});
  report(kStart + seconds(50), 0, Kind::kRun, Outcome::kFailed);
  EXPECT_TRUE(rules().take_finished().front().first_failure);
  EXPECT_TRUE(review(kStart + seconds(51)).empty());
  EXPECT_EQ(kinds(review(kStart + seconds(52))), std::vector{Kind::kRun});
  report(kStart + seconds(53), 0, Kind::kRun, Outcome::kDone);
  EXPECT_EQ(state(), MirrorStatus::State::kFollowing);
}

TEST_F(LiveMirrorRulesTest, AStreamThatBreaksAgainAndAgainIsNotTakenUpWithoutAPause) {
  follow();
  report(kStart + seconds(1), 0, Kind::kResync, Outcome::kFailed);
  EXPECT_TRUE(review(kStart + seconds(1)).empty());
  EXPECT_EQ(kinds(review(kStart + seconds(2))), std::vector{Kind::kRun});
}

TEST_F(LiveMirrorRulesTest, APeerThatWasAwayIsResynchronisedWhateverTheStreamSays) {
  follow();
  rules().peer_was_away();
  EXPECT_NE(state(), MirrorStatus::State::kFollowing);
  EXPECT_EQ(kinds(review(kStart + seconds(1))), std::vector{Kind::kResync});
  report(kStart + seconds(2), 0, Kind::kRun, Outcome::kFailed);  // of the old stream: another kind
  EXPECT_FALSE(rules().peer_synced());
  report(kStart + seconds(3), 0, Kind::kResync, Outcome::kDone);
  EXPECT_TRUE(rules().peer_synced());
}

TEST_F(LiveMirrorRulesTest, APausedMirrorIsGivenNoOrderUntilItIsResumed) {
  follow();
  Actions out;
  EXPECT_EQ(rules().pause("files", out), "");
  EXPECT_EQ(kinds(out.mirror_orders), std::vector{Kind::kPause});
  EXPECT_EQ(state(), MirrorStatus::State::kPaused);
  EXPECT_TRUE(review(kStart + seconds(7200)).empty());
  EXPECT_EQ(rules().next_deadline(kStart), kNever);
  EXPECT_TRUE(rules().peer_synced());  // behind, as between two runs
  EXPECT_EQ(rules().resume("files", kStart + seconds(7201)), "");
  EXPECT_EQ(kinds(review(kStart + seconds(7201))), std::vector{Kind::kRun});
  EXPECT_NE(rules().resume("files", kStart + seconds(7202)), "");
  EXPECT_NE(rules().pause("nothing", out), "");
}

// What was broken off by the pause must not count once it is over.
TEST_F(LiveMirrorRulesTest, APauseVoidsTheResyncUnderWay) {
  (void)begin_live();
  (void)review(kStart);
  Actions out;
  (void)rules().pause("", out);
  report(kStart + seconds(1), 0, Kind::kResync, Outcome::kDone);
  EXPECT_FALSE(rules().peer_synced());
  (void)rules().resume("", kStart + seconds(2));
  EXPECT_EQ(kinds(review(kStart + seconds(2))), std::vector{Kind::kResync});
}

TEST_F(LiveMirrorRulesTest, AnOrderToRunEndsAPause) {
  follow();
  Actions out;
  (void)rules().pause("", out);
  EXPECT_TRUE(rules().run_now(kStart + seconds(1)));
  EXPECT_EQ(kinds(review(kStart + seconds(1))), std::vector{Kind::kRun});
}

TEST_F(LiveMirrorRulesTest, AHandoverEndsAPause) {
  follow();
  Actions out;
  (void)rules().pause("", out);
  Actions flush;
  rules().flush(kStart + seconds(1), flush);
  EXPECT_EQ(kinds(flush.mirror_orders), std::vector{Kind::kFlush});
  EXPECT_NE(state(), MirrorStatus::State::kPaused);
}

TEST_F(LiveMirrorRulesTest, AScrubIsOrderedBesideWhatFollowsAndItsEndIsTold) {
  Actions none;
  (void)begin_live();
  EXPECT_NE(rules().scrub("", none), "");  // it does not follow yet
  follow();
  Actions out;
  EXPECT_EQ(rules().scrub("", out), "");
  EXPECT_EQ(kinds(out.mirror_orders), std::vector{Kind::kScrub});
  EXPECT_EQ(state(), MirrorStatus::State::kFollowing);
  MirrorReport event;
  event.service = ServiceId(0);
  event.mirror = MirrorId(0);
  event.epoch = kEpoch;
  event.kind = Kind::kResync;
  event.outcome = Outcome::kProgress;
  event.scrub.running = true;
  rules().on(kStart + seconds(1), event, out);
  EXPECT_TRUE(rules().take_finished().empty());
  event.scrub.running = false;
  event.scrub.ended = true;
  event.scrub.proved = 1'800'000'000;
  rules().on(kStart + seconds(2), event, out);
  ASSERT_EQ(rules().take_finished().size(), 1U);
  EXPECT_EQ(rules().status().front().scrub.proved, 1'800'000'000);
  // The agent has died: it knows nothing of what was proved.
  report(kStart + seconds(3), 0, Kind::kResync, Outcome::kFailed);
  EXPECT_EQ(rules().status().front().scrub.proved, 1'800'000'000);
}

// The mirror process died while nobody was there to mirror to.
TEST_F(LiveMirrorRulesTest, NotesChangesAgainAfterItFailedWhileThePeerIsAway) {
  (void)begin_live();
  report(kStart + seconds(1), 0, Kind::kFollow, Outcome::kFailed);
  EXPECT_TRUE(review(kStart + seconds(1), false).empty());
  EXPECT_EQ(kinds(review(kStart + seconds(3), false)), std::vector{Kind::kFollow});
  EXPECT_TRUE(review(kStart + seconds(4), false).empty());
}

TEST_F(LiveMirrorRulesTest, NeverSaysOfItsOwnAccordThatItIsDone) {
  (void)begin_live();
  report(kStart, 0, Kind::kFollow, Outcome::kDone);
  report(kStart, 0, Kind::kResync, Outcome::kDone);
  EXPECT_FALSE(rules().peer_synced());
}

TEST_F(LiveMirrorRulesTest, AFlushDoesNotEndWhatFollows) {
  follow();
  Actions out;
  rules().flush(kStart + seconds(5), out);
  EXPECT_TRUE(out.cancel_mirrors.empty());
  EXPECT_EQ(kinds(out.mirror_orders), std::vector{Kind::kFlush});
  report(kStart + seconds(5), 0, Kind::kResync,
         Outcome::kFailed);  // the stream's own word, before the flush's
  EXPECT_EQ(rules().flush_state(), MirrorRules::Flush::kRunning);
  report(kStart + seconds(6), 0, Kind::kFlush, Outcome::kDone);
  EXPECT_EQ(rules().flush_state(), MirrorRules::Flush::kDone);
  (void)rules().take_finished();
  report(kStart + seconds(7), 0, Kind::kFlush,
         Outcome::kFailed);  // broken afterwards, by the peer that takes over
  EXPECT_EQ(rules().flush_state(), MirrorRules::Flush::kDone);
  EXPECT_TRUE(rules().take_finished().empty());
}

TEST_F(LiveMirrorRulesTest, AFlushEndsAScheduledRunOfTheSameService) {
  auto& mirrors = config_.services.front().mirrors;
  mirrors.resize(2);
  mirrors.at(1).name = "scheduled";
  (void)begin_live();
  (void)review(kStart);
  Actions out;
  rules().flush(kStart + seconds(5), out);
  EXPECT_EQ(out.cancel_mirrors.size(), 1U);
  EXPECT_EQ(kinds(out.mirror_orders), (std::vector{Kind::kFlush, Kind::kFlush}));
}

TEST_F(LiveMirrorRulesTest, TheEndAndANewTenureCancelWhatFollows) {
  follow();
  (void)begin_live(kStart + seconds(5), Epoch{6});
  EXPECT_EQ(cancelled_, 1U);
  report(kStart + seconds(6), 0, Kind::kResync, Outcome::kFailed);  // of the earlier tenure
  EXPECT_EQ(kinds(review(kStart + seconds(6))), std::vector{Kind::kResync});
  Actions out;
  rules().end(out);
  EXPECT_EQ(out.cancel_mirrors.size(), 1U);
  rules().end(out);
  EXPECT_EQ(out.cancel_mirrors.size(), 1U);  // once
}

TEST_F(LiveMirrorRulesTest, AHaltWhileItFollowsWaitsForTheAdministrator) {
  follow();
  report(kStart + seconds(5), 0, Kind::kResync, Outcome::kHalted);
  EXPECT_EQ(state(), MirrorStatus::State::kHalted);
  EXPECT_TRUE(review(kStart + seconds(9000)).empty());
  EXPECT_TRUE(rules().confirm("files", kStart + seconds(9000)));
  const auto orders = review(kStart + seconds(9000));
  EXPECT_EQ(kinds(orders), std::vector{Kind::kRun});
  EXPECT_TRUE(orders.front().confirmed);
}

}  // namespace
}  // namespace clusterd
