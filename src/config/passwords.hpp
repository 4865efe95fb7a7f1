// Takes what may be a password out of a configuration file, for recordings that people hand on.
#pragma once

#include <string>

namespace clusterd {

// The TOML text with "(not recorded)" for the value of each key whose name sounds like a password, and
// without comments, which may hold anything. The rest means the same as before. Pure; takes any bytes.
[[nodiscard]] std::string without_passwords(const std::string& text);

}  // namespace clusterd
