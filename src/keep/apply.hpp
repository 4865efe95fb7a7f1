// `clusterctl apply` and `rollback`, as far as both nodes have checked and stored the version; what comes
// after is a matter of ticks (keeper.hpp).
#pragma once

#include <string>

#include "keep/node.hpp"

namespace clusterd::keep {

// The answer for clusterctl.
[[nodiscard]] std::string apply(const ThisNode& node, const Apply& order);

}  // namespace clusterd::keep
