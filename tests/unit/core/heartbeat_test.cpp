#include "core/heartbeat.hpp"

#include <gtest/gtest.h>

#include <random>

namespace clusterd {
namespace {

class Dice {
 public:
  explicit Dice(uint64_t seed) : engine_(seed) {}
  uint64_t word() { return engine_(); }
  size_t below(size_t n) { return static_cast<size_t>(engine_() % n); }
  bool coin() { return (engine_() & 1U) != 0; }

 private:
  std::mt19937_64 engine_;
};

ServiceReport random_service(Dice& dice) {
  ServiceReport s;
  s.role = static_cast<Role>(dice.below(static_cast<size_t>(Role::kFailed) + 1));
  s.epoch.value = dice.word();
  s.data_epoch.value = dice.word();
  s.ready = dice.coin();
  s.peer_synced = dice.coin();
  s.diverged = dice.coin();
  s.blocked = dice.coin();
  s.may_run = dice.coin();
  return s;
}

Heartbeat random_heartbeat(Dice& dice, bool fullest = false) {
  const auto count = [&](size_t most) { return fullest ? most : dice.below(most + 1); };
  Heartbeat h;
  h.from = NodeId(dice.below(kNodes));
  h.boot.value = dice.word();
  h.sequence = dice.word();
  h.ack = {BootId{dice.word()}, dice.word()};
  h.config_hash = dice.word();
  h.wall = WallTime(Duration(static_cast<int64_t>(dice.word())));
  h.locked = dice.coin();
  h.lock_peer = dice.coin();
  h.leaving = dice.coin();
  h.promise_wanted = dice.coin();
  h.promise_given = dice.coin();
  h.promise = Duration(static_cast<int64_t>(dice.word()));
  h.links_up = static_cast<uint8_t>(dice.word());
  h.hosts.resize(count(kMaxHosts));
  for (CountedState& c : h.hosts) c = {dice.coin(), dice.coin(), dice.coin(), dice.coin(), dice.coin()};
  h.service_nic_up = dice.coin();
  h.watchdog = dice.coin();
  h.services.resize(count(kMaxServices));
  for (ServiceReport& s : h.services) s = random_service(dice);
  h.lineage_of = static_cast<uint16_t>(dice.word());
  h.lineage.resize(count(kMaxLineage));
  for (Epoch& e : h.lineage) e.value = dice.word();
  h.request.kind =
      static_cast<Request::Kind>(dice.below(static_cast<size_t>(Request::Kind::kStopServices) + 1));
  h.request.id = dice.word();
  h.request.service = static_cast<uint16_t>(dice.word());
  h.answer.id = dice.word();
  h.answer.outcome = static_cast<RequestAnswer::Outcome>(dice.below(3));
  h.answer.reason.resize(count(120));
  for (char& c : h.answer.reason) c = static_cast<char>(dice.word());
  return h;
}

TEST(HeartbeatCodec, RoundTripOfAnyValidHeartbeat) {
  Dice dice(1);
  for (int i = 0; i < 2000; ++i) {
    const Heartbeat h = random_heartbeat(dice);
    const auto back = decode(encode(h));
    ASSERT_TRUE(back.has_value()) << "heartbeat " << i;
    ASSERT_TRUE(*back == h) << "heartbeat " << i;
  }
}

TEST(HeartbeatCodec, TheFullestFitsOneDatagram) {
  Dice dice(2);
  const Heartbeat h = random_heartbeat(dice, true);
  const auto bytes = encode(h);
  EXPECT_LE(bytes.size(), kMaxHeartbeatBytes);
  EXPECT_GT(bytes.size(), 16 + 24 * 18 + 16 * 8 + 120U);
  ASSERT_TRUE(decode(bytes).has_value());
  EXPECT_TRUE(*decode(bytes) == h);
}

TEST(HeartbeatCodec, RefusesEveryTruncationAndEveryExtraByte) {
  Dice dice(3);
  for (int i = 0; i < 20; ++i) {
    auto bytes = encode(random_heartbeat(dice, i == 0));
    for (size_t length = 0; length < bytes.size(); ++length) {
      ASSERT_FALSE(decode(std::span(bytes).first(length)).has_value()) << length << " of " << bytes.size();
    }
    for (const uint8_t extra : {uint8_t{0}, uint8_t{1}, uint8_t{255}}) {
      bytes.push_back(extra);
      ASSERT_FALSE(decode(bytes).has_value());
      bytes.pop_back();
    }
  }
}

// What is accepted is canonical: it re-encodes to the very same bytes.
TEST(HeartbeatCodec, AFlippedBitIsRefusedOrMeansSomethingElse) {
  Dice dice(4);
  for (int i = 0; i < 20; ++i) {
    const Heartbeat h = random_heartbeat(dice, i == 0);
    auto bytes = encode(h);
    size_t refused = 0;
    for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      bytes[bit / 8] = static_cast<uint8_t>(bytes[bit / 8] ^ (1U << (bit % 8)));
      const auto back = decode(bytes);
      if (!back) {
        ++refused;
      } else {
        ASSERT_FALSE(*back == h) << "bit " << bit << " means nothing";
        ASSERT_EQ(encode(*back), bytes) << "bit " << bit;
      }
      bytes[bit / 8] = static_cast<uint8_t>(bytes[bit / 8] ^ (1U << (bit % 8)));
    }
    EXPECT_GE(refused, 24U + 7U);  // magic and version, sender
  }
}

TEST(HeartbeatCodec, RandomBytesNeverDecodeToSomethingElse) {
  Dice dice(5);
  auto seed = encode(random_heartbeat(dice));
  for (int i = 0; i < 20000; ++i) {
    auto bytes = seed;
    for (size_t n = 1 + dice.below(8); n > 0; --n)
      bytes[dice.below(bytes.size())] = static_cast<uint8_t>(dice.word());
    const auto back = decode(bytes);
    if (back) {
      ASSERT_EQ(encode(*back), bytes);
    }
  }
}

TEST(HeartbeatCodec, ALongReasonIsCutAtACharacter) {
  Heartbeat h;
  h.from = NodeId(0);
  h.answer.reason = std::string(119, 'a') + "\xC3\xA9 and more";
  const auto back = decode(encode(h));
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->answer.reason, std::string(119, 'a'));
  h.answer.reason = std::string(200, '\x80');  // no character begins anywhere in it
  EXPECT_EQ(decode(encode(h))->answer.reason, "");
  h.answer.reason = std::string(300, 'b');
  EXPECT_EQ(decode(encode(h))->answer.reason, std::string(120, 'b'));
}

