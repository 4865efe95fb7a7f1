#include "linux/net/packets.hpp"

#include <gtest/gtest.h>

namespace clusterd::net {
namespace {

using Family = IpAddress::Family;

class Packets : public ::testing::TestWithParam<bool> {
 protected:
  const Family family_ = GetParam() ? Family::kV6 : Family::kV4;
  const IpAddress source_ = *IpAddress::parse(GetParam() ? "fd77::2" : "192.168.77.2");
  const IpAddress target_ = *IpAddress::parse(GetParam() ? "fd77::100" : "192.168.77.100");
  const std::vector<uint8_t> payload_ = {1, 2, 3, 4, 5, 6, 7};
  const size_t header_ = GetParam() ? 40 : 20;

  // What the target makes of the request, but for the addresses, which stay as they are.
  std::vector<uint8_t> reply() {
    auto packet = echo_request_from(source_, target_, Echo{7, 9, payload_});
    packet[header_] = GetParam() ? 129 : 0;
    return packet;
  }
};
INSTANTIATE_TEST_SUITE_P(Families, Packets, ::testing::Values(false, true));

TEST_P(Packets, WhatIsBuiltCanBeRead) {
  const auto packet = reply();
  const auto parsed = parse_echo_packet(family_, packet);
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->source, source_);
  EXPECT_EQ(parsed->target, target_);
  EXPECT_EQ(parsed->echo.id, 7);
  EXPECT_EQ(parsed->echo.sequence, 9);
  EXPECT_EQ(std::vector<uint8_t>(parsed->echo.payload.begin(), parsed->echo.payload.end()), payload_);
}

TEST_P(Packets, PaddingIsNoPayload) {
  auto packet = reply();
  packet.resize(packet.size() + 20, 0xEE);
  const auto parsed = parse_echo_packet(family_, packet);
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->echo.payload.size(), payload_.size());
}

TEST_P(Packets, EveryTruncationIsRefused) {
  const auto packet = reply();
  for (size_t length = 0; length < packet.size(); ++length) {
    EXPECT_FALSE(parse_echo_packet(family_, std::span(packet).first(length)).has_value()) << length;
  }
}

TEST_P(Packets, RequestsAndOtherProtocolsAreRefused) {
  const auto request = echo_request_from(source_, target_, Echo{7, 9, payload_});
  EXPECT_FALSE(parse_echo_packet(family_, request).has_value());
  auto udp = reply();
  udp[GetParam() ? 6 : 9] = 17;
  EXPECT_FALSE(parse_echo_packet(family_, udp).has_value());
  const auto other = GetParam() ? Family::kV4 : Family::kV6;
  EXPECT_FALSE(parse_echo_packet(other, reply()).has_value());
}

TEST(PacketsV4, FragmentsAndBadHeaderLengthsAreRefused) {
  const IpAddress a = *IpAddress::parse("10.0.0.1"), b = *IpAddress::parse("10.0.0.2");
  auto packet = echo_request_from(a, b, Echo{1, 2, {}});
  packet[20] = 0;
  ASSERT_TRUE(parse_echo_packet(Family::kV4, packet).has_value());
  for (const unsigned words : {0U, 4U, 15U}) {
    auto bad = packet;
    bad[0] = static_cast<uint8_t>(0x40U | words);
    EXPECT_FALSE(parse_echo_packet(Family::kV4, bad).has_value()) << words;
  }
  packet[6] = 0x20;  // more fragments follow
  EXPECT_FALSE(parse_echo_packet(Family::kV4, packet).has_value());
}

TEST(PacketsV4, TheChecksumOfAChecksummedPacketIsZero) {
  const std::vector<uint8_t> odd = {9, 8, 7, 6, 5};
  const auto icmp = echo_request(Family::kV4, Echo{0x1234, 0xFFFF, odd});
  EXPECT_EQ(checksum(icmp), 0);
}

}  // namespace
}  // namespace clusterd::net
