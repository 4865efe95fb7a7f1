// The random numbers of a seed: the same on every machine (the distributions of the standard library are
// not).
#pragma once

#include <chrono>
#include <cstdint>

#include "base/time.hpp"

namespace clusterd::sim {

// SplitMix64 (Steele, Lea, Flood 2014).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t next() {
    state_ += 0x9E3779B97F4A7C15U;
    uint64_t z = state_;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31U);
  }
  // 0 … below - 1
  unsigned draw(unsigned below) { return below == 0 ? 0 : static_cast<unsigned>(next() % below); }
  bool chance(unsigned percent) { return percent != 0 && draw(100) < percent; }
  Duration between(Duration least, Duration most) {
    const auto span = static_cast<uint64_t>((most - least).count());
    return span == 0 ? least : least + Duration{static_cast<int64_t>(next() % span)};
  }
  // Each order of magnitude equally often.
  Duration log_between(Duration least, Duration most) {
    unsigned doublings = 0;
    while (least * (1LL << (doublings + 1)) <= most) ++doublings;
    const Duration low = least * (1LL << draw(doublings + 1));
    return between(low, low * 2 < most ? low * 2 : most);
  }
  // A generator of its own, so that what one part draws does not shift what another part gets.
  Random split() { return Random(next()); }

 private:
  uint64_t state_;
};

}  // namespace clusterd::sim
