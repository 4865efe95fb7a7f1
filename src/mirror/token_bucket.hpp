// A limit of bytes per second: what was not used is saved up for a tenth of a second at most.
//
// Pure: the caller says what time it is. Not thread-safe.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/time.hpp"

namespace clusterd::mirror {

class TokenBucket {
 public:
  explicit TokenBucket(uint64_t bytes_per_second) : rate_(static_cast<double>(bytes_per_second)) {}

  // How many bytes may go now, `wanted` at most.
  [[nodiscard]] size_t take(Instant now, size_t wanted) {
    if (rate_ <= 0) return wanted;
    saved_ = std::min(most(), saved_ + rate_ * to_seconds(std::max(Duration::zero(), now - last_)));
    last_ = now;
    const size_t out = std::min(wanted, static_cast<size_t>(saved_));
    saved_ -= static_cast<double>(out);
    return out;
  }
  void give_back(size_t bytes) { saved_ += static_cast<double>(bytes); }
  // Until there is enough for a piece worth sending.
  [[nodiscard]] Duration wait() const {
    if (rate_ <= 0) return Duration::zero();
    const double lacks = std::max(0.0, most() / 4 - saved_);
    return Duration(static_cast<int64_t>(lacks / rate_ * 1e9)) + std::chrono::milliseconds(1);
  }

 private:
  [[nodiscard]] double most() const { return std::max(rate_ / 10, 16.0 * 1024); }

  double rate_;  // 0: no limit
  double saved_ = 0;
  Instant last_ = kLongAgo;
};

}  // namespace clusterd::mirror
