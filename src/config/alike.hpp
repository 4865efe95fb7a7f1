// The key `alike` of a service: files and directories that it needs, that no mirror carries, and that both
// nodes shall have alike (docs/decisions/0016). The core has no use for them, so they are no part of
// `Config`.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "config/load.hpp"

namespace clusterd {

inline constexpr size_t kMaxAlikePaths = 64;  // of one service

// By the service's name; a directory ends with "/". Of texts that `load_config` has accepted, which checks
// these paths as well.
[[nodiscard]] std::map<std::string, std::vector<std::string>> alike_paths(const ConfigTexts& texts);

}  // namespace clusterd
