// Systemd units. Without a bus: reasons and remedies. With the units that systemd_nspawn_test.sh makes,
// inside the container that it boots (CDT_SYSTEMD=1): the real systemd.
#include <cstdlib>

#include "unit/units/units_fixture.hpp"

namespace clusterd {
namespace {

using namespace std::chrono_literals;

UnitConfig systemd_unit(const std::string& name) {
  UnitConfig unit;
  unit.kind = UnitConfig::Kind::kSystemd;
  unit.name = name;
  return unit;
}

class NoBusTest : public UnitsTest {
 protected:
  NoBusTest() { setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/no/such/bus", 1); }
  ~NoBusTest() override { unsetenv("DBUS_SYSTEM_BUS_ADDRESS"); }
};

TEST_F(NoBusTest, AStartFailsWithReasonAndRemedy) {
  add(systemd_unit("smbd.service"));
  make();
  start();
  const std::string detail = expect(Outcome::kStartFailed);
  EXPECT_NE(detail.find("no system bus (No such file or directory)"), std::string::npos) << detail;
  EXPECT_NE(detail.find("start/stop/status"), std::string::npos) << detail;
  start();
  expect(Outcome::kStartFailed);
}

TEST_F(NoBusTest, AStopIsOnlyBelievedWhereNoSystemdRuns) {
  add(systemd_unit("smbd.service"));
  make();
  stop();
  expect(access("/run/systemd/system", F_OK) == 0 ? Outcome::kStopFailed : Outcome::kStopped);
}

TEST_F(NoBusTest, TheFileStateIsAnError) {
  make();
  std::optional<Result<std::string>> state;
  units_->unit_file_state("smbd.service", [&](Result<std::string> result) { state = std::move(result); });
  ASSERT_TRUE(wait([&] { return state.has_value(); }));
  EXPECT_FALSE(*state);
}

class SystemdUnitTest : public UnitsTest {
 protected:
  void SetUp() override {
    if (std::getenv("CDT_SYSTEMD") == nullptr) GTEST_SKIP() << "run by systemd_nspawn_test.sh";
  }
  void with(const std::string& name) {
    name_ = name;
    add(systemd_unit(name));
    make();
  }
  std::string shell(const std::string& command) {
    std::optional<std::string> output;
    const auto child = run_child(loop_, ChildSpec::shell(command),
                                 [&](const ChildResult& result) { output = result.output; });
    EXPECT_TRUE(wait([&] { return output.has_value(); }));
    return output ? last_line(*output) : "";
  }
  std::string show(const std::string& property) {
    return shell("systemctl show --value -p " + property + " " + name_);
  }
  void kill_main() {
    const pid_t pid = main_pid();
    ASSERT_GT(pid, 1);  // 0 would be this very test
    kill(pid, SIGKILL);
  }
  pid_t main_pid() { return std::atoi(show("MainPID").c_str()); }
  std::string name_;
};

TEST_F(SystemdUnitTest, StartsStopsAndIsIdempotent) {
  with("cdt-good.service");
  stop();
  expect(Outcome::kStopped);
  start();
  expect(Outcome::kStarted);
  EXPECT_EQ(show("ActiveState"), "active");
  start();
  EXPECT_EQ(expect(Outcome::kStarted), "runs already");
  stop();
  expect(Outcome::kStopped);
  EXPECT_EQ(show("ActiveState"), "inactive");
}

TEST_F(SystemdUnitTest, ACrashIsAnEvent) {
  with("cdt-good.service");
  start();
  expect(Outcome::kStarted);
  kill_main();
  EXPECT_EQ(expect(Outcome::kCrashed), "failed (killed by SIGKILL)");
  start();
  expect(Outcome::kStarted);
  stop();
  expect(Outcome::kStopped);
}

TEST_F(SystemdUnitTest, ACrashIsToldAlthoughSystemdRestarts) {
  with("cdt-restart.service");
  start();
  expect(Outcome::kStarted);
  kill_main();
  EXPECT_NE(expect(Outcome::kCrashed).find("systemd restarts it"), std::string::npos);
  start();  // does not wait for RestartSec
  expect(Outcome::kStarted);
  kill_main();
  expect(Outcome::kCrashed);
  stop();
  expect(Outcome::kStopped);
  EXPECT_NE(show("ActiveState"), "activating") << "systemd's attempts must be over";
}

TEST_F(SystemdUnitTest, SystemdsStartLimitDoesNotCount) {
  with("cdt-good.service");
  for (int i = 0; i < 8; ++i) {  // the limit is 5 within 10 s
    start();
    expect(Outcome::kStarted);
    kill_main();
    expect(Outcome::kCrashed);
  }
  stop();
  expect(Outcome::kStopped);
}

TEST_F(SystemdUnitTest, AnAdministratorsStopIsToldAndHisRestartIsNoCrash) {
  with("cdt-good.service");
  start();
  expect(Outcome::kStarted);
  shell("systemctl restart cdt-good.service");
  expect_silence();
  shell("systemctl stop cdt-good.service");
  EXPECT_EQ(expect(Outcome::kCrashed), "inactive (dead)");
}

TEST_F(SystemdUnitTest, NotifyIsWaitedFor) {
  with("cdt-notify.service");
  start();
  expect(Outcome::kStarted);
  EXPECT_TRUE(std::filesystem::exists("/run/cdt-ready"));
  stop();
  expect(Outcome::kStopped);
}

TEST_F(SystemdUnitTest, AFailedStartSaysWhy) {
  with("cdt-fail.service");
  start();
  EXPECT_NE(expect(Outcome::kStartFailed).find("failed (exit code 3)"), std::string::npos);
  stop();
  expect(Outcome::kStopped);
}

TEST_F(SystemdUnitTest, AOneshotNeedsRemainAfterExit) {
  with("cdt-oneshot.service");
  add(systemd_unit("cdt-remain.service"));
  make();
  start();
  EXPECT_NE(expect(Outcome::kStartFailed).find("RemainAfterExit=yes"), std::string::npos);
  start(1);
  expect(Outcome::kStarted);
  stop(false, 1);
  expect(Outcome::kStopped);
}

TEST_F(SystemdUnitTest, AMissingUnitAndAMaskedOneAreNamed) {
  with("cdt-missing.service");
  add(systemd_unit("cdt-masked.service"));
  make();
  start();
  EXPECT_NE(expect(Outcome::kStartFailed).find("does not exist on this node"), std::string::npos);
  stop();
  expect(Outcome::kStopped);
  start(1);
  EXPECT_NE(expect(Outcome::kStartFailed).find("systemctl unmask"), std::string::npos);
}

TEST_F(SystemdUnitTest, AStopThatHangsIsKilled) {
  with("cdt-hang.service");
  start();
  expect(Outcome::kStarted);
  ASSERT_TRUE(wait([] { return std::filesystem::exists("/run/cdt-hang-ready"); }));
  const pid_t pid = main_pid();
  stop();
  expect_silence();
  stop(true);
  expect(Outcome::kStopped);
  EXPECT_FALSE(lives(pid));
}

TEST_F(SystemdUnitTest, AStopDuringAStartWins) {
  with("cdt-slow.service");
  start();
  ASSERT_TRUE(wait([this] { return show("ActiveState") == "activating"; }));
  stop();
  expect(Outcome::kStopped);
  expect_silence();
  EXPECT_NE(show("ActiveState"), "activating");
}

TEST_F(SystemdUnitTest, AnAliasMeansTheUnit) {
  with("cdt-alias.service");
  start();
  expect(Outcome::kStarted);
  name_ = "cdt-good.service";
  kill_main();
  expect(Outcome::kCrashed);
  stop();
  expect(Outcome::kStopped);
}

TEST_F(SystemdUnitTest, WhatRunsSurvivesThePortAndIsFollowedAgain) {
  with("cdt-good.service");
  start();
  expect(Outcome::kStarted);
  const pid_t pid = main_pid();
  make();
  start();
  expect(Outcome::kStarted);
  EXPECT_EQ(main_pid(), pid);
  kill(pid, SIGKILL);
  expect(Outcome::kCrashed);
}

TEST_F(SystemdUnitTest, ALostBusIsFoundAgain) {
  with("cdt-good.service");
  start();
  expect(Outcome::kStarted);
  const pid_t pid = main_pid();
  shell("pid=$(systemctl show --value -p MainPID dbus.service); kill -9 $pid; kill -9 " +
        std::to_string(pid));
  expect(Outcome::kCrashed);
  start();
  expect(Outcome::kStarted);
  stop();
  expect(Outcome::kStopped);
}

TEST_F(SystemdUnitTest, TheFileStateIsAsked) {
  make();
  for (const auto& [unit, wanted] :
       {std::pair{"cdt-fail.service", "static"}, {"cdt-masked.service", "masked"}}) {
    std::optional<Result<std::string>> state;
    units_->unit_file_state(unit, [&](Result<std::string> result) { state = std::move(result); });
    ASSERT_TRUE(wait([&] { return state.has_value(); }));
    ASSERT_TRUE(*state) << state->error().message;
    EXPECT_EQ(**state, wanted);
  }
}

}  // namespace
}  // namespace clusterd
