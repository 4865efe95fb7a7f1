// The detector: what counts as heard, and what as acknowledged (docs/safety.md, S1).
#include "core/peer.hpp"

#include <gtest/gtest.h>

namespace clusterd {
namespace {

using std::chrono::milliseconds;

constexpr Instant kStart{std::chrono::seconds(1000)};
constexpr BootId kOwn{7};

Heartbeat beat(uint64_t boot, uint64_t sequence, uint64_t ack = 0, BootId ack_boot = kOwn) {
  Heartbeat out;
  out.boot = BootId{boot};
  out.sequence = sequence;
  out.ack = {ack_boot, ack};
  return out;
}

TEST(Peer, NothingIsKnownAtFirst) {
  Peer peer;
  EXPECT_FALSE(peer.known());
  EXPECT_EQ(peer.last_receipt(), kLongAgo);
  EXPECT_EQ(peer.acked_sent(), kLongAgo);
  EXPECT_FALSE(peer.take_rebooted());
}

TEST(Peer, ALateHeartbeatProvesLifeAndTellsNothing) {
  Peer peer;
  EXPECT_TRUE(peer.heard(kStart, LinkId(0), beat(1, 5), kOwn));
  EXPECT_FALSE(peer.heard(kStart + milliseconds(3), LinkId(1), beat(1, 4), kOwn));
  EXPECT_FALSE(peer.heard(kStart + milliseconds(4), LinkId(1), beat(1, 5), kOwn));
  EXPECT_EQ(peer.latest()->sequence, 5U);
  EXPECT_EQ(peer.last_receipt(), kStart + milliseconds(4));
  EXPECT_EQ(peer.last_receipt_on(LinkId(0)), kStart);
}

TEST(Peer, ARelayedHeartbeatIsHeardOnNoLink) {
  Peer peer;
  EXPECT_TRUE(peer.heard(kStart, std::nullopt, beat(1, 1), kOwn));
  EXPECT_EQ(peer.last_receipt(), kStart);
  EXPECT_EQ(peer.last_direct(), kLongAgo);
}

TEST(Peer, AnAcknowledgementCountsFromWhenTheHeartbeatWasSent) {
  Peer peer;
  peer.sent(1, kStart);
  peer.sent(2, kStart + milliseconds(100));
  EXPECT_TRUE(peer.heard(kStart + milliseconds(500), LinkId(0), beat(1, 1, 1), kOwn));
  EXPECT_EQ(peer.acked_sent(), kStart);
  EXPECT_TRUE(peer.heard(kStart + milliseconds(600), LinkId(0), beat(1, 2, 2), kOwn));
  EXPECT_EQ(peer.acked_sent(), kStart + milliseconds(100));
}

TEST(Peer, AcknowledgementsOfOthersOrOfTheUnsentCountForNothing) {
  Peer peer;
  peer.sent(1, kStart);
  EXPECT_TRUE(peer.heard(kStart, LinkId(0), beat(1, 1, 1, BootId{6}), kOwn));  // of an earlier daemon here
  EXPECT_EQ(peer.acked_sent(), kLongAgo);
  EXPECT_TRUE(peer.heard(kStart, LinkId(0), beat(1, 2, 2), kOwn));  // never sent
  EXPECT_EQ(peer.acked_sent(), kLongAgo);
  EXPECT_EQ(peer.acked_sequence(), 0U);
}

TEST(Peer, AnAcknowledgementOlderThanTheMemoryCountsForNothing) {
  Peer peer;
  for (uint64_t s = 1; s <= 2000; ++s) peer.sent(s, kStart + milliseconds(static_cast<int64_t>(s)));
  EXPECT_TRUE(peer.heard(kStart + milliseconds(2001), LinkId(0), beat(1, 1, 900), kOwn));
  EXPECT_EQ(peer.acked_sent(), kLongAgo);
  EXPECT_TRUE(peer.heard(kStart + milliseconds(2001), LinkId(0), beat(1, 2, 1900), kOwn));
  EXPECT_EQ(peer.acked_sent(), kStart + milliseconds(1900));
}

TEST(Peer, ANewDaemonKnowsNothingOfWhatTheOldOneAcknowledged) {
  Peer peer;
  peer.sent(1, kStart);
  EXPECT_TRUE(peer.heard(kStart, LinkId(0), beat(1, 9, 1), kOwn));
  EXPECT_EQ(peer.acked_by_this_daemon(), kStart);
  EXPECT_TRUE(peer.heard(kStart, LinkId(0), beat(2, 1), kOwn));
  EXPECT_TRUE(peer.take_rebooted());
  EXPECT_FALSE(peer.take_rebooted());
  EXPECT_EQ(peer.acked_sequence(), 0U);
  EXPECT_EQ(peer.acked_by_this_daemon(), kLongAgo);
  EXPECT_EQ(peer.acked_sent(), kStart);  // the lease it gave is still good: the new one waits as long
}

TEST(Peer, AStragglerOfTheOldDaemonIsIgnored) {
  Peer peer;
  EXPECT_TRUE(peer.heard(kStart, LinkId(0), beat(1, 9), kOwn));
  EXPECT_TRUE(peer.heard(kStart, LinkId(0), beat(2, 1), kOwn));
  EXPECT_FALSE(peer.heard(kStart + milliseconds(50), LinkId(0), beat(1, 10), kOwn));
  EXPECT_EQ(peer.latest()->boot, BootId{2});
  EXPECT_EQ(peer.last_receipt(), kStart);
}

}  // namespace
}  // namespace clusterd
