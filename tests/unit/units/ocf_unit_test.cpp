// Resource agents: the calls, every exit code, and the real Dummy of the package resource-agents.
#include "linux/units/ocf_unit.hpp"

#include <gmock/gmock.h>

#include <cstdlib>

#include "unit/units/units_fixture.hpp"

namespace clusterd {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

ChildResult ended(int code, std::string output = "") {
  ChildResult result;
  result.started = true;
  result.exit_code = code;
  result.output = std::move(output);
  return result;
}

TEST(OcfAgent, EveryExitCodeHasItsMeaning) {
  const std::map<int, OcfMeaning> table{
      {0, OcfMeaning::kGood},     {1, OcfMeaning::kFailed},     {2, OcfMeaning::kNotHere},
      {3, OcfMeaning::kNotHere},  {4, OcfMeaning::kNotHere},    {5, OcfMeaning::kNotHere},
      {6, OcfMeaning::kNowhere},  {7, OcfMeaning::kNotRunning}, {8, OcfMeaning::kGood},
      {9, OcfMeaning::kFailed},   {190, OcfMeaning::kWarning},  {191, OcfMeaning::kWarning},
      {10, OcfMeaning::kFailed},  {126, OcfMeaning::kFailed},   {127, OcfMeaning::kFailed},
      {189, OcfMeaning::kFailed}, {255, OcfMeaning::kFailed},
  };
  for (const auto& [code, meaning] : table) EXPECT_EQ(ocf_meaning(ended(code)), meaning) << code;
  ChildResult late = ended(0);
  late.timed_out = true;
  EXPECT_EQ(ocf_meaning(late), OcfMeaning::kUnknown);
  ChildResult killed = ended(0);
  killed.signal = 9;
  EXPECT_EQ(ocf_meaning(killed), OcfMeaning::kUnknown);
  EXPECT_EQ(ocf_meaning(ChildResult{}), OcfMeaning::kUnknown) << "it could not be executed";
}

TEST(OcfAgent, TheReasonIsShownBeforeAllElse) {
  EXPECT_EQ(ocf_text(ended(6, "ocf-exit-reason:no such device\nERROR: something else\n")),
            "exit code 6 (wrong configuration): no such device (something else)");
  EXPECT_EQ(ocf_text(ended(5, "x\nERROR: httpd is missing\n")),
            "exit code 5 (not installed): httpd is missing");
  EXPECT_EQ(ocf_text(ended(6, "Nov 28 ERROR: no device eth7\nocf-exit-reason:[findif] failed\n")),
            "exit code 6 (wrong configuration): [findif] failed (no device eth7)");
  EXPECT_EQ(ocf_text(ended(7)), "exit code 7 (does not run)");
  EXPECT_EQ(ocf_reason("ocf-exit-reason:first\nocf-exit-reason:second\n"), "second");
  EXPECT_EQ(ocf_reason("he said ocf-exit-reason:quoted\n"), "");
  EXPECT_EQ(ocf_reason("ocf-exit-reason:real\nhe said ocf-exit-reason:quoted"), "real");
  EXPECT_EQ(ocf_reason("ocf-exit-reason:a\x1b[31mb\n"), "a [31mb");
  EXPECT_LE(ocf_reason("ocf-exit-reason:" + std::string(10000, 'x')).size(), 300U);
}

// An agent that obeys files in a folder: "MONITOR" etc. hold exit codes, "up" is what runs.
constexpr const char* kAgent = R"sh(#!/bin/sh
cd "$OCF_RESKEY_folder" || exit 6
env | sort > "env.$1.new" && mv "env.$1.new" "env.$1"
echo "$1 $OCF_CHECK_LEVEL" >> calls
[ -e "$1.hangs" ] && exec sleep 1000
if [ -e "$1.code" ]; then
  echo "noise" >&2
  echo "ocf-exit-reason:told to end with $(cat $1.code)" >&2
  echo "afterthought" >&2
  exit $(cat "$1.code")
fi
case $1 in
  start) touch up ;;
  stop) [ -e stubborn ] || rm -f up ;;
  monitor) [ -e up ] || exit 7 ;;
  *) exit 3 ;;
esac
)sh";

