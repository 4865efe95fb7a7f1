// Whether this machine has what a configuration wants of it. Blocks.
#pragma once

#include <string>

#include "core/config.hpp"

namespace clusterd::keep {

// The first thing that is missing, with its remedy; empty: nothing.
[[nodiscard]] std::string missing_here(const Config& config);

}  // namespace clusterd::keep
