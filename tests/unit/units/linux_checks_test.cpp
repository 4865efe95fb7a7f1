// Checks against real listeners and commands.
#include "linux/units/linux_checks.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "linux/fd.hpp"
#include "unit/state/temporary_folder.hpp"

namespace clusterd {
namespace {

using namespace std::chrono_literals;

class LinuxChecksTest : public testing::Test {
 protected:
  LinuxChecksTest() {
    auto& service = config_.services.emplace_back();
    service.name = "web";
    service.addresses.push_back(*Prefix::parse("127.0.0.1/8"));
  }
  void with(CheckConfig check) {
    check.every = 10ms;
    config_.services[0].checks.push_back(std::move(check));
    checks_ = std::make_unique<LinuxChecks>(
        loop_, config_,
        [this](Event event) {
          reports_.push_back(std::get<CheckReport>(event));
          if (on_report_) on_report_();
        },
        "/no/clusterd-check");
  }
  CheckConfig command(const std::string& text) {
    CheckConfig check;
    check.kind = CheckConfig::Kind::kCommand;
    check.command = "cd " + folder_.path() + "; " + text;
    return check;
  }
  bool wait(size_t reports) {
    return loop_.run_until([&] { return reports_.size() >= reports; }, 60s);
  }
  // A listener on a free port of loopback; the port stays bound while the descriptor is open.
  static Fd listen_on(uint16_t& port) {
    Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int one = 1;
    setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(fd.get(), 100), 0);
    getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size);
    port = ntohs(address.sin_port);
    return fd;
  }

  const TemporaryFolder folder_;
  EventLoop loop_;
  Config config_;
  std::unique_ptr<LinuxChecks> checks_;
  std::vector<CheckReport> reports_;
  std::function<void()> on_report_;
};

TEST_F(LinuxChecksTest, TcpFollowsTheListener) {
  CheckConfig check;
  Fd listener = listen_on(check.port);
  uint16_t port = check.port;
  with(check);
  checks_->start(ServiceId(0));
  ASSERT_TRUE(wait(1));
  EXPECT_TRUE(reports_[0].ok) << reports_[0].detail;
  EXPECT_EQ(reports_[0].check, CheckId(0));
  listener.reset();
  ASSERT_TRUE(wait(3)) << "each failure is reported";
  EXPECT_FALSE(reports_[1].ok);
  EXPECT_FALSE(reports_[2].ok);
  EXPECT_EQ(reports_[1].detail, "127.0.0.1 port " + std::to_string(port) + ": Connection refused");
  listener = listen_on(port);
  ASSERT_TRUE(loop_.run_until([&] { return reports_.back().ok; }, 60s));
}

TEST_F(LinuxChecksTest, GoodResultsAreReportedOnce) {
  with(command("echo x >> runs; echo all well"));
  checks_->start(ServiceId(0));
  ASSERT_TRUE(loop_.run_until([&] { return folder_.read("runs").size() >= 10; }, 60s));
  ASSERT_EQ(reports_.size(), 1U);
  EXPECT_TRUE(reports_[0].ok);
  EXPECT_EQ(reports_[0].detail, "all well");
}

TEST_F(LinuxChecksTest, ACommandsFailureGivesItsLastWords) {
  with(command("echo first; echo no table >&2; exit 2"));
  checks_->start(ServiceId(0));
  ASSERT_TRUE(wait(1));
  EXPECT_FALSE(reports_[0].ok);
  EXPECT_EQ(reports_[0].detail, "exit code 2: no table");
}

TEST_F(LinuxChecksTest, AHangingCommandFailsOncePerRunAndRunsNeverOverlap) {
  CheckConfig check = command(
      "test -e running && echo overlap > overlap; touch running; trap 'rm running' EXIT;"
      "trap 'exit 1' TERM; echo x >> runs; sleep 1000 & wait");
  check.timeout = 200ms;
  with(check);
  checks_->start(ServiceId(0));
  ASSERT_TRUE(wait(3));
  EXPECT_FALSE(reports_[0].ok);
  EXPECT_EQ(reports_[0].detail, "no answer in time");
  EXPECT_FALSE(folder_.has("overlap"));
  EXPECT_LE(reports_.size() * 2, folder_.read("runs").size());
}

TEST_F(LinuxChecksTest, AnUnansweredConnectionTimesOut) {
  // A listener whose queue is full answers no further handshake.
  CheckConfig check;
  const Fd listener = listen_on(check.port);
  listen(listener.get(), 0);
  std::vector<Fd> fillers;
  for (int i = 0; i < 4; ++i) {
    Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(check.port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    [[maybe_unused]] const int ignored =
        connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
    fillers.push_back(std::move(fd));
  }
  check.timeout = 200ms;
  with(check);
  checks_->start(ServiceId(0));
  ASSERT_TRUE(wait(1));
  EXPECT_FALSE(reports_[0].ok);
  EXPECT_NE(reports_[0].detail.find("no answer in time"), std::string::npos) << reports_[0].detail;
}

TEST_F(LinuxChecksTest, NothingIsReportedAfterStop) {
  with(command("echo x >> runs; exit 1"));
  checks_->start(ServiceId(0));
  checks_->start(ServiceId(0));
  on_report_ = [this] { checks_->stop(ServiceId(0)); };  // from inside a report
  ASSERT_TRUE(wait(1));
  loop_.run_until([] { return false; }, 200ms);
  EXPECT_EQ(reports_.size(), 1U);
  EXPECT_EQ(folder_.read("runs"), "x\n");
  on_report_ = nullptr;
  checks_->start(ServiceId(0));
  ASSERT_TRUE(wait(2)) << "the first result after a start is always told";
}

TEST_F(LinuxChecksTest, AServiceWithoutAddressFailsItsTcpCheckWithARemedy) {
  config_.services[0].addresses.clear();
  CheckConfig check;
  check.port = 80;
  with(check);
  checks_->start(ServiceId(0));
  ASSERT_TRUE(wait(1));
  EXPECT_FALSE(reports_[0].ok);
  EXPECT_NE(reports_[0].detail.find("address:port"), std::string::npos);
}

}  // namespace
}  // namespace clusterd