class OcfUnitTest : public UnitsTest {
 protected:
  void SetUp() override {
    setenv("OCF_ROOT", folder_.path().c_str(), 1);
    setenv("SECRET_OF_THE_DAEMON", "x", 1);
    std::filesystem::create_directories(folder_.file("resource.d/test"));
    std::filesystem::create_directories(folder_.file("state"));
    folder_.write("resource.d/test/Obedient", kAgent);
    may_run(true);
    with("Obedient");
  }
  void TearDown() override {
    unsetenv("OCF_ROOT");
    unsetenv("SECRET_OF_THE_DAEMON");
    UnitsTest::TearDown();
  }
  void with(const std::string& type) {
    config_.services.clear();
    UnitConfig unit;
    unit.kind = UnitConfig::Kind::kOcf;
    unit.name = "app";
    unit.ocf.provider = "test";
    unit.ocf.type = type;
    unit.ocf.parameters = {{"folder", folder_.file("state")}, {"password", "hunter22"}};
    unit.ocf.monitor_every = 10ms;
    unit.ocf.monitor_timeout = 20s;
    unit.ocf.monitor_depth = 10;
    add(std::move(unit));
    make();
  }
  void make() {
    units_ = std::make_unique<LinuxUnits>(
        loop_, config_, folder_.path(),
        [this](Event event) { reports_.push_back(std::get<UnitReport>(event)); },
        [this](const std::string& text) { warnings_.push_back(text); });
  }
  OcfConfig& ocf() { return config_.services[0].units[0].ocf; }
  void may_run(bool may) const {
    std::filesystem::permissions(folder_.file("resource.d/test/Obedient"),
                                 may ? std::filesystem::perms(0755) : std::filesystem::perms(0644));
  }
  void code(const std::string& action, int value) const {
    folder_.write("state/" + action + ".code", std::to_string(value));
  }
  void clear(const std::string& name) const { std::filesystem::remove(folder_.file("state/" + name)); }
  [[nodiscard]] size_t count(const std::string& call) const {
    std::istringstream calls(folder_.read("state/calls"));
    size_t n = 0;
    for (std::string line; std::getline(calls, line);) n += line == call ? 1U : 0U;
    return n;
  }
  std::vector<std::string> warnings_;
};

TEST_F(OcfUnitTest, StartsWatchesAndStops) {
  start();
  expect(Outcome::kStarted);
  EXPECT_EQ(count("start "), 1U);
  ASSERT_TRUE(wait([&] { return count("monitor 10") >= 3; })) << "again and again, at its depth";
  start();
  EXPECT_EQ(expect(Outcome::kStarted), "runs already");
  stop();
  expect(Outcome::kStopped);
  EXPECT_FALSE(folder_.has("state/up"));
  EXPECT_EQ(count("stop "), 1U);
  stop();
  expect(Outcome::kStopped);
  EXPECT_EQ(count("stop "), 1U) << "what does not run is only asked";
}

TEST_F(OcfUnitTest, TheAgentIsToldWhatTheApiSaysAndNothingElse) {
  start();
  expect(Outcome::kStarted);
  const std::string env = folder_.read("state/env.start");
  for (const char* line :
       {"OCF_RA_VERSION_MAJOR=1\n", "OCF_RA_VERSION_MINOR=1\n", "OCF_RESOURCE_INSTANCE=web.app\n",
        "OCF_RESOURCE_TYPE=Obedient\n", "OCF_RESOURCE_PROVIDER=test\n", "OCF_RESKEY_password=hunter22\n",
        "OCF_RESKEY_CRM_meta_timeout=30000\n", "OCF_RESKEY_CRM_meta_interval=0\n", "PATH=/usr/local/sbin:"})
    EXPECT_THAT(env, HasSubstr(line));
  EXPECT_THAT(env, HasSubstr("OCF_ROOT=" + folder_.path()));
  EXPECT_THAT(env, Not(HasSubstr("SECRET_OF_THE_DAEMON")));
  ASSERT_TRUE(wait([&] { return count("monitor 10") >= 1; }));
  EXPECT_THAT(folder_.read("state/env.monitor"), HasSubstr("OCF_RESKEY_CRM_meta_interval=10\n"));
}

