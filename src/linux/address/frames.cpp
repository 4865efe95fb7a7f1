#include "linux/address/frames.hpp"

#include <algorithm>
#include <cstring>

namespace clusterd {

namespace {

constexpr size_t kEthernet = 14;
constexpr size_t kIpv6 = 40;
constexpr uint16_t kArp = 0x0806, kIpv6Type = 0x86dd;
constexpr uint8_t kIcmpv6 = 58, kSolicitation = 135, kAdvertisement = 136;

void put16(Frame& frame, uint16_t value) {
  frame.push_back(static_cast<uint8_t>(value >> 8U));
  frame.push_back(static_cast<uint8_t>(value & 0xffU));
}
template <class Bytes>
void put(Frame& frame, const Bytes& bytes, size_t count) {
  frame.insert(frame.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count));
}
uint16_t read16(std::span<const uint8_t> frame, size_t at) {
  return static_cast<uint16_t>(frame[at] << 8U | frame[at + 1]);
}

Frame ethernet(const MacAddress& to, const MacAddress& from, uint16_t type) {
  Frame frame;
  put(frame, to.bytes, 6);
  put(frame, from.bytes, 6);
  put16(frame, type);
  return frame;
}

Frame arp(uint16_t operation, const MacAddress& mac, const IpAddress& sender, const MacAddress& target_mac,
          const IpAddress& target) {
  Frame frame = ethernet(kBroadcastMac, mac, kArp);
  put16(frame, 1);       // Ethernet
  put16(frame, 0x0800);  // IPv4
  frame.push_back(6);
  frame.push_back(4);
  put16(frame, operation);
  put(frame, mac.bytes, 6);
  put(frame, sender.bytes, 4);
  put(frame, target_mac.bytes, 6);
  put(frame, target.bytes, 4);
  frame.resize(60);  // the shortest Ethernet frame
  return frame;
}

// Internet checksum over the pseudo header and what follows the IPv6 header.
uint16_t icmpv6_checksum(std::span<const uint8_t> frame) {
  const auto ip = frame.subspan(kEthernet);
  const auto payload = ip.subspan(kIpv6);
  uint32_t sum = static_cast<uint32_t>(payload.size()) + kIcmpv6;
  for (size_t i = 8; i < kIpv6; i += 2) sum += read16(ip, i);
  for (size_t i = 0; i + 1 < payload.size(); i += 2) sum += read16(payload, i);
  while (sum > 0xffffU) sum = (sum & 0xffffU) + (sum >> 16U);
  return static_cast<uint16_t>(~sum & 0xffffU);
}

Frame neighbour(uint8_t type, uint32_t flags, const MacAddress& to_mac, const MacAddress& mac,
                const IpAddress& from, const IpAddress& to, const IpAddress& target, bool with_option) {
  Frame frame = ethernet(to_mac, mac, kIpv6Type);
  const uint16_t payload = with_option ? 32 : 24;
  put16(frame, 0x6000);
  put16(frame, 0);
  put16(frame, payload);
  frame.push_back(kIcmpv6);
  frame.push_back(255);  // proves that no router has passed it on
  put(frame, from.bytes, 16);
  put(frame, to.bytes, 16);
  frame.push_back(type);
  frame.push_back(0);
  const size_t checksum_at = frame.size();
  put16(frame, 0);
  put16(frame, static_cast<uint16_t>(flags >> 16U));
  put16(frame, static_cast<uint16_t>(flags & 0xffffU));
  put(frame, target.bytes, 16);
  if (with_option) {
    frame.push_back(2);  // target link-layer address
    frame.push_back(1);  // in units of 8 bytes
    put(frame, mac.bytes, 6);
  }
  const uint16_t checksum = icmpv6_checksum(frame);
  frame.at(checksum_at) = static_cast<uint8_t>(checksum >> 8U);
  frame.at(checksum_at + 1) = static_cast<uint8_t>(checksum & 0xffU);
  return frame;
}

std::optional<AddressClaim> parse_arp(std::span<const uint8_t> frame) {
  if (frame.size() < kEthernet + 28) return std::nullopt;
  const auto body = frame.subspan(kEthernet);
  if (read16(body, 0) != 1 || read16(body, 2) != 0x0800 || body[4] != 6 || body[5] != 4) return std::nullopt;
  if (const uint16_t operation = read16(body, 6); operation != 1 && operation != 2) return std::nullopt;
  AddressClaim claim;
  std::ranges::copy(body.subspan(8, 6), claim.mac.bytes.begin());
  std::ranges::copy(body.subspan(14, 4), claim.address.bytes.begin());
  if (claim.address == IpAddress{}) return std::nullopt;  // a probe claims nothing
  return claim;
}

std::optional<AddressClaim> parse_advertisement(std::span<const uint8_t> frame) {
  if (frame.size() < kEthernet + kIpv6 + 24) return std::nullopt;
  const auto ip = frame.subspan(kEthernet);
  const auto body = ip.subspan(kIpv6);
  if (ip[6] != kIcmpv6 || ip[7] != 255 || body[0] != kAdvertisement || body[1] != 0) return std::nullopt;
  AddressClaim claim;
  claim.address.family = IpAddress::Family::kV6;
  std::ranges::copy(body.subspan(8, 16), claim.address.bytes.begin());
  std::ranges::copy(frame.subspan(6, 6), claim.mac.bytes.begin());  // unless the option says otherwise
  for (size_t at = 24; at + 8 <= body.size();) {
    const size_t bytes = size_t{8} * body[at + 1];
    if (bytes == 0 || at + bytes > body.size()) break;
    if (body[at] == 2) std::ranges::copy(body.subspan(at + 2, 6), claim.mac.bytes.begin());
    at += bytes;
  }
  return claim;
}

}  // namespace

