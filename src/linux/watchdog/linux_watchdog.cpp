#include "linux/watchdog/linux_watchdog.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/watchdog.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace clusterd {

namespace {

constexpr char kPet = '.';
constexpr char kMagic = 'V';

int whole_seconds(Duration timeout) {
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(timeout).count();
  return static_cast<int>(std::clamp<int64_t>(seconds, 1, 24 * 3600));
}

// Looked at before it is opened: opening a watchdog starts it, and opening something else may do anything.
Result<void> may_be_opened(const LinuxWatchdog::Wish& wish) {
  struct stat facts {};
  if (::stat(wish.device.c_str(), &facts) != 0) {
    return fail(Code::kRefused, fmt::format("{}: {}. Load the hardware's watchdog driver, or softdog",
                                            wish.device, std::strerror(errno)));
  }
  if (wish.fake) {
    if (S_ISFIFO(facts.st_mode)) return {};
    return fail(Code::kConfig,
                fmt::format("{} is no FIFO, and fake = true is for nothing else: remove fake", wish.device));
  }
  if (S_ISCHR(facts.st_mode)) return {};
  return fail(Code::kConfig, fmt::format("{} is no device: name the watchdog's device file", wish.device));
}

}  // namespace

Result<std::unique_ptr<LinuxWatchdog>> LinuxWatchdog::open(const Wish& wish) {
  if (auto may = may_be_opened(wish); !may) return tl::unexpected(may.error());
  // Without O_NONBLOCK a FIFO without a reader would block for ever.
  const int fd = ::open(wish.device.c_str(), O_WRONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    const bool busy = errno == EBUSY;
    return fail(
        Code::kRetry,
        fmt::format("{}: {}{}", wish.device, std::strerror(errno),
                    busy ? ". Another program has it (systemd's RuntimeWatchdogSec, watchdogd, sbd)" : ""));
  }
  std::unique_ptr<LinuxWatchdog> dog(new LinuxWatchdog(fd, wish.timeout, wish.fake));
  if (auto ready = dog->set_up(wish); !ready) {
    if (dog->is_watchdog_) dog->close_magic();  // nothing is written to what is none
    return tl::unexpected(ready.error());
  }
  return dog;
}

Result<void> LinuxWatchdog::set_up(const Wish& wish) {
  if (fake_) {
    identity_ = "fake";
    is_watchdog_ = true;
    return pet();
  }
  watchdog_info info{};
  if (::ioctl(fd_, WDIOC_GETSUPPORT, &info) != 0) {
    return fail(Code::kConfig, fmt::format("{} is no watchdog ({}): name the watchdog's device file",
                                           wish.device, std::strerror(errno)));
  }
  is_watchdog_ = true;
  const char* name = reinterpret_cast<const char*>(info.identity);
  identity_.assign(name, ::strnlen(name, sizeof info.identity));
  if ((info.options & WDIOF_MAGICCLOSE) == 0) {
    return fail(
        Code::kRefused,
        fmt::format("the driver of {} ({}) stops it whenever it is closed, so a crash of clusterd would "
                    "disarm it: use another driver, or softdog",
                    wish.device, identity_));
  }
  int status = 0;
  reset_last_boot_ = ::ioctl(fd_, WDIOC_GETBOOTSTATUS, &status) == 0 && (status & WDIOF_CARDRESET) != 0;
  int seconds = whole_seconds(wish.timeout);
  const bool set = ::ioctl(fd_, WDIOC_SETTIMEOUT, &seconds) == 0;
  const int why = errno;
  // The driver may have rounded it, or kept the one that it has: that is the one that counts.
  if (::ioctl(fd_, WDIOC_GETTIMEOUT, &seconds) != 0 && !set) {
    return fail(Code::kRefused, fmt::format("the timeout of {} ({}) cannot be set ({}), nor asked for",
                                            wish.device, identity_, std::strerror(why)));
  }
  if (seconds <= 0) {
    return fail(Code::kRefused,
                fmt::format("{} ({}) says that its timeout is {} s", wish.device, identity_, seconds));
  }
  timeout_ = std::chrono::seconds(seconds);
  return pet();
}

LinuxWatchdog::~LinuxWatchdog() {
  if (fd_ >= 0) ::close(fd_);
}

Result<void> LinuxWatchdog::pet() {
  // A write means the same as WDIOC_KEEPALIVE, and works with every driver.
  ssize_t written = 0;
  do {
    written = ::write(fd_, &kPet, 1);
  } while (written < 0 && errno == EINTR);
  // A FIFO that is full has not been read for thousands of pets: this one did not arrive.
  if (written == 1) return {};
  return fail(Code::kRetry, fmt::format("the watchdog cannot be petted: {}", std::strerror(errno)));
}

void LinuxWatchdog::close_magic() {
  if (fd_ < 0) return;
  (void)!::write(fd_, &kMagic, 1);
  ::close(fd_);
  fd_ = -1;
}

}  // namespace clusterd
