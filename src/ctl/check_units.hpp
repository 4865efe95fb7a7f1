// Whether this node could run the members of its services: for `clusterctl check`. Asks systemd, agents and
// the file system; starts nothing.
#pragma once

#include <vector>

#include "core/config.hpp"
#include "ctl/findings.hpp"

namespace clusterd::ctl {

[[nodiscard]] std::vector<Finding> check_units(const Config& config);

}  // namespace clusterd::ctl
