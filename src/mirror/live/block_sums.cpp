#include "mirror/live/block_sums.hpp"

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

}  // namespace

// A stride at a time: the sums within one do not wait for each other, and the compiler makes vectors of
// them.
void RollingSum::start(std::span<const uint8_t> block) {
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

uint32_t block_size_for(uint64_t file_size) {
  const auto wanted = static_cast<size_t>(std::sqrt(static_cast<double>(file_size)) * 4);
  size_t size = kMinBlock;
  while (size < wanted && size < kMaxBlock) size *= 2;
  return static_cast<uint32_t>(size);
}

uint32_t weak_sum(std::span<const uint8_t> block) {
  RollingSum rolling;
  rolling.start(block);
  return rolling.value();
}

std::array<uint8_t, 12> strong_sum(std::span<const uint8_t> block, uint64_t seed) {
  const XXH128_hash_t hash = XXH3_128bits_withSeed(block.data(), block.size(), seed);
  std::array<uint8_t, 12> out;
  std::memcpy(out.data(), &hash.low64, 8);
  std::memcpy(out.data() + 8, &hash.high64, 4);
  return out;
}

BlockSum block_sum(std::span<const uint8_t> block, uint64_t seed) {
  return {weak_sum(block), strong_sum(block, seed)};
}

bool BlockSums::consistent() const {
  if (size == 0) return blocks.empty();
  return block_size >= kMinBlock && block_size <= kMaxBlock &&
         blocks.size() == (size + block_size - 1) / block_size;
}

uint64_t BlockSums::length_of(size_t block) const {
  return std::min<uint64_t>(block_size, size - uint64_t{block} * block_size);
}

Result<BlockSums> sum_blocks(uint64_t size, uint64_t seed, const ReadAt& read) {
  return SumsInPassing(size, seed).take(read);
}

SumsInPassing::SumsInPassing(uint64_t size, uint64_t seed) : seed_(seed) {
  sums_.size = size;
  sums_.block_size = block_size_for(size);
  unknown_ = static_cast<size_t>((size + sums_.block_size - 1) / sums_.block_size);
  sums_.blocks.resize(unknown_);
  known_.resize(unknown_);
}

void SumsInPassing::copied(const BlockSums& old, uint64_t from, uint64_t to, uint64_t length) {
  const uint32_t size = sums_.block_size;
  if (old.block_size != size || from % size != to % size) return;
  const uint64_t end = to + length;
  for (size_t block = first_from(to); block < known_.size(); ++block) {
    const uint64_t begin = uint64_t{block} * size;
    if (begin + sums_.length_of(block) > end) return;
    const auto source = static_cast<size_t>((from + (begin - to)) / size);
    if (source < old.blocks.size() && old.length_of(source) == sums_.length_of(block))
      know(block, old.blocks[source]);
  }
}

void SumsInPassing::data(uint64_t offset, std::span<const uint8_t> bytes) {
  const uint32_t size = sums_.block_size;
  if (offset != next_) begun_.clear();
  if (begun_.empty() && offset % size != 0) {  // the beginning of that block was something else
    const auto rest = static_cast<size_t>(std::min<uint64_t>(bytes.size(), size - offset % size));
    offset += rest;
    bytes = bytes.subspan(rest);
  }
  while (!bytes.empty()) {
    const auto block = static_cast<size_t>(offset / size);
    if (block >= sums_.blocks.size()) return;
    const auto length = static_cast<size_t>(sums_.length_of(block));
    const size_t n = std::min(bytes.size(), length - begun_.size());
    if (n == length) {
      know(block, block_sum(bytes.first(n), seed_));
    } else {
      begun_.insert(begun_.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(n));
      if (begun_.size() == length) {
        know(block, block_sum(begun_, seed_));
        begun_.clear();
      }
    }
    offset += n;
    bytes = bytes.subspan(n);
  }
  next_ = offset;
}

void SumsInPassing::hole(uint64_t begin, uint64_t end) {
  const uint32_t size = sums_.block_size;
  for (size_t block = first_from(begin); block < known_.size(); ++block) {
    const auto length = static_cast<size_t>(sums_.length_of(block));
    if (uint64_t{block} * size + length > end) return;
    if (length != size) {
      know(block, block_sum(std::vector<uint8_t>(length), seed_));
    } else {
      if (!zeros_) zeros_ = block_sum(std::vector<uint8_t>(size), seed_);
      know(block, *zeros_);
    }
  }
}

size_t SumsInPassing::first_from(uint64_t offset) const {
  return static_cast<size_t>((offset + sums_.block_size - 1) / sums_.block_size);
}

void SumsInPassing::know(size_t block, const BlockSum& sum) {
  sums_.blocks[block] = sum;
  if (!known_[block]) --unknown_;
  known_[block] = true;
}

Result<BlockSums> SumsInPassing::take(const ReadAt& read) {
  std::vector<uint8_t> bytes(unknown_ == 0 ? 0 : sums_.block_size);
  for (size_t block = 0; unknown_ > 0 && block < known_.size(); ++block) {
    if (known_[block]) continue;
    const auto part = std::span(bytes).first(static_cast<size_t>(sums_.length_of(block)));
    if (auto ok = read(uint64_t{block} * sums_.block_size, part); !ok) return tl::unexpected(ok.error());
    know(block, block_sum(part, seed_));
  }
  return std::move(sums_);
}

}  // namespace clusterd::mirror::live
