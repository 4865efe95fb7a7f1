// The blocks that a version of a large file is cut into, and their sums: a weak one that can be rolled on
// byte by byte, and a strong one (A. Tridgell's rsync algorithm; XXH3 for the strong one, with the session's
// seed).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "base/result.hpp"
#include "mirror/live/frames.hpp"

namespace clusterd::mirror::live {

[[nodiscard]] uint32_t block_size_for(uint64_t file_size);  // grows with the root of the size: 4 KiB to 1 MiB
[[nodiscard]] uint32_t weak_sum(std::span<const uint8_t> block);
[[nodiscard]] std::array<uint8_t, 12> strong_sum(std::span<const uint8_t> block, uint64_t seed);
[[nodiscard]] BlockSum block_sum(std::span<const uint8_t> block, uint64_t seed);

// A weak sum that moves on.
struct RollingSum {
  uint32_t a = 0, b = 0;
  void start(std::span<const uint8_t> block);
  void roll(uint8_t out, uint8_t in, uint32_t length) {
    a += static_cast<uint32_t>(in) - out;
    b += a - length * out;
  }
  [[nodiscard]] uint32_t value() const { return (a & 0xffffU) | (b << 16U); }
};

// The blocks of one version of a file.
struct BlockSums {
  uint64_t size = 0;
  uint32_t block_size = 0;
  std::vector<BlockSum> blocks;

  [[nodiscard]] bool consistent() const;  // as many blocks as the size asks for
  [[nodiscard]] uint64_t length_of(size_t block) const;
};

// `read(offset, into)`: fills `into` wholly; an error ends everything.
using ReadAt = std::function<Result<void>(uint64_t offset, std::span<uint8_t> into)>;
[[nodiscard]] Result<BlockSums> sum_blocks(uint64_t size, uint64_t seed, const ReadAt& read);

// The sums of a new version, from what is told of it while it comes about. So they are those of what was
// told, whatever becomes of the file meanwhile.
class SumsInPassing {
 public:
  SumsInPassing(uint64_t size, uint64_t seed);
  // Bytes [to, to + length) are those of `old` from `from` on.
  void copied(const BlockSums& old, uint64_t from, uint64_t to, uint64_t length);
  void data(uint64_t offset, std::span<const uint8_t> bytes);
  void hole(uint64_t begin, uint64_t end);                       // zeros
  [[nodiscard]] bool complete() const { return unknown_ == 0; }  // every block was told of as a whole
  // Reads what was not.
  [[nodiscard]] Result<BlockSums> take(const ReadAt& read);

 private:
  // The first block that begins there, or after.
  [[nodiscard]] size_t first_from(uint64_t offset) const;
  void know(size_t block, const BlockSum& sum);

  uint64_t seed_;
  BlockSums sums_;
  std::vector<bool> known_;
  size_t unknown_ = 0;
  std::optional<BlockSum> zeros_;  // of a whole block of a hole
  std::vector<uint8_t> begun_;     // of a block that comes in pieces
  uint64_t next_ = 0;              // where its next byte is
};

}  // namespace clusterd::mirror::live
