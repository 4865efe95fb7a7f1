// The fence-agents interface against small agents of the test's own, and against one of the real ones where
// the package fence-agents is installed.
#include "linux/fence/linux_fence.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <optional>

namespace clusterd {
namespace {

using std::chrono::seconds;
using Power = FenceReport::Power;

class Agents : public testing::Test {
 protected:
  Agents() {
    char folder[] = "/tmp/fence_test.XXXXXX";
    folder_ = ::mkdtemp(folder);
    config_.self = NodeId(1);
    fence().parameters = {{"ip", "192.0.2.9"}, {"password", "sEsAmE99"}};
    fence().timeout = seconds(20);
  }
  ~Agents() override { (void)!::system(("rm -rf " + folder_).c_str()); }

  FenceConfig& fence() {
    if (!config_.fences[0]) config_.fences[0].emplace();
    return *config_.fences[0];
  }
  // A shell script that has the agent's input in $input and the action in $action.
  void agent(const std::string& body) {
    fence().agent = folder_ + "/fence_test";
    std::ofstream(fence().agent) << "#!/bin/sh\ncd " << folder_
                                 << "\ninput=$(cat); action=$(echo \"$input\" | sed -n s/^action=//p)\n"
                                 << body << "\n";
    ::chmod(fence().agent.c_str(), 0755);
  }
  FenceReport fenced() {
    std::optional<FenceReport> got;
    LinuxFence port(loop_, config_, [&](const Event& event) { got = std::get<FenceReport>(event); });
    port.run({7, NodeId(0)});
    EXPECT_TRUE(loop_.run_until([&] { return got.has_value(); }, seconds(120)));
    return got.value_or(FenceReport{});
  }
  AgentAnswer asked(const std::string& action) {
    std::optional<AgentAnswer> got;
    const auto child = run_agent(loop_, fence(), action, [&](const AgentAnswer& a) { got = a; });
    EXPECT_TRUE(loop_.run_until([&] { return got.has_value(); }, seconds(120)));
    return got.value_or(AgentAnswer{});
  }
  std::string content(const std::string& file) {
    std::ifstream in(folder_ + "/" + file);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  EventLoop loop_;
  Config config_;
  std::string folder_;
};

TEST_F(Agents, ReadItsOrdersLineByLine) {
  agent("echo \"$input\" > input; exit 0");
  EXPECT_TRUE(asked("monitor").done);
  EXPECT_EQ(content("input"), "action=monitor\nip=192.0.2.9\npassword=sEsAmE99\n");
}

TEST_F(Agents, OffAndThenStatusOffIsReported) {
  agent("echo $action >> log; [ $action = status ] && exit 2; exit 0");
  const FenceReport report = fenced();
  EXPECT_EQ(report.order, 7U);
  EXPECT_TRUE(report.off_done);
  EXPECT_EQ(report.power, Power::kOff);
  EXPECT_EQ(content("log"), "off\nstatus\n");
}

TEST_F(Agents, AStatusThatBecomesOffLaterIsAwaited) {
  agent("[ $action = off ] && exit 0; echo x >> asked; [ $(wc -l < asked) -ge 3 ] && exit 2; exit 0");
  EXPECT_EQ(fenced().power, Power::kOff);
  EXPECT_EQ(content("asked"), "x\nx\nx\n");
}

TEST_F(Agents, AStatusThatStaysOnIsReportedAsOn) {
  fence().timeout = seconds(3);
  agent("exit 0");
  const FenceReport report = fenced();
  EXPECT_TRUE(report.off_done);
  EXPECT_EQ(report.power, Power::kOn);
}

TEST_F(Agents, AStatusThatFailsIsNotKnown) {
  fence().timeout = seconds(3);
  agent("[ $action = off ] && exit 0; echo no route >&2; exit 1");
  const FenceReport report = fenced();
  EXPECT_EQ(report.power, Power::kUnknown);
  EXPECT_NE(report.detail.find("no route"), std::string::npos) << report.detail;
}

TEST_F(Agents, AnOffThatFailsIsReportedAndNothingElseIsAsked) {
  agent("echo $action >> log; echo Connection timed out >&2; exit 1");
  const FenceReport report = fenced();
  EXPECT_FALSE(report.off_done);
  EXPECT_NE(report.detail.find("Connection timed out"), std::string::npos) << report.detail;
  EXPECT_EQ(content("log"), "off\n");
}

TEST_F(Agents, ExitCodeTwoMeansOffForStatusAlone) {
  agent("exit 2");
  EXPECT_TRUE(asked("status").off);
  EXPECT_FALSE(asked("off").off);
  EXPECT_FALSE(asked("off").done);
}

TEST_F(Agents, OneThatHangsIsKilledWithItsChildrenAndHasFailed) {
  fence().timeout = seconds(1);
  agent("sleep 1000 & echo $! > child; trap '' TERM; sleep 1000");
  const FenceReport report = fenced();
  EXPECT_FALSE(report.off_done);
  EXPECT_NE(report.detail.find("timed out"), std::string::npos) << report.detail;
  const pid_t child = static_cast<pid_t>(std::stoi(content("child")));
  EXPECT_TRUE(loop_.run_until(
      [&] {
        std::ifstream stat("/proc/" + std::to_string(child) + "/stat");
        std::string pid, name, state;
        return !(stat >> pid >> name >> state) || state == "Z";
      },
      seconds(60)));
}

TEST_F(Agents, OneThatIsNotThereHasFailed) {
  fence().agent = folder_ + "/missing";
  EXPECT_FALSE(fenced().off_done);
}

TEST_F(Agents, PasswordsAreNotShown) {
  agent("echo \"$input\" | tr '\\n' ' ' >&2; exit 1");
  const std::string said = asked("status").text;
  EXPECT_NE(said.find("ip=192.0.2.9"), std::string::npos) << said;
  EXPECT_EQ(said.find("sEsAmE99"), std::string::npos) << said;
  fence().parameters["password"] = "ab";
  EXPECT_EQ(without_secrets(fence(), "login with ab failed").find("ab "), std::string::npos);
  fence().parameters["password"] = "*****";  // replacing must come to an end
  EXPECT_EQ(without_secrets(fence(), "x ***** y"), "x *** y");
}

// fence_dummy keeps the state of an imaginary device in a file: a real agent, with the library that all
// share.
TEST_F(Agents, ARealAgentOfThePackageIsUnderstood) {
  const std::string agent = "/usr/sbin/fence_dummy";
  if (::access(agent.c_str(), X_OK) != 0) GTEST_SKIP() << agent << " is not installed";
  fence().agent = agent;
  fence().timeout = seconds(60);
  fence().parameters = {{"status_file", folder_ + "/status"}, {"type", "file"}};
  std::ofstream(folder_ + "/status") << "on";
  EXPECT_TRUE(asked("monitor").done);
  const AgentAnswer on = asked("status");
  EXPECT_TRUE(on.done) << on.text;
  EXPECT_FALSE(on.off);
  const FenceReport report = fenced();
  EXPECT_TRUE(report.off_done) << report.detail;
  EXPECT_EQ(report.power, Power::kOff) << report.detail;
  EXPECT_TRUE(asked("status").off);
}

}  // namespace
}  // namespace clusterd
