// Datagrams and packets that were changed on the way, come again, come back, or come from another version.
#include <gtest/gtest.h>

#include "linux/net/packets.hpp"
#include "linux/net/seal.hpp"
#include "unit/damage.hpp"

namespace clusterd {
namespace {

using Bytes = std::vector<uint8_t>;
using testing::for_each_flip;

const IpAddress kFromA = *IpAddress::parse("192.168.77.1");
const IpAddress kFromB = *IpAddress::parse("192.168.77.2");
const Bytes kText = {'b', 'e', 'a', 't'};

SealedChannel channel(size_t node, uint64_t boot) {
  Secret secret{};
  secret.fill(7);
  return SealedChannel(secret, "office", NodeId(node), BootId{boot});
}

struct Pair {
  SealedChannel a = channel(0, 11), b = channel(1, 22);
  Pair() {
    for (int i = 0; i < 2; ++i) {
      (void)b.open(a.seal(kText, kFromA), kFromA);
      (void)a.open(b.seal(kText, kFromB), kFromB);
    }
  }
};

TEST(HostileDatagram, OtherVersionsAreForeignOldAndNew) {
  Pair p;
  Bytes bytes = p.a.seal(kText, kFromA);
  const uint8_t version = bytes.at(3);
  for (unsigned other = 0; other < 256; ++other) {
    if (other == version) continue;
    bytes[3] = static_cast<uint8_t>(other);
    EXPECT_EQ(p.b.open(bytes, kFromA).verdict, Verdict::kForeign) << other;
  }
  bytes[3] = version;
  EXPECT_EQ(p.b.open(bytes, kFromA).verdict, Verdict::kOpened) << "the attempts have not used it up";
}

TEST(HostileDatagram, AnotherNodesNumberDoesNotOpen) {
  Pair p;
  Bytes bytes = p.a.seal(kText, kFromA);
  for (unsigned node = 1; node < 256; ++node) {
    bytes[7] = static_cast<uint8_t>(node);
    EXPECT_EQ(p.b.open(bytes, kFromA).verdict, Verdict::kForeign) << node;
  }
}

// Counters that jump: authentic datagrams in an odd order, as after a long cut with one of them held back.
TEST(HostileDatagram, AHeldBackDatagramCountsOnceAndOnlyWithinTheWindow) {
  Pair p;
  const Bytes held = p.a.seal(kText, kFromA), older = p.a.seal(kText, kFromA);
  for (uint64_t i = 0; i + 2 < ReplayWindow::kSize; ++i) (void)p.a.seal(kText, kFromA);
  EXPECT_EQ(p.b.open(p.a.seal(kText, kFromA), kFromA).verdict, Verdict::kOpened);
  EXPECT_EQ(p.b.open(older, kFromA).verdict, Verdict::kOpened);
  EXPECT_EQ(p.b.open(older, kFromA).verdict, Verdict::kReplayed);
  EXPECT_EQ(p.b.open(held, kFromA).verdict, Verdict::kReplayed) << "one too old";
}

// A receiver's unproven flood: neither the question of the living peer nor its proof is disturbed for good.
TEST(HostileDatagram, RecordingsOfManyLivesDelayAMeetingAtMost) {
  std::vector<Bytes> recorded;
  SealedChannel b = channel(1, 22);
  for (uint64_t life = 100; life < 200; ++life) {
    SealedChannel former = channel(0, life);
    for (int i = 0; i < 3; ++i) recorded.push_back(former.seal(kText, kFromA));
  }
  SealedChannel a = channel(0, 11);
  for (const Bytes& old : recorded) EXPECT_EQ(b.open(old, kFromA).verdict, Verdict::kUnproven);
  (void)b.open(a.seal(kText, kFromA), kFromA);
  (void)a.open(b.seal(kText, kFromB), kFromB);
  EXPECT_EQ(b.open(a.seal(kText, kFromA), kFromA).verdict, Verdict::kOpened);
  for (const Bytes& old : recorded) EXPECT_NE(b.open(old, kFromA).verdict, Verdict::kOpened);
  EXPECT_EQ(b.proven(), BootId{11});
}

class HostileEcho : public ::testing::TestWithParam<IpAddress::Family> {};
INSTANTIATE_TEST_SUITE_P(Families, HostileEcho,
                         ::testing::Values(IpAddress::Family::kV4, IpAddress::Family::kV6));

TEST_P(HostileEcho, AFlippedBitIsRefusedOrStaysWithinThePacket) {
  const bool v4 = GetParam() == IpAddress::Family::kV4;
  const IpAddress source = *IpAddress::parse(v4 ? "192.168.77.2" : "fd77::2");
  Bytes packet = net::echo_request_from(source, source, net::Echo{7, 9, kText});
  packet[v4 ? 20 : 40] = v4 ? 0 : 129;
  ASSERT_TRUE(net::parse_echo_packet(GetParam(), packet).has_value());
  size_t refused = 0;
  for_each_flip(packet, [&](const Bytes& bad, size_t bit) {
    const auto parsed = net::parse_echo_packet(GetParam(), bad);
    if (!parsed) {
      ++refused;
      return;
    }
    const auto payload = parsed->echo.payload;
    ASSERT_GE(payload.data(), bad.data()) << bit;
    ASSERT_LE(payload.data() + payload.size(), bad.data() + bad.size()) << bit;
    ASSERT_LE(payload.size(), kText.size()) << bit;
  });
  // Version, header length, fragments, protocol, type and code at least.
  EXPECT_GE(refused, v4 ? 4U + 3U + 8U + 8U + 8U : 4U + 8U + 8U + 8U);
}

TEST_P(HostileEcho, LengthsThatTheHeaderInventsAreRefused) {
  const bool v4 = GetParam() == IpAddress::Family::kV4;
  const IpAddress source = *IpAddress::parse(v4 ? "192.168.77.2" : "fd77::2");
  const Bytes packet = net::echo_request_from(source, source, net::Echo{7, 9, kText});
  const size_t at = v4 ? 2 : 4;
  const size_t right = v4 ? packet.size() : packet.size() - 40;
  for (size_t length = 0; length < 65'536; ++length) {
    Bytes bad = packet;
    bad[v4 ? 20 : 40] = v4 ? 0 : 129;
    bad[at] = static_cast<uint8_t>(length >> 8U);
    bad[at + 1] = static_cast<uint8_t>(length);
    const auto parsed = net::parse_echo_packet(GetParam(), bad);
    const size_t least = right - kText.size();
    ASSERT_EQ(parsed.has_value(), length >= least && length <= right) << length;
    if (parsed) {
      ASSERT_EQ(parsed->echo.payload.size(), length - least);
    }
  }
}

}  // namespace
}  // namespace clusterd
