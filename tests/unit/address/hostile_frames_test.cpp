// Frames of strangers on the LAN, damaged in every place.
#include <gtest/gtest.h>

#include "linux/address/frames.hpp"
#include "linux/address/kernel_tables.hpp"
#include "unit/damage.hpp"

namespace clusterd {
namespace {

using testing::for_each_flip;
using testing::for_each_truncation;

const MacAddress kMac = *MacAddress::parse("02:11:22:33:44:55");
const IpAddress kV4 = *IpAddress::parse("192.168.1.20");
const IpAddress kV6 = *IpAddress::parse("fd00::20");

// A flipped bit makes it another claim or none; only bytes that no claim is made of may change nothing.
TEST(HostileFrames, AFlippedBitIsAnotherClaimOrNone) {
  for (const Frame& whole : {gratuitous_arp(kMac, kV4, true), unsolicited_advertisement(kMac, kV6)}) {
    const bool arp = whole.size() == 60;
    size_t refused = 0, other = 0;
    for_each_flip(whole, [&](const Frame& bad, size_t bit) {
      const auto claim = parse_claim(bad);
      if (!claim) {
        ++refused;
      } else if (claim->address != (arp ? kV4 : kV6) || claim->mac != kMac) {
        ++other;
      } else if (arp) {
        const size_t byte = bit / 8;
        const bool unused = byte < 12 || byte >= 32;  // Ethernet's own addresses, the target, the padding
        const bool operation = bit == 21 * 8 || bit == 21 * 8 + 1;  // request and reply both claim
        ASSERT_TRUE(unused || operation) << bit;
      }
    });
    EXPECT_GE(refused, arp ? 16U + 48U + 14U : 16U + 8U + 8U + 8U + 8U);
    EXPECT_GE(other, arp ? 32U + 48U : 128U + 48U);
  }
}

TEST(HostileFrames, OptionsOfEveryLengthStayWithinTheFrame) {
  for (unsigned length = 0; length < 256; ++length) {
    for (unsigned type = 0; type < 4; ++type) {
      Frame frame = unsolicited_advertisement(kMac, kV6);
      frame.at(14 + 40 + 24) = static_cast<uint8_t>(type);
      frame.at(14 + 40 + 25) = static_cast<uint8_t>(length);
      const auto claim = parse_claim(frame);
      ASSERT_TRUE(claim.has_value());
      ASSERT_EQ(claim->address, kV6);
      ASSERT_EQ(claim->mac, kMac);  // the option's, or the frame's, which is the same
    }
  }
}

TEST(HostileFrames, KernelMessagesMayEndAnywhere) {
  // A link with a name, as RTM_NEWLINK has it: 16 bytes of header, attribute IFLA_IFNAME (3), 9 bytes.
  std::vector<uint8_t> body(16);
  for (const char c : std::string("\x09\0\x03\0eth0\0\0\0\0", 12)) body.push_back(static_cast<uint8_t>(c));
  ASSERT_TRUE(parse_link(body).has_value());
  EXPECT_EQ(parse_link(body)->name, "eth0");
  const auto look = [](const std::vector<uint8_t>& bad, size_t /*at*/) {
    if (const auto link = parse_link(bad)) {
      ASSERT_LE(link->name.size(), bad.size());
    }
    (void)parse_address(bad);
    (void)parse_own_rule(bad);
    (void)parse_route(bad);
  };
  for_each_truncation(body, look);
  for_each_flip(body, look);
}

}  // namespace
}  // namespace clusterd
