// The one place where the window inequality of S2 lives: profiles, and whether a timing is safe.
//
// Two nodes never serve at once if a standby waits longer than the longest time for which the active node
// may go on without new evidence, both measured with clocks that are wrong by at most rho:
//
//     W >= (1 + rho) * (L / (1 - rho) + F)
//
// and we ask for a little more: W >= 1.01 * (L + F) + 2 ms.  (2 ms = two timer ticks of the reactor.)
#pragma once

#include <optional>
#include <string_view>

#include "core/config.hpp"

namespace clusterd {

// "steady", "fast" or "realtime"; nullopt for any other name.
[[nodiscard]] std::optional<Timing> timing_profile(std::string_view name);

// The smallest window that is safe for a lease L, a gate latency F and a clock error rho.
[[nodiscard]] Duration smallest_safe_window(Duration lease, Duration gate_latency, double clock_error);

[[nodiscard]] bool window_is_safe(const Timing& timing);

}  // namespace clusterd
