#include "core/timing.hpp"

#include <algorithm>
#include <cmath>

namespace clusterd {

using std::chrono::milliseconds;

std::optional<Timing> timing_profile(std::string_view name) {
  Timing timing;
  timing.profile = name;
  if (name == "steady") {
    timing.heartbeat = milliseconds(100);
    timing.lease = milliseconds(600);
    timing.window = milliseconds(700);
    timing.gate_latency = milliseconds(5);
  } else if (name == "fast") {
    timing.heartbeat = milliseconds(25);
    timing.lease = milliseconds(150);
    timing.window = milliseconds(200);
    timing.gate_latency = milliseconds(2);
  } else if (name == "realtime") {
    timing.heartbeat = milliseconds(5);
    timing.lease = milliseconds(30);
    timing.window = milliseconds(40);
    timing.gate_latency = milliseconds(1);
  } else {
    return std::nullopt;
  }
  return timing;
}

Duration smallest_safe_window(Duration lease, Duration gate_latency, double clock_error) {
  const double l = static_cast<double>(lease.count());
  const double f = static_cast<double>(gate_latency.count());
  const double bound = (1 + clock_error) * (l / (1 - clock_error) + f);
  const double comfort = 1.01 * (l + f) + 2e6;
  return Duration{static_cast<int64_t>(std::ceil(std::max(bound, comfort)))};
}

bool window_is_safe(const Timing& timing) {
  if (timing.heartbeat <= Duration::zero() || timing.lease <= Duration::zero()) return false;
  if (timing.gate_latency < Duration::zero()) return false;
  if (timing.clock_error < 0 || timing.clock_error >= 0.1) return false;
  return timing.window >= smallest_safe_window(timing.lease, timing.gate_latency, timing.clock_error);
}

Duration effects_stop_limit(const std::vector<ServiceConfig>& services) {
  Duration longest{};
  for (const ServiceConfig& service : services) {
    if (service.effects != Effects::kNode) continue;
    Duration needed = kSuspendGrace;
    for (const UnitConfig& unit : service.units) needed += unit.stop_timeout + kKillLimit;
    longest = std::max(longest, needed);
  }
  return longest;
}

Duration effects_bound(const Timing& timing, Duration stop_limit, Duration watchdog_timeout) {
  const double rho = timing.clock_error;
  const double units = static_cast<double>((timing.lease + stop_limit + kPetLate).count());
  const double watchdog = 2 * (1 + kWatchdogError) * static_cast<double>(watchdog_timeout.count());
  const double bound = (1 + rho) * (units / (1 - rho) + watchdog);
  return Duration{static_cast<int64_t>(std::ceil(bound))} + std::chrono::seconds(1);
}

}  // namespace clusterd