TEST_F(OcfUnitTest, ANewDaemonFindsItRunning) {
  start();
  expect(Outcome::kStarted);
  make();
  start();
  EXPECT_EQ(expect(Outcome::kStarted), "runs already");
  EXPECT_EQ(count("start "), 1U);
  make();
  stop();
  expect(Outcome::kStopped);
  EXPECT_FALSE(folder_.has("state/up"));
}

TEST_F(OcfUnitTest, AFailedStartGivesTheAgentsReason) {
  for (const int number : {1, 2, 3, 4, 5, 6, 7, 9, 42}) {
    code("start", number);
    start();
    EXPECT_THAT(expect(Outcome::kStartFailed), HasSubstr("told to end with " + std::to_string(number)));
    EXPECT_EQ(reports_.back().again, number == 6                  ? UnitReport::Again::kNowhere
                                     : number >= 2 && number <= 5 ? UnitReport::Again::kElsewhere
                                                                  : UnitReport::Again::kHere)
        << number;
    stop();
    expect(Outcome::kStopped);
  }
}

TEST_F(OcfUnitTest, PasswordsAreNotShown) {
  folder_.write("resource.d/test/Obedient",
                "#!/bin/sh\n[ $1 = monitor ] && exit 7\n"
                "echo ocf-exit-reason:cannot log in with $OCF_RESKEY_password >&2; exit 1\n");
  start();
  EXPECT_THAT(expect(Outcome::kStartFailed), HasSubstr("cannot log in with ***"));
}

TEST_F(OcfUnitTest, AStartIsNotBelievedWithoutTheMonitor) {
  folder_.write("resource.d/test/Obedient", "#!/bin/sh\n[ $1 = start ] && exit 0\nexit 7\n");
  start();
  EXPECT_THAT(expect(Outcome::kStartFailed), HasSubstr("start succeeded, but monitor: exit code 7"));
}

TEST_F(OcfUnitTest, WhatIsHalfUpIsStoppedBeforeItIsStarted) {
  code("monitor", 1);
  start();
  ASSERT_TRUE(wait([&] { return count("stop ") == 1; }));
  clear("monitor.code");
  expect(Outcome::kStarted);
  EXPECT_EQ(count("start "), 1U);
}

TEST_F(OcfUnitTest, ACrashIsNoticedByTheMonitor) {
  start();
  expect(Outcome::kStarted);
  clear("up");
  EXPECT_EQ(expect(Outcome::kCrashed), "monitor: exit code 7 (does not run)");
}

TEST_F(OcfUnitTest, AFailureThatTheMonitorFindsIsACrashAndStopIsCalled) {
  start();
  expect(Outcome::kStarted);
  code("monitor", 1);
  EXPECT_THAT(expect(Outcome::kCrashed), HasSubstr("exit code 1 (error): told to end with 1"));
  clear("monitor.code");
  stop();
  expect(Outcome::kStopped);
  EXPECT_EQ(count("stop "), 1U);
}

TEST_F(OcfUnitTest, OneUnansweredMonitorProvesNothing) {
  ocf().monitor_timeout = 300ms;
  make();
  start();
  expect(Outcome::kStarted);
  folder_.write("state/monitor.hangs", "");
  EXPECT_THAT(expect(Outcome::kCrashed), HasSubstr("no answer twice"));
  clear("monitor.hangs");
  stop();
  expect(Outcome::kStopped);
}

TEST_F(OcfUnitTest, AWarningIsToldOnceAndIsNoFailure) {
  code("start", 190);
  folder_.write("state/up", "");
  clear("up");
  // start ends with 190 and leaves nothing running: the monitor is told to warn as well.
  code("monitor", 190);
  start();
  EXPECT_EQ(expect(Outcome::kStarted), "runs already");
  ASSERT_TRUE(wait([&] { return count("monitor 10") >= 3; }));
  ASSERT_EQ(warnings_.size(), 1U);
  EXPECT_EQ(warnings_[0], "web: app: exit code 190 (runs, but may fail soon): told to end with 190");
  code("monitor", 8);
  const size_t seen = count("monitor 10");
  ASSERT_TRUE(wait([&] { return count("monitor 10") >= seen + 2; }));
  code("monitor", 191);
  ASSERT_TRUE(wait([&] { return warnings_.size() == 2; }));
  EXPECT_EQ(seen_, reports_.size()) << "nothing has failed";
}

