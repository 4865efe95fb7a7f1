// Lets a shutdown of this system wait until its services have been handed over.
//
// Holds logind's inhibitor lock "shutdown", mode "delay". When logind announces a shutdown, `hand_over` is
// called with a function that lets the shutdown go on; the services still run then, and systemd has stopped
// nothing yet. logind waits for at most its InhibitDelayMaxSec (packaging/logind.conf raises it).
//
// Without logind, or in a shutdown that goes round it, nothing is delayed: ExecStop of the unit hands over
// then, while systemd already stops other units (SystemdUnit does not take that for a crash).
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "linux/event_loop.hpp"
#include "linux/units/systemd_bus.hpp"

namespace clusterd {

class ShutdownGuard {
 public:
  using GoOn = std::function<void()>;
  // `say` gets one line for the log when the lock is taken, or cannot be.
  ShutdownGuard(EventLoop& loop, std::function<void(GoOn)> hand_over, std::function<void(std::string)> say);
  ~ShutdownGuard();
  ShutdownGuard(const ShutdownGuard&) = delete;
  ShutdownGuard& operator=(const ShutdownGuard&) = delete;

 private:
  void take();
  void taken(Result<Fd> lock);
  void told(bool begins);

  EventLoop& loop_;
  std::function<void(GoOn)> hand_over_;
  std::function<void(std::string)> say_;
  std::shared_ptr<bool> alive_;
  SystemdBus bus_;
  Fd lock_;
  bool complained_ = false;
  std::unique_ptr<Timer> again_;
};

}  // namespace clusterd