TEST(HeartbeatCodec, RefusesCountsAboveTheLimits) {
  Heartbeat h;
  h.from = NodeId(1);
  auto bytes = encode(h);
  const size_t hosts_at = 3 + 1 + 8 + 8 + 16 + 8 + 8 + 1 + 8 + 1;
  ASSERT_EQ(bytes.at(hosts_at), 0);
  bytes[hosts_at] = kMaxHosts + 1;
  bytes.insert(bytes.begin() + hosts_at + 1, kMaxHosts + 1, uint8_t{0});
  EXPECT_FALSE(decode(bytes).has_value());
  bytes[hosts_at] = kMaxHosts;  // the same with one less is accepted
  bytes.erase(bytes.begin() + hosts_at + 1);
  EXPECT_TRUE(decode(bytes).has_value());
}

TEST(HeartbeatCodec, RefusesWhatFitsNoDatagram) {
  EXPECT_FALSE(decode(std::vector<uint8_t>(kMaxHeartbeatBytes + 1)).has_value());
}

TEST(HeartbeatCodec, EveryRoleHasItsWord) {
  EXPECT_STREQ(name(Role::kStandby), "standby");
  EXPECT_STREQ(name(Role::kStarting), "starting");
  EXPECT_STREQ(name(Role::kActive), "active");
  EXPECT_STREQ(name(Role::kStopping), "stopping");
  EXPECT_STREQ(name(Role::kSuspended), "suspended");
  EXPECT_STREQ(name(Role::kReleased), "released");
  EXPECT_STREQ(name(Role::kFailed), "failed");
}

}  // namespace
}  // namespace clusterd
