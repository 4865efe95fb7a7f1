// A simulated node's CLOCK_BOOTTIME, and its civil time.
//
// The world has the true time; a node's own clock starts anywhere at each boot, runs up to some ppm too fast
// or too slow, and can stand still (a virtual machine that the hypervisor has stopped). Integers only, so
// that a seed gives the same run on every machine.
#pragma once

#include <algorithm>

#include "base/time.hpp"

namespace clusterd::sim {

class NodeClock {
 public:
  // What the node's clock shows when the true time is `world`.
  [[nodiscard]] Instant own(Instant world) const {
    if (stopped_) return own_;
    const int64_t passed = (world - world_).count();
    return own_ + Duration{passed + passed * ppm_ / kMillion};
  }

  // When the clock will show `own` (the first instant at which it does); kNever while it stands still.
  [[nodiscard]] Instant world(Instant own) const {
    if (own == kNever || stopped_) return kNever;
    const int64_t wanted = (own - own_).count();
    if (wanted <= 0) return world_;
    const int64_t rate = kMillion + ppm_;
    Instant at = world_ + Duration{wanted / rate * kMillion + wanted % rate * kMillion / rate};
    while (this->own(at) < own) at += Duration{1};  // the divisions round down
    return at;
  }

  // From `now` on the clock runs this much too fast (negative: too slow).
  void run(Instant now, int64_t ppm) {
    rebase(now);
    ppm_ = ppm;
    stopped_ = false;
  }
  void stop(Instant now) {
    rebase(now);
    stopped_ = true;
  }
  void go(Instant now) {
    rebase(now);
    stopped_ = false;
  }
  // A boot: the clock shows `own` now.
  void set(Instant now, Instant own) {
    world_ = now;
    own_ = own;
  }

  [[nodiscard]] int64_t ppm() const { return ppm_; }
  [[nodiscard]] bool stopped() const { return stopped_; }

  // Civil time: the clock on the wall, which may jump.
  [[nodiscard]] WallTime wall(Instant world) const { return WallTime{own(world).time_since_epoch() + wall_}; }
  void jump_wall(Duration by) { wall_ += by; }

 private:
  static constexpr int64_t kMillion = 1'000'000;

  void rebase(Instant now) {
    own_ = own(now);
    world_ = now;
  }

  Instant world_{};
  Instant own_{};
  int64_t ppm_ = 0;
  bool stopped_ = false;
  Duration wall_{};
};

}  // namespace clusterd::sim
