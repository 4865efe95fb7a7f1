// Heartbeats that no peer of this version sends: other versions, too many of everything.
#include <gtest/gtest.h>

#include "core/heartbeat.hpp"

namespace clusterd {
namespace {

constexpr size_t kHostsAt = 3 + 1 + 8 + 8 + 16 + 8 + 8 + 1 + 8 + 1;  // where the number of hosts stands
constexpr size_t kServiceBytes = 1 + 1 + 8 + 8;

Heartbeat empty() {
  Heartbeat h;
  h.from = NodeId(1);
  return h;
}

void insert(std::vector<uint8_t>& bytes, size_t at, size_t count, uint8_t value = 0) {
  bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(at), count, value);
}

TEST(HostileHeartbeat, OtherVersionsAreRefusedOldAndNew) {
  auto bytes = encode(empty());
  ASSERT_TRUE(decode(bytes).has_value());
  const uint8_t version = bytes.at(2);
  for (unsigned other = 0; other < 256; ++other) {
    bytes[2] = static_cast<uint8_t>(other);
    EXPECT_EQ(decode(bytes).has_value(), other == version) << other;
  }
}

TEST(HostileHeartbeat, OtherSendersThanTheNodesAreRefused) {
  auto bytes = encode(empty());
  for (unsigned from = 0; from < 256; ++from) {
    bytes[3] = static_cast<uint8_t>(from);
    EXPECT_EQ(decode(bytes).has_value(), from < kNodes) << from;
  }
}

// With as many entries as the count says, so that only the limit speaks against it.
TEST(HostileHeartbeat, CountsAboveTheLimitsAreRefusedAlsoWithTheirEntries) {
  for (unsigned count = 0; count < 256; ++count) {
    auto hosts = encode(empty());
    hosts[kHostsAt] = static_cast<uint8_t>(count);
    insert(hosts, kHostsAt + 1, count);
    EXPECT_EQ(decode(hosts).has_value(), count <= kMaxHosts) << count;

    auto services = encode(empty());
    services[kHostsAt + 1] = static_cast<uint8_t>(count);
    insert(services, kHostsAt + 2, count * kServiceBytes);
    EXPECT_EQ(decode(services).has_value(), count <= kMaxServices) << count;

    auto lineage = encode(empty());
    lineage[kHostsAt + 4] = static_cast<uint8_t>(count);
    insert(lineage, kHostsAt + 5, count * size_t{8});
    EXPECT_EQ(decode(lineage).has_value(), count <= kMaxLineage) << count;

    auto reason = encode(empty());
    reason.back() = static_cast<uint8_t>(count);
    reason.insert(reason.end(), count, uint8_t{'x'});
    EXPECT_EQ(decode(reason).has_value(), count <= 120) << count;
  }
}

TEST(HostileHeartbeat, CountsWithoutEntriesAreRefused) {
  for (const size_t at : {kHostsAt, kHostsAt + 1, kHostsAt + 4}) {
    for (unsigned count = 1; count < 256; ++count) {
      auto bytes = encode(empty());
      bytes[at] = static_cast<uint8_t>(count);
      EXPECT_FALSE(decode(bytes).has_value()) << at << ": " << count;
    }
  }
}

TEST(HostileHeartbeat, EnumeratorsThatDoNotExistAreRefused) {
  Heartbeat h = empty();
  h.services.resize(1);
  auto bytes = encode(h);
  for (unsigned value = 0; value < 256; ++value) {
    auto bad = bytes;
    bad[kHostsAt + 2] = static_cast<uint8_t>(value);
    EXPECT_EQ(decode(bad).has_value(), value <= static_cast<unsigned>(Role::kFailed)) << value;
  }
}

TEST(HostileHeartbeat, MoreThanADatagramIsRefused) {
  EXPECT_FALSE(decode(std::vector<uint8_t>(kMaxHeartbeatBytes + 1)).has_value());
  EXPECT_FALSE(decode(std::vector<uint8_t>(65'507, 0xff)).has_value());
}

}  // namespace
}  // namespace clusterd
