// Ethernet frames of ARP (RFC 826, 5227) and neighbour discovery (RFC 4861), built and read. Pure.
#pragma once

#include <linux/filter.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/address.hpp"

namespace clusterd {

using Frame = std::vector<uint8_t>;

inline constexpr MacAddress kBroadcastMac{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

// "The address is at this MAC": a broadcast as request (RFC 5227) or as reply, because some devices heed only
// one.
[[nodiscard]] Frame gratuitous_arp(const MacAddress& mac, const IpAddress& address, bool as_reply);
// The same for IPv6: unsolicited neighbour advertisement to all nodes, with the override flag.
[[nodiscard]] Frame unsolicited_advertisement(const MacAddress& mac, const IpAddress& address);
// "Is somebody there?", without a sender address, so that no cache learns anything.
[[nodiscard]] Frame address_probe(const MacAddress& mac, const IpAddress& address);

// A frame that says at which MAC an address is.
struct AddressClaim {
  IpAddress address;
  MacAddress mac;
};
// ARP request or reply with a sender address, or neighbour advertisement; nothing for anything else.
[[nodiscard]] std::optional<AddressClaim> parse_claim(std::span<const uint8_t> frame);

// A socket filter that lets pass what parse_claim understands, for these addresses only: a node is not woken
// by every ARP of its network.
[[nodiscard]] std::vector<sock_filter> claim_filter(const std::vector<IpAddress>& addresses, bool ipv6);

}  // namespace clusterd
