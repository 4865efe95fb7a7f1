#include "linux/net/packets.hpp"

#include <algorithm>

namespace clusterd::net {

namespace {

constexpr size_t kIcmpHeader = 8;
constexpr uint8_t kTrafficClass = 0xC0;  // CS6, network control; the host's reply copies it
constexpr uint8_t kHops = 64;
constexpr uint8_t kIcmpV4 = 1, kIcmpV6 = 58;
constexpr uint8_t kRequestV4 = 8, kReplyV4 = 0, kRequestV6 = 128, kReplyV6 = 129;

void put16(uint8_t* at, size_t value) {
  at[0] = static_cast<uint8_t>(value >> 8U);
  at[1] = static_cast<uint8_t>(value);
}

uint16_t get16(std::span<const uint8_t> bytes, size_t at) {
  return static_cast<uint16_t>(bytes[at] << 8U | bytes[at + 1]);
}

uint32_t sum_of(std::span<const uint8_t> bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes.size(); ++i)
    sum += i % 2 == 0 ? static_cast<uint32_t>(bytes[i]) << 8U : bytes[i];
  return sum;
}

}  // namespace

uint16_t checksum(std::span<const uint8_t> bytes, uint32_t sum) {
  sum += sum_of(bytes);
  while (sum >> 16U != 0) sum = (sum & 0xFFFFU) + (sum >> 16U);
  return static_cast<uint16_t>(~sum);
}

std::vector<uint8_t> echo_request(IpAddress::Family family, const Echo& echo) {
  std::vector<uint8_t> out(kIcmpHeader + echo.payload.size());
  const bool v4 = family == IpAddress::Family::kV4;
  out[0] = v4 ? kRequestV4 : kRequestV6;
  put16(&out[4], echo.id);
  put16(&out[6], echo.sequence);
  std::copy(echo.payload.begin(), echo.payload.end(), out.begin() + kIcmpHeader);
  if (v4) put16(&out[2], checksum(out));
  return out;
}

std::vector<uint8_t> echo_request_from(const IpAddress& source, const IpAddress& target, const Echo& echo) {
  std::vector<uint8_t> icmp = echo_request(source.family, echo);
  std::vector<uint8_t> out;
  if (source.is_v4()) {
    out.resize(20);
    out[0] = 0x45;
    out[1] = kTrafficClass;
    put16(&out[2], out.size() + icmp.size());
    out[8] = kHops;
    out[9] = kIcmpV4;
    std::copy_n(source.bytes.begin(), 4, out.begin() + 12);
    std::copy_n(target.bytes.begin(), 4, out.begin() + 16);
    put16(&out[10], checksum(out));
  } else {
    out.resize(40);
    out[0] = static_cast<uint8_t>(0x60 | kTrafficClass >> 4U);
    out[1] = static_cast<uint8_t>((kTrafficClass & 0x0FU) << 4U);
    put16(&out[4], icmp.size());
    out[6] = kIcmpV6;
    out[7] = kHops;
    std::copy_n(source.bytes.begin(), 16, out.begin() + 8);
    std::copy_n(target.bytes.begin(), 16, out.begin() + 24);
    // The pseudo header: both addresses, the length and the protocol.
    const uint32_t pseudo =
        sum_of(std::span(out).subspan(8, 32)) + static_cast<uint32_t>(icmp.size()) + kIcmpV6;
    put16(&icmp[2], checksum(icmp, pseudo));
  }
  out.insert(out.end(), icmp.begin(), icmp.end());
  return out;
}

std::optional<Echo> parse_echo_reply(IpAddress::Family family, std::span<const uint8_t> bytes) {
  const bool v4 = family == IpAddress::Family::kV4;
  if (v4) {
    if (bytes.size() < 20 || bytes[0] >> 4U != 4 || bytes[9] != kIcmpV4) return std::nullopt;
    const size_t header = static_cast<size_t>(bytes[0] & 0x0FU) * 4;
    if (header < 20 || bytes.size() < header) return std::nullopt;
    bytes = bytes.subspan(header);
  }
  if (bytes.size() < kIcmpHeader || bytes[0] != (v4 ? kReplyV4 : kReplyV6) || bytes[1] != 0)
    return std::nullopt;
  return Echo{get16(bytes, 4), get16(bytes, 6), bytes.subspan(kIcmpHeader)};
}

std::optional<EchoPacket> parse_echo_packet(IpAddress::Family family, std::span<const uint8_t> bytes) {
  const bool v4 = family == IpAddress::Family::kV4;
  if (bytes.size() < (v4 ? 20U : 40U) || bytes[0] >> 4U != (v4 ? 4 : 6)) return std::nullopt;
  // Short frames are padded: the length is what the IP header says.
  const size_t length = v4 ? get16(bytes, 2) : size_t{40} + get16(bytes, 4);
  if (length < 20 || length > bytes.size()) return std::nullopt;
  if (v4 ? (get16(bytes, 6) & 0x3FFFU) != 0 : bytes[6] != kIcmpV6) return std::nullopt;
  const auto echo = parse_echo_reply(family, v4 ? bytes.first(length) : bytes.first(length).subspan(40));
  if (!echo) return std::nullopt;
  EchoPacket out;
  out.source.family = out.target.family = family;
  std::copy_n(bytes.begin() + (v4 ? 12 : 8), v4 ? 4 : 16, out.source.bytes.begin());
  std::copy_n(bytes.begin() + (v4 ? 16 : 24), v4 ? 4 : 16, out.target.bytes.begin());
  out.echo = *echo;
  return out;
}

}  // namespace clusterd::net
