// ICMP echo packets as bytes: built and taken apart without any system call. Internal to src/linux/net.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/address.hpp"

namespace clusterd::net {

struct Echo {
  uint16_t id = 0;
  uint16_t sequence = 0;
  std::span<const uint8_t> payload;
};

// An ICMP echo request without IP header. The checksum is set for IPv4; the kernel sets it for IPv6.
[[nodiscard]] std::vector<uint8_t> echo_request(IpAddress::Family family, const Echo& echo);

// The same with its IP header, from any source address, fragmentation allowed; for sockets with HDRINCL.
// Both addresses are of one family.
[[nodiscard]] std::vector<uint8_t> echo_request_from(const IpAddress& source, const IpAddress& target,
                                                     const Echo& echo);

// What a raw ICMP socket delivers: with the IP header for IPv4, without it for IPv6. Empty unless it is a
// complete echo reply. The payload points into `bytes`.
[[nodiscard]] std::optional<Echo> parse_echo_reply(IpAddress::Family family, std::span<const uint8_t> bytes);

// The same from a whole IP packet, as a packet socket sees it. Not a fragment, no extension headers: a sealed
// heartbeat fits one packet. The ICMP checksum is not looked at, because the seal proves more.
struct EchoPacket {
  IpAddress source, target;
  Echo echo;
};
[[nodiscard]] std::optional<EchoPacket> parse_echo_packet(IpAddress::Family family,
                                                          std::span<const uint8_t> bytes);

// Internet checksum (RFC 1071) over the bytes, starting from `sum`.
[[nodiscard]] uint16_t checksum(std::span<const uint8_t> bytes, uint32_t sum = 0);

}  // namespace clusterd::net
