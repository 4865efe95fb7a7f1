// Questions that this machine answers itself.
#pragma once

#include <string>

#include "linux/check/verdict.hpp"

namespace clusterd {

// A path: the process that this pid file names lives. Otherwise: a process of this name lives (the name of
// its program's file, or what the kernel calls it). The dead that nobody has buried do not count.
[[nodiscard]] Verdict find_process(const std::string& wanted);

// The systemd unit is active.
[[nodiscard]] Verdict ask_unit(const std::string& unit);

}  // namespace clusterd
