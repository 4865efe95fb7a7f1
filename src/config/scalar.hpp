// Durations and sizes with their units, as text: "100ms", "30d", "10GiB", "1MiB/s". Internal to src/config.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.hpp"

namespace clusterd::config {

// A number, which may have a fraction, and one of us, ms, s, min, h, d. nullopt for anything else, for
// negative values and for more than ten years.
[[nodiscard]] std::optional<Duration> parse_duration(std::string_view text);
// The shortest exact way to write a duration: "700ms", "2s", "5min".
[[nodiscard]] std::string duration_text(Duration duration);

// A number and one of B, kB, MB, GB, TB (powers of 1000), KiB, MiB, GiB, TiB (powers of 1024).
[[nodiscard]] std::optional<uint64_t> parse_size(std::string_view text);
// A size per second: "1MiB/s".
[[nodiscard]] std::optional<uint64_t> parse_bandwidth(std::string_view text);

[[nodiscard]] std::optional<uint16_t> parse_port(std::string_view text);

}  // namespace clusterd::config
