// S13: what the gate does not silence has to end too. On the peer: its watchdog must have reset it, or a
// fence was confirmed. On this node: its watchdog is petted only while no unit of a service with
// effects = "node" runs here without a right.
#include <fmt/format.h>

#include <algorithm>

#include "base/canary.hpp"
#include "base/mark.hpp"
#include "core/node_impl.hpp"

namespace clusterd {

// ---- the peer's end ----

// No reference host tells a dead peer from a cut cable: whoever has switched it off knows.
bool Node::Impl::fence_mode() const { return config_.hosts.empty() && config_.peer_fence() != nullptr; }

// Only the node that has the right of S2 may fence: where reference hosts decide, never both. Without them
// both may; then a node that has just booted, maybe because it was fenced, does not shoot back before the
// nodes have met.
bool Node::Impl::may_fence() const {
  if (now_ - silent_since() < window() || promised()) return false;
  if (sabotaged(Canary::kFenceWithoutRight)) return true;
  if (!fence_mode()) return hosts_.all_conclusive(silent_since(), lease_is_over(), now_);
  if (peer_.known() || !host_rebooted_) return true;
  mark(Mark::kFenceNotAfterBoot);
  return false;
}

// Where reference hosts decide the confirmation is good for a while only: the peer may have been switched on
// again, and have become active by its own right. Without them it cannot become active unheard.
bool Node::Impl::fence_holds() const {
  const Instant heard = std::max(peer_.last_receipt(), peer_.last_sign_of_life());
  if (!fencing_.confirmed() || heard >= fencing_.ordered_at()) return false;
  return fence_mode() || now_ - fencing_.confirmed_at() < kFenceHolds;
}

// The peer is silent, and as long no reference host that it may count has answered it (A2: it would have been
// heard off it). So its lease ran out at the latest when the shorter of both began; promised waiting aside.
bool Node::Impl::peer_watchdog_has_fired() const {
  if (!config_.watchdog || !state_.peer_watchdog) return false;
  const Duration bound = sabotaged(Canary::kWatchdogBoundShort) ? config_.timing.window : effects_bound_;
  const Instant since = std::max(silent_since(), promised_until_);
  return now_ - since >= bound + (window() - config_.timing.window) &&
         hosts_.all_conclusive(silent_since(), bound, now_);
}

void Node::Impl::add_effects(Surroundings& s) const {
  s.watchdog_ready = !config_.watchdog || watchdog_armed_;
  s.watchdog_settled = s.watchdog_ready || told_unarmed_;
  s.fence_mode = fence_mode();
  // Half of it: that is more than the clocks and the way to the activation can differ. Without a watchdog
  // nobody takes over from a machine that is on.
  s.effects_grace = config_.watchdog ? effects_bound_ / 2 : Duration::max() / 4;
  if (s.peer_heard || (stop_limit_ == Duration::zero() && !s.fence_mode)) return;
  if (fence_holds()) {
    s.effects_over = true;
    s.effects_evidence = fmt::format("{} is off: it was fenced, and its status says so", peer_name());
  } else if (peer_watchdog_has_fired()) {
    mark(Mark::kPeerWatchdogFired);
    s.effects_over = true;
    s.effects_evidence =
        fmt::format("the watchdog of {} must have reset it, or its units have stopped: {:.1f} s", peer_name(),
                    to_seconds(effects_bound_));
  } else if (now_ - silent_since() >= 2 * window() && !promised()) {
    s.effects_reason = effects_reason();
  }
}

std::string Node::Impl::effects_reason() const {
  mark(Mark::kNoTakeoverEffects);
  std::string fence;
  if (config_.peer_fence() != nullptr) {
    switch (fencing_.state()) {
      case Fencing::State::kDelayed:
        fence = fmt::format("{} is fenced after a delay", peer_name());
        break;
      case Fencing::State::kUnderWay:
        fence = fmt::format("{} is being fenced", peer_name());
        break;
      case Fencing::State::kFailed:
        fence = fmt::format("{} could not be fenced ({})", peer_name(), fencing_.detail());
        break;
      case Fencing::State::kIdle:
      case Fencing::State::kConfirmed:
        fence = fmt::format("{} is not known to be off", peer_name());
        break;
    }
  }
  if (config_.hosts.empty()) return fence;
  std::string watchdog;
  if (config_.watchdog && state_.peer_watchdog) {
    watchdog = fmt::format("the watchdog of {} needs {:.1f} s to have reset it for certain", peer_name(),
                           to_seconds(effects_bound_));
  } else if (config_.watchdog) {
    watchdog = fmt::format("the watchdog of {} was not armed when it was last heard", peer_name());
  }
  if (!fence.empty() && !watchdog.empty()) return fence + ", and " + watchdog;
  if (!fence.empty() || !watchdog.empty()) return fence + watchdog;
  return fmt::format(
      "it acts by other ways than its addresses (effects = \"node\"), and neither a watchdog "
      "nor a fence is configured that could end that on {}",
      peer_name());
}

void Node::Impl::review_fencing(Actions& out) {
  const FenceConfig* fence = config_.peer_fence();
  if (fence == nullptr) return;
  const Surroundings s = surroundings();
  const bool awaited = !s.peer_heard && !s.effects_over &&
                       std::any_of(services_.begin(), services_.end(),
                                   [&](const auto& service) { return service.wants_fence(s); });
  if (!fencing_.review(now_, *fence, awaited && may_fence(), out.fence, config_.peer())) return;
  if (fencing_.state() == Fencing::State::kFailed) {
    log(out, Severity::kWarning, fmt::format("{} could not be fenced: {}", peer_name(), fencing_.detail()));
  }
  if (!out.fence) return;
  std::vector<std::string> evidence{
      fmt::format("{} was last heard {:.0f} ms ago, direct or relayed; the window is {:.0f} ms", peer_name(),
                  to_ms(now_ - silent_since()), to_ms(window()))};
  evidence.push_back(fence_mode() ? "there are no reference hosts: a fence has to decide"
                                  : "the counted reference hosts answer without a gap");
  for (size_t i = 0; i < services_.size(); ++i) {
    if (services_.at(i).wants_fence(s))
      evidence.push_back(
          fmt::format("{} may not begin here before it has ended there", config_.services.at(i).name));
  }
  out.decisions.push_back(
      {now_, std::nullopt, fmt::format("{} fences {}", self_name(), peer_name()), std::move(evidence)});
  if (fencing_.attempts() > 1) return;
  notice(out, Severity::kWarning, "fencing",
         fmt::format("{} switches {} off with {}", self_name(), peer_name(), fence->agent));
}

void Node::Impl::on(const FenceReport& event, Actions& out) {
  if (!fencing_.on(now_, event)) return;
  if (fencing_.confirmed()) {
    notice(out, Severity::kWarning, "fenced",
           fmt::format("{} is off: its fence has switched it off, and its status says so", peer_name()));
    return;
  }
  const char* what = !event.off_done                          ? "the agent's off failed"
                     : event.power == FenceReport::Power::kOn ? "its status still says on"
                                                              : "its status is not known";
  const std::string text = fmt::format("{} could not be fenced: {}: {}", peer_name(), what, event.detail);
  if (fencing_.attempts() > 1) return log(out, Severity::kWarning, text);
  notice(out, Severity::kError, "fence-failed",
         fmt::format("{}. What waits for it is not taken over; it is tried again every {:.0f} s", text,
                     to_seconds(Fencing::kRetry)));
}

// The peer was off, and is heard.
void Node::Impl::doubt_fence(bool new_boot, Actions& out) {
  if (!fencing_.confirmed()) return;
  if (!new_boot && now_ - fencing_.confirmed_at() >= config_.timing.window) {
    mark(Mark::kFenceLied);
    notice(out, Severity::kError, "fence-lied",
           fmt::format("{} was fenced, and is heard without having started anew: do not rely on its fence "
                       "device before you have tested it",
                       peer_name()));
  } else {
    mark(Mark::kFenceEndsWithHearing);
  }
  fencing_.gave_up();
}

// ---- the own end ----

void Node::Impl::on(const WatchdogReport& event, Actions& out) {
  watchdog_detail_ = event.detail;
  if (event.armed) {
    mark(Mark::kWatchdogArmed);
    if (!watchdog_armed_) log(out, Severity::kNotice, fmt::format("the watchdog is armed: {}", event.detail));
    watchdog_armed_ = true;
    told_unarmed_ = false;
    next_pet_ = now_;
    say_it_now_ = true;
    return;
  }
  if (watchdog_armed_) {
    mark(Mark::kWatchdogPetFailed);  // it goes on, and bites if this lasts
    log(out, Severity::kError, event.detail);
    return;
  }
  mark(Mark::kWatchdogNotArmed);
  if (std::exchange(told_unarmed_, true)) return;
  notice(out, Severity::kError, "watchdog-failed",
         fmt::format("the watchdog is not armed: {}. Until it is, {} serves nothing with effects = \"node\"",
                     event.detail, self_name()));
}

// `lease_before`: as it was before this step, whose evidence may have renewed it: units that ran under it
// have had no right since it ended, also if that is noticed only now.
void Node::Impl::review_watchdog(Instant lease_before, Actions& out) {
  if (!config_.watchdog) return;
  const Surroundings s = surroundings();
  bool sane = true;
  bool in_time = true;
  bool may_run = false;
  for (size_t i = 0; i < services_.size(); ++i) {
    Instant& since = unsane_since_.at(i);
    may_run = may_run || services_.at(i).effects_may_go_on();
    if (services_.at(i).effects_are_sane(s)) {
      since = kNever;
      continue;
    }
    if (since == kNever) since = std::min(now_, std::max(lease_before, gates_.at(i)));
    sane = false;
    if (now_ - since >= stop_limit_) in_time = false;
  }
  if (out.exit) {
    mark(may_run ? Mark::kWatchdogLeftArmed : Mark::kWatchdogDisarmed);
    if (!may_run && watchdog_armed_) out.watchdog = WatchdogOrder::kDisarm;
    return;
  }
  if (!watchdog_armed_) {
    // Opening the device pets it: not before everything is as it should be.
    if (!sane || now_ < next_arm_) return;
    next_arm_ = now_ + kArmAgain;
    out.watchdog = WatchdogOrder::kArm;
    return;
  }
  if (in_time && now_ >= next_pet_) {
    next_pet_ = now_ + config_.watchdog->timeout / 4;
    out.watchdog = WatchdogOrder::kPet;
  }
  if (in_time == !told_unsane_) return;
  told_unsane_ = !in_time;
  mark(in_time ? Mark::kWatchdogPettedAgain : Mark::kWatchdogStarved);
  if (in_time) return log(out, Severity::kNotice, "the watchdog is petted again: the units have stopped");
  notice(out, Severity::kError, "watchdog-starved",
         fmt::format("units that must not run here could not be stopped within {:.0f} s: the watchdog resets "
                     "this machine within {:.0f} s",
                     to_seconds(stop_limit_), to_seconds(config_.watchdog->timeout)));
}

}  // namespace clusterd
