// When mirrored directories are guarded: the rules alone, and in a node. Stories with two nodes are
// transcripts (tests/script/guard_*.txt).
#include "core/guard_rules.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "bench.hpp"

namespace clusterd {
namespace {

using testing::Bench;
using Outcome = GuardReport::Outcome;
using State = MirrorGuard::State;
using Wish = GuardRules::Wish;
using std::chrono::seconds;

constexpr ServiceId kWeb{0};

Config with_mirrors(std::vector<bool> guards) {
  Config config;
  config.services.resize(1);
  for (const bool guard : guards) {
    MirrorConfig mirror;
    mirror.guard = guard;
    config.services.front().mirrors.push_back(mirror);
  }
  return config;
}

GuardReport report(size_t mirror, Outcome outcome, std::string detail = "") {
  return {kWeb, MirrorId(mirror), outcome, std::move(detail)};
}

TEST(GuardRules, OrdersOnceWhatHasChanged) {
  const Config config = with_mirrors({true});
  GuardRules rules(config, kWeb);
  const auto orders = [&](Wish wish) {
    Actions out;
    rules.review(wish, out);
    EXPECT_LE(out.set_guards.size() + out.lift_guards.size(), 1U);
    return out.set_guards.empty() ? (out.lift_guards.empty() ? "" : "lift") : "set";
  };
  EXPECT_STREQ(orders(Wish::kAsItIs), "");
  EXPECT_STREQ(orders(Wish::kLift), "lift");  // a predecessor may have left one
  EXPECT_STREQ(orders(Wish::kLift), "");
  EXPECT_STREQ(orders(Wish::kSet), "set");
  EXPECT_STREQ(orders(Wish::kAsItIs), "");
  EXPECT_STREQ(orders(Wish::kSet), "");
  EXPECT_STREQ(orders(Wish::kLift), "lift");
}

TEST(GuardRules, WithoutAnyThereIsNothingToOrder) {
  const Config config = with_mirrors({false, false});
  GuardRules rules(config, kWeb);
  Actions out;
  rules.review(Wish::kSet, out);
  rules.review(Wish::kLift, out);
  EXPECT_TRUE(out.set_guards.empty() && out.lift_guards.empty());
  EXPECT_FALSE(rules.complete());
}

TEST(GuardRules, AreCompleteWhenAllThatAreGuardedSaySo) {
  const Config config = with_mirrors({true, false, true});
  GuardRules rules(config, kWeb);
  Actions out;
  rules.review(Wish::kSet, out);
  EXPECT_EQ(rules.of(MirrorId(size_t{0})).state, State::kAwaited);
  EXPECT_TRUE(rules.on(report(0, Outcome::kSet)));
  EXPECT_FALSE(rules.complete());
  EXPECT_TRUE(rules.on(report(2, Outcome::kAbsent, "/srv is no directory yet")));
  EXPECT_FALSE(rules.complete());
  EXPECT_TRUE(rules.on(report(2, Outcome::kSet)));
  EXPECT_TRUE(rules.complete());
  // Who was there before may go on writing: that is told, and no reason to set it anew.
  EXPECT_TRUE(rules.on(report(2, Outcome::kSet, "process 7 (vim)")));
  EXPECT_TRUE(rules.complete());
  EXPECT_TRUE(rules.on(report(0, Outcome::kFailed, "refused")));
  EXPECT_FALSE(rules.complete());
  std::vector<MirrorStatus> status(3);
  rules.add_to(status);
  EXPECT_EQ(status[0].guard->state, State::kFailed);
  EXPECT_EQ(status[0].guard->detail, "refused");
  EXPECT_FALSE(status[1].guard);
}

// On its way when the order was taken back.
TEST(GuardRules, ALateReportSaysNothing) {
  const Config config = with_mirrors({true, false});
  GuardRules rules(config, kWeb);
  Actions out;
  EXPECT_FALSE(rules.on(report(0, Outcome::kSet)));
  rules.review(Wish::kSet, out);
  EXPECT_FALSE(rules.on(report(1, Outcome::kSet)));  // it has none
  rules.review(Wish::kLift, out);
  EXPECT_FALSE(rules.on(report(0, Outcome::kSet)));
  EXPECT_EQ(rules.of(MirrorId(size_t{0})).state, State::kLifted);
}

// ---- in a node ----

class Guarded : public ::testing::Test {
 protected:
  Guarded() {
    MirrorConfig mirror;
    mirror.name = "1";
    mirror.guard = true;
    bench_.config.services.front().mirrors = {mirror};
  }
  [[nodiscard]] const ServiceStatus& web() { return bench_.node->status().services.front(); }
  size_t told(const std::string& kind) const {
    return static_cast<size_t>(std::count_if(bench_.notices.begin(), bench_.notices.end(),
                                             [&](const Notice& n) { return n.kind == kind; }));
  }

  Bench bench_;
};

TEST_F(Guarded, TheStandbyTellsItsPeer) {
  bench_.start();
  bench_.peer_alive = true;
  bench_.peer_web().role = Role::kActive;
  bench_.peer_web().epoch = bench_.peer_web().data_epoch = Epoch{4};
  bench_.run(seconds(1));
  EXPECT_FALSE(bench_.own.services.front().guarded);
  bench_.step(report(0, Outcome::kSet));
  bench_.run(seconds(1));
  EXPECT_TRUE(bench_.own.services.front().guarded);
  EXPECT_TRUE(web().guarded_here);
  bench_.peer_web().guarded = true;
  bench_.run(seconds(1));
  EXPECT_TRUE(web().guarded_at_peer);
}

TEST_F(Guarded, WhatCannotBeGuardedIsToldOnce) {
  bench_.start();
  bench_.run(seconds(1));
  bench_.step(report(0, Outcome::kAbsent, "/srv is no directory yet"));
  EXPECT_EQ(told("guard-failed"), 0U);
  bench_.step(report(0, Outcome::kFailed, "refused"));
  bench_.step(report(0, Outcome::kFailed, "refused"));
  EXPECT_EQ(told("guard-failed"), 1U);
  bench_.step(report(0, Outcome::kSet));
  bench_.step(report(0, Outcome::kFailed, "refused"));
  EXPECT_EQ(told("guard-failed"), 2U);
}

// It keeps nobody from anything.
TEST_F(Guarded, AFailedGuardHindersNoTakeover) {
  bench_.start();
  bench_.step(report(0, Outcome::kFailed, "refused"));
  bench_.peer_alive = true;
  bench_.peer_web().role = Role::kReleased;
  bench_.run(seconds(1));
  EXPECT_EQ(bench_.role(), Role::kActive);
  EXPECT_FALSE(web().guarded_here);
}

TEST_F(Guarded, ReportsOfWhatIsNotConfiguredAreIgnored) {
  bench_.start();
  GuardReport wrong = report(1, Outcome::kSet);
  bench_.step(wrong);
  wrong = report(0, Outcome::kSet);
  wrong.service = ServiceId(size_t{7});
  bench_.step(wrong);
  EXPECT_FALSE(web().guarded_here);
}

}  // namespace
}  // namespace clusterd
