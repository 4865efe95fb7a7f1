// The port Watchdog: one device, tended on a thread of its own, since some drivers wait for their hardware.
//
// - kArm opens the device (which starts and pets it), or pets it if it is open. A driver whose timeout is
//   longer than the configured one is closed again: the peer relies on the configured one.
// - kPet that is carried out later than kPetLate after it was ordered is dropped, and reported: the peer
//   counts on when it was ordered.
// - kDisarm is carried out before the destructor returns. Without it the device goes on, and resets the
//   machine unless the next daemon arms it in time.
#pragma once

#include <memory>

#include "core/config.hpp"
#include "linux/event_loop.hpp"
#include "linux/helper_thread.hpp"
#include "linux/watchdog/linux_watchdog.hpp"
#include "ports/ports.hpp"

namespace clusterd {

class WatchdogKeeper final : public Watchdog {
 public:
  WatchdogKeeper(EventLoop& loop, const WatchdogConfig& config, EventSink sink);
  ~WatchdogKeeper() override;
  void tend(WatchdogOrder order) override;

 private:
  void arm();
  void pet(Instant ordered);
  void report(bool armed, std::string detail);

  EventLoop& loop_;
  const WatchdogConfig config_;
  std::shared_ptr<EventSink> sink_;     // emptied with this object: for reports that are still posted
  std::unique_ptr<LinuxWatchdog> dog_;  // of the thread
  HelperThread thread_;                 // last: it ends first
};

}  // namespace clusterd
