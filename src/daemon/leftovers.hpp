// What a former configuration has left running that the present one does not know any more: units and
// addresses that were removed from a service, services that are gone, units whose commands are others now.
//
// The daemon that ended left everything as it was (a clean restart), and the core of the one that starts sees
// only the present configuration, whose orders are idempotent. So exactly the difference is cleared here.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/config.hpp"
#include "daemon/log.hpp"
#include "linux/event_loop.hpp"
#include "linux/units/linux_units.hpp"
#include "versions/plan.hpp"

namespace clusterd {

class Leftovers {
 public:
  // `now` and the log outlive it.
  Leftovers(EventLoop& loop, Config former, const Config& now, const std::string& run_dir, Log& log);

  // Before the core's first step, while the gates are open by the peer's promise: addresses that are no
  // longer there, and units that the core will start anew by other commands. Blocks for at most kFirstLimit
  // and a moment.
  void clear_first();
  // The other units, one after the other, each within its time limits; then `done`.
  void clear_rest(std::function<void()> done);

  static constexpr Duration kFirstLimit = std::chrono::milliseconds(2500);

 private:
  void clear_addresses();
  void stop_next();
  void stopped(const UnitReport& report);
  void kill_or_give_up();
  [[nodiscard]] std::string name(const versions::OldUnit& unit) const;

  EventLoop& loop_;
  const Config former_;
  const Config& now_;
  Log& log_;
  std::vector<versions::OldUnit> first_, rest_;  // in the order in which they are stopped
  std::vector<versions::OldUnit> stopping_;
  bool killed_ = false;
  std::function<void()> done_;
  std::unique_ptr<Timer> limit_;
  std::unique_ptr<LinuxUnits> units_;  // last: its reports find the rest
};

}  // namespace clusterd
