// Reading files whole, in bounded memory.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "linux/mirror/live/inode.hpp"

namespace clusterd::live {

// nullopt: it cannot be read, or is shorter than `size`.
[[nodiscard]] std::optional<mirror::live::Hash> hash_contents(int file, uint64_t size, uint64_t seed);
[[nodiscard]] std::optional<mirror::live::Hash> hash_part(int file, uint64_t offset, uint64_t length,
                                                          uint64_t seed);
// A file, and nothing whose opening does anything. Without touching the access time, where that is allowed.
[[nodiscard]] Outcome<Fd> open_plain_file(const Anchors& anchors, const std::string& path);
// This thread's reads wait for everybody else's, where the disk's scheduler knows of that.
void read_when_idle();
[[nodiscard]] bool read_fully(int file, uint64_t offset, std::span<uint8_t> into);

// The parts of a file that are no holes, in order. False: they cannot be told.
struct Extent {
  uint64_t begin, end;
};
[[nodiscard]] std::optional<Extent> next_extent(int file, uint64_t from, uint64_t size);

}  // namespace clusterd::live
