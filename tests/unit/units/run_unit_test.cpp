// Foreground commands: they survive the daemon, are found again, and die whole.
#include "unit/units/units_fixture.hpp"

namespace clusterd {
namespace {

using namespace std::chrono_literals;

class RunUnitTest : public UnitsTest {
 protected:
  void with(const std::string& command) {
    UnitConfig unit;
    unit.kind = UnitConfig::Kind::kRun;
    unit.name = "app";
    unit.start = "cd " + folder_.path() + "; " + command;
    add(unit);
    make();
  }
  pid_t recorded() {
    const auto record = read_record(folder_.file("units/web.app.pid"));
    return record ? record->pid : 0;
  }
};

TEST_F(RunUnitTest, StartsAndStops) {
  with("echo $$ > pid; exec sleep 1000");
  start();
  expect(Outcome::kStarted);
  const pid_t pid = number_in("pid");
  EXPECT_EQ(recorded(), pid);
  start();
  EXPECT_NE(expect(Outcome::kStarted).find("runs already"), std::string::npos);
  stop();
  expect(Outcome::kStopped);
  EXPECT_FALSE(lives(pid));
  EXPECT_FALSE(folder_.has("units/web.app.pid"));
  stop();
  expect(Outcome::kStopped);
}

TEST_F(RunUnitTest, ACrashIsAnEventWithTheLastWords) {
  with("echo $$ > pid; while ! test -e die; do sleep 0.02; done; echo out of cheese >&2; exit 4");
  start();
  expect(Outcome::kStarted);
  folder_.write("die", "");
  const std::string detail = expect(Outcome::kCrashed);
  EXPECT_NE(detail.find("exit code 4: out of cheese"), std::string::npos) << detail;
  EXPECT_FALSE(folder_.has("units/web.app.pid"));
}

TEST_F(RunUnitTest, ACrashTakesTheRestOfTheGroupAlong) {
  with(
      "(trap '' TERM; echo 1 > ready; sleep 1000) & echo $! > child; while ! test -e die; do sleep 0.02; "
      "done");
  start();
  expect(Outcome::kStarted);
  const pid_t child = number_in("child");
  number_in("ready");
  folder_.write("die", "");
  expect(Outcome::kCrashed);
  EXPECT_FALSE(lives(child)) << "a new start would meet it";
}

TEST_F(RunUnitTest, SurvivesTheDaemonAndIsAdopted) {
  with("echo $$ > pid; exec sleep 1000");
  start();
  expect(Outcome::kStarted);
  const pid_t pid = number_in("pid");
  units_.reset();
  ASSERT_TRUE(lives(pid));
  make();
  start();
  EXPECT_NE(expect(Outcome::kStarted).find("goes on as process " + std::to_string(pid)), std::string::npos);
  kill(pid, SIGKILL);
  expect(Outcome::kCrashed);
  start();
  expect(Outcome::kStarted);
  EXPECT_NE(recorded(), pid);
  stop();
  expect(Outcome::kStopped);
}

TEST_F(RunUnitTest, IsStoppedByAnotherDaemonThanStartedIt) {
  with("echo $$ > pid; exec sleep 1000");
  start();
  expect(Outcome::kStarted);
  const pid_t pid = number_in("pid");
  units_.reset();
  make();
  stop();
  expect(Outcome::kStopped);
  EXPECT_FALSE(lives(pid));
}

TEST_F(RunUnitTest, AStrangerWithTheSameNumberIsLeftAlone) {
  with("exec sleep 1000");
  // A process that has nothing to do with it, with a record that names another start time.
  EventLoop other;
  bool started = false;
  ChildSpec spec;
  spec.argv = {"sleep", "1000"};
  spec.on_started = [&] { started = true; };
  const auto stranger = run_child(other, std::move(spec), [](const ChildResult&) {});
  ASSERT_TRUE(other.run_until([&] { return started; }, 60s));
  auto identity = *identify(stranger->pid());
  identity.start -= 1;
  ASSERT_TRUE(write_record(folder_.file("units/web.app.pid"), identity));
  stop(true);
  expect(Outcome::kStopped);
  EXPECT_TRUE(lives(stranger->pid()));
  ASSERT_TRUE(write_record(folder_.file("units/web.app.pid"), identity));
  start();
  expect(Outcome::kStarted);
  EXPECT_NE(recorded(), stranger->pid());
  stop();
  expect(Outcome::kStopped);
  EXPECT_TRUE(lives(stranger->pid()));
}

TEST_F(RunUnitTest, ARecordOfAnotherBootOrGarbageIsNotBelieved) {
  with("exec sleep 1000");
  for (const char* text : {"", "1 1 x\n", "-5 3 x\n", "99999999999999999999 1 x\n", "12 ab\n", "\xff\n"}) {
    folder_.write("units/web.app.pid", text);
    stop(true);
    expect(Outcome::kStopped);
  }
  const auto self = *identify(getpid());
  folder_.write("units/web.app.pid",
                std::to_string(self.pid) + " " + std::to_string(self.start) + " other-boot\n");
  stop(true);
  expect(Outcome::kStopped);
}

TEST_F(RunUnitTest, WhatALeaderLeftBehindIsClearedBeforeAStart) {
  with("(trap '' TERM; echo 1 > ready; sleep 1000) & echo $! > child; wait");
  start();
  expect(Outcome::kStarted);
  const pid_t child = number_in("child"), leader = recorded();
  number_in("ready");
  units_.reset();
  kill(leader, SIGKILL);  // while no daemon looks
  ASSERT_TRUE(wait([&] { return !lives(leader); }));
  ASSERT_TRUE(lives(child));
  make();
  start();
  expect(Outcome::kStarted);
  EXPECT_FALSE(lives(child));
  stop(true);
  expect(Outcome::kStopped);
}

TEST_F(RunUnitTest, KillEndsAGroupThatIgnoresTerm) {
  with(
      "trap '' TERM; (trap '' TERM; echo 1 > ready; while :; do sleep 1000; done) & echo $! > child;"
      "while :; do sleep 1000; done");
  start();
  expect(Outcome::kStarted);
  const pid_t child = number_in("child"), leader = recorded();
  number_in("ready");
  stop();
  expect_silence();
  EXPECT_TRUE(lives(leader));
  stop(true);
  expect(Outcome::kStopped);
  EXPECT_FALSE(lives(leader));
  EXPECT_FALSE(lives(child));
}

TEST_F(RunUnitTest, AStopIsNotOverBeforeTheGroupIsEmpty) {
  with(
      "(trap '' TERM; echo 1 > ready; while ! test -e die; do sleep 0.02; done; echo $$ > late) & exec sleep "
      "1000");
  start();
  expect(Outcome::kStarted);
  number_in("ready");
  const pid_t leader = recorded();
  stop();
  ASSERT_TRUE(wait([&] { return !lives(leader); }));
  expect_silence();
  folder_.write("die", "");
  expect(Outcome::kStopped);
  EXPECT_TRUE(folder_.has("late"));
}

TEST_F(RunUnitTest, AStopDuringAStartWins) {
  with("exec sleep 1000");
  start();
  stop();
  expect(Outcome::kStopped);
  expect_silence();
  EXPECT_EQ(recorded(), 0);
}

TEST_F(RunUnitTest, AStartDuringAStopFollowsIt) {
  with("echo $$ > pid; exec sleep 1000");
  start();
  expect(Outcome::kStarted);
  const pid_t first = number_in("pid");
  stop();
  start();
  expect(Outcome::kStarted);
  EXPECT_NE(recorded(), first);
  EXPECT_FALSE(lives(first));
  stop();
  expect(Outcome::kStopped);
}

TEST_F(RunUnitTest, AStoppedProcessIsStillStopped) {
  with("exec sleep 1000");
  start();
  expect(Outcome::kStarted);
  kill(recorded(), SIGSTOP);
  stop();
  expect(Outcome::kStopped);
}

TEST_F(RunUnitTest, WithoutARecordItIsNotRun) {
  with("touch ran; exec sleep 1000");
  std::filesystem::create_directories(folder_.file("units/web.app.pid.tmp/x"));
  start();
  EXPECT_NE(expect(Outcome::kStartFailed).find("web.app.pid"), std::string::npos);
}

}  // namespace
}  // namespace clusterd
