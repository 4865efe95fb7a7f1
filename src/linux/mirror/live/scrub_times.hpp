// When a live mirror's contents were compared last, as this node remembers it beside its manifest: one small
// file. One that is missing or damaged costs a scrub too early, or too late by `every`; nothing else.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.hpp"

namespace clusterd::live {

struct ScrubTimes {
  int64_t last = 0;    // Unix time: when one ended, or when this file was made
  int64_t proved = 0;  // when the last one began that has found everything equal; 0: none yet
};

// Where there is no file, one is made: `every` begins to count now.
[[nodiscard]] ScrubTimes read_scrub_times(const std::string& manifest_path, int64_t now);
[[nodiscard]] Result<void> write_scrub_times(const std::string& manifest_path, const ScrubTimes& times);

}  // namespace clusterd::live
