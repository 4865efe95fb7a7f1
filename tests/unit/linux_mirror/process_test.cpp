// The port: the agent as a child, its crash, cancelling, and the end of receivers.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "two_nodes.hpp"

namespace clusterd {
namespace {

namespace fs = std::filesystem;
using Kind = MirrorReport::Kind;
using Outcome = MirrorReport::Outcome;

constexpr Duration kLong = std::chrono::seconds(60);
const ServiceId kWeb{size_t{0}};

class Process : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root for sshd and namespaces";
    nodes = std::make_unique<TwoNodes>();
    for (const int node : {0, 1}) write_file(nodes->at(node, "conf/etc/app.conf"), "setting = 1\n");
  }
  // The port of serv1. The agent has to see the files as the node does, so it is started by a small wrapper.
  void start() {
    MirrorPaths paths = nodes->paths(0);
    paths.program = nodes->root + "/agent";
    write_file(paths.program, fmt::format("#!/bin/sh\nexec nsenter -m/proc/{}/ns/mnt {} \"$@\"\n",
                                          nodes->sshd_pid(0), MIRROR_PROGRAM));
    fs::permissions(paths.program, fs::perms::owner_all);
    process = std::make_unique<MirrorProcess>(loop, nodes->config(0), paths, [this](Event event) {
      const auto& report = std::get<MirrorReport>(event);
      (report.outcome == Outcome::kProgress ? progress : reports).push_back(report);
    });
  }
  void order(Kind kind, uint64_t epoch) {
    MirrorOrder o;
    o.service = kWeb;
    o.mirror = MirrorId(size_t{0});
    o.kind = kind;
    o.epoch.value = epoch;
    process->order(o);
  }
  bool await(const std::function<bool()>& done) { return loop.run_until(done, kLong); }
  // Much that rsync takes seconds for: the limit of the bandwidth sees to that.
  void make_it_slow() {
    std::string text = read_file(nodes->root + "/config/services/web.toml");
    text.insert(text.find("via = "), "bandwidth = \"512KiB/s\"\n");
    write_file(nodes->root + "/config/services/web.toml", text);
    write_file(a("big"), std::string(200 << 20, 'x'));
  }
  [[nodiscard]] bool arriving() const {  // the receiver's temporary file
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(nodes->at(1, "data"), error)) {
      if (entry.path().filename().string().find(".big.") == 0) return true;
    }
    return false;
  }
  std::string a(const std::string& name) const { return nodes->at(0, "data/" + name); }
  std::string b(const std::string& name) const { return nodes->at(1, "data/" + name); }

  EventLoop loop;
  std::unique_ptr<TwoNodes> nodes;
  std::unique_ptr<MirrorProcess> process;
  std::vector<MirrorReport> reports, progress;
};

TEST_F(Process, RunsOrdersAndReports) {
  write_file(a("x"), "1");
  start();
  order(Kind::kResync, 2);
  ASSERT_TRUE(await([&] { return reports.size() == 1; }));
  EXPECT_EQ(reports[0].outcome, Outcome::kDone) << reports[0].detail;
  EXPECT_EQ(reports[0].kind, Kind::kResync);
  EXPECT_EQ(reports[0].epoch.value, 2u);
  EXPECT_EQ(nodes->differences("data"), "");
}

TEST_F(Process, AKilledAgentFailsItsOrdersAndTheNextRunHeals) {
  make_it_slow();
  start();
  order(Kind::kRun, 2);
  ASSERT_TRUE(await([&] { return arriving(); }));
  const pid_t first = process->agent_pid();
  ::kill(first, SIGKILL);
  ASSERT_TRUE(await([&] { return reports.size() == 1; }));
  EXPECT_EQ(reports[0].outcome, Outcome::kFailed);
  EXPECT_FALSE(exists(b("big")));
  // Its rsync ends with it, and with the connection the receiver.
  ASSERT_TRUE(await([&] { return !arriving(); }));
  fs::resize_file(a("big"), 1000);
  ASSERT_TRUE(await([&] { return process->agent_pid() > 0 && process->agent_pid() != first; }));
  order(Kind::kRun, 2);
  ASSERT_TRUE(await([&] { return reports.size() == 2; }));
  EXPECT_EQ(reports[1].outcome, Outcome::kDone) << reports[1].detail;
  EXPECT_EQ(nodes->differences("data"), "");
}

