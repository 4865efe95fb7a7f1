#include "linux/net/seal.hpp"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace clusterd {
namespace {

using Bytes = std::vector<uint8_t>;

const IpAddress kFromA = *IpAddress::parse("192.168.77.1");
const IpAddress kFromB = *IpAddress::parse("192.168.77.2");
const IpAddress kRouter = *IpAddress::parse("192.168.77.100");
const Bytes kText = {'h', 'e', 'a', 'r', 't', 'b', 'e', 'a', 't'};

Secret secret_of(uint8_t byte) {
  Secret s{};
  s.fill(byte);
  return s;
}

SealedChannel channel(size_t node, uint64_t boot, uint8_t secret = 7, const char* cluster = "office") {
  return SealedChannel(secret_of(secret), cluster, NodeId(node), BootId{boot});
}

// Exchanges datagrams until both have proven the other.
void meet(SealedChannel& a, SealedChannel& b) {
  for (int i = 0; i < 2; ++i) {
    (void)b.open(a.seal(kText, kFromA), kFromA);
    (void)a.open(b.seal(kText, kFromB), kFromB);
  }
}

TEST(ReplayWindow, AcceptsEachCounterOnceInAnyOrder) {
  ReplayWindow window;
  std::vector<uint64_t> counters(ReplayWindow::kSize);
  for (size_t i = 0; i < counters.size(); ++i) counters[i] = i + 1;
  std::shuffle(counters.begin(), counters.end(), std::mt19937(1));
  for (const uint64_t c : counters) EXPECT_TRUE(window.accept(c));
  for (const uint64_t c : counters) EXPECT_FALSE(window.accept(c));
  EXPECT_FALSE(window.accept(0));
}

TEST(ReplayWindow, AgreesWithASetWhileItMoves) {
  std::mt19937_64 dice(2);
  ReplayWindow window(100);
  std::set<uint64_t> seen;
  uint64_t highest = 100;
  for (int i = 0; i < 200000; ++i) {
    uint64_t c = highest + 40 - std::min<uint64_t>(highest + 40, dice() % (ReplayWindow::kSize + 100));
    if (i % 5000 == 0) c = highest + dice() % (3 * ReplayWindow::kSize);
    const bool fresh = c > 100 && (c > highest || highest - c < ReplayWindow::kSize) && !seen.contains(c);
    ASSERT_EQ(window.accept(c), fresh) << c << " of " << highest;
    if (fresh) seen.insert(c);
    if (fresh) highest = std::max(highest, c);
  }
}

TEST(SealedChannel, ProvenWithinThreeDatagramsThenOpens) {
  SealedChannel a = channel(0, 11), b = channel(1, 22);
  EXPECT_EQ(b.open(a.seal(kText, kFromA), kFromA).verdict, Verdict::kUnproven);
  const auto first = a.open(b.seal(kText, kFromB), kFromB);  // echoes what a asked
  EXPECT_EQ(first.verdict, Verdict::kOpened);
  EXPECT_EQ(first.heartbeat, kText);
  EXPECT_EQ(first.boot, BootId{22});
  EXPECT_EQ(b.open(a.seal(kText, kFromA), kFromA).verdict, Verdict::kOpened);
  EXPECT_EQ(a.proven(), BootId{22});
  EXPECT_EQ(b.proven(), BootId{11});
}

TEST(SealedChannel, RefusesRepetitionAndStandsReordering) {
  SealedChannel a = channel(0, 11), b = channel(1, 22);
  meet(a, b);
  std::vector<Bytes> sent;
  for (int i = 0; i < 500; ++i) sent.push_back(a.seal(kText, kFromA));
  std::shuffle(sent.begin(), sent.end(), std::mt19937(3));
  for (const Bytes& d : sent) EXPECT_EQ(b.open(d, kFromA).verdict, Verdict::kOpened);
  for (const Bytes& d : sent) EXPECT_EQ(b.open(d, kFromA).verdict, Verdict::kReplayed);
}

TEST(SealedChannel, RefusesWhatIsOlderThanTheWindow) {
  SealedChannel a = channel(0, 11), b = channel(1, 22);
  meet(a, b);
  const Bytes old = a.seal(kText, kFromA);
  for (uint64_t i = 0; i < ReplayWindow::kSize; ++i) (void)a.seal(kText, kFromA);
  EXPECT_EQ(b.open(a.seal(kText, kFromA), kFromA).verdict, Verdict::kOpened);
  EXPECT_EQ(b.open(old, kFromA).verdict, Verdict::kReplayed);
}

TEST(SealedChannel, AnotherPathIsAnotherDatagramAndCannotBeSwapped) {
  SealedChannel a = channel(0, 11), b = channel(1, 22);
  meet(a, b);
  const Bytes direct = a.seal(kText, kFromA), relayed = a.seal(kText, kRouter);
  EXPECT_EQ(b.open(direct, kRouter).verdict, Verdict::kWrongKey);
  EXPECT_EQ(b.open(direct, kFromA).verdict, Verdict::kOpened);
  EXPECT_EQ(b.open(relayed, kRouter).verdict, Verdict::kOpened);
}

TEST(SealedChannel, NamesWhatIsWrong) {
  SealedChannel a = channel(0, 11), b = channel(1, 22);
  meet(a, b);
  SealedChannel other_secret = channel(0, 11, 8), other_cluster = channel(0, 11, 7, "lab");
  EXPECT_EQ(b.open(other_secret.seal(kText, kFromA), kFromA).verdict, Verdict::kWrongKey);
  EXPECT_EQ(b.open(other_cluster.seal(kText, kFromA), kFromA).verdict, Verdict::kWrongCluster);
  EXPECT_EQ(a.open(a.seal(kText, kFromA), kFromA).verdict, Verdict::kForeign) << "its own, reflected";
  EXPECT_EQ(b.open(Bytes(200, 'x'), kFromA).verdict, Verdict::kForeign);
  EXPECT_EQ(b.open(Bytes{}, kFromA).verdict, Verdict::kMalformed);
  Bytes long_one = a.seal(kText, kFromA);
  long_one.resize(SealedChannel::kMaxBytes + 1);
  EXPECT_EQ(b.open(long_one, kFromA).verdict, Verdict::kMalformed);
}

// A reflected datagram with the sender's number changed must not open either: one key per direction.
TEST(SealedChannel, AReflectionDoesNotOpen) {
  SealedChannel a = channel(0, 11), b = channel(1, 22);
  meet(a, b);
  Bytes reflected = a.seal(kText, kFromA);
  reflected[7] = 1;
  EXPECT_EQ(a.open(reflected, kFromA).verdict, Verdict::kWrongKey);
}

TEST(SealedChannel, RefusesEveryTruncationAndEveryFlippedBit) {
  SealedChannel a = channel(0, 11), b = channel(1, 22);
  meet(a, b);
  const Bytes good = a.seal(kText, kFromA);
  for (size_t length = 0; length < good.size(); ++length) {
    const auto verdict = b.open(std::span(good).first(length), kFromA).verdict;
    ASSERT_TRUE(verdict == Verdict::kMalformed || verdict == Verdict::kWrongKey) << length;
  }
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    Bytes bad = good;
    bad[bit / 8] = static_cast<uint8_t>(bad[bit / 8] ^ (1U << (bit % 8)));
    const auto opened = b.open(bad, kFromA);
    ASSERT_TRUE(opened.verdict == Verdict::kForeign || opened.verdict == Verdict::kWrongCluster ||
                opened.verdict == Verdict::kWrongKey)
        << "bit " << bit;
    ASSERT_TRUE(opened.heartbeat.empty());
  }
  EXPECT_EQ(b.open(good, kFromA).verdict, Verdict::kOpened) << "the attempts must not have used it up";
}

