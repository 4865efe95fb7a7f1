#include "mirror/compression.hpp"

#include <gtest/gtest.h>

#include "mirror/token_bucket.hpp"

namespace clusterd::mirror {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr size_t kMiB = 1 << 20;

TEST(CompressionTest, IsNotTriedWhereTheWireNeverWasTheBottleneck) {
  Compression compression;
  EXPECT_FALSE(compression.try_next(kMiB));
  compression.wire_took(kMiB, milliseconds(100));
  EXPECT_TRUE(compression.try_next(kMiB));
  EXPECT_FALSE(compression.try_next(Compression::kLeast - 1));
}

TEST(CompressionTest, GoesOnWhileItPays) {
  Compression compression;
  compression.wire_took(kMiB, milliseconds(100));
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(compression.try_next(kMiB));
    EXPECT_TRUE(compression.tried(kMiB, kMiB / 2, milliseconds(4)));
  }
}

// The attempts: 1, then after a pause of 1, 2, 4, … 64 messages again.
TEST(CompressionTest, IsTriedLessAndLessWhereItDoesNotPay) {
  Compression compression;
  compression.wire_took(kMiB, milliseconds(100));
  int attempts = 0;
  for (int i = 0; i < 1000; ++i) {
    if (!compression.try_next(kMiB)) continue;
    ++attempts;
    EXPECT_FALSE(compression.tried(kMiB, kMiB, milliseconds(4)));
  }
  EXPECT_GE(attempts, 10);
  EXPECT_LE(attempts, 25);
}

TEST(CompressionTest, WeighsItsOwnTimeAgainstTheWire) {
  Compression slow_wire, quick_wire;
  slow_wire.wire_took(kMiB, milliseconds(100));
  quick_wire.wire_took(kMiB, milliseconds(2));
  for (Compression* compression : {&slow_wire, &quick_wire}) {
    ASSERT_TRUE(compression->try_next(kMiB));
    EXPECT_TRUE(compression->tried(kMiB, kMiB / 2, milliseconds(4)));  // what is done is sent
  }
  EXPECT_TRUE(slow_wire.try_next(kMiB));
  EXPECT_FALSE(quick_wire.try_next(kMiB));
}

TEST(CompressionTest, WhatTellsNothingOfTheWireIsNotCounted) {
  Compression compression;
  compression.wire_took(0, milliseconds(100));
  compression.wire_took(kMiB, Duration::zero());
  EXPECT_FALSE(compression.try_next(kMiB));
}

TEST(CompressionTest, ForgetsWhatTheWireOnceWas) {
  Compression compression;
  compression.wire_took(kMiB, milliseconds(100));
  for (int i = 0; i < 30; ++i) compression.wire_took(kMiB, milliseconds(1));
  ASSERT_TRUE(compression.try_next(kMiB));
  EXPECT_TRUE(compression.tried(kMiB, kMiB / 2, milliseconds(4)));
  EXPECT_FALSE(compression.try_next(kMiB));  // it did not pay on the wire as it is now
}

TEST(TokenBucketTest, LetsNoMoreThroughThanTheRate) {
  TokenBucket bucket(1'000'000);
  Instant now{seconds(100)};
  size_t passed = 0;
  for (int i = 0; i < 10'000; ++i) {
    passed += bucket.take(now, 16 * 1024);
    now += milliseconds(1);
  }
  EXPECT_LE(passed, 10'000'000U + 100'000U);
  EXPECT_GE(passed, 9'800'000U);
}

TEST(TokenBucketTest, SavesLittleForLater) {
  TokenBucket bucket(1'000'000);
  (void)bucket.take(Instant{seconds(1)}, 1);
  size_t passed = 0;
  for (int i = 0; i < 100; ++i) passed += bucket.take(Instant{seconds(1000)}, 16 * 1024);
  EXPECT_LE(passed, 100'000U);
  EXPECT_GT(bucket.wait(), Duration::zero());
}

TEST(TokenBucketTest, WithoutALimitEverythingPasses) {
  TokenBucket bucket(0);
  EXPECT_EQ(bucket.take(Instant{}, kMiB), kMiB);
  EXPECT_EQ(bucket.wait(), Duration::zero());
}

}  // namespace
}  // namespace clusterd::mirror
