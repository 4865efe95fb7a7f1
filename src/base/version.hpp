// The version of all programs.
#pragma once

namespace clusterd {

inline constexpr const char* kVersion = "0.1.0";

}  // namespace clusterd
