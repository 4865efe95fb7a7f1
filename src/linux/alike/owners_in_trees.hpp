// Who owns files in the trees of a service's mirrors, on this machine. Blocks; not thread-safe.
//
// Level by level from the roots, so that a bounded look finds the owners of all parts of a tree: who owns
// only what lies deep in a large one may be missed. A look is repeated only after a hundred times as long as
// it has taken.
#pragma once

#include <chrono>
#include <vector>

#include "alike/owners.hpp"

namespace clusterd::alike {

inline constexpr size_t kMaxLookedAt = 20'000;  // names of one service

class OwnersInTrees {
 public:
  [[nodiscard]] const Owners& of(const std::vector<Tree>& trees);

 private:
  using Clock = std::chrono::steady_clock;
  std::vector<Tree> trees_;
  Owners found_;
  Clock::time_point next_{};
};

}  // namespace clusterd::alike
