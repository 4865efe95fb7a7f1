// Where an open directory is now.
#pragma once

#include <optional>
#include <string>

#include "linux/mirror/live/inode.hpp"

namespace clusterd::live {

// Below a root, longer than PATH_MAX as well; or above one, where names of roots are. nullopt: elsewhere, or
// gone.
[[nodiscard]] std::optional<std::string> folder_path(const Anchors& anchors, int fd);

}  // namespace clusterd::live
