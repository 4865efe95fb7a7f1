#include "core/unnumbered_probes.hpp"

#include "base/canary.hpp"
#include "base/mark.hpp"

namespace clusterd {

namespace {

constexpr size_t kMostUnanswered = 512;  // more than the fastest probes of kLatestAnswer

void forget_before(std::deque<Instant>& unanswered, Instant oldest) {
  while (!unanswered.empty() && unanswered.front() < oldest) unanswered.pop_front();
}

}  // namespace

void UnnumberedProbes::change_to(AskedAs as) {
  in_use_ = as;
  ambiguous_ = useless_ = refused_ = false;
}

std::vector<AskedAs> UnnumberedProbes::ask(Instant sent) {
  for (Unanswered& unanswered : unanswered_) forget_before(unanswered, sent - kLatestAnswer);
  const bool all_settled = of(AskedAs::kOwnAddress).empty() && of(AskedAs::kNobody).empty();
  if (resting_ && !all_settled) return {};
  resting_ = false;
  if (in_use_ == AskedAs::kNobody) {
    // Silence may mean that the host has been replaced by one that does not answer to this name.
    if (in_vain() || (ambiguous_ && of(AskedAs::kOwnAddress).empty())) change_to(AskedAs::kOwnAddress);
    return {in_use_};
  }
  if (!ambiguous_ || !of(AskedAs::kNobody).empty()) return {in_use_};
  if (refused_ && useless_) {
    mark(Mark::kProbesRest);
    change_to(AskedAs::kOwnAddress);
    resting_ = true;
    return {};
  }
  refused_ = true;  // until it is answered
  return {AskedAs::kOwnAddress, AskedAs::kNobody};
}

void UnnumberedProbes::left(AskedAs as, Instant sent) {
  Unanswered& unanswered = of(as);
  unanswered.push_back(sent);
  if (unanswered.size() > kMostUnanswered) unanswered.pop_front();
  ++in_vain_;
}

std::optional<Instant> UnnumberedProbes::answered(AskedAs as, Instant received) {
  Unanswered& unanswered = of(as);
  forget_before(unanswered, received - kLatestAnswer);
  if (unanswered.empty() || unanswered.front() > received) return std::nullopt;
  const bool youngest = sabotaged(Canary::kAnswerOfTheYoungest);
  const Instant sent = youngest ? unanswered.back() : unanswered.front();
  youngest ? unanswered.pop_back() : unanswered.pop_front();
  in_vain_ = 0;
  if (as != in_use_ && as == AskedAs::kNobody) {
    mark(Mark::kProbesRenamed);
    change_to(as);
  }
  if (as == in_use_) {
    ambiguous_ =
        !sabotaged(Canary::kLostProbesForEver) && !unanswered.empty() && unanswered.front() <= received;
    useless_ = ambiguous_ && received - sent > tolerable_;
  }
  return sent;
}

}  // namespace clusterd