TEST_F(Process, CancelKillsTheRun) {
  make_it_slow();
  start();
  order(Kind::kRun, 2);
  ASSERT_TRUE(await([&] { return arriving(); }));
  process->cancel(kWeb);
  ASSERT_TRUE(await([&] { return reports.size() == 1; }));
  EXPECT_EQ(reports[0].outcome, Outcome::kFailed);
  EXPECT_EQ(reports[0].detail, "cancelled");
  ASSERT_TRUE(await([&] { return !arriving(); }));
}

TEST_F(Process, StopReceiversEndsWhatThePeerWrites) {
  make_it_slow();
  // serv2's port; its daemon registers the receiver when it permits it.
  EventLoop there;
  MirrorPaths paths = nodes->paths(1);
  paths.run_dir = nodes->at(1, "run");
  MirrorProcess target(there, nodes->config(1), paths, [](const Event&) {});
  std::atomic<pid_t> receiver{0};
  nodes->daemons[1]->when_allowed([&](pid_t pid) { receiver = pid; });
  start();
  order(Kind::kRun, 2);
  ASSERT_TRUE(await([&] { return receiver != 0 && arriving(); }));
  target.register_receiver(kWeb, receiver);
  EXPECT_EQ(target.receivers(kWeb), 1u);
  // As the real daemon does, which is about to become active: otherwise the source tries its next link.
  nodes->daemons[1]->allow = false;
  target.stop_receivers(kWeb);
  // From here on nothing writes: the group has no live member, and the file does not grow.
  EXPECT_EQ(shell(fmt::format("ps -eo pgid,stat | awk '$1 == {} && $2 !~ /^Z/' ", receiver.load())), "");
  EXPECT_EQ(target.receivers(kWeb), 0u);
  ASSERT_TRUE(await([&] { return reports.size() == 1; }));
  EXPECT_EQ(reports[0].outcome, Outcome::kFailed);
  EXPECT_FALSE(exists(b("big")));
}

TEST_F(Process, ARestartedDaemonKnowsWhoIsWriting) {
  make_it_slow();
  start();
  order(Kind::kRun, 2);
  ASSERT_TRUE(await([&] { return arriving(); }));
  EventLoop there;
  MirrorPaths paths = nodes->paths(1);
  paths.run_dir = nodes->at(1, "run");
  MirrorProcess target(there, nodes->config(1), paths, [](const Event&) {});
  ASSERT_EQ(target.receivers(kWeb), 1u);
  nodes->daemons[1]->allow = false;
  target.stop_receivers(kWeb);
  ASSERT_TRUE(await([&] { return reports.size() == 1; }));
  EXPECT_EQ(reports[0].outcome, Outcome::kFailed);
}

// Needs no second node.
TEST(Receivers, AProcessThatEndsIsForgottenAndAStrangersGroupIsLeftAlone) {
  EventLoop loop;
  Config config;
  config.services.resize(1);
  config.services[0].name = "web";
  MirrorProcess process(loop, config, {"/none", "/none", "/none", "serv1", "/bin/false"},
                        [](const Event&) {});
  const auto sleeper = [](bool own_group) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      if (own_group) ::setpgid(0, 0);
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      while (true) ::pause();
    }
    if (own_group) ::setpgid(pid, pid);
    return pid;
  };
  const pid_t ended = sleeper(true), member = sleeper(false);
  process.register_receiver(kWeb, ended);
  process.register_receiver(kWeb, member);
  EXPECT_EQ(process.receivers(kWeb), 2u);
  ::kill(ended, SIGKILL);
  EXPECT_TRUE(loop.run_until([&] { return process.receivers(kWeb) == 1; }, kLong));
  process.stop_receivers(kWeb);  // this test program is in the same group as `member`, and lives
  EXPECT_EQ(process.receivers(kWeb), 0u);
  int status = 0;
  EXPECT_EQ(::waitpid(member, &status, WNOHANG), member);
  EXPECT_TRUE(WIFSIGNALED(status));
  ::waitpid(ended, nullptr, 0);
}

}  // namespace
}  // namespace clusterd
