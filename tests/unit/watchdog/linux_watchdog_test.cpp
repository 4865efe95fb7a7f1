// The device class against FIFOs and against things that are no watchdog. Real drivers (softdog, i6300esb)
// are tried in a virtual machine: this kernel may have none.
#include "linux/watchdog/linux_watchdog.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>

namespace clusterd {
namespace {

using std::chrono::seconds;

class FakeDevice : public testing::Test {
 protected:
  FakeDevice() {
    std::signal(SIGPIPE, SIG_IGN);
    char folder[] = "/tmp/watchdog_test.XXXXXX";
    folder_ = ::mkdtemp(folder);
    path_ = folder_ + "/watchdog";
    ::mkfifo(path_.c_str(), 0600);
  }
  ~FakeDevice() override {
    if (reader_ >= 0) ::close(reader_);
    ::unlink(path_.c_str());
    ::rmdir(folder_.c_str());
  }
  void begin_reading() { reader_ = ::open(path_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC); }
  std::string read_all() const {
    char buffer[256];
    const ssize_t n = ::read(reader_, buffer, sizeof buffer);
    return n > 0 ? std::string(buffer, static_cast<size_t>(n)) : "";
  }
  [[nodiscard]] LinuxWatchdog::Wish wish(bool fake = true) const { return {path_, seconds(7), fake}; }

  std::string folder_, path_;
  int reader_ = -1;
};

TEST_F(FakeDevice, OpeningPetsOnceAndKeepsTheTimeoutThatWasAskedFor) {
  begin_reading();
  const auto dog = LinuxWatchdog::open(wish());
  ASSERT_TRUE(dog) << dog.error().message;
  EXPECT_EQ(read_all(), ".");
  EXPECT_EQ((*dog)->timeout(), seconds(7));
  EXPECT_EQ((*dog)->identity(), "fake");
  EXPECT_TRUE((*dog)->pet());
  EXPECT_EQ(read_all(), ".");
}

TEST_F(FakeDevice, OnlyTheMagicCloseSaysThatTheWatchIsOver) {
  begin_reading();
  ASSERT_TRUE(LinuxWatchdog::open(wish()));  // and dropped: as if the daemon had died
  EXPECT_EQ(read_all(), ".");
  auto dog = LinuxWatchdog::open(wish());
  ASSERT_TRUE(dog);
  (*dog)->close_magic();
  EXPECT_EQ(read_all(), ".V");
}

TEST_F(FakeDevice, NobodyWatchesIsAnErrorAndDoesNotBlock) {
  const auto dog = LinuxWatchdog::open(wish());
  ASSERT_FALSE(dog);
  EXPECT_EQ(dog.error().code, Code::kRetry);
}

TEST_F(FakeDevice, ThePetIsReportedAsLostWhenTheWatcherIsGone) {
  begin_reading();
  auto dog = LinuxWatchdog::open(wish());
  ASSERT_TRUE(dog);
  ::close(std::exchange(reader_, -1));
  const auto petted = (*dog)->pet();
  ASSERT_FALSE(petted);
  EXPECT_EQ(petted.error().code, Code::kRetry);
}

TEST_F(FakeDevice, AFifoIsNoWatchdogUnlessTheConfigurationSaysFake) {
  begin_reading();
  const auto dog = LinuxWatchdog::open(wish(false));
  ASSERT_FALSE(dog);
  EXPECT_EQ(dog.error().code, Code::kConfig);
  EXPECT_EQ(read_all(), "") << "it was opened all the same";
}

TEST(LinuxWatchdog, ADeviceThatKnowsNoWatchdogCallIsRefused) {
  const auto dog = LinuxWatchdog::open({"/dev/null", seconds(10), false});
  ASSERT_FALSE(dog);
  EXPECT_NE(dog.error().message.find("is no watchdog"), std::string::npos) << dog.error().message;
}

TEST(LinuxWatchdog, AFakeMayNotBeARealDevice) {
  const auto dog = LinuxWatchdog::open({"/dev/null", seconds(10), true});
  ASSERT_FALSE(dog);
  EXPECT_EQ(dog.error().code, Code::kConfig);
}

TEST(LinuxWatchdog, AMissingDeviceNamesTheRemedy) {
  const auto dog = LinuxWatchdog::open({"/dev/no-such-watchdog", seconds(10), false});
  ASSERT_FALSE(dog);
  EXPECT_NE(dog.error().message.find("softdog"), std::string::npos) << dog.error().message;
}

}  // namespace
}  // namespace clusterd
