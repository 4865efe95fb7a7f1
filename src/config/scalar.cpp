#include "config/scalar.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <utility>

namespace clusterd::config {

namespace {

struct Unit {
  std::string_view name;
  uint64_t factor;
};

constexpr std::array kTimeUnits{
    Unit{"us", 1'000},           Unit{"ms", 1'000'000},        Unit{"s", 1'000'000'000},
    Unit{"min", 60'000'000'000}, Unit{"h", 3'600'000'000'000}, Unit{"d", 86'400'000'000'000}};

constexpr std::array kSizeUnits{Unit{"B", 1},
                                Unit{"kB", 1'000},
                                Unit{"MB", 1'000'000},
                                Unit{"GB", 1'000'000'000},
                                Unit{"TB", 1'000'000'000'000},
                                Unit{"KiB", 1ULL << 10},
                                Unit{"MiB", 1ULL << 20},
                                Unit{"GiB", 1ULL << 30},
                                Unit{"TiB", 1ULL << 40}};

constexpr double kLongest = 10.0 * 365 * 86'400 * 1e9;
constexpr double kLargest = 1e18;

// Digits, at most one point with up to six digits after it, at most 24 characters, then a unit.
template <size_t N>
std::optional<uint64_t> parse_with_unit(std::string_view text, const std::array<Unit, N>& units,
                                        double limit) {
  size_t end = 0;
  size_t point = std::string_view::npos;
  while (end < text.size() && end < 24) {
    if (text[end] == '.' && point == std::string_view::npos && end > 0) {
      point = end;
    } else if (text[end] < '0' || text[end] > '9') {
      break;
    }
    ++end;
  }
  if (end == 0 || point == end - 1) return std::nullopt;
  if (point != std::string_view::npos && end - point - 1 > 6) return std::nullopt;
  const std::string_view unit = text.substr(end);
  for (const Unit& candidate : units) {
    if (candidate.name != unit) continue;
    double number = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + end, number);
    if (error != std::errc() || stop != text.data() + end) return std::nullopt;
    const double value = std::round(number * static_cast<double>(candidate.factor));
    if (value > limit) return std::nullopt;
    return static_cast<uint64_t>(value);
  }
  return std::nullopt;
}

}  // namespace

std::optional<Duration> parse_duration(std::string_view text) {
  const auto value = parse_with_unit(text, kTimeUnits, kLongest);
  if (!value) return std::nullopt;
  return Duration{static_cast<int64_t>(*value)};
}

std::string duration_text(Duration duration) {
  const int64_t count = duration.count();
  if (count == 0) return "0s";
  for (auto unit = kTimeUnits.rbegin(); unit != kTimeUnits.rend(); ++unit) {
    const auto factor = static_cast<int64_t>(unit->factor);
    if (count % factor == 0) return fmt::format("{}{}", count / factor, unit->name);
  }
  return fmt::format("{}ns", count);
}

std::optional<uint64_t> parse_size(std::string_view text) {
  return parse_with_unit(text, kSizeUnits, kLargest);
}

std::optional<uint64_t> parse_bandwidth(std::string_view text) {
  if (text.size() < 2 || text.substr(text.size() - 2) != "/s") return std::nullopt;
  return parse_size(text.substr(0, text.size() - 2));
}

std::optional<uint16_t> parse_port(std::string_view text) {
  unsigned port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (port < 1 || port > 65535) return std::nullopt;
  return static_cast<uint16_t>(port);
}

}  // namespace clusterd::config
