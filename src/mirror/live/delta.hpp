// Which parts of a large file the target has already (A. Tridgell's rsync algorithm).
//
// The old version is cut into blocks; each has a weak sum that can be rolled on byte by byte, and a strong
// one. The new version is searched for those blocks. A block at its old place is tried first, by its strong
// sum alone: that is the whole work for a file that was changed in place.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/result.hpp"
#include "mirror/live/frames.hpp"

namespace clusterd::mirror::live {

[[nodiscard]] uint32_t block_size_for(uint64_t file_size);  // grows with the root of the size: 4 KiB to 1 MiB
[[nodiscard]] uint32_t weak_sum(std::span<const uint8_t> block);
[[nodiscard]] BlockSum block_sum(std::span<const uint8_t> block, uint64_t seed);

// The blocks of one version of a file.
struct BlockSums {
  uint64_t size = 0;
  uint32_t block_size = 0;
  std::vector<BlockSum> blocks;

  [[nodiscard]] bool consistent() const;  // as many blocks as the size asks for
};

// `read(offset, into)`: fills `into` wholly; an error ends everything.
using ReadAt = std::function<Result<void>(uint64_t offset, std::span<uint8_t> into)>;
[[nodiscard]] Result<BlockSums> sum_blocks(uint64_t size, uint64_t seed, const ReadAt& read);

// What of a new version is in the old one at the same place.
class Kept {
 public:
  void add(uint64_t begin, uint64_t end);  // in order
  [[nodiscard]] bool covers(uint64_t begin, uint64_t end) const;

 private:
  std::vector<std::pair<uint64_t, uint64_t>> ranges_;
};
// The same, reading only what was not kept: the other blocks have the sums that they have in `old`.
[[nodiscard]] Result<BlockSums> sum_blocks(uint64_t size, uint64_t seed, const ReadAt& read,
                                           const BlockSums& old, const Kept& kept);

// Longer copies are told in parts, so that the target begins while the rest is still being searched.
inline constexpr uint64_t kMaxCopy = 16 * 1024 * 1024;

class DeltaSink {
 public:
  virtual ~DeltaSink() = default;
  // Below kMaxCopy and a block.
  virtual Result<void> copy(uint64_t from, uint64_t to, uint64_t length) = 0;
  virtual Result<void> data(uint64_t offset, std::span<const uint8_t> bytes) = 0;  // at most kMaxContent
};

class DeltaFinder {
 public:
  DeltaFinder(const BlockSums& old, uint64_t seed);
  ~DeltaFinder();
  // Says how bytes [begin, end) of the new version come about, in order and without gaps.
  Result<void> find(uint64_t begin, uint64_t end, const ReadAt& read, DeltaSink& sink) const;

 private:
  struct Table;
  class Search;
  std::unique_ptr<Table> table_;
};

}  // namespace clusterd::mirror::live
