// IP and MAC addresses as plain values: parsed, compared and printed without any system call.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace clusterd {

// An IPv4 or IPv6 address. IPv4 uses the first four bytes; the rest is zero.
struct IpAddress {
  enum class Family : uint8_t { kV4 = 4, kV6 = 6 };
  Family family = Family::kV4;
  std::array<uint8_t, 16> bytes{};

  [[nodiscard]] bool is_v4() const { return family == Family::kV4; }
  [[nodiscard]] size_t size() const { return is_v4() ? 4 : 16; }
  auto operator<=>(const IpAddress&) const = default;

  [[nodiscard]] static std::optional<IpAddress> parse(std::string_view text);
  [[nodiscard]] std::string text() const;
};

// An address with the length of its network, as in "192.168.1.20/24".
struct Prefix {
  IpAddress address;
  uint8_t length = 0;

  auto operator<=>(const Prefix&) const = default;
  [[nodiscard]] static std::optional<Prefix> parse(std::string_view text);
  [[nodiscard]] std::string text() const;
  [[nodiscard]] bool contains(const IpAddress& other) const;
};

struct MacAddress {
  std::array<uint8_t, 6> bytes{};

  auto operator<=>(const MacAddress&) const = default;
  [[nodiscard]] static std::optional<MacAddress> parse(std::string_view text);
  [[nodiscard]] std::string text() const;
  // The service's own MAC: locally administered, unicast, the same on every node, derived from the names.
  [[nodiscard]] static MacAddress derived(std::string_view cluster, std::string_view service);
};

}  // namespace clusterd
