#include "mirror/live/delta.hpp"

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

namespace clusterd::mirror::live {
namespace {

constexpr size_t kMinBlock = 4 * 1024;
constexpr size_t kMaxBlock = 1024 * 1024;

constexpr size_t kStride = 64;
constexpr auto kWeights = [] {
  std::array<int16_t, kStride> weights{};
  for (size_t i = 0; i < kStride; ++i) weights[i] = static_cast<int16_t>(kStride - i);
  return weights;
}();

// Both halves of the rolling sum, as in rsync.
struct Rolling {
  uint32_t a = 0, b = 0;
  // A stride at a time: the sums within one do not wait for each other, and the compiler makes vectors of
  // them.
  void start(std::span<const uint8_t> block) {
    a = b = 0;
    while (block.size() >= kStride) {
      std::array<int16_t, kStride> bytes;
      std::copy_n(block.begin(), kStride, bytes.begin());
      int32_t sum = 0, weighted = 0;
      for (size_t i = 0; i < kStride; ++i) sum += bytes[i];
      for (size_t i = 0; i < kStride; ++i) weighted += int32_t{bytes[i]} * int32_t{kWeights[i]};
      b += static_cast<uint32_t>(kStride) * a + static_cast<uint32_t>(weighted);
      a += static_cast<uint32_t>(sum);
      block = block.subspan(kStride);
    }
    for (const uint8_t byte : block) {
      a += byte;
      b += a;
    }
  }
  void roll(uint8_t out, uint8_t in, uint32_t length) {
    a += static_cast<uint32_t>(in) - out;
    b += a - length * out;
  }
  [[nodiscard]] uint32_t value() const { return (a & 0xffffU) | (b << 16U); }
};

std::array<uint8_t, 12> strong_sum(std::span<const uint8_t> block, uint64_t seed) {
  const XXH128_hash_t hash = XXH3_128bits_withSeed(block.data(), block.size(), seed);
  std::array<uint8_t, 12> out;
  std::memcpy(out.data(), &hash.low64, 8);
  std::memcpy(out.data() + 8, &hash.high64, 4);
  return out;
}

}  // namespace

uint32_t block_size_for(uint64_t file_size) {
  const auto wanted = static_cast<size_t>(std::sqrt(static_cast<double>(file_size)) * 4);
  size_t size = kMinBlock;
  while (size < wanted && size < kMaxBlock) size *= 2;
  return static_cast<uint32_t>(size);
}

uint32_t weak_sum(std::span<const uint8_t> block) {
  Rolling rolling;
  rolling.start(block);
  return rolling.value();
}

BlockSum block_sum(std::span<const uint8_t> block, uint64_t seed) {
  return {weak_sum(block), strong_sum(block, seed)};
}

bool BlockSums::consistent() const {
  if (size == 0) return blocks.empty();
  return block_size >= kMinBlock && block_size <= kMaxBlock &&
         blocks.size() == (size + block_size - 1) / block_size;
}

void Kept::add(uint64_t begin, uint64_t end) {
  if (!ranges_.empty() && ranges_.back().second == begin) {
    ranges_.back().second = end;
  } else {
    ranges_.emplace_back(begin, end);
  }
}

bool Kept::covers(uint64_t begin, uint64_t end) const {
  const auto after = std::ranges::upper_bound(ranges_, begin, {}, &std::pair<uint64_t, uint64_t>::first);
  return after != ranges_.begin() && std::prev(after)->second >= end;
}

Result<BlockSums> sum_blocks(uint64_t size, uint64_t seed, const ReadAt& read) {
  return sum_blocks(size, seed, read, {}, {});
}

Result<BlockSums> sum_blocks(uint64_t size, uint64_t seed, const ReadAt& read, const BlockSums& old,
                             const Kept& kept) {
  BlockSums sums;
  sums.size = size;
  sums.block_size = block_size_for(size);
  std::vector<uint8_t> block(sums.block_size);
  for (uint64_t at = 0; at < size; at += sums.block_size) {
    const std::span<uint8_t> part(block.data(),
                                  static_cast<size_t>(std::min<uint64_t>(block.size(), size - at)));
    const uint64_t end = at + part.size();
    const bool same_border =
        sums.block_size == old.block_size && (part.size() == block.size() || end == old.size);
    if (same_border && kept.covers(at, end)) {
      sums.blocks.push_back(old.blocks[sums.blocks.size()]);
      continue;
    }
    if (auto ok = read(at, part); !ok) return tl::unexpected(ok.error());
    sums.blocks.push_back(block_sum(part, seed));
  }
  return sums;
}

struct DeltaFinder::Table {
  const BlockSums& old;
  uint64_t seed;
  std::vector<uint32_t> by_weak;  // block numbers in the order of their weak sums; whole blocks only
  std::vector<uint64_t> filter;   // one bit per residue of the weak sum: most bytes end here

