#include "core/guard_rules.hpp"

#include <algorithm>

#include "base/canary.hpp"
#include "base/mark.hpp"

namespace clusterd {

GuardRules::GuardRules(const Config& config, ServiceId id)
    : config_(&config), id_(id), guards_(config.service(id).mirrors.size()) {}

void GuardRules::review(Wish wish, Actions& out) {
  if (!any() || wish == Wish::kAsItIs || wish == ordered_) return;
  if (wish == Wish::kLift && sabotaged(Canary::kGuardLeft)) return;
  if (wish == Wish::kSet && ordered_ == Wish::kLift) mark(Mark::kGuardSetAgain);
  ordered_ = wish;
  (wish == Wish::kSet ? out.set_guards : out.lift_guards).push_back(id_);
  for (size_t i = 0; i < guards_.size(); ++i) {
    if (!service().mirrors.at(i).guard) continue;
    guards_.at(i) = {wish == Wish::kSet ? MirrorGuard::State::kAwaited : MirrorGuard::State::kLifted, ""};
  }
}

bool GuardRules::on(const GuardReport& report) {
  using State = MirrorGuard::State;
  if (!service().mirrors.at(report.mirror.at()).guard || ordered_ != Wish::kSet) {
    mark(Mark::kGuardReportStale);
    return false;
  }
  State state = State::kFailed;
  if (report.outcome == GuardReport::Outcome::kSet) state = State::kSet;
  if (state == State::kSet && !report.detail.empty()) mark(Mark::kGuardEvaded);
  if (report.outcome == GuardReport::Outcome::kAbsent) state = State::kAwaited;
  guards_.at(report.mirror.at()) = {state, report.detail};
  return true;
}

bool GuardRules::any() const {
  return std::ranges::any_of(service().mirrors, [](const MirrorConfig& mirror) { return mirror.guard; });
}

bool GuardRules::complete() const {
  bool all = any();
  for (size_t i = 0; i < guards_.size(); ++i) {
    if (service().mirrors.at(i).guard) all = all && guards_.at(i).state == MirrorGuard::State::kSet;
  }
  return all;
}

void GuardRules::add_to(std::vector<MirrorStatus>& mirrors) const {
  for (size_t i = 0; i < guards_.size(); ++i) {
    if (service().mirrors.at(i).guard) mirrors.at(i).guard = guards_.at(i);
  }
}

}  // namespace clusterd
