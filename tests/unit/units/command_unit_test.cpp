// Start, stop and status commands: what proves that something runs, and what does not.
#include <sys/wait.h>
#include <unistd.h>

#include "unit/units/units_fixture.hpp"

namespace clusterd {
namespace {

using namespace std::chrono_literals;

// A process that has nothing to do with the unit and must survive whatever is done to it.
class Bystander {
 public:
  Bystander() : pid_(fork()) {
    if (pid_ != 0) return;
    setpgid(0, 0);
    while (true) pause();
  }
  ~Bystander() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Bystander(const Bystander&) = delete;
  Bystander& operator=(const Bystander&) = delete;
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] bool lives() const { return waitpid(pid_, nullptr, WNOHANG) == 0; }

 private:
  pid_t pid_;
};

class CommandUnitTest : public UnitsTest {
 protected:
  void TearDown() override {
    if (folder_.has("daemon.pid")) {
      const pid_t pid = std::atoi(folder_.read("daemon.pid").c_str());
      if (pid > 1 && pid != getpid()) kill(pid, SIGKILL);
    }
    UnitsTest::TearDown();
  }
  UnitConfig unit(const std::string& start, const std::string& stop, const std::string& status = "",
                  bool pid_file = false) {
    const std::string in = "cd " + folder_.path() + "; ";
    UnitConfig u;
    u.kind = UnitConfig::Kind::kCommand;
    u.name = "app";
    u.start = in + start;
    if (!stop.empty()) u.stop = in + stop;
    if (!status.empty()) u.status = in + status;
    if (pid_file) u.pid_file = folder_.file("daemon.pid");
    return u;
  }
  void with(UnitConfig u) {
    add(std::move(u));
    make();
  }
  // A daemon as they were made in 1999: forks, writes its pid file, exits.
  const std::string daemon_ = "echo x >> starts; setsid sleep 1000 & echo $! > daemon.pid";
  const std::string kill_daemon_ = "kill $(cat daemon.pid)";
  const std::string status_ = "test -e up";
};

TEST_F(CommandUnitTest, StatusDecides) {
  with(unit("echo x >> starts; touch up", "rm up", status_));
  start();
  expect(Outcome::kStarted);
  start();
  EXPECT_EQ(expect(Outcome::kStarted), "runs already");
  stop();
  expect(Outcome::kStopped);
  stop();
  expect(Outcome::kStopped);
  EXPECT_EQ(folder_.read("starts"), "x\n");
}

TEST_F(CommandUnitTest, WhatRunsAlreadyIsNotStarted) {
  with(unit("touch started", "rm up", status_));
  folder_.write("up", "");
  start();
  EXPECT_EQ(expect(Outcome::kStarted), "runs already");
  EXPECT_FALSE(folder_.has("started"));
}

TEST_F(CommandUnitTest, AFailedStartSaysWhy) {
  with(unit("echo no licence >&2; exit 5", "true"));
  start();
  EXPECT_EQ(expect(Outcome::kStartFailed), "exit code 5: no licence");
}

TEST_F(CommandUnitTest, AStartThatStatusDeniesIsAFailure) {
  with(unit("true", "true", status_));
  start();
  EXPECT_NE(expect(Outcome::kStartFailed).find("status: exit code 1"), std::string::npos);
}

TEST_F(CommandUnitTest, AStopThatStatusDeniesIsAFailure) {
  with(unit("touch up", "true", status_));
  start();
  expect(Outcome::kStarted);
  stop();
  expect(Outcome::kStopFailed);
}

TEST_F(CommandUnitTest, AStopThatCannotBeVerifiedIsAFailure) {
  with(unit("touch up", "true", "no-such-command"));
  stop();
  EXPECT_NE(expect(Outcome::kStopFailed).find("exit code 127"), std::string::npos);
}

TEST_F(CommandUnitTest, AStopThatFailedButWorkedIsAStop) {
  with(unit("touch up", "rm up; exit 1", status_));
  start();
  expect(Outcome::kStarted);
  stop();
  expect(Outcome::kStopped);
}

TEST_F(CommandUnitTest, WithoutStatusAndPidFileTheExitCodeDecides) {
  with(unit("true", "test -e may-stop"));
  start();
  expect(Outcome::kStarted);
  stop();
  EXPECT_NE(expect(Outcome::kStopFailed).find("neither a status command nor a pid file"), std::string::npos);
  folder_.write("may-stop", "");
  stop();
  expect(Outcome::kStopped);
}

TEST_F(CommandUnitTest, StatusIsPolledForACrash) {
  with(unit("touch up", "rm up", status_));
  start();
  expect(Outcome::kStarted);
  std::filesystem::remove(folder_.file("up"));
  EXPECT_EQ(expect(Outcome::kCrashed), "status: exit code 1");
}

TEST_F(CommandUnitTest, APidFileMakesACrashAnEvent) {
  with(unit(daemon_, kill_daemon_, "", true));
  start();
  expect(Outcome::kStarted);
  const pid_t pid = number_in("daemon.pid");
  start();
  expect(Outcome::kStarted);
  EXPECT_EQ(folder_.read("starts"), "x\n");
  kill(pid, SIGKILL);
  EXPECT_NE(expect(Outcome::kCrashed).find(std::to_string(pid)), std::string::npos);
}

TEST_F(CommandUnitTest, AStopWaitsForTheProcess) {
  with(unit(daemon_, kill_daemon_, "", true));
  start();
  expect(Outcome::kStarted);
  const pid_t pid = number_in("daemon.pid");
  stop();
  expect(Outcome::kStopped);
  EXPECT_FALSE(lives(pid));
  stop();
  expect(Outcome::kStopped);
}

TEST_F(CommandUnitTest, WithoutAStopCommandTheProcessGetsTerm) {
  with(unit(daemon_, "", "", true));
  start();
  expect(Outcome::kStarted);
  const pid_t pid = number_in("daemon.pid");
  stop();
  expect(Outcome::kStopped);
  EXPECT_FALSE(lives(pid));
}

TEST_F(CommandUnitTest, ARestartedDaemonFindsIt) {
  with(unit(daemon_, kill_daemon_, "", true));
  start();
  expect(Outcome::kStarted);
  units_.reset();
  make();
  start();
  EXPECT_NE(expect(Outcome::kStarted).find("runs already"), std::string::npos);
  EXPECT_EQ(folder_.read("starts"), "x\n");
  stop();
  expect(Outcome::kStopped);
}

TEST_F(CommandUnitTest, AnUpgradeOnTheFlyIsNoCrash) {
  with(unit(daemon_, kill_daemon_, "", true));
  start();
  expect(Outcome::kStarted);
  const pid_t old = number_in("daemon.pid");
  // The successor writes its number, then the old one ends.
  bool done = false;
  const auto successor = run_child(
      loop_, ChildSpec::shell("cd " + folder_.path() + "; setsid sleep 1000 & echo $! > daemon.pid"),
      [&](const ChildResult& result) { done = result.ok(); });
  ASSERT_TRUE(wait([&] { return done; }));
  kill(old, SIGKILL);
  ASSERT_TRUE(wait([&] { return !lives(old); }));
  expect_silence();
  stop();
  expect(Outcome::kStopped);
}

TEST_F(CommandUnitTest, AStalePidFileIsNotBelieved) {
  with(unit(daemon_, kill_daemon_, "", true));
  // Somebody else's process, with a pid file from before the machine was booted.
  const Bystander bystander;
  folder_.write("daemon.pid", std::to_string(bystander.pid()) + "\n");
  std::filesystem::last_write_time(folder_.file("daemon.pid"),
                                   std::filesystem::file_time_type::clock::now() - 24h * 365 * 20);
  stop(true);
  expect(Outcome::kStopped);
  start();
  expect(Outcome::kStarted);
  EXPECT_EQ(folder_.read("starts"), "x\n");
  EXPECT_TRUE(bystander.lives());
  stop();
  expect(Outcome::kStopped);
}

TEST_F(CommandUnitTest, AReusedNumberIsNotBelieved) {
  with(unit(daemon_, kill_daemon_, "", true));
  const Bystander bystander;
  folder_.write("daemon.pid", std::to_string(bystander.pid()) + "\n");
  auto identity = *identify(bystander.pid());
  identity.start += 1;
  ASSERT_TRUE(write_record(folder_.file("units/web.app.pid"), identity));
  stop(true);
  expect(Outcome::kStopped);
  EXPECT_TRUE(bystander.lives());
  std::filesystem::remove(folder_.file("daemon.pid"));  // TearDown is to leave it alone, too
}

TEST_F(CommandUnitTest, GarbageInAPidFileIsNobody) {
  with(unit("true", "true", "", true));
  for (const char* text : {"", "0\n", "1\n", "-1\n", "12 13\n", "99999999999\n", "abc\n"}) {
    folder_.write("daemon.pid", text);
    EXPECT_FALSE(read_pid_file(folder_.file("daemon.pid"))) << text;
  }
  EXPECT_FALSE(read_pid_file("/proc"));
  start();
  EXPECT_NE(expect(Outcome::kStartFailed).find("names no living process"), std::string::npos);
}

TEST_F(CommandUnitTest, AStopDuringAStartWins) {
  with(unit("echo $$ > starting; sleep 1000", "touch stopped", "test -e stopped && exit 3; exit 0"));
  folder_.write("stopped", "");
  start();
  const pid_t command = number_in("starting");
  std::filesystem::remove(folder_.file("stopped"));
  stop();
  expect(Outcome::kStopped);
  EXPECT_TRUE(folder_.has("stopped")) << "a start that was cut short has something to clean up";
  EXPECT_TRUE(wait([&] { return !lives(command); }));
  expect_silence();
}

TEST_F(CommandUnitTest, KillEndsAHangingStopAndTheProcess) {
  const std::string stubborn =
      "setsid sh -c 'trap \"\" TERM; echo 1 > ready; while :; do sleep 1000; done' & echo $! > daemon.pid";
  with(unit(stubborn, "echo $$ > stopping; sleep 1000", "", true));
  start();
  expect(Outcome::kStarted);
  const pid_t pid = number_in("daemon.pid");
  number_in("ready");
  stop();
  const pid_t stopping = number_in("stopping");
  stop(true);
  expect(Outcome::kStopped);
  EXPECT_FALSE(lives(pid));
  EXPECT_TRUE(wait([&] { return !lives(stopping); }));
}

TEST_F(CommandUnitTest, KillWithoutAnyProofIsNoStop) {
  with(unit("true", "echo $$ > stopping; sleep 1000"));
  start();
  expect(Outcome::kStarted);
  stop();
  number_in("stopping");
  stop(true);
  EXPECT_NE(expect(Outcome::kStopFailed).find("did not end"), std::string::npos);
}

}  // namespace
}  // namespace clusterd
