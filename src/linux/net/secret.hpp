// The cluster's secret: 32 bytes that both nodes share, as 64 hex digits in a file of the administrator.
// Every key of the heartbeat (seal.hpp) is derived from it.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/result.hpp"

namespace clusterd {

using Secret = std::array<uint8_t, 32>;

// Reads and checks the file: a regular file, readable by its owner alone (no bit of 077), with exactly 64 hex
// digits and nothing after them but white space. Every error names the file, the cause and the remedy, and
// never quotes what the file holds. Blocks for one small read: only for the start of the daemon.
[[nodiscard]] Result<Secret> read_secret(const std::string& file);

}  // namespace clusterd