// The receiver has restarted and has no window: recordings of the peer's present and earlier lives are no
// life.
TEST(SealedChannel, AFreshReceiverTakesNoRecordings) {
  SealedChannel a = channel(0, 11), b = channel(1, 22);
  std::vector<Bytes> recorded;
  meet(a, b);
  for (int i = 0; i < 10; ++i) recorded.push_back(a.seal(kText, kFromA));
  for (const Bytes& d : recorded) EXPECT_EQ(b.open(d, kFromA).verdict, Verdict::kOpened);

  SealedChannel b2 = channel(1, 33);
  for (const Bytes& d : recorded) EXPECT_EQ(b2.open(d, kFromA).verdict, Verdict::kUnproven);
  for (const Bytes& d : recorded) EXPECT_EQ(b2.open(d, kFromA).verdict, Verdict::kUnproven);
  // The living peer proves itself; its recordings, which are older than the proof, stay refused.
  meet(a, b2);
  EXPECT_EQ(b2.proven(), BootId{11});
  for (const Bytes& d : recorded) EXPECT_EQ(b2.open(d, kFromA).verdict, Verdict::kReplayed);
  EXPECT_EQ(b2.open(a.seal(kText, kFromA), kFromA).verdict, Verdict::kOpened);
}

TEST(SealedChannel, AnEarlierLifeOfThePeerNeverComesBack) {
  SealedChannel b = channel(1, 22);
  std::vector<Bytes> never_delivered;
  for (uint64_t life = 1; life <= 100; ++life) {  // more lives than the channel remembers
    SealedChannel a = channel(0, life);
    meet(a, b);
    ASSERT_EQ(b.proven(), BootId{life});
    never_delivered.push_back(a.seal(kText, kFromA));
    if (life == 1) continue;
    for (size_t i = 0; i + 1 < never_delivered.size(); ++i) {
      const auto verdict = b.open(never_delivered[i], kFromA).verdict;
      ASSERT_TRUE(verdict == Verdict::kReplayed || verdict == Verdict::kUnproven) << i << " in life " << life;
    }
    ASSERT_EQ(b.proven(), BootId{life});
  }
}

TEST(SealedChannel, ARestartedPeerIsProvenAgainAlsoAmongRecordings) {
  SealedChannel a = channel(0, 11), b = channel(1, 22);
  meet(a, b);
  const Bytes recorded = a.seal(kText, kFromA);
  SealedChannel a2 = channel(0, 12);
  EXPECT_EQ(b.open(a2.seal(kText, kFromA), kFromA).verdict, Verdict::kUnproven);
  EXPECT_EQ(a2.open(b.seal(kText, kFromB), kFromB).verdict, Verdict::kOpened);
  EXPECT_EQ(b.open(recorded, kFromA).verdict, Verdict::kOpened) << "still the proven life";
  EXPECT_EQ(b.open(a2.seal(kText, kFromA), kFromA).verdict, Verdict::kOpened);
  EXPECT_EQ(b.proven(), BootId{12});
  EXPECT_EQ(b.open(a.seal(kText, kFromA), kFromA).verdict, Verdict::kReplayed);
}

TEST(SealedChannel, TheFullestHeartbeatFitsOnePacket) {
  SealedChannel a = channel(0, 11);
  const Bytes sealed = a.seal(Bytes(kMaxHeartbeatBytes, 1), kFromA);
  EXPECT_EQ(sealed.size(), SealedChannel::kMaxBytes);
  EXPECT_LE(sealed.size() + 40 + 8, 1500U);  // IPv6 and ICMPv6 headers of a relayed one
}

}  // namespace
}  // namespace clusterd
