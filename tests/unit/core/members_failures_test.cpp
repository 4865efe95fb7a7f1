// What goes wrong with the members of a service: time limits, kills, reports that nobody awaits (S7).
#include <gtest/gtest.h>

#include "unit/core/members_fixture.hpp"

namespace clusterd::testing {
namespace {

using std::chrono::seconds;

TEST_F(MembersTest, AddressesThatAreNotAddedInTimeCountAsAFailure) {
  Actions out;
  members().start(now_, out);
  ASSERT_EQ(out.add_addresses.size(), 1U);
  out = tick(seconds(9));
  EXPECT_TRUE(out.add_addresses.empty());
  out = tick(seconds(1));
  EXPECT_EQ(out.add_addresses.size(), 1U);  // tried again, within the budget
  EXPECT_EQ(members().restarts(now_), 1U);
  (void)tick(seconds(10));
  out = tick(seconds(10));
  EXPECT_TRUE(out.add_addresses.empty());
  EXPECT_EQ(members().state(), State::kStartFailed);
  EXPECT_NE(members().trouble().find("its addresses were not added in time"), std::string::npos);
}

TEST_F(MembersTest, AUnitThatDoesNotStartInTimeIsStoppedAndStartedAgain) {
  Actions out;
  members().start(now_, out);
  (void)addresses(true);
  out = tick(seconds(30));
  EXPECT_EQ(members().trouble(), "first did not start within 30 s");
  ASSERT_EQ(out.stop_units.size(), 1U);
  EXPECT_EQ(out.stop_units.front().unit, UnitId(1));
  (void)unit(1, Outcome::kStopped);
  out = unit(0, Outcome::kStopped);
  ASSERT_EQ(out.start_units.size(), 1U);
  EXPECT_EQ(out.start_units.front().unit, UnitId(0));
}

TEST_F(MembersTest, ARestartWhoseStopTakesTooLongKillsAndThenGivesUp) {
  bring_up();
  (void)unit(1, Outcome::kCrashed);
  Actions out = tick(seconds(30));
  ASSERT_EQ(out.stop_units.size(), 1U);
  EXPECT_TRUE(out.stop_units.front().kill);
  EXPECT_EQ(members().state(), State::kStarting);
  out = tick(seconds(5));
  EXPECT_EQ(members().state(), State::kStopFailed);
  EXPECT_EQ(out.shut_gates.size(), 1U);
  EXPECT_EQ(members().trouble(), "second could not be stopped: time limit");
}

TEST_F(MembersTest, ARestartThatFindsAUnitWhichDoesNotStopGivesUp) {
  bring_up();
  (void)unit(1, Outcome::kCrashed);
  Actions out = unit(1, Outcome::kStopFailed);
  ASSERT_EQ(out.stop_units.size(), 1U);
  EXPECT_TRUE(out.stop_units.front().kill);
  (void)unit(1, Outcome::kStopFailed);
  EXPECT_EQ(members().state(), State::kStopFailed);
}

TEST_F(MembersTest, AnOrdinaryStopThatTakesTooLongIsKilled) {
  bring_up();
  (void)stop();
  const Actions out = tick(seconds(30));
  ASSERT_EQ(out.stop_units.size(), 1U);
  EXPECT_TRUE(out.stop_units.front().kill);
  EXPECT_EQ(members().state(), State::kStopping);
}

TEST_F(MembersTest, AStopDuringARestartBeginsAnewAndStartsNothing) {
  bring_up();
  (void)unit(0, Outcome::kCrashed);
  (void)unit(1, Outcome::kStopped);
  Actions out = stop();
  EXPECT_EQ(members().state(), State::kStopping);
  ASSERT_EQ(out.stop_units.size(), 1U);
  EXPECT_EQ(out.stop_units.front().unit, UnitId(1));
  out = unit(1, Outcome::kStopped);
  EXPECT_EQ(out.stop_units.front().unit, UnitId(0));
  out = unit(0, Outcome::kStopped);
  EXPECT_TRUE(out.start_units.empty());
  EXPECT_EQ(members().state(), State::kDown);
  out = stop();
  EXPECT_TRUE(out.stop_checks.empty());  // it is down: nothing is to be done
}

TEST_F(MembersTest, WhatTheAdministratorForgivesIsTriedFromTheBeginning) {
  config_.services.front().budget.restarts = 0;
  bring_up();
  (void)unit(1, Outcome::kCrashed);
  ASSERT_EQ(members().state(), State::kStartFailed);
  members().forgive();
  EXPECT_EQ(members().state(), State::kUnknown);
  EXPECT_EQ(members().restarts(now_), 0U);
  (void)stop();
  (void)unit(1, Outcome::kStopFailed);
  (void)unit(1, Outcome::kStopFailed);
  ASSERT_EQ(members().state(), State::kStopFailed);
  members().forgive();
  EXPECT_EQ(members().state(), State::kUnknown);
  const Actions out = stop();
  EXPECT_EQ(out.stop_units.size(), 1U);
}

TEST_F(MembersTest, AServiceOfAddressesAloneNeedsNoUnits) {
  config_.services.front().units.clear();
  config_.services.front().checks.clear();
  Actions out;
  members().start(now_, out);
  EXPECT_EQ(members().state(), State::kStarting);
  (void)addresses(true);
  EXPECT_EQ(members().state(), State::kUp);
  out = addresses(false);
  EXPECT_EQ(members().state(), State::kStarting);
  EXPECT_EQ(out.add_addresses.size(), 1U);
  (void)addresses(true);
  EXPECT_EQ(members().state(), State::kUp);
  out = stop();
  EXPECT_EQ(members().state(), State::kDown);
  EXPECT_EQ(out.remove_addresses.size(), 1U);
  EXPECT_TRUE(out.stop_units.empty());
}

TEST_F(MembersTest, AHotStandbySaysWhatDoesNotRunAndTriesItAgainLater) {
  config_.services.front().hot = true;
  bring_up();
  (void)stop();
  Actions out = unit(1, Outcome::kCrashed);
  ASSERT_EQ(out.start_units.size(), 1U);
  out = unit(1, Outcome::kStartFailed);
  ASSERT_EQ(out.log.size(), 1U);
  EXPECT_EQ(out.log.front().text, "web: second does not start on this standby: detail");
  EXPECT_FALSE(members().hot_ready());
  out = tick(seconds(30));
  ASSERT_EQ(out.start_units.size(), 1U);
  EXPECT_EQ(out.start_units.front().unit, UnitId(1));
  (void)unit(1, Outcome::kStarted);
  EXPECT_TRUE(members().hot_ready());
  // A start of the service then waits for nothing but the addresses.
  members().start(now_, out);
  out = addresses(true);
  EXPECT_TRUE(out.start_units.empty());
  EXPECT_EQ(members().state(), State::kUp);
}

TEST_F(MembersTest, AStandbyThatIsNotHotIgnoresWhatItsUnitsDo) {
  bring_up();
  (void)stop();
  (void)unit(1, Outcome::kStopped);
  (void)unit(0, Outcome::kStopped);
  for (const Outcome outcome : {Outcome::kCrashed, Outcome::kStartFailed, Outcome::kStopFailed}) {
    const Actions out = unit(1, outcome);
    EXPECT_TRUE(out.start_units.empty() && out.stop_units.empty() && out.log.empty());
    EXPECT_EQ(members().state(), State::kDown);
  }
}

TEST_F(MembersTest, ReportsThatNobodyAwaitsChangeNothing) {
  // Before the addresses are there, an answer to a start of long ago starts nothing.
  Actions out;
  members().start(now_, out);
  out = unit(0, Outcome::kStarted);
  EXPECT_TRUE(out.start_units.empty());
  (void)addresses(true);
  for (const Outcome outcome :
       {Outcome::kStarted, Outcome::kStopped, Outcome::kStartFailed, Outcome::kStopFailed}) {
    out = unit(1, outcome);  // unit 0 is awaited
    EXPECT_TRUE(out.start_units.empty() && out.stop_units.empty());
    EXPECT_EQ(members().state(), State::kStarting);
  }
  out = unit(0, Outcome::kStopped);  // and not a stop
  EXPECT_TRUE(out.start_units.empty());
  (void)unit(0, Outcome::kStarted);
  (void)unit(1, Outcome::kStarted);
  ASSERT_EQ(members().state(), State::kUp);
  for (const Outcome outcome :
       {Outcome::kStarted, Outcome::kStopped, Outcome::kStartFailed, Outcome::kStopFailed}) {
    (void)unit(1, outcome);
    EXPECT_EQ(members().state(), State::kUp);
  }
  (void)stop();
  for (const Outcome outcome : {Outcome::kStarted, Outcome::kStopped, Outcome::kStartFailed,
                                Outcome::kCrashed, Outcome::kStopFailed}) {
    out = unit(0, outcome);  // unit 1 is awaited
    EXPECT_TRUE(out.stop_units.empty());
    EXPECT_EQ(members().state(), State::kStopping);
  }
}

TEST_F(MembersTest, ARestartAwaitsItsUnitsOneByOne) {
  bring_up();
  (void)unit(0, Outcome::kCrashed);
  Actions out = unit(0, Outcome::kStarted);  // a word of before the crash
  EXPECT_TRUE(out.start_units.empty() && out.stop_units.empty());
  out = unit(0, Outcome::kStopped);  // unit 1 is awaited
  EXPECT_TRUE(out.start_units.empty() && out.stop_units.empty());
  out = unit(0, Outcome::kStopFailed);
  EXPECT_TRUE(out.stop_units.empty());
  out = unit(1, Outcome::kStopFailed);
  ASSERT_EQ(out.stop_units.size(), 1U);
  EXPECT_TRUE(out.stop_units.front().kill);
  out = unit(0, Outcome::kStopFailed);
  EXPECT_TRUE(out.stop_units.empty());
  EXPECT_EQ(members().state(), State::kStarting);
}

TEST_F(MembersTest, AddressesThatFailDuringARestartDoNotStopTheRestart) {
  bring_up();
  (void)unit(0, Outcome::kCrashed);  // the second unit is being stopped
  Actions out = addresses(false);
  EXPECT_EQ(out.add_addresses.size(), 1U);
  out = addresses(true);
  EXPECT_TRUE(out.start_units.empty());
  (void)unit(1, Outcome::kStopped);
  out = unit(0, Outcome::kStopped);
  EXPECT_EQ(out.start_units.size(), 1U);
  out = unit(0, Outcome::kStarted);
  EXPECT_EQ(out.start_units.size(), 1U);
  (void)unit(1, Outcome::kStarted);
  EXPECT_EQ(members().state(), State::kUp);
}

TEST_F(MembersTest, ARestartWaitsForAddressesThatFailedMeanwhile) {
  bring_up();
  (void)unit(0, Outcome::kCrashed);
  (void)addresses(false);
  (void)unit(1, Outcome::kStopped);
  Actions out = unit(0, Outcome::kStopped);
  EXPECT_TRUE(out.start_units.empty());
  out = addresses(true);
  EXPECT_EQ(out.start_units.size(), 1U);
  (void)unit(0, Outcome::kStarted);
  (void)unit(1, Outcome::kStarted);
  EXPECT_EQ(members().state(), State::kUp);
}

TEST_F(MembersTest, AStopUnderWayKeepsItsTimeLimitWhenTheAddressesFail) {
  bring_up();
  (void)unit(0, Outcome::kCrashed);
  (void)addresses(false);
  const Actions out = tick(seconds(30));
  ASSERT_EQ(out.stop_units.size(), 1U);
  EXPECT_TRUE(out.stop_units.front().kill);
}

TEST_F(MembersTest, WhatRefusedToEndIsNotDoneBecauseAnotherUnitEnded) {
  bring_up();
  (void)stop();
  (void)unit(1, Outcome::kStopFailed);
  (void)unit(1, Outcome::kStopFailed);
  ASSERT_EQ(members().state(), State::kStopFailed);
  (void)unit(0, Outcome::kStopped);
  EXPECT_EQ(members().state(), State::kStopFailed);
}

TEST_F(MembersTest, AddressReportsCountOnlyWhileTheServiceIsWanted) {
  bring_up();
  Actions out = addresses(true);  // put back, and there already
  EXPECT_TRUE(out.start_units.empty());
  (void)stop();
  out = addresses(false);
  EXPECT_EQ(members().state(), State::kStopping);
  EXPECT_TRUE(out.add_addresses.empty());
  members().on(now_, AddressLost{kWeb, "deleted"}, out);
  EXPECT_TRUE(out.add_addresses.empty());
}

TEST_F(MembersTest, AnAddressLostDuringTheStartIsPutBack) {
  Actions out;
  members().start(now_, out);
  (void)addresses(true);
  out = {};
  members().on(now_, AddressLost{kWeb, "deleted"}, out);
  EXPECT_EQ(out.add_addresses.size(), 1U);
}

TEST_F(MembersTest, ChecksSayWhenAllIsGoodAgainAndAreIgnoredWhileDown) {
  bring_up();
  const auto check = [&](bool ok) {
    Actions out;
    members().on(now_, CheckReport{kWeb, CheckId(0), ok, "refused"}, out);
    return out;
  };
  now_ += seconds(10);
  (void)check(false);
  EXPECT_FALSE(members().checks().at(0));
  const Actions out = check(true);
  ASSERT_EQ(out.log.size(), 1U);
  EXPECT_EQ(out.log.front().severity, Severity::kInfo);
  EXPECT_TRUE(members().checks().at(0));
  (void)stop();
  (void)check(false);
  (void)check(false);
  EXPECT_EQ(members().state(), State::kStopping);
}

}  // namespace
}  // namespace clusterd::testing
