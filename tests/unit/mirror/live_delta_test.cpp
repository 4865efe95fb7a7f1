// Deltas: whatever has become of a file, what is copied and what is sent makes the new version.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "mirror/live/delta.hpp"

namespace clusterd::mirror::live {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr uint64_t kSeed = 7;
constexpr size_t kBlock = 4096;

Bytes noise(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  Bytes out(size);
  for (auto& byte : out) byte = static_cast<uint8_t>(random());
  return out;
}

Bytes joined(std::initializer_list<Bytes> parts) {
  Bytes out;
  for (const Bytes& part : parts) out.insert(out.end(), part.begin(), part.end());
  return out;
}

Bytes part(const Bytes& of, size_t from, size_t length) {
  return {of.begin() + static_cast<ptrdiff_t>(from), of.begin() + static_cast<ptrdiff_t>(from + length)};
}

// Another block with the same weak sum: bytes `at` to `at + 2` are changed so that both halves stay.
Bytes with_the_same_weak_sum(Bytes block, size_t at) {
  block[at] = block[at + 2] = 10;
  block[at + 1] = 10;
  Bytes out = block;
  out[at] += 1;
  out[at + 1] -= 2;
  out[at + 2] += 1;
  return out;
}

// What everything here goes through: reading and telling, each of which can be made to fail at its n-th call.
struct Trial : DeltaSink {
  const Bytes &old, &now;
  Bytes made;
  size_t literal = 0, copies = 0, pieces = 0, calls = 0, fails_at = SIZE_MAX;
  Trial(const Bytes& from, const Bytes& to) : old(from), now(to) {}

