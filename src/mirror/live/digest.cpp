#include "mirror/live/digest.hpp"

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include <algorithm>
#include <vector>

#include "base/bytes.hpp"

namespace clusterd::mirror::live {
namespace {

Hash to_hash(XXH128_hash_t value) {
  Hash out;
  for (size_t i = 0; i < 8; ++i) {
    out.at(i) = static_cast<uint8_t>(value.low64 >> (8 * i));
    out.at(8 + i) = static_cast<uint8_t>(value.high64 >> (8 * i));
  }
  if (out == kUnequal) out[0] = 1;
  return out;
}

}  // namespace

struct DirectoryDigest::State {
  std::vector<uint8_t> bytes;  // hashed in one go: directories are small, and the stream's state is not
  Hash so_far{};
  uint64_t seed = 0;
};

DirectoryDigest::DirectoryDigest(uint64_t seed) : state_(std::make_unique<State>()) { state_->seed = seed; }
DirectoryDigest::~DirectoryDigest() = default;
DirectoryDigest::DirectoryDigest(DirectoryDigest&&) noexcept = default;
DirectoryDigest& DirectoryDigest::operator=(DirectoryDigest&&) noexcept = default;

void DirectoryDigest::add(std::string_view name, const Status& s, std::string_view leader) {
  if (changed_) return;
  ByteWriter out(state_->bytes);
  out.text(name);
  out.u8(static_cast<uint8_t>(s.type));
  out.fixed32(s.type == 'l' ? 0 : s.mode);
  out.fixed32(s.uid);
  out.fixed32(s.gid);
  out.fixed64(s.type == 'd' ? 0 : s.size);
  out.fixed64(static_cast<uint64_t>(s.mtime_ns));
  out.number(s.rdev);
  out.u8(s.flags);
  out.text(leader);
  if (state_->bytes.size() < 64 * 1024) return;
  // Chained, so that a directory of a million names does not have to be held.
  state_->so_far = to_hash(XXH3_128bits_withSeed(state_->bytes.data(), state_->bytes.size(), state_->seed));
  state_->bytes.assign(state_->so_far.begin(), state_->so_far.end());
}

Hash DirectoryDigest::finish() const {
  if (changed_) return kUnequal;
  return to_hash(XXH3_128bits_withSeed(state_->bytes.data(), state_->bytes.size(), state_->seed));
}

Hash hash_of(const Traits& traits, uint64_t seed) {
  std::vector<uint8_t> bytes;
  ByteWriter out(bytes);
  out.text(traits.link_target);
  auto sorted = traits.xattrs;
  std::sort(sorted.begin(), sorted.end());
  for (const auto& [name, value] : sorted) {
    out.text(name);
    out.text(value);
  }
  return to_hash(XXH3_128bits_withSeed(bytes.data(), bytes.size(), seed));
}

Hash hash_of(std::string_view bytes, uint64_t seed) {
  return to_hash(XXH3_128bits_withSeed(bytes.data(), bytes.size(), seed));
}

bool finished_before(std::string_view a, std::string_view b) {
  const size_t n = std::min(a.size(), b.size());
  for (size_t i = 0; i < n; ++i) {
    if (a[i] == b[i]) continue;
    const int x = a[i] == '/' ? 0 : static_cast<uint8_t>(a[i]);
    const int y = b[i] == '/' ? 0 : static_cast<uint8_t>(b[i]);
    return x < y;
  }
  if (a.size() == b.size()) return false;
  // One begins with the other. If it is its folder, the folder is later; if only its name is a prefix ("/a"
  // and "/ab"), the shorter one comes first.
  const std::string_view longer = a.size() > b.size() ? a : b;
  const bool folder = n == 0 || longer[n] == '/';
  return folder ? a.size() > b.size() : a.size() < b.size();
}

}  // namespace clusterd::mirror::live
