// Paths that may be copied from node to node: by a service's mirrors, or by the always mirror. Internal to
// src/config.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace clusterd::config {

// "/srv/web/" → "/srv/web"
[[nodiscard]] std::string_view without_slash(std::string_view path);
// The same, or below it; neither has "/" at its end.
[[nodiscard]] bool is_under(std::string_view path, std::string_view tree);

// What is wrong with copying the path ("is the whole system"), and what to do; nullopt where nothing is.
using PathFault = std::optional<std::pair<std::string, std::string>>;
[[nodiscard]] PathFault fault_of_form(const std::string& path);  // no plain absolute path
[[nodiscard]] PathFault fault_of_path(const std::string& path);

}  // namespace clusterd::config
