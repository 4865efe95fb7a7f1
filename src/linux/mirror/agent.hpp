// `clusterd-mirror agent`: obeys the daemon's orders on descriptor 3 until that is closed.
//
// Two runs at most at the same time, and one per mirror; further orders wait in line. A second order for a
// mirror that already waits replaces the waiting one. A cancelled run is killed and reports kFailed, so each
// order gets exactly one final report, but for those that were replaced.
//
// Live mirrors have a source of their own each (live/live_mirrors.hpp), whatever else runs; a cancelled one
// says nothing more.
#pragma once

#include "core/config.hpp"
#include "linux/mirror/live/live_mirrors.hpp"
#include "linux/mirror/mirror_process.hpp"

namespace clusterd {

inline constexpr int kAgentDescriptor = 3;

int run_agent(const Config& config, const MirrorPaths& paths, MakeSource make_source);

}  // namespace clusterd
