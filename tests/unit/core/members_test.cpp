// The members of a service: order, time limits, restart budget, verified stop (docs/safety.md, S7).
#include "core/members.hpp"

#include <gtest/gtest.h>

#include "unit/core/members_fixture.hpp"

namespace clusterd::testing {
namespace {

using std::chrono::seconds;

TEST_F(MembersTest, StartsAddressesThenUnitsInOrderThenChecks) {
  Actions out;
  members().start(now_, out);
  EXPECT_EQ(out.add_addresses.size(), 1U);
  EXPECT_TRUE(out.start_units.empty());
  out = addresses(true);
  ASSERT_EQ(out.start_units.size(), 1U);
  EXPECT_EQ(out.start_units.front().unit, UnitId(0));
  out = unit(0, Outcome::kStarted);
  ASSERT_EQ(out.start_units.size(), 1U);
  EXPECT_EQ(out.start_units.front().unit, UnitId(1));
  out = unit(1, Outcome::kStarted);
  EXPECT_EQ(out.start_checks.size(), 1U);
  EXPECT_EQ(members().state(), State::kUp);
}

TEST_F(MembersTest, StopsInReverseOrderAndRemovesTheAddressesLast) {
  bring_up();
  Actions out = stop();
  ASSERT_EQ(out.stop_units.size(), 1U);
  EXPECT_EQ(out.stop_units.front().unit, UnitId(1));
  EXPECT_TRUE(out.remove_addresses.empty());
  out = unit(1, Outcome::kStopped);
  EXPECT_EQ(out.stop_units.front().unit, UnitId(0));
  out = unit(0, Outcome::kStopped);
  EXPECT_EQ(members().state(), State::kDown);
  EXPECT_EQ(out.shut_gates.size(), 1U);
  EXPECT_EQ(out.remove_addresses.size(), 1U);
}

// Stops come first in a step's actions: what the same step had ordered before would run for good.
TEST_F(MembersTest, AStopTakesBackWhatTheSameStepHasOrdered) {
  Actions out;
  members().start(now_, out);
  members().stop(now_, out);
  EXPECT_TRUE(out.add_addresses.empty());
  (void)unit(1, Outcome::kStopped);
  (void)unit(0, Outcome::kStopped);
  ASSERT_EQ(members().state(), State::kDown);

  members().start(now_, out);
  out = addresses(true);
  out.start_units.push_back({ServiceId(1), UnitId(0)});
  members().stop(now_, out);
  ASSERT_EQ(out.start_units.size(), 1U);
  EXPECT_EQ(out.start_units.front().service, ServiceId(1));
  EXPECT_EQ(out.stop_units.size(), 1U);
  (void)unit(1, Outcome::kStopped);
  (void)unit(0, Outcome::kStopped);

  members().start(now_, out);
  (void)addresses(true);
  (void)unit(0, Outcome::kStarted);
  out = unit(1, Outcome::kStarted);
  members().stop(now_, out);
  EXPECT_TRUE(out.start_checks.empty());
  EXPECT_EQ(out.stop_checks.size(), 1U);
}

TEST_F(MembersTest, AStopThatFailsIsKilledAndThenToldAsFailed) {
  bring_up();
  (void)stop();
  Actions out = unit(1, Outcome::kStopFailed);
  ASSERT_EQ(out.stop_units.size(), 1U);
  EXPECT_TRUE(out.stop_units.front().kill);
  out = tick(seconds(5));
  EXPECT_EQ(members().state(), State::kStopFailed);
  EXPECT_EQ(out.shut_gates.size(), 1U);
  EXPECT_TRUE(out.remove_addresses.empty());
  EXPECT_NE(members().trouble(), "");
}

TEST_F(MembersTest, WhatEndsAfterAllIsStoppedToTheEnd) {
  bring_up();
  (void)stop();
  (void)unit(1, Outcome::kStopFailed);
  (void)unit(1, Outcome::kStopFailed);
  ASSERT_EQ(members().state(), State::kStopFailed);
  const Actions out = unit(1, Outcome::kStopped);
  ASSERT_EQ(out.stop_units.size(), 1U);
  (void)unit(0, Outcome::kStopped);
  EXPECT_EQ(members().state(), State::kDown);
}

TEST_F(MembersTest, ACrashRestartsTheUnitAndWhatWasStartedAfterIt) {
  bring_up();
  Actions out = unit(0, Outcome::kCrashed);
  EXPECT_EQ(members().state(), State::kStarting);
  ASSERT_EQ(out.stop_units.size(), 1U);
  EXPECT_EQ(out.stop_units.front().unit, UnitId(1));
  out = unit(1, Outcome::kStopped);
  EXPECT_EQ(out.stop_units.front().unit, UnitId(0));
  out = unit(0, Outcome::kStopped);
  EXPECT_EQ(out.start_units.front().unit, UnitId(0));
  (void)unit(0, Outcome::kStarted);
  (void)unit(1, Outcome::kStarted);
  EXPECT_EQ(members().state(), State::kUp);
  EXPECT_EQ(members().restarts(now_), 1U);
}

TEST_F(MembersTest, BeyondItsBudgetItGivesUpAndTheBudgetComesBackWithTime) {
  bring_up();
  for (int i = 0; i < 2; ++i) {
    (void)unit(1, Outcome::kCrashed);
    (void)unit(1, Outcome::kStopped);
    (void)unit(1, Outcome::kStarted);
    ASSERT_EQ(members().state(), State::kUp);
  }
  now_ += seconds(600);
  (void)unit(1, Outcome::kCrashed);
  EXPECT_EQ(members().state(), State::kStarting);
  (void)unit(1, Outcome::kStopped);
  (void)unit(1, Outcome::kStartFailed);
  (void)unit(1, Outcome::kStopped);
  (void)unit(1, Outcome::kStartFailed);
  EXPECT_EQ(members().state(), State::kStartFailed);
}

TEST_F(MembersTest, AddressesThatCouldNotBePutBackAreTriedAgain) {
  bring_up();
  Actions out;
  members().on(now_, AddressLost{kWeb, "deleted"}, out);
  EXPECT_EQ(out.add_addresses.size(), 1U);
  out = addresses(false);
  EXPECT_EQ(out.add_addresses.size(), 1U);
  EXPECT_TRUE(out.stop_units.empty());
}

TEST_F(MembersTest, ChecksCountAfterTheirGraceAndInARow) {
  bring_up();
  const auto check = [&](bool ok) {
    Actions out;
    members().on(now_, CheckReport{kWeb, CheckId(0), ok, "refused"}, out);
  };
  check(false);
  check(false);
  EXPECT_EQ(members().state(), State::kUp);  // within the grace
  now_ += seconds(10);
  check(false);
  check(true);
  check(false);
  EXPECT_EQ(members().state(), State::kUp);
  check(false);
  EXPECT_EQ(members().state(), State::kStarting);
}

TEST_F(MembersTest, AStartThatIsAskedForDuringARestartDoesNotBeginAnew) {
  bring_up();
  (void)unit(1, Outcome::kCrashed);
  Actions out;
  members().start(now_, out);
  EXPECT_TRUE(out.add_addresses.empty());
  (void)unit(1, Outcome::kStopped);
  (void)unit(1, Outcome::kStarted);
  EXPECT_EQ(members().state(), State::kUp);
}

TEST_F(MembersTest, AHotServiceKeepsItsUnitsAndRestartsThemOnTheStandby) {
  config_.services.front().hot = true;
  bring_up();
  Actions out = stop();
  EXPECT_EQ(members().state(), State::kDown);
  EXPECT_TRUE(out.stop_units.empty());
  EXPECT_EQ(out.remove_addresses.size(), 1U);
  EXPECT_TRUE(members().hot_ready());
  out = unit(0, Outcome::kCrashed);
  ASSERT_EQ(out.start_units.size(), 1U);
  EXPECT_FALSE(members().hot_ready());
}

}  // namespace
}  // namespace clusterd::testing
