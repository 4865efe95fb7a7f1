// The port on a FIFO: what reaches the device for each order.
#include "linux/watchdog/watchdog_keeper.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>
#include <vector>

namespace clusterd {
namespace {

using std::chrono::seconds;

class Keeper : public testing::Test {
 protected:
  Keeper() {
    std::signal(SIGPIPE, SIG_IGN);
    char folder[] = "/tmp/keeper_test.XXXXXX";
    folder_ = ::mkdtemp(folder);
    config_.device = folder_ + "/watchdog";
    config_.fake = true;
    ::mkfifo(config_.device.c_str(), 0600);
    reader_ = ::open(config_.device.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  }
  ~Keeper() override {
    ::close(reader_);
    ::unlink(config_.device.c_str());
    ::rmdir(folder_.c_str());
  }
  void drain() {
    char buffer[256];
    const ssize_t n = ::read(reader_, buffer, sizeof buffer);
    if (n > 0) seen_.append(buffer, static_cast<size_t>(n));
  }
  bool await(const std::string& all) {
    return loop_.run_until(
        [&] {
          drain();
          return seen_ == all;
        },
        seconds(60));
  }
  EventSink sink() {
    return [this](const Event& event) { reports_.push_back(std::get<WatchdogReport>(event)); };
  }
  bool await_reports(size_t count) {
    return loop_.run_until([&] { return reports_.size() >= count; }, seconds(60));
  }

  EventLoop loop_;
  WatchdogConfig config_;
  std::string folder_, seen_;
  int reader_ = -1;
  std::vector<WatchdogReport> reports_;
};

TEST_F(Keeper, ArmsPetsAndDisarms) {
  {
    WatchdogKeeper keeper(loop_, config_, sink());
    keeper.tend(WatchdogOrder::kPet);  // nothing is open yet
    keeper.tend(WatchdogOrder::kArm);
    ASSERT_TRUE(await_reports(1));
    EXPECT_TRUE(reports_.front().armed) << reports_.front().detail;
    EXPECT_TRUE(await("."));
    keeper.tend(WatchdogOrder::kPet);
    keeper.tend(WatchdogOrder::kArm);  // again: no harm
    EXPECT_TRUE(await("..."));
    keeper.tend(WatchdogOrder::kDisarm);
  }
  drain();
  EXPECT_EQ(seen_, "...V");
}

TEST_F(Keeper, LeavesTheDeviceRunningUnlessToldOtherwise) {
  {
    WatchdogKeeper keeper(loop_, config_, sink());
    keeper.tend(WatchdogOrder::kArm);
    ASSERT_TRUE(await_reports(1));
  }
  drain();
  EXPECT_EQ(seen_, ".");
}

TEST_F(Keeper, SaysWhyADeviceCannotBeArmed) {
  config_.device = folder_ + "/missing";
  WatchdogKeeper keeper(loop_, config_, sink());
  keeper.tend(WatchdogOrder::kArm);
  ASSERT_TRUE(await_reports(1));
  EXPECT_FALSE(reports_.front().armed);
  EXPECT_NE(reports_.front().detail.find("missing"), std::string::npos);
  config_.device = folder_ + "/watchdog";
}

TEST_F(Keeper, TellsOfAPetThatDidNotArrive) {
  WatchdogKeeper keeper(loop_, config_, sink());
  keeper.tend(WatchdogOrder::kArm);
  ASSERT_TRUE(await_reports(1));
  ::close(reader_);  // the device is gone
  keeper.tend(WatchdogOrder::kPet);
  ASSERT_TRUE(await_reports(2));
  EXPECT_FALSE(reports_.back().armed);
  reader_ = ::open(config_.device.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

}  // namespace
}  // namespace clusterd
