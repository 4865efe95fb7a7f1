#include "base/address.hpp"

#include <arpa/inet.h>

#include <charconv>
#include <cstdio>

namespace clusterd {

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  const std::string copy(text);
  IpAddress out;
  if (inet_pton(AF_INET, copy.c_str(), out.bytes.data()) == 1) {
    out.family = Family::kV4;
    return out;
  }
  if (inet_pton(AF_INET6, copy.c_str(), out.bytes.data()) == 1) {
    out.family = Family::kV6;
    return out;
  }
  return std::nullopt;
}

std::string IpAddress::text() const {
  std::array<char, INET6_ADDRSTRLEN> buffer{};
  inet_ntop(is_v4() ? AF_INET : AF_INET6, bytes.data(), buffer.data(), buffer.size());
  return buffer.data();
}

std::optional<Prefix> Prefix::parse(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto address = IpAddress::parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  const std::string_view digits = text.substr(slash + 1);
  unsigned length = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  if (length > address->size() * 8) return std::nullopt;
  return Prefix{*address, static_cast<uint8_t>(length)};
}

std::string Prefix::text() const { return address.text() + "/" + std::to_string(length); }

bool Prefix::contains(const IpAddress& other) const {
  if (other.family != address.family) return false;
  for (size_t bit = 0; bit < length; ++bit) {
    const uint8_t mask = static_cast<uint8_t>(0x80U >> (bit % 8));
    if ((address.bytes.at(bit / 8) & mask) != (other.bytes.at(bit / 8) & mask)) return false;
  }
  return true;
}

std::optional<MacAddress> MacAddress::parse(std::string_view text) {
  MacAddress out;
  if (text.size() != 17) return std::nullopt;
  for (size_t i = 0; i < 6; ++i) {
    const char* at = text.data() + i * 3;
    const auto [end, error] = std::from_chars(at, at + 2, out.bytes.at(i), 16);
    if (error != std::errc() || end != at + 2) return std::nullopt;
    if (i < 5 && text.at(i * 3 + 2) != ':') return std::nullopt;
  }
  return out;
}

std::string MacAddress::text() const {
  std::array<char, 18> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "%02x:%02x:%02x:%02x:%02x:%02x", bytes[0], bytes[1], bytes[2],
                bytes[3], bytes[4], bytes[5]);
  return buffer.data();
}

MacAddress MacAddress::derived(std::string_view cluster, std::string_view service) {
  // FNV-1a, 64 bits: no secret is needed, only the same answer on every node.
  uint64_t hash = 0xcbf29ce484222325ULL;
  const auto mix = [&hash](std::string_view text) {
    for (const char c : text) {
      hash ^= static_cast<uint8_t>(c);
      hash *= 0x100000001b3ULL;
    }
    hash ^= 0xff;
    hash *= 0x100000001b3ULL;
  };
  mix(cluster);
  mix(service);
  MacAddress out;
  for (size_t i = 0; i < 6; ++i) out.bytes.at(i) = static_cast<uint8_t>(hash >> (8 * i));
  out.bytes[0] = static_cast<uint8_t>((out.bytes[0] & 0xfcU) | 0x02U);
  return out;
}

}  // namespace clusterd
