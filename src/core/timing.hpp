// The one place where the window inequality of S2 lives: profiles, and whether a timing is safe.
//
// Two nodes never serve at once if a standby waits longer than the longest time for which the active node
// may go on without new evidence, both measured with clocks that are wrong by at most rho:
//
//     W >= (1 + rho) * (L / (1 - rho) + F)
//
// and we ask for a little more: W >= 1.01 * (L + F) + 2 ms.  (2 ms = two timer ticks of the reactor.)
//
// What a node does in other ways than through its service addresses (effects = "node") goes on for a while
// after its lease has run out. A node whose peer's watchdog is armed may rely on its end after
//
//     E = (1 + rho) * ((L + S + 0.5 s) / (1 - rho) + 2 * 1.05 * T) + 1 s
//
//   L  the lease: from the last evidence, which is no later than what the silent peer was last heard with
//   S  what a node gives itself to stop its units and to verify it, before it lets its watchdog bite
//   T  the watchdog's timeout, whose own clock may be wrong by 5 %. Twice: if the daemon dies, the kernel
//      closes the device, and that pets it once more (linux/watchdog/linux_watchdog.hpp)
//   0.5 s  by which a pet may be late on its way to the device (kPetLate); 1 s for the reset itself
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "core/config.hpp"

namespace clusterd {

// "steady", "fast" or "realtime"; nullopt for any other name.
[[nodiscard]] std::optional<Timing> timing_profile(std::string_view name);

// The smallest window that is safe for a lease L, a gate latency F and a clock error rho.
[[nodiscard]] Duration smallest_safe_window(Duration lease, Duration gate_latency, double clock_error);

[[nodiscard]] bool window_is_safe(const Timing& timing);

// After its lease ran out a node keeps its members up for so long: the lease may come back.
inline constexpr Duration kSuspendGrace = std::chrono::seconds(2);
// What a unit is given to end after SIGKILL.
inline constexpr Duration kKillLimit = std::chrono::seconds(5);
// Relative error of a watchdog device's own clock.
inline constexpr double kWatchdogError = 0.05;
// A pet that could not be carried out so long after it was ordered is not carried out.
inline constexpr Duration kPetLate = std::chrono::milliseconds(500);

// S: the longest that any service with effects = "node" needs to be stopped, by its units' own limits.
[[nodiscard]] Duration effects_stop_limit(const std::vector<ServiceConfig>& services);

// E: silence and lost leases after which nothing of such a service runs on the peer any more.
[[nodiscard]] Duration effects_bound(const Timing& timing, Duration stop_limit, Duration watchdog_timeout);

}  // namespace clusterd
