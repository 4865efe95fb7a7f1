#include "mirror/compression.hpp"

#include <algorithm>

namespace clusterd::mirror {

bool Compression::try_next(size_t bytes) {
  if (bytes < kLeast || wire_ <= 0) return false;
  if (skip_ == 0) return true;
  --skip_;
  return false;
}

bool Compression::tried(size_t before, size_t after, Duration took) {
  const double cost = static_cast<double>(took.count());
  const double saved = after < before ? static_cast<double>(before - after) * wire_ : 0;
  const bool pays = cost < saved;
  if (pays) {
    pause_ = 1;
  } else {
    skip_ = pause_;
    pause_ = std::min(kLongestPause, pause_ * 2);
  }
  // The work is done already: whatever is smaller is sent.
  return after < before;
}

void Compression::wire_took(size_t bytes, Duration took) {
  if (bytes == 0 || took <= Duration::zero()) return;
  const double now = static_cast<double>(took.count()) / static_cast<double>(bytes);
  wire_ = wire_ <= 0 ? now : wire_ * 0.75 + now * 0.25;
}

}  // namespace clusterd::mirror
