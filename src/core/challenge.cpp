#include "core/challenge.hpp"

#include <algorithm>
#include <utility>

namespace clusterd {

Challenge::Challenge(Random random) : random_(std::move(random)), question_(random_()) {}

Challenge::Verdict Challenge::judge(BootId boot, Words words) {
  if (boot != proven_ && std::find(ended_.begin(), ended_.end(), boot) != ended_.end())
    return Verdict::kEnded;
  echo_ = words.asks;
  if (boot == proven_) return Verdict::kProven;
  if (words.echoes != question_) return Verdict::kUnproven;
  if (proven_.value != 0) ended_.push_back(proven_);
  if (ended_.size() > kMaxEnded) ended_.pop_front();
  proven_ = boot;
  question_ = random_();
  return Verdict::kProvenNow;
}

}  // namespace clusterd
