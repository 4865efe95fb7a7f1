// One watchdog device of the kernel (/dev/watchdog): hardware, or the module softdog, that resets the machine
// unless it is petted within its timeout.
//
//   auto dog = LinuxWatchdog::open({"/dev/watchdog", std::chrono::seconds(10)});
//   if (dog) (*dog)->pet();           // again and again
//   if (dog) (*dog)->close_magic();   // the machine need not be watched any more
//
// Facts about the kernel that this rests on (linux/watchdog/watchdog_dev.c)
// - Opening the device starts it and pets it. There is no way to look at it without starting it.
// - A descriptor that is closed without the magic character 'V' (also by the death of the process) leaves it
//   running, and pets it once more. Hence the second timeout in `effects_bound` (core/timing.hpp).
// - A driver without WDIOF_MAGICCLOSE stops the device whenever it is closed: a crash of the daemon would
//   disarm it. Such a device is refused.
// - Timeouts are whole seconds; a driver may round, or have one fixed timeout: `timeout()` is the true one.
// - Some drivers (ipmi_watchdog) wait for their hardware in every call: not for the reactor's thread.
//
// A fake device for tests and labs is a FIFO with a reader on its other end: it takes the same writes ('.' to
// pet, 'V' before it is closed) and no ioctl, so its timeout is the one that was asked for. It is accepted
// only where `fake` is set, and nothing else is accepted then.
//
// Not thread-safe; any one thread. Errors name the device, the cause and the remedy.
#pragma once

#include <memory>
#include <string>

#include "base/result.hpp"
#include "base/time.hpp"

namespace clusterd {

class LinuxWatchdog {
 public:
  struct Wish {
    std::string device = "/dev/watchdog";
    Duration timeout = std::chrono::seconds(10);
    bool fake = false;
  };

  // Starts the device. After an error the device does not run because of this call, except where the kernel
  // does not let it be stopped (nowayout); the message then says so.
  [[nodiscard]] static Result<std::unique_ptr<LinuxWatchdog>> open(const Wish& wish);
  ~LinuxWatchdog();  // the device goes on: without pets the machine is reset
  LinuxWatchdog(const LinuxWatchdog&) = delete;
  LinuxWatchdog& operator=(const LinuxWatchdog&) = delete;

  // kRetry: this pet has not arrived; the device goes on.
  [[nodiscard]] Result<void> pet();
  // Stops the device, if the kernel lets it. Nothing may be called after that.
  void close_magic();

  [[nodiscard]] Duration timeout() const { return timeout_; }
  [[nodiscard]] const std::string& identity() const { return identity_; }  // "Software Watchdog"
  [[nodiscard]] bool reset_last_boot() const { return reset_last_boot_; }  // it was it that rebooted us

 private:
  LinuxWatchdog(int fd, Duration timeout, bool fake) : fd_(fd), timeout_(timeout), fake_(fake) {}
  [[nodiscard]] Result<void> set_up(const Wish& wish);

  int fd_;
  Duration timeout_;
  bool fake_;
  bool is_watchdog_ = false;  // it has answered as one
  bool reset_last_boot_ = false;
  std::string identity_;
};

}  // namespace clusterd
