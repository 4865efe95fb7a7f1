// Which parts of a large file the target has already (A. Tridgell's rsync algorithm).
//
// The new version is searched for the blocks of the old one (block_sums.hpp). A block at its old place is
// tried first, by its strong sum alone; and the longer rolling finds nothing, the less is rolled: that is not
// much more for a file that was changed in place.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/result.hpp"
#include "mirror/live/block_sums.hpp"

namespace clusterd::mirror::live {

// Longer copies are told in parts, so that the target begins while the rest is still being searched.
inline constexpr uint64_t kMaxCopy = 16 * 1024 * 1024;

class DeltaSink {
 public:
  virtual ~DeltaSink() = default;
  // The old version's last block, if it is a short one: the copy that it is part of comes after it.
  virtual void short_block(uint64_t /*offset*/, std::span<const uint8_t> /*bytes*/) {}
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