Frame gratuitous_arp(const MacAddress& mac, const IpAddress& address, bool as_reply) {
  return as_reply ? arp(2, mac, address, kBroadcastMac, address)
                  : arp(1, mac, address, MacAddress{}, address);
}

Frame unsolicited_advertisement(const MacAddress& mac, const IpAddress& address) {
  constexpr MacAddress kAllNodesMac{{0x33, 0x33, 0, 0, 0, 1}};
  IpAddress all_nodes{IpAddress::Family::kV6, {0xff, 0x02}};
  all_nodes.bytes[15] = 1;
  constexpr uint32_t kOverride = 0x20000000U;
  return neighbour(kAdvertisement, kOverride, kAllNodesMac, mac, address, all_nodes, address, true);
}

Frame address_probe(const MacAddress& mac, const IpAddress& address) {
  if (address.is_v4()) return arp(1, mac, IpAddress{}, MacAddress{}, address);
  const auto& b = address.bytes;
  const MacAddress to_mac{{0x33, 0x33, 0xff, b[13], b[14], b[15]}};
  IpAddress solicited{IpAddress::Family::kV6, {0xff, 0x02}};
  solicited.bytes[11] = 1;
  solicited.bytes[12] = 0xff;
  std::copy(b.begin() + 13, b.end(), solicited.bytes.begin() + 13);
  return neighbour(kSolicitation, 0, to_mac, mac, IpAddress{IpAddress::Family::kV6, {}}, solicited, address,
                   false);
}

std::optional<AddressClaim> parse_claim(std::span<const uint8_t> frame) {
  if (frame.size() < kEthernet) return std::nullopt;
  const uint16_t type = read16(frame, 12);
  if (type == kArp) return parse_arp(frame);
  if (type == kIpv6Type) return parse_advertisement(frame);
  return std::nullopt;
}

std::vector<sock_filter> claim_filter(const std::vector<IpAddress>& addresses, bool ipv6) {
  constexpr uint16_t kLoadWord = BPF_LD | BPF_W | BPF_ABS, kLoadByte = BPF_LD | BPF_B | BPF_ABS;
  constexpr uint16_t kEqual = BPF_JMP | BPF_JEQ | BPF_K, kReturn = BPF_RET | BPF_K;
  constexpr uint32_t kAll = 0xffff, kNone = 0;
  const auto word = [](const IpAddress& a, size_t at) {
    return static_cast<uint32_t>(a.bytes.at(at)) << 24U | static_cast<uint32_t>(a.bytes.at(at + 1)) << 16U |
           static_cast<uint32_t>(a.bytes.at(at + 2)) << 8U | a.bytes.at(at + 3);
  };
  std::vector<sock_filter> code;
  if (ipv6) {
    code.push_back({kLoadByte, 0, 0, kEthernet + 6});
    code.push_back({kEqual, 1, 0, kIcmpv6});
    code.push_back({kReturn, 0, 0, kNone});
    code.push_back({kLoadByte, 0, 0, kEthernet + kIpv6});
    code.push_back({kEqual, 1, 0, kAdvertisement});
    code.push_back({kReturn, 0, 0, kNone});
  }
  for (const IpAddress& address : addresses) {
    if (address.is_v4() == ipv6) continue;
    const uint32_t first = ipv6 ? kEthernet + kIpv6 + 8 : kEthernet + 14;
    const size_t words = address.size() / 4;
    for (size_t i = 0; i < words; ++i) {
      code.push_back({kLoadWord, 0, 0, static_cast<uint32_t>(first + 4 * i)});
      // A word that differs: on behind this address's "return all".
      const auto skip = static_cast<uint8_t>(2 * (words - 1 - i) + 1);
      code.push_back({kEqual, 0, skip, word(address, 4 * i)});
    }
    code.push_back({kReturn, 0, 0, kAll});
  }
  code.push_back({kReturn, 0, 0, kNone});
  return code;
}

}  // namespace clusterd
