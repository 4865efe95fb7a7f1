// The safety figures of a configuration in plain words, for `clusterctl check`.
#pragma once

#include <string>

#include "core/config.hpp"

namespace clusterd {

// Several lines, each ended by a newline: the profile, the window inequality of S2 with its numbers and what
// is to spare, the rule of the counted sets S_A and S_B, whether heartbeats can be relayed off each reference
// host (S2a), and the mode of the third source of information.
[[nodiscard]] std::string timing_report(const Config& config);

}  // namespace clusterd
