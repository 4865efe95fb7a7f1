// What `status` says of a standby that might not be able to take over.
#pragma once

#include <string>

#include "ctl/json_view.hpp"
#include "ctl/table.hpp"

namespace clusterd::ctl {

// A standby that is ready for a handover takes over by itself only once a reference host counts there.
[[nodiscard]] bool only_for_moves(View status, View service, const std::string& node);

// Its machine could not run the members as it is: something is not installed, or a disk is full.
[[nodiscard]] bool unprepared(View service, const std::string& node);

// Lines that begin with "!", of all services: no alarm, but nobody should learn of it only when the active
// node fails.
[[nodiscard]] std::string standby_lines(View status, const Look& look);

}  // namespace clusterd::ctl
