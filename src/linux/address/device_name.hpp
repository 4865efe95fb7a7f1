// Name of the macvlan that carries a service's MAC and addresses (mac = "virtual").
//
// The kernel allows 15 bytes: "cd-web", or for longer names the beginning and a hash: "cd-databas-3f2a".
// The same on every node and after every restart, so that a predecessor's device is found again.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace clusterd {

// FNV-1a, 32 bits. Not for secrets: only for names and numbers that must not change between restarts.
[[nodiscard]] constexpr uint32_t stable_hash(std::string_view text) {
  uint32_t hash = 0x811c9dc5U;
  for (const char c : text) {
    hash ^= static_cast<uint8_t>(c);
    hash *= 0x01000193U;
  }
  return hash;
}

[[nodiscard]] inline std::string service_device_name(std::string_view service) {
  constexpr size_t kLongest = 12;  // 15 less "cd-"
  bool plain = service.size() <= kLongest;
  std::string name = "cd-";
  for (const char c : service.substr(0, plain ? kLongest : kLongest - 5)) {
    const bool allowed = c > ' ' && c < 0x7f && c != '/' && c != ':' && c != '%';
    name += allowed ? c : '_';
    plain = plain && allowed;
  }
  if (plain) return name;
  if (name.size() > 10) name.resize(10);
  constexpr std::string_view kHex = "0123456789abcdef";
  const uint32_t hash = stable_hash(service);
  name += '-';
  for (unsigned shift = 0; shift < 16; shift += 4) name += kHex[(hash >> shift) & 0xfU];
  return name;
}

}  // namespace clusterd
