// Where a simulation of the live configuration begins, and what `check --deep` says of it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/config.hpp"
#include "ctl/findings.hpp"
#include "ctl/verbs.hpp"
#include "whatif/explore.hpp"

namespace clusterd::ctl {

// Services where the daemon's status has them, and hosts that relay as it sees them; without a daemon as the
// configuration alone tells.
[[nodiscard]] whatif::Start live_start(const Config& config, const Globals& globals);
[[nodiscard]] whatif::Start start_from_status(const Config& config, const std::string& status_json);

// "Begins with both nodes up, web on serv1, samba on serv2.\n…"
[[nodiscard]] std::string start_text(const Config& config, const whatif::Start& start);

[[nodiscard]] std::vector<Finding> whatif_findings(const Config& config, const whatif::Exploration& all);

}  // namespace clusterd::ctl