TEST_F(OcfUnitTest, AStopIsNotBelievedWithoutTheMonitor) {
  start();
  expect(Outcome::kStarted);
  folder_.write("state/stubborn", "");
  stop();
  EXPECT_THAT(expect(Outcome::kStopFailed), HasSubstr("monitor: exit code 0"));
  clear("stubborn");
  stop(true);
  expect(Outcome::kStopped);
}

TEST_F(OcfUnitTest, AStopThatFailsIsNoneThoughTheMonitorFindsNothing) {
  start();
  expect(Outcome::kStarted);
  code("stop", 1);
  clear("up");
  stop();
  EXPECT_THAT(expect(Outcome::kStopFailed), HasSubstr("stop: exit code 1"));
}

TEST_F(OcfUnitTest, NotInstalledMeansStoppedOnlyIfNothingWasStarted) {
  code("monitor", 5);
  stop();
  expect(Outcome::kStopped);
  clear("monitor.code");
  start();
  expect(Outcome::kStarted);
  code("monitor", 5);
  expect(Outcome::kCrashed);
  stop();
  EXPECT_THAT(expect(Outcome::kStopFailed), HasSubstr("exit code 5 (not installed)"));
}

TEST_F(OcfUnitTest, AStartThatTheAgentRefusedLeavesNothingToStop) {
  code("start", 5);
  code("monitor", 5);
  code("stop", 5);
  start();
  expect(Outcome::kStartFailed);
  stop();
  expect(Outcome::kStopped);
}

TEST_F(OcfUnitTest, AKillEndsAHangingStopAndTriesOnceMore) {
  start();
  expect(Outcome::kStarted);
  folder_.write("state/stop.hangs", "");
  stop();
  ASSERT_TRUE(wait([&] { return count("stop ") == 1; }));
  clear("stop.hangs");
  stop(true);
  expect(Outcome::kStopped);
  EXPECT_EQ(count("stop "), 2U);
}

TEST_F(OcfUnitTest, AStopDuringAStartWins) {
  folder_.write("state/start.hangs", "");
  start();
  ASSERT_TRUE(wait([&] { return count("start ") == 1; }));
  stop();
  expect(Outcome::kStopped);
  expect_silence();
  EXPECT_EQ(count("stop "), 1U);
}

TEST_F(OcfUnitTest, AnAgentThatIsMissingOrMayNotBeExecutedSaysWhatToDo) {
  may_run(false);
  start();
  EXPECT_THAT(expect(Outcome::kStartFailed), HasSubstr("chmod +x"));
  with("Absent");
  start();
  EXPECT_THAT(expect(Outcome::kStartFailed), HasSubstr("apt install resource-agents"));
  stop();
  expect(Outcome::kStopped);
}

TEST_F(OcfUnitTest, AnAgentThatVanishedWithItsUnitRunningIsNoStop) {
  start();
  expect(Outcome::kStarted);
  std::filesystem::remove(folder_.file("resource.d/test/Obedient"));
  make();
  stop();
  EXPECT_THAT(expect(Outcome::kStopFailed), HasSubstr("something may run"));
}

// The reference agent as Debian ships it.
TEST_F(OcfUnitTest, TheRealDummy) {
  unsetenv("OCF_ROOT");
  if (access("/usr/lib/ocf/resource.d/heartbeat/Dummy", X_OK) != 0) GTEST_SKIP() << "no resource-agents";
  ocf() = OcfConfig{};
  ocf().provider = "heartbeat";
  ocf().type = "Dummy";
  ocf().parameters = {{"state", folder_.file("dummy.state")}};
  ocf().monitor_every = 10ms;
  make();
  start();
  expect(Outcome::kStarted);
  EXPECT_TRUE(folder_.has("dummy.state"));
  std::filesystem::remove(folder_.file("dummy.state"));
  expect(Outcome::kCrashed);
  start();
  expect(Outcome::kStarted);
  stop();
  expect(Outcome::kStopped);
  EXPECT_FALSE(folder_.has("dummy.state"));
}

}  // namespace
}  // namespace clusterd
