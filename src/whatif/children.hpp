// Work in copies of this process. Blocks; the caller must have one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/result.hpp"

namespace clusterd::whatif {

using Work = std::function<std::vector<uint8_t>()>;

// Does each work in a child of its own, all at the same time; returns what they returned. What they change
// stays theirs. An error if one of them ended otherwise.
[[nodiscard]] Result<std::vector<std::vector<uint8_t>>> in_children(const std::vector<Work>& works);

}  // namespace clusterd::whatif
