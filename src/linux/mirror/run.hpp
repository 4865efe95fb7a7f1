// One run of a mirror on the source: checks, manifest, rsync, report. Blocking; for the agent's threads.
#pragma once

#include <functional>

#include "core/actions.hpp"
#include "core/config.hpp"
#include "linux/mirror/child.hpp"
#include "linux/mirror/mirror_process.hpp"

namespace clusterd {

// Performs the order and returns its final report; `progress` is called about once a second meanwhile, on the
// calling thread. Whatever `order.kind`, a target that was the source last is resynchronised with a backup
// set.
[[nodiscard]] MirrorReport run_mirror(const Config& config, const MirrorPaths& paths,
                                      const MirrorOrder& order, RunControl& control,
                                      const std::function<void(const MirrorReport&)>& progress);

}  // namespace clusterd
