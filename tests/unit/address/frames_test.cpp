#include "linux/address/frames.hpp"

#include <gtest/gtest.h>

namespace clusterd {
namespace {

const MacAddress kMac = *MacAddress::parse("02:00:00:00:00:07");
const IpAddress kV4 = *IpAddress::parse("10.77.0.20");
const IpAddress kV6 = *IpAddress::parse("fd77::20");

TEST(Frames, GratuitousArpIsAClaimInBothForms) {
  for (const bool as_reply : {false, true}) {
    const Frame frame = gratuitous_arp(kMac, kV4, as_reply);
    EXPECT_EQ(frame.size(), 60U);
    EXPECT_EQ(frame.at(21), as_reply ? 2 : 1);
    const auto claim = parse_claim(frame);
    ASSERT_TRUE(claim);
    EXPECT_EQ(claim->address, kV4);
    EXPECT_EQ(claim->mac, kMac);
  }
}

TEST(Frames, UnsolicitedAdvertisementIsAClaimAndOverrides) {
  const Frame frame = unsolicited_advertisement(kMac, kV6);
  const auto claim = parse_claim(frame);
  ASSERT_TRUE(claim);
  EXPECT_EQ(claim->address, kV6);
  EXPECT_EQ(claim->mac, kMac);
  EXPECT_EQ(frame.at(14 + 7), 255);
  EXPECT_EQ(frame.at(14 + 40 + 4), 0x20);  // override
}

TEST(Frames, ChecksumIsRight) {
  // A receiver sums everything including the checksum: the result must be all ones.
  const Frame frame = unsolicited_advertisement(kMac, kV6);
  uint32_t sum = 32 + 58;
  for (size_t i = 14 + 8; i + 1 < frame.size(); i += 2)
    sum += static_cast<uint32_t>(frame[i] << 8U | frame[i + 1]);
  while (sum > 0xffffU) sum = (sum & 0xffffU) + (sum >> 16U);
  EXPECT_EQ(sum, 0xffffU);
}

TEST(Frames, AProbeClaimsNothing) {
  EXPECT_FALSE(parse_claim(address_probe(kMac, kV4)));
  EXPECT_FALSE(parse_claim(address_probe(kMac, kV6)));
}

TEST(Frames, TruncatedFramesAreNoClaims) {
  for (const Frame& whole : {gratuitous_arp(kMac, kV4, true), unsolicited_advertisement(kMac, kV6)}) {
    const bool arp = whole.size() == 60;
    const size_t needed = arp ? 14 + 28 : 14 + 40 + 24;
    for (size_t n = 0; n < needed; ++n) EXPECT_FALSE(parse_claim(std::span(whole).first(n))) << n;
    EXPECT_TRUE(parse_claim(std::span(whole).first(needed)));
  }
}

TEST(Frames, AnOptionOfLengthZeroDoesNotHang) {
  Frame frame = unsolicited_advertisement(kMac, kV6);
  frame.at(14 + 40 + 25) = 0;
  EXPECT_TRUE(parse_claim(frame));  // the MAC is then that of the frame
}

TEST(Frames, AnAdvertisementThatPassedARouterIsNoClaim) {
  Frame frame = unsolicited_advertisement(kMac, kV6);
  frame.at(14 + 7) = 254;
  EXPECT_FALSE(parse_claim(frame));
}

// The classic BPF machine, as far as claim_filter uses it.
uint32_t run(const std::vector<sock_filter>& code, const Frame& frame) {
  uint32_t a = 0;
  for (size_t pc = 0; pc < code.size(); ++pc) {
    const sock_filter& op = code[pc];
    switch (op.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        if (op.k + 4 > frame.size()) return 0;
        a = static_cast<uint32_t>(frame[op.k]) << 24U | static_cast<uint32_t>(frame[op.k + 1]) << 16U |
            static_cast<uint32_t>(frame[op.k + 2]) << 8U | frame[op.k + 3];
        break;
      case BPF_LD | BPF_B | BPF_ABS:
        if (op.k >= frame.size()) return 0;
        a = frame[op.k];
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
        pc += a == op.k ? op.jt : op.jf;
        break;
      case BPF_RET | BPF_K:
        return op.k;
      default:
        ADD_FAILURE() << "unknown instruction " << op.code;
        return 0;
    }
  }
  ADD_FAILURE() << "ran off the end";
  return 0;
}

TEST(Frames, TheFilterPassesClaimsOfItsAddressesOnly) {
  const IpAddress other4 = *IpAddress::parse("10.77.0.21");
  const IpAddress other6 = *IpAddress::parse("fd77::21");
  const std::vector<IpAddress> addresses = {*IpAddress::parse("10.0.0.1"), *IpAddress::parse("fd00::1"), kV4,
                                            kV6};
  const auto arp = claim_filter(addresses, false);
  EXPECT_NE(run(arp, gratuitous_arp(kMac, kV4, true)), 0U);
  EXPECT_EQ(run(arp, gratuitous_arp(kMac, other4, true)), 0U);
  EXPECT_EQ(run(arp, address_probe(kMac, kV4)), 0U);
  const auto nd = claim_filter(addresses, true);
  EXPECT_NE(run(nd, unsolicited_advertisement(kMac, kV6)), 0U);
  EXPECT_EQ(run(nd, unsolicited_advertisement(kMac, other6)), 0U);
  EXPECT_EQ(run(nd, address_probe(kMac, kV6)), 0U);
  EXPECT_EQ(run(claim_filter({}, false), gratuitous_arp(kMac, kV4, true)), 0U);
}

}  // namespace
}  // namespace clusterd
