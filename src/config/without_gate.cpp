#include <algorithm>

#include "config/load.hpp"
#include "core/timing.hpp"

namespace clusterd {

void lengthen_window_without_gate(Config& config) {
  Timing& timing = config.timing;
  timing.gate_latency += std::chrono::seconds(1);
  timing.window = std::max(timing.window + std::chrono::seconds(1),
                           smallest_safe_window(timing.lease, timing.gate_latency, timing.clock_error));
  config.hash ^= 0x77697468'6f757421ULL;
  config.hashed_lines.emplace_back("command line: --without-gate");
}

}  // namespace clusterd
