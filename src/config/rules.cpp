// Small rules about names, paths and addresses that several files share.
#include <algorithm>
#include <array>

#include "config/draft.hpp"

namespace clusterd::config {

namespace {

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool all_zero(const IpAddress& address) {
  return std::all_of(address.bytes.begin(), address.bytes.end(), [](uint8_t b) { return b == 0; });
}

// True where every bit after the first `length` equals `bit`.
bool host_bits_are(const Prefix& prefix, bool bit) {
  for (size_t i = prefix.length; i < prefix.address.size() * 8; ++i) {
    const bool set = (prefix.address.bytes.at(i / 8) & (0x80U >> (i % 8))) != 0;
    if (set != bit) return false;
  }
  return true;
}

}  // namespace

bool is_name(std::string_view text, std::string_view also, size_t most) {
  if (text.empty() || text.size() > most || !is_alphanumeric(text.front())) return false;
  return std::all_of(text.begin(), text.end(),
                     [also](char c) { return is_alphanumeric(c) || also.find(c) != std::string_view::npos; });
}

bool is_plain_path(std::string_view path) {
  if (path.empty() || path.front() != '/' || path.size() > 4000) return false;
  size_t start = 1;
  while (start < path.size()) {
    const size_t end = std::min(path.find('/', start), path.size());
    const std::string_view part = path.substr(start, end - start);
    if (part.empty() || part == "." || part == ".." || part.size() > 255) return false;
    start = end + 1;
  }
  return true;
}

bool is_loopback(const IpAddress& address) {
  if (address.is_v4()) return address.bytes[0] == 127;
  return address == IpAddress::parse("::1");
}

std::optional<std::string> unusable(const IpAddress& address) {
  if (all_zero(address)) return "means \"any address\"";
  const auto& b = address.bytes;
  if (address.is_v4()) {
    if (b[0] == 0) return "is in the reserved network 0.0.0.0/8";
    if (b[0] >= 224 && b[0] < 240) return "is a multicast address";
    if (b[0] >= 240)
      return b[1] == 255 && b[2] == 255 && b[3] == 255 ? "is the broadcast address" : "is reserved";
    return std::nullopt;
  }
  if (b[0] == 0xff) return "is a multicast address";
  if (b[0] == 0xfe && (b[1] & 0xc0U) == 0x80)
    return "is a link-local address, which means nothing without its NIC";
  if (std::all_of(b.begin(), b.begin() + 10, [](uint8_t x) { return x == 0; }) && b[10] == 0xff &&
      b[11] == 0xff)
    return "is an IPv4 address in IPv6 clothes";
  return std::nullopt;
}

std::optional<std::string> unusable(const Prefix& prefix) {
  if (auto why = unusable(prefix.address)) return why;
  if (prefix.length == 0) return "has a network of length 0";
  if (prefix.address.is_v4() && prefix.length < 31) {
    if (host_bits_are(prefix, false)) return "is the address of the network itself";
    if (host_bits_are(prefix, true)) return "is the broadcast address of its network";
  }
  return std::nullopt;
}

}  // namespace clusterd::config
