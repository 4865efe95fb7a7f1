// What the daemon asks of its process, its log, and the gate's stand-in.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "daemon/fallback_gate.hpp"
#include "daemon/log.hpp"
#include "daemon/process_setup.hpp"

namespace clusterd {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class FolderTest : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/cdt-daemon-XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    folder_ = folder;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string folder_;
};

TEST_F(FolderTest, OneInstancePerRunFolder) {
  const auto first = lock_instance(folder_);
  ASSERT_TRUE(first.has_value());
  const auto second = lock_instance(folder_);
  ASSERT_FALSE(second.has_value());
  EXPECT_NE(second.error().message.find("process " + std::to_string(::getpid())), std::string::npos);
  ::close(*first);
  const auto third = lock_instance(folder_);
  ASSERT_TRUE(third.has_value());  // a dead daemon locks nobody out
  ::close(*third);
}

TEST_F(FolderTest, LockFollowsNoLink) {
  ASSERT_EQ(::symlink("/etc/hostname", (folder_ + "/clusterd.lock").c_str()), 0);
  EXPECT_FALSE(lock_instance(folder_).has_value());
}

TEST_F(FolderTest, MakesFolders) {
  EXPECT_TRUE(make_folder(folder_ + "/a/b", 0700).has_value());
  EXPECT_TRUE(make_folder(folder_ + "/a/b", 0700).has_value());
  EXPECT_FALSE(make_folder("/proc/nothing/here", 0700).has_value());
}

TEST_F(FolderTest, TellsTheManager) {
  const std::string path = folder_ + "/notify";
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size());
  ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  notify_manager("READY=1");
  char text[16] = {};
  EXPECT_EQ(::recv(fd, text, sizeof text, MSG_DONTWAIT), 7);
  EXPECT_STREQ(text, "READY=1");
  for (int i = 0; i < 2000; ++i) notify_manager("WATCHDOG=1");  // nobody reads: must not wait
  ::unsetenv("NOTIFY_SOCKET");
  notify_manager("READY=1");
  ::close(fd);
}

TEST(Watchdog, IsFedTwiceAsOftenAsNeeded) {
  ::unsetenv("WATCHDOG_USEC");
  EXPECT_FALSE(watchdog_interval().has_value());
  ::setenv("WATCHDOG_USEC", "30000000", 1);
  EXPECT_EQ(watchdog_interval(), Duration(seconds(15)));
  ::setenv("WATCHDOG_USEC", "30s", 1);
  EXPECT_FALSE(watchdog_interval().has_value());
  ::unsetenv("WATCHDOG_USEC");
}

TEST(BootIds, Differ) { EXPECT_NE(random_boot_id(), random_boot_id()); }

std::string logged(bool debug, const std::function<void(Log&)>& use) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  {
    Log log(debug, ends[1]);
    use(log);
  }
  ::close(ends[1]);
  std::string text;
  char chunk[4096];
  for (ssize_t n = 0; (n = ::read(ends[0], chunk, sizeof chunk)) > 0;)
    text.append(chunk, static_cast<size_t>(n));
  ::close(ends[0]);
  return text;
}

TEST(LogTest, OneEventIsOneLineWithItsPriority) {
  const std::string text = logged(false, [](Log& log) {
    log.line(Severity::kError, "bad\n<0>forged");
    log.line(Severity::kDebug, "unseen");
    log.line(Severity::kInfo, "good");
  });
  EXPECT_EQ(text, "<3>bad <0>forged\n<6>good\n");
  EXPECT_EQ(logged(true, [](Log& log) { log.line(Severity::kDebug, "seen"); }), "<7>seen\n");
}

TEST(LogTest, FieldsGoToTheJournalAndACarriageReturnForgesNone) {
  int ends[2], journal[2];
  ASSERT_EQ(::pipe(ends), 0);
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_DGRAM, 0, journal), 0);
  {
    Log log(false, ends[1], journal[1]);
    log.line(Severity::kWarning, "a line", {{"CLUSTERD_SERVICE", "web\nPRIORITY=0"}});
  }
  char got[512];
  const ssize_t n = ::recv(journal[0], got, sizeof got, MSG_DONTWAIT);
  ASSERT_GT(n, 0);
  EXPECT_EQ(std::string(got, static_cast<size_t>(n)),
            "MESSAGE=a line\nSYSLOG_IDENTIFIER=clusterd\nPRIORITY=4\nCLUSTERD_SERVICE=web PRIORITY=0\n");
  ::close(journal[0]);
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST(LogTest, WhatTheJournalDoesNotTakeIsWrittenToStderr) {
  int journal[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_DGRAM, 0, journal), 0);
  ::close(journal[0]);
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  {
    Log log(false, ends[1], journal[1]);
    log.line(Severity::kInfo, "kept", {{"CLUSTERD_SERVICE", "web"}});
  }
  ::close(ends[1]);
  char got[64] = {};
  EXPECT_GT(::read(ends[0], got, sizeof got - 1), 0);
  EXPECT_STREQ(got, "<6>kept\n");
  ::close(ends[0]);
}

TEST(LogTest, AJournalThatStandsStillStopsNobody) {
  ::signal(SIGPIPE, SIG_IGN);  // as the daemon does
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  Log log(false, ends[1]);
  for (int i = 0; i < 5000; ++i) log.line(Severity::kInfo, std::string(1000, 'x'));  // nobody reads the pipe
  ::close(ends[0]);                                                                  // lets the writer end
  SUCCEED();
}

class Carried final : public Addresses {
 public:
  void add(ServiceId service) override { calls.push_back("add " + std::to_string(service.at())); }
  void remove(ServiceId service) override { calls.push_back("remove " + std::to_string(service.at())); }
  void announce(ServiceId /*service*/) override {}
  void probe(const ProbeAddress& /*order*/) override {}
  std::vector<std::string> calls;
};

TEST(FallbackGateTest, TakesAddressesAwayWhenTheLeaseRunsOut) {
  EventLoop loop;
  FallbackGate gate(loop, 2);
  Carried addresses;
  gate.use(addresses);
  const ServiceId service(size_t{1});
  gate.set(service, EventLoop::now() + milliseconds(30));
  EXPECT_TRUE(addresses.calls.empty());  // it gives nothing that it has not taken
  EXPECT_TRUE(loop.run_until([&] { return !addresses.calls.empty(); }, seconds(20)));
  EXPECT_EQ(addresses.calls, std::vector<std::string>{"remove 1"});
  gate.set(service, EventLoop::now() + seconds(60));
  EXPECT_EQ(addresses.calls.back(), "add 1");
  gate.shut(service);
  EXPECT_EQ(addresses.calls.back(), "remove 1");
  gate.shut(service);
  EXPECT_EQ(addresses.calls.size(), 3U);
}

TEST(FallbackGateTest, ARenewedLeaseKeepsTheAddresses) {
  EventLoop loop;
  FallbackGate gate(loop, 1);
  Carried addresses;
  gate.use(addresses);
  const ServiceId service(size_t{0});
  gate.set(service, EventLoop::now() + milliseconds(20));
  gate.set(service, EventLoop::now() + seconds(60));
  bool later = false;
  const auto timer = loop.at(EventLoop::now() + milliseconds(60), [&] { later = true; });
  EXPECT_TRUE(loop.run_until([&] { return later; }, seconds(20)));
  EXPECT_TRUE(addresses.calls.empty());
}

}  // namespace
}  // namespace clusterd
