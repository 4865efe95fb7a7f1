// Time as the whole project counts it.
//
// `Instant` is a point on CLOCK_BOOTTIME: it never jumps, and it goes on while the machine sleeps, so a
// lease cannot survive a suspend. The BPF gate reads the same clock (bpf_ktime_get_boot_ns). The type has
// no now(): only the port `Clock` can make one, so pure code cannot look at a clock by accident.
//
// `WallTime` is the civil time. It is shown and compared for skew, and never decides anything.
#pragma once

#include <chrono>
#include <cstdint>

namespace clusterd {

using Duration = std::chrono::nanoseconds;

struct BootClock {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<BootClock, duration>;
  static constexpr bool is_steady = true;
};
using Instant = BootClock::time_point;

// "Never", for deadlines that are not set.
inline constexpr Instant kNever = Instant::max();
// "Long ago", for evidence that was never seen. Far from min() so that subtraction cannot overflow.
inline constexpr Instant kLongAgo = Instant{Duration{INT64_MIN / 4}};

using WallTime = std::chrono::time_point<std::chrono::system_clock, Duration>;

[[nodiscard]] constexpr double to_ms(Duration d) {
  return std::chrono::duration<double, std::milli>(d).count();
}
[[nodiscard]] constexpr double to_seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace clusterd