  static constexpr uint32_t kFilterBits = 1U << 20U;
  static uint32_t residue(uint32_t weak) { return (weak * 0x9e3779b1U) >> 12U; }
  [[nodiscard]] bool maybe(uint32_t weak) const {
    const uint32_t r = residue(weak);
    return (filter[r / 64] >> (r % 64) & 1U) != 0;
  }
  // A block with these contents.
  [[nodiscard]] std::optional<uint64_t> find(uint32_t weak, std::span<const uint8_t> block) const {
    auto it = std::lower_bound(by_weak.begin(), by_weak.end(), weak,
                               [&](uint32_t n, uint32_t w) { return old.blocks[n].weak < w; });
    std::optional<std::array<uint8_t, 12>> strong;
    for (int tries = 0; it != by_weak.end() && old.blocks[*it].weak == weak && tries < 16; ++it, ++tries) {
      if (!strong) strong = strong_sum(block, seed);
      if (old.blocks[*it].strong == *strong) return *it;
    }
    return std::nullopt;
  }
};

DeltaFinder::DeltaFinder(const BlockSums& old, uint64_t seed)
    : table_(std::make_unique<Table>(Table{old, seed, {}, {}})) {
  const size_t whole = old.block_size == 0 ? 0 : static_cast<size_t>(old.size / old.block_size);
  table_->filter.resize(Table::kFilterBits / 64);
  for (uint32_t n = 0; n < std::min(whole, old.blocks.size()); ++n) {
    table_->by_weak.push_back(n);
    const uint32_t r = Table::residue(old.blocks[n].weak);
    table_->filter[r / 64] |= uint64_t{1} << (r % 64);
  }
  std::sort(table_->by_weak.begin(), table_->by_weak.end(), [&](uint32_t a, uint32_t b) {
    const auto &x = old.blocks[a], &y = old.blocks[b];
    return x.weak != y.weak ? x.weak < y.weak : a < b;
  });
}
DeltaFinder::~DeltaFinder() = default;

// One pass over the new version. Literal bytes and adjacent copies are gathered before they go to the sink.
class DeltaFinder::Search {
 public:
  Search(const Table& table, uint64_t begin, uint64_t end, const ReadAt& read, DeltaSink& sink)
      : table_(table), read_(read), sink_(sink), at_(begin), end_(end), literal_(begin), base_(begin) {}

  Result<void> run() {
    const uint32_t size = table_.old.block_size;
    while (at_ < end_) {
      auto matched = match_in_place();
      if (!matched) return tl::unexpected(matched.error());
      if (*matched) continue;
      if (size == 0 || end_ - at_ < size || table_.by_weak.empty()) {
        at_ = size == 0 ? end_ : std::min(end_, at_ + size);
        if (auto ok = keep_literals_short(); !ok) return ok;
        continue;
      }
      if (auto ok = roll(); !ok) return ok;
    }
    if (auto ok = put_literals(end_); !ok) return ok;
    return put_copy();
  }

 private:
  // Is the block that begins here the one that began here before?
  Result<bool> match_in_place() {
    const auto& old = table_.old;
    if (old.block_size == 0 || at_ % old.block_size != 0 || at_ >= old.size) return false;
    const uint64_t length = std::min<uint64_t>(old.block_size, old.size - at_);
    if (end_ - at_ < length) return false;
    auto block = window(at_, static_cast<size_t>(length));
    if (!block) return tl::unexpected(block.error());
    if (strong_sum(*block, table_.seed) != old.blocks[static_cast<size_t>(at_ / old.block_size)].strong)
      return false;
    if (auto ok = matched(at_, length); !ok) return tl::unexpected(ok.error());
    return true;
  }

