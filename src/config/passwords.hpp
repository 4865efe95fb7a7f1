// Takes what may be a password out of a configuration file, for recordings that people hand on.
#pragma once

#include <map>
#include <string>

namespace clusterd {

// The TOML text with "(not recorded)" for the value of each key whose name sounds like a password, and
// without comments, which may hold anything. The rest means the same as before. Pure; takes any bytes.
[[nodiscard]] std::string without_passwords(const std::string& text);

// Whether the value of a key of this name may be a password: "password", "passwd", "snmp_priv_passwd", …
[[nodiscard]] bool may_be_password(std::string key);

// The text with "***" for each value of `parameters` (by name) that may be a password; nothing of the text
// where such a value is too short to be found for certain.
[[nodiscard]] std::string hide_passwords(const std::map<std::string, std::string>& parameters,
                                         std::string text);

}  // namespace clusterd
