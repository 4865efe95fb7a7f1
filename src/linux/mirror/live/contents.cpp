#include "linux/mirror/live/contents.hpp"

#define XXH_STATIC_LINKING_ONLY
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <vector>

namespace clusterd::live {

Outcome<Fd> open_plain_file(const Anchors& anchors, const std::string& path) {
  auto status = look(anchors, path);
  if (!status) return tl::unexpected(status.error());
  if (status->type != 'f') {
    errno = EINVAL;
    return failure("no file:", path);
  }
  auto file = anchors.open_at(path, O_RDONLY | O_NONBLOCK | O_NOATIME);
  if (!file && file.error().error == EPERM) file = anchors.open_at(path, O_RDONLY | O_NONBLOCK);
  return file;
}

void read_when_idle() {
  constexpr int kThisThread = 1, kIdle = 3 << 13;  // IOPRIO_WHO_PROCESS, IOPRIO_CLASS_IDLE
  (void)::syscall(SYS_ioprio_set, kThisThread, 0, kIdle);
}

bool read_fully(int file, uint64_t offset, std::span<uint8_t> into) {
  while (!into.empty()) {
    const ssize_t n = ::pread(file, into.data(), into.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    into = into.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return true;
}

std::optional<mirror::live::Hash> hash_contents(int file, uint64_t size, uint64_t seed) {
  return hash_part(file, 0, size, seed);
}

std::optional<mirror::live::Hash> hash_part(int file, uint64_t offset, uint64_t length, uint64_t seed) {
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(), &XXH3_freeState);
  XXH3_128bits_reset_withSeed(state.get(), seed);
  std::vector<uint8_t> buffer(static_cast<size_t>(std::min<uint64_t>(length, 1U << 20U)));
  for (uint64_t at = 0; at < length;) {
    const auto part =
        std::span(buffer).first(static_cast<size_t>(std::min<uint64_t>(buffer.size(), length - at)));
    if (!read_fully(file, offset + at, part)) return std::nullopt;
    XXH3_128bits_update(state.get(), part.data(), part.size());
    at += part.size();
  }
  const XXH128_hash_t value = XXH3_128bits_digest(state.get());
  mirror::live::Hash out;
  for (size_t i = 0; i < 8; ++i) {
    out.at(i) = static_cast<uint8_t>(value.low64 >> (8 * i));
    out.at(8 + i) = static_cast<uint8_t>(value.high64 >> (8 * i));
  }
  return out;
}

std::optional<Extent> next_extent(int file, uint64_t from, uint64_t size) {
  if (from >= size) return std::nullopt;
  const off_t data = ::lseek(file, static_cast<off_t>(from), SEEK_DATA);
  if (data < 0) return errno == ENXIO ? std::nullopt : std::optional(Extent{from, size});
  if (static_cast<uint64_t>(data) >= size) return std::nullopt;
  const off_t hole = ::lseek(file, data, SEEK_HOLE);
  const uint64_t end = hole < 0 ? size : std::min(size, static_cast<uint64_t>(hole));
  return Extent{static_cast<uint64_t>(data), end};
}

}  // namespace clusterd::live