  // Moves on until a block is found, or to the end, or to the next old border.
  Result<void> roll() {
    const uint32_t size = table_.old.block_size;
    auto block = window(at_, size);
    if (!block) return tl::unexpected(block.error());
    Rolling rolling;
    rolling.start(*block);
    for (bool first = true;; first = false) {
      if (!first && at_ % size == 0 && at_ < table_.old.size) return {};
      if (table_.maybe(rolling.value())) {
        block = window(at_, size);
        if (!block) return tl::unexpected(block.error());
        if (const auto found = table_.find(rolling.value(), *block)) return matched(*found * size, size);
      }
      if (end_ - at_ == size) {  // the last position: what is left is literal
        at_ = end_;
        return keep_literals_short();
      }
      auto pair = window(at_, size_t{size} + 1);
      if (!pair) return tl::unexpected(pair.error());
      rolling.roll(pair->front(), pair->back(), size);
      ++at_;
      if (at_ - literal_ >= kMaxContent) {
        if (auto ok = keep_literals_short(); !ok) return ok;
      }
    }
  }

  Result<void> matched(uint64_t from, uint64_t length) {
    if (auto ok = put_literals(at_); !ok) return ok;
    if (copy_length_ > 0 && copy_from_ + copy_length_ == from && copy_to_ + copy_length_ == at_) {
      copy_length_ += length;
    } else {
      if (auto ok = put_copy(); !ok) return ok;
      copy_from_ = from;
      copy_to_ = at_;
      copy_length_ = length;
    }
    at_ += length;
    literal_ = at_;
    return copy_length_ < kMaxCopy ? Result<void>() : put_copy();
  }

  Result<void> put_copy() {
    if (copy_length_ == 0) return {};
    const uint64_t length = std::exchange(copy_length_, 0);
    return sink_.copy(copy_from_, copy_to_, length);
  }

  Result<void> keep_literals_short() {
    return at_ - literal_ < kMaxContent ? Result<void>() : put_literals(at_);
  }

  Result<void> put_literals(uint64_t to) {
    if (literal_ == to) return {};
    if (auto ok = put_copy(); !ok) return ok;
    while (literal_ < to) {
      const auto n = static_cast<size_t>(std::min<uint64_t>(kMaxContent, to - literal_));
      auto bytes = window(literal_, n);
      if (!bytes) return tl::unexpected(bytes.error());
      if (auto ok = sink_.data(literal_, *bytes); !ok) return ok;
      literal_ += n;
    }
    return {};
  }

  // Bytes of the new version. Holds what is between the literals that are not out yet and the read-ahead.
  Result<std::span<const uint8_t>> window(uint64_t offset, size_t length) {
    if (offset < base_ || offset + length > base_ + buffer_.size()) {
      const uint64_t from = std::min(literal_, offset);
      const size_t keep = from >= base_ && from < base_ + buffer_.size()
                              ? static_cast<size_t>(base_ + buffer_.size() - from)
                              : 0;
      buffer_.erase(buffer_.begin(), buffer_.end() - static_cast<ptrdiff_t>(keep));
      base_ = from;
      const uint64_t want = std::min(end_, std::max<uint64_t>(offset + length, base_ + keep + kReadAhead));
      buffer_.resize(static_cast<size_t>(want - base_));
      if (auto ok = read_(base_ + keep, std::span(buffer_).subspan(keep)); !ok)
        return tl::unexpected(ok.error());
    }
    return std::span<const uint8_t>(buffer_).subspan(static_cast<size_t>(offset - base_), length);
  }

  static constexpr uint64_t kReadAhead = 1024 * 1024;
  const Table& table_;
  const ReadAt& read_;
  DeltaSink& sink_;
  uint64_t at_, end_;
  uint64_t literal_;  // from here to at_ nothing has matched
  uint64_t copy_from_ = 0, copy_to_ = 0, copy_length_ = 0;
  std::vector<uint8_t> buffer_;
  uint64_t base_;
};

Result<void> DeltaFinder::find(uint64_t begin, uint64_t end, const ReadAt& read, DeltaSink& sink) const {
  return Search(*table_, begin, end, read, sink).run();
}

}  // namespace clusterd::mirror::live