  Result<void> step() {
    EXPECT_LE(calls, fails_at) << "went on after an error";
    return calls++ == fails_at ? fail(Code::kRetry, "no more") : Result<void>();
  }
  Result<void> copy(uint64_t from, uint64_t to, uint64_t length) override {
    if (auto ok = step(); !ok) return ok;
    EXPECT_EQ(to, made.size());
    EXPECT_LE(from + length, old.size());
    EXPECT_GT(length, 0U);
    made.insert(made.end(), old.begin() + static_cast<ptrdiff_t>(from),
                old.begin() + static_cast<ptrdiff_t>(from + length));
    ++copies;
    return {};
  }
  Result<void> data(uint64_t offset, std::span<const uint8_t> bytes) override {
    if (auto ok = step(); !ok) return ok;
    EXPECT_EQ(offset, made.size());
    EXPECT_LE(bytes.size(), kMaxContent);
    EXPECT_FALSE(bytes.empty());
    made.insert(made.end(), bytes.begin(), bytes.end());
    literal += bytes.size();
    ++pieces;
    return {};
  }
  ReadAt reader(const Bytes& from) {
    return [this, &from](uint64_t offset, std::span<uint8_t> into) -> Result<void> {
      if (auto ok = step(); !ok) return ok;
      EXPECT_LE(offset + into.size(), from.size());
      std::copy_n(from.begin() + static_cast<ptrdiff_t>(offset), into.size(), into.begin());
      return {};
    };
  }
  Result<void> run() {
    auto sums = sum_blocks(old.size(), kSeed, reader(old));
    if (!sums) return tl::unexpected(sums.error());
    EXPECT_TRUE(sums->consistent());
    return DeltaFinder(*sums, kSeed).find(0, now.size(), reader(now), *this);
  }
};

// It comes about, and an error at any of its calls ends it and is told.
Trial expect_made(const Bytes& old, const Bytes& now) {
  Trial trial(old, now);
  EXPECT_TRUE(trial.run());
  EXPECT_TRUE(trial.made == now);
  for (size_t call = 0; call < trial.calls; ++call) {
    Trial broken(old, now);
    broken.fails_at = call;
    const auto result = broken.run();
    EXPECT_FALSE(result) << "error of call " << call << " of " << trial.calls << " was swallowed";
    if (result) continue;
    EXPECT_EQ(result.error().code, Code::kRetry);
    EXPECT_EQ(broken.calls, call + 1);
  }
  return trial;
}

TEST(LiveDelta, OfWhatWasNotThereIsAllOfIt) {
  const Bytes now = noise(3 * kBlock + 5, 1);
  const Trial trial = expect_made({}, now);
  EXPECT_EQ(trial.literal, now.size());
  EXPECT_EQ(expect_made(now, {}).literal, 0U);
  // A version without sums at all.
  Trial bare({}, now);
  EXPECT_TRUE(DeltaFinder(BlockSums{}, kSeed).find(0, now.size(), bare.reader(now), bare));
  EXPECT_TRUE(bare.made == now);
}

TEST(LiveDelta, OfASmallFileWithoutAWholeBlock) {
  const Bytes old = noise(100, 1);
  EXPECT_EQ(expect_made(old, old).literal, 0U);  // the short last block is at its old place
  EXPECT_EQ(expect_made(old, joined({old, {1, 2, 3}})).literal, 3U);
  EXPECT_EQ(expect_made(old, part(old, 0, 50)).literal, 50U);
  EXPECT_EQ(expect_made(old, noise(kBlock + 1, 2)).literal, kBlock + 1);
}

TEST(LiveDelta, BlocksInAnotherOrderAreCopied) {
  const Bytes a = noise(kBlock, 1), b = noise(kBlock, 2), c = noise(kBlock, 3);
  const Trial trial = expect_made(joined({a, b, c}), joined({c, b, a, a, b, c}));
  EXPECT_EQ(trial.literal, 0U);
  EXPECT_EQ(trial.copies, 4U);  // the last three blocks lie together
  // Moved by a few bytes.
  EXPECT_EQ(expect_made(joined({a, b, c}), joined({{9, 9, 9}, a, b, c})).literal, 3U);
  EXPECT_EQ(expect_made(joined({a, b, c}), joined({a, {9}, c, {8}})).literal, 2U);
}

// Of what was changed in place those blocks are sent, and what has moved between them is found all the same.
TEST(LiveDelta, BlocksChangedInPlaceAreSentAsTheyAre) {
  const Bytes old = noise(250 * kBlock + 99, 1);
  const auto with = [&](std::initializer_list<size_t> blocks) {
    Bytes now = old;
    for (const size_t block : blocks) now[block * kBlock + 7] ^= 1U;
    return now;
  };
  EXPECT_EQ(expect_made(old, with({5})).literal, kBlock);
  EXPECT_EQ(expect_made(old, with({0, 1, 3, 4, 5, 248})).literal, 6 * kBlock);
  EXPECT_EQ(expect_made(old, with({249})).literal, kBlock);  // the short one after it has stayed
  EXPECT_EQ(expect_made(old, with({250})).literal, 99U);
  // One of them has the contents of another one as a whole.
  Bytes now = with({2, 4, 5, 6});
  std::copy_n(old.begin() + 9 * kBlock, kBlock, now.begin() + 5 * kBlock);
  EXPECT_EQ(expect_made(old, now).literal, 3 * kBlock);
}

TEST(LiveDelta, WhatHasMovedAfterManyBlocksChangedInPlaceIsFound) {
  const Bytes old = noise(250 * kBlock, 1);
  Bytes now = old;
  for (size_t block = 0; block < 100; ++block) now[block * kBlock + 7] ^= 1U;
  // A byte is put in, and another one is taken out later.
  now = joined({part(now, 0, 120 * kBlock),
                {1},
                part(now, 120 * kBlock, 100 * kBlock),
                part(now, 220 * kBlock + 1, 30 * kBlock - 1)});
  const Trial trial = expect_made(old, now);
  EXPECT_GE(trial.literal, 101 * kBlock);
  EXPECT_LE(trial.literal, 117 * kBlock);  // 15 blocks are not rolled over
}

TEST(LiveDelta, AWeakSumAloneProvesNothing) {
  const Bytes plain = with_the_same_weak_sum(noise(kBlock, 1), 100);
  Bytes twin = plain;
  twin[100] -= 1;
  twin[101] += 2;
  twin[102] -= 1;
  ASSERT_EQ(weak_sum(plain), weak_sum(twin));
  ASSERT_NE(block_sum(plain, kSeed).strong, block_sum(twin, kSeed).strong);
  const Bytes other = noise(kBlock, 2);
  // Not at its old place, so that it has to be found by its weak sum: the wrong one, and then both.
  EXPECT_EQ(expect_made(joined({other, plain}), joined({{1}, twin})).literal, kBlock + 1);
  EXPECT_EQ(expect_made(joined({other, plain, twin}), joined({{1}, twin})).literal, 1U);
  EXPECT_EQ(expect_made(joined({plain, twin, other}), joined({{1}, twin, plain})).literal, 1U);
}

TEST(LiveDelta, BlocksMadeToShareAWeakSumCostNoMoreThanAFewTries) {
  Bytes old;
  Bytes last;
  for (size_t i = 0; i < 40; ++i) {
    Bytes block(kBlock, 10);
    last = with_the_same_weak_sum(block, 10 * i);
    old.insert(old.end(), last.begin(), last.end());
  }
  const Trial trial = expect_made(old, joined({{1}, last}));
  EXPECT_EQ(trial.literal, kBlock + 1);  // it is one of them, and is sent all the same
}

TEST(LiveDelta, WhatIsNewGoesOutInPieces) {
  const Bytes old = noise(2 * kBlock, 1);
  for (const size_t size : {kMaxContent + 1, 2 * kMaxContent + 777}) {
    const Trial trial = expect_made(old, joined({noise(size, 2), old}));
    EXPECT_GE(trial.literal, size);
    EXPECT_LE(trial.literal, size + 2 * kBlock);
    EXPECT_GE(trial.pieces, size / kMaxContent);
  }
  // Of a file that had no whole block: nothing to search for.
  EXPECT_EQ(expect_made(noise(10, 1), noise(2 * kMaxContent, 2)).literal, 2 * kMaxContent);
}

TEST(LiveDelta, PartsOfAFileAreLookedAtByThemselves) {
  const Bytes old = noise(20 * kBlock, 1);
  Bytes now = old;
  now[5 * kBlock + 17] ^= 1U;
  Trial trial(old, now);
  const auto sums = sum_blocks(old.size(), kSeed, trial.reader(old));
  ASSERT_TRUE(sums);
  const DeltaFinder finder(*sums, kSeed);
  // Borders of the parts are no borders of blocks.
  for (size_t begin = 0, end; begin < now.size(); begin = end) {
    end = std::min(now.size(), begin + 3 * kBlock + 100);
    ASSERT_TRUE(finder.find(begin, end, trial.reader(now), trial));
    ASSERT_EQ(trial.made.size(), end);
  }
  EXPECT_TRUE(trial.made == now);
  // Nothing has been read yet where such a part begins.
  Trial broken(old, now);
  broken.fails_at = 0;
  EXPECT_FALSE(finder.find(100, 3 * kBlock, broken.reader(now), broken));
  EXPECT_GT(trial.literal, 0U);
  EXPECT_LT(trial.literal, now.size());
}

// So that the target begins with it while the rest is still being searched.
TEST(LiveDelta, LongCopiesAreToldInParts) {
  const Bytes old = noise(2 * kMaxCopy + 3 * kBlock, 1);
  Trial trial(old, old);
  ASSERT_TRUE(trial.run());
  EXPECT_TRUE(trial.made == old);
  EXPECT_EQ(trial.literal, 0U);
  EXPECT_EQ(trial.copies, 3U);
}

// The sums of a new version are what they would be had all of it been read.
TEST(LiveDelta, SumsOfANewVersionComeAboutInPassing) {
  struct Summing : Trial {
    BlockSums base;
    SumsInPassing sums;
    Summing(const Bytes& from, const Bytes& to) : Trial(from, to), sums(to.size(), kSeed) {}
    Result<void> copy(uint64_t from, uint64_t to, uint64_t length) override {
      sums.copied(base, from, to, length);
      return Trial::copy(from, to, length);
    }
    void short_block(uint64_t offset, std::span<const uint8_t> bytes) override { sums.data(offset, bytes); }
    Result<void> data(uint64_t offset, std::span<const uint8_t> bytes) override {
      sums.data(offset, bytes);
      return Trial::data(offset, bytes);
    }
  };
  const Bytes old = noise(100 * kBlock + 17, 1);
  Bytes changed = old, longer = old, mid_block = old, swapped = old;
  changed[40 * kBlock + 5] ^= 1U;
  longer.insert(longer.end(), 3 * kBlock, 9);
  mid_block.resize(70 * kBlock + 100);
  std::swap_ranges(swapped.begin(), swapped.begin() + kBlock, swapped.begin() + 7 * kBlock);
  const Bytes head = joined({{1, 2, 3}, old}), large = noise(size_t{5} << 20U, 2);
  for (const Bytes& now : {old, changed, longer, mid_block, swapped, head, large, Bytes{}}) {
    Summing trial(old, now);
    trial.base = *sum_blocks(old.size(), kSeed, trial.reader(old));
    ASSERT_TRUE(DeltaFinder(trial.base, kSeed).find(0, now.size(), trial.reader(now), trial));
    const auto all = sum_blocks(now.size(), kSeed, trial.reader(now));
    ASSERT_TRUE(all);
    EXPECT_EQ(trial.sums.complete(), now != head);  // of that one no block came about as a whole
    const auto sums = trial.sums.take(trial.reader(now));
    ASSERT_TRUE(sums);
    EXPECT_TRUE(sums->blocks == all->blocks);
    EXPECT_EQ(sums->size, now.size());
    EXPECT_TRUE(sums->consistent());
  }
}

TEST(LiveDelta, SumsInPassingOfPiecesAndHoles) {
  Bytes now = noise(10 * kBlock + 50, 1);
  const auto zero = [&](size_t from, size_t to) {
    std::fill(now.begin() + static_cast<ptrdiff_t>(from), now.begin() + static_cast<ptrdiff_t>(to), 0);
  };
  zero(2 * kBlock, 4 * kBlock + 7);
  zero(9 * kBlock - 1, now.size());
  const auto all = sum_blocks(now.size(), kSeed, [&](uint64_t at, std::span<uint8_t> into) -> Result<void> {
    std::copy_n(now.begin() + static_cast<ptrdiff_t>(at), into.size(), into.begin());
    return {};
  });
  SumsInPassing sums(now.size(), kSeed);
  const auto data = [&](size_t from, size_t to) { sums.data(from, std::span(now).subspan(from, to - from)); };
  data(0, 100);
  data(100, 2 * kBlock);  // a block in two pieces
  sums.hole(2 * kBlock, 4 * kBlock + 7);
  data(4 * kBlock + 7, 7 * kBlock - 3);
  data(7 * kBlock - 3, 9 * kBlock - 1);
  sums.hole(9 * kBlock - 1, now.size());
  EXPECT_FALSE(sums.complete());
  std::vector<uint64_t> read;
  const auto rest = sums.take([&](uint64_t at, std::span<uint8_t> into) -> Result<void> {
    read.push_back(at / kBlock);
    std::copy_n(now.begin() + static_cast<ptrdiff_t>(at), into.size(), into.begin());
    return {};
  });
  ASSERT_TRUE(all && rest);
  EXPECT_TRUE(rest->blocks == all->blocks);
  EXPECT_EQ(read, (std::vector<uint64_t>{4, 8}));  // half a hole, each of them
  // An error ends it.
  EXPECT_FALSE(SumsInPassing(5, kSeed).take(
      [](uint64_t, std::span<uint8_t>) -> Result<void> { return fail(Code::kRetry, "no more"); }));
  // Of what is not there nothing is remembered; of old blocks of another size neither.
  SumsInPassing small(10, kSeed);
  small.data(kBlock, std::span(now).first(5));
  small.hole(kBlock, 2 * kBlock);
  small.copied(*all, 0, kBlock, 100);
  small.copied({kBlock, 2 * kBlock, {}}, 0, 0, 10);
  small.copied(*all, 0, 0, 10);  // a whole block there, and a short one here
  EXPECT_FALSE(small.complete());
}

TEST(LiveDelta, TheWeakSumIsThatOfEachByteInItsTurn) {
  for (const size_t size :
       {size_t{1}, size_t{63}, size_t{64}, size_t{65}, kBlock - 1, kBlock, size_t{1} << 20U}) {
    for (const Bytes& block : {noise(size, size), Bytes(size, 255)}) {
      uint32_t a = 0, b = 0;
      for (const uint8_t byte : block) b += a += byte;
      EXPECT_EQ(weak_sum(block), (a & 0xffffU) | (b << 16U)) << size;
    }
  }
}

TEST(LiveDelta, RandomEditsComeAbout) {
  std::mt19937 random(11);
  for (int round = 0; round < 20; ++round) {
    const Bytes old = noise(random() % (40 * kBlock), random());
    Bytes now;
    while (now.size() < 40 * kBlock) {
      const size_t from = random() % (old.size() + 1), length = random() % (old.size() - from + 1);
      now = random() % 3 == 0 ? joined({now, noise(1 + random() % 5000, random())})
                              : joined({now, part(old, from, length), {1}});
    }
    Trial trial(old, now);
    ASSERT_TRUE(trial.run()) << round;
    ASSERT_TRUE(trial.made == now) << round;
  }
}

TEST(LiveDelta, BlocksGrowWithTheFile) {
  EXPECT_EQ(block_size_for(0), kBlock);
  EXPECT_EQ(block_size_for(kBlock), kBlock);
  uint32_t before = 0;
  for (unsigned bits = 0; bits <= 62; ++bits) {
    const uint32_t size = block_size_for(uint64_t{1} << bits);
    EXPECT_GE(size, before);
    before = size;
  }
  EXPECT_EQ(before, 1024U * 1024U);
}

TEST(LiveDelta, SumsThatDoNotFitTheSizeAreInconsistent) {
  const auto fits = [](uint64_t size, uint32_t block_size, size_t blocks) {
    return BlockSums{size, block_size, std::vector<BlockSum>(blocks)}.consistent();
  };
  EXPECT_TRUE(fits(0, 0, 0));
  EXPECT_FALSE(fits(0, kBlock, 1));
  EXPECT_TRUE(fits(1, kBlock, 1));
  EXPECT_TRUE(fits(kBlock, kBlock, 1));
  EXPECT_FALSE(fits(kBlock + 1, kBlock, 1));
  EXPECT_TRUE(fits(kBlock + 1, kBlock, 2));
  EXPECT_FALSE(fits(kBlock, kBlock, 2));
  EXPECT_FALSE(fits(kBlock, 0, 1));
  EXPECT_FALSE(fits(kBlock, kBlock - 1, 2));
  EXPECT_TRUE(fits(1, 1024 * 1024, 1));
  EXPECT_FALSE(fits(1, 1024 * 1024 + 1, 1));
}

}  // namespace
}  // namespace clusterd::mirror::live
