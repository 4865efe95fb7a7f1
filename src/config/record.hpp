// The settings of the flight recorder: `record = "off"`, or [record] in cluster.toml. The core has no use for
// them, so they are no part of `Config`.
#pragma once

#include <cstdint>

#include "config/load.hpp"

namespace clusterd {

struct RecordConfig {
  bool on = true;
  uint64_t max = uint64_t{64} << 20U;  // bytes on disk, all files together
};

// Of texts that `load_config` has accepted, which checks these settings as well.
[[nodiscard]] RecordConfig record_config(const ConfigTexts& texts);

}  // namespace clusterd
