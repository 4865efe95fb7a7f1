// What a service does for the sake of others: companions, forerunners and followers (S14).
//
// Everything here puts something off or adds a wish to be handed over; a right to serve comes from
// service_rights.cpp alone. A stop for safety's sake (a lease that ran out, a higher epoch of the peer) waits
// for nobody.
#include <fmt/format.h>

#include <algorithm>

#include "base/canary.hpp"
#include "base/mark.hpp"
#include "core/relations.hpp"
#include "core/service_machine.hpp"

namespace clusterd {

// ---- what is known of the others ----

const ServiceMachine& ServiceMachine::other(ServiceId id, const Surroundings& s) const {
  return s.services->at(id.at());
}

bool ServiceMachine::serves() const {
  return std::holds_alternative<Starting>(state_) || std::holds_alternative<Active>(state_);
}

bool ServiceMachine::waits() const {
  const bool down = members_.state() == Members::State::kDown || members_.state() == Members::State::kUnknown;
  return std::holds_alternative<Starting>(state_) && down && !service().after.empty();
}

// What waits has been stopped, or was never begun; of what a predecessor left nothing is known.
bool ServiceMachine::needs_gate() const {
  return holds_lease() && !(waits() && members_.state() == Members::State::kDown);
}

bool ServiceMachine::serves_at_peer(ServiceId id, const Surroundings& s) const {
  const auto* report = s.peer_heard ? other(id, s).theirs(s) : nullptr;
  return report != nullptr && (report->role == Role::kStarting || report->role == Role::kActive);
}

bool ServiceMachine::is_with(ServiceId id) const { return contains(service().with, id); }

// The newest heartbeat of the peer answers to none that was sent within the window: it may have been on its
// way for longer than that, and what it says be over.
bool ServiceMachine::is_old_news(const Surroundings& s) const {
  const bool old = s.now - s.acked_sent >= config_->timing.window;
  if (old) mark(Mark::kForerunnerOldNews);
  return old;
}

// ---- after: who comes first ----

// The forerunner without which it does not start. One that is about to stop here counts for nothing any more.
std::optional<ServiceId> ServiceMachine::awaited(const Surroundings& s) const {
  if (sabotaged(Canary::kAfterIgnored)) return std::nullopt;
  for (const ServiceId id : service().after) {
    const ServiceMachine& forerunner = other(id, s);
    if (std::holds_alternative<Active>(forerunner.state_) && !forerunner.wants_away(s)) continue;
    const auto* report = s.peer_heard && !is_with(id) ? forerunner.theirs(s) : nullptr;
    if (report == nullptr || report->role != Role::kActive || is_old_news(s)) return id;
    mark(Mark::kForerunnerAtPeer);
  }
  return std::nullopt;
}

void ServiceMachine::start_members(const Surroundings& s, Actions& out) {
  const bool runs = members_.state() == Members::State::kUp || members_.state() == Members::State::kStarting;
  const auto forerunner = runs ? std::nullopt : awaited(s);
  if (!forerunner) return members_.start(s.now, out);
  mark(Mark::kAwaitsForerunner);
  log(out, Severity::kNotice, fmt::format("waits until {} is active", config_->service(*forerunner).name));
}

// Of a service that runs after others and is Starting: not begun yet, under way, or stopping once more.
bool ServiceMachine::review_waiting(const Surroundings& s, Actions& out) {
  if (members_.state() == Members::State::kStopping) return false;
  const bool may_run = members_.state() != Members::State::kDown;
  if (const auto forerunner = may_run ? yields_to(s) : std::nullopt) {
    if (await_follower(s)) return false;
    step_aside(s, *forerunner, out);
    return true;
  }
  if (!waits()) return false;
  std::string why;
  if (wants_to_hand_over(s, why)) {
    if (await_follower(s)) return false;  // one that a predecessor has left may run still
    mark(Mark::kWaitingHandsOver);
    hand_over(s, why, out);
    return true;
  }
  if (const auto forerunner = awaited(s)) {
    detail_ = fmt::format("waits until {} is active", config_->service(*forerunner).name);
    return false;
  }
  // Nothing begins on a node that may not serve it now; what a predecessor left is not begun.
  if (members_.state() == Members::State::kDown && !may_serve(s)) {
    mark(Mark::kWaitsWithoutRight);
    detail_ = "waits until this node may serve it, or the peer takes it";
    return false;
  }
  detail_.clear();
  members_.start(s.now, out);
  return true;
}

// Members down until the forerunner is active again, here or there; epoch and lease stay.
void ServiceMachine::step_aside(const Surroundings& s, ServiceId forerunner, Actions& out) {
  mark(Mark::kStepsAside);
  members_.stop(s.now, out);
  become(Starting{});
  decide(s, out, fmt::format("stops {} for a while", service().name),
         {fmt::format("it runs after {}, which is about to stop here", config_->service(forerunner).name)});
}

// The forerunner on this node that is about to be stopped in good order: this one stops before it.
std::optional<ServiceId> ServiceMachine::yields_to(const Surroundings& s) const {
  for (const ServiceId id : service().after) {
    if (other(id, s).serves() && other(id, s).wants_away(s)) return id;
  }
  return std::nullopt;
}

// About to stop here in good order.
bool ServiceMachine::wants_away(const Surroundings& s) const {
  if (s.leaving && !may_move(s)) return true;
  std::string why;
  const bool may_go = std::holds_alternative<Active>(state_) || waits();
  return (may_go && wants_to_hand_over(s, why)) || yields_to(s).has_value();
}

std::optional<ServiceId> ServiceMachine::running_follower(const Surroundings& s) const {
  if (sabotaged(Canary::kStopOrderIgnored)) return std::nullopt;
  for (const ServiceMachine& follower : *s.services) {
    if (!contains(follower.service().after, id_)) continue;
    const bool here = follower.serves() || std::holds_alternative<Stopping>(follower.state_);
    if (here && follower.members_.state() != Members::State::kDown) return follower.id_;
  }
  return std::nullopt;
}

bool ServiceMachine::await_follower(const Surroundings& s) {
  const auto follower = running_follower(s);
  if (!follower) return false;
  mark(Mark::kAwaitsFollower);
  detail_ = fmt::format("stops as soon as {} has stopped", config_->service(*follower).name);
  return true;
}

// ---- with: who goes along ----

// The peer is ready for it, and for all that have to come along. In a shutdown each goes that can, unless it
// would only wait there.
bool ServiceMachine::may_move(const Surroundings& s) const {
  if (!peer_ready(s)) return false;
  if (sabotaged(Canary::kGroupTornApart)) return true;
  const auto ordered = [&](ServiceId id) { return other(id, s).move_ordered_; };
  const bool at_once = s.leaving || s.locked || move_ordered_ ||
                       std::any_of(service().with.begin(), service().with.end(), ordered);
  for (const ServiceId id : service().with) {
    const ServiceMachine& companion = other(id, s);
    if (!companion.serves()) continue;
    if (s.leaving && !contains(service().after, id)) continue;
    const bool halted = companion.mirrors_.halted_to_peer() && companion.may_serve(s);
    const bool pauses = s.now < companion.no_handover_before_ && !at_once;
    if (companion.peer_ready(s) && !halted && !pauses) continue;
    mark(Mark::kCompanionCannotGo);
    return false;
  }
  return true;
}

bool ServiceMachine::wants_to_hand_over(const Surroundings& s, std::string& why) const {
  if (!may_move(s)) return false;
  if (own_wish(s, why)) return true;
  for (const ServiceId id : service().with) {
    if (!other(id, s).leads_away(s)) continue;
    mark(Mark::kHandoverAlong);
    why = fmt::format("{}, with which it runs, is handed over", config_->service(id).name);
    return true;
  }
  return false;
}

// Its companions have to follow it to the peer.
bool ServiceMachine::leads_away(const Surroundings& s) const {
  if (const auto* stopping = std::get_if<Stopping>(&state_)) return stopping->then == Then::kRelease;
  if (const auto* released = std::get_if<Released>(&state_)) return released->held;
  std::string why;
  return (std::holds_alternative<Active>(state_) || waits()) && own_wish(s, why);
}

// Of a service that has stopped in order to be released: do others have to be released together with it?
ServiceMachine::Along ServiceMachine::along(const Surroundings& s) const {
  if (sabotaged(Canary::kGroupTornApart)) return Along::kNobody;
  Along out = Along::kNobody;
  for (const ServiceMachine& one : *s.services) {
    const bool companion = is_with(one.id_);
    if (!companion && !contains(service().after, one.id_)) continue;
    if (const auto* stopping = std::get_if<Stopping>(&one.state_)) {
      const bool goes_on = !stopping->ready || (!companion && one.along(s) == Along::kAwaited);
      if (stopping->then == Then::kRelease && goes_on) out = Along::kAwaited;
      continue;
    }
    const auto* suspended = std::get_if<Suspended>(&one.state_);
    std::string why;
    const bool goes = one.serves() && one.wants_to_hand_over(s, why);
    const bool undecided = companion && std::holds_alternative<Starting>(one.state_) && !one.waits();
    const bool broken_off = suspended != nullptr && suspended->stopping && s.lease_held;
    if (companion && !s.leaving && (broken_off || (one.serves() && !goes && !undecided)))
      return Along::kStays;
    if (goes || undecided) out = Along::kAwaited;
  }
  return out;
}

bool ServiceMachine::awaits_along(const Surroundings& s, Stopping& state, Actions& out) {
  if (along(s) == Along::kAwaited && s.peer_heard) {
    mark(Mark::kAwaitsCompanion);
    return false;
  }
  mark(Mark::kCompanionStays);
  if (stored_->blocked) {
    mirrors_.end(out);
    no_handover_before_ = s.now + kHandoverPause;
    become(Failed{false});
  } else if (may_serve(s) || !peer_ready(s)) {
    break_off(s, "what it runs with does not go along", out);
  } else {
    stopped(s, state, out);
  }
  return true;
}

void ServiceMachine::note_split(const Surroundings& s) {
  const auto& with = service().with;
  const bool here = std::holds_alternative<Active>(state_) || waits();
  const bool split =
      here && std::any_of(with.begin(), with.end(), [&](ServiceId id) { return serves_at_peer(id, s); });
  if (!split) {
    split_since_ = kNever;
  } else if (split_since_ == kNever) {
    mark(Mark::kGroupSplit);
    split_since_ = s.now;
  }
}

// A group on both nodes comes together: where only one side can go, that one; else on the preferred node.
// Both nodes judge by the same facts.
bool ServiceMachine::joins_peer(const Surroundings& s) const {
  if (split_since_ == kNever || s.now - split_since_ < config_->timing.settle) return false;
  if (sabotaged(Canary::kSplitStays)) return false;
  const auto& with = service().with;
  const bool others_come = std::all_of(with.begin(), with.end(), [&](ServiceId id) {
    return !serves_at_peer(id, s) || other(id, s).ready(s);
  });
  const bool home = service().prefer.value_or(NodeId(0)) == config_->self;
  return !others_come || (!home && s.reach_peer >= s.reach_here);
}

std::string ServiceMachine::why_companions_stay(const Surroundings& s) const {
  for (const ServiceId id : service().with) {
    const ServiceMachine& companion = other(id, s);
    if (!std::holds_alternative<Active>(companion.state_) && !companion.waits()) continue;
    const std::string refusal = companion.why_no_move(s);
    if (refusal.empty()) continue;
    mark(Mark::kMoveRefusedForCompanion);
    return fmt::format("{} runs with it: {}", config_->service(id).name, refusal);
  }
  return "";
}

// ---- apart ----

bool ServiceMachine::apart_at_peer(const Surroundings& s) const {
  const auto& apart = service().apart_from;
  return std::any_of(apart.begin(), apart.end(), [&](ServiceId id) { return serves_at_peer(id, s); });
}

// Of two that share a node, the one goes that prefers the other node more; else the one with the later name.
int ServiceMachine::pull_of_peer() const {
  if (!service().prefer) return 1;
  return *service().prefer == config_->peer() ? 2 : 0;
}

// A service here that this one is to be apart from, if it is this one that goes.
std::optional<ServiceId> ServiceMachine::crowded_by(const Surroundings& s) const {
  if (service().apart_from.empty() || apart_at_peer(s)) return std::nullopt;
  const auto first = [&](const ServiceMachine& one) {
    const auto& with = one.service().with;
    return with.empty() ? one.id_ : std::min(one.id_, with.front());
  };
  for (const ServiceId id : service().apart_from) {
    const ServiceMachine& near = other(id, s);
    if (!near.serves()) continue;
    const int pull = pull_of_peer(), its = near.pull_of_peer();
    const bool goes = pull != its ? pull > its : first(*this) > first(near);
    if (goes || !near.may_move(s) || near.apart_at_peer(s)) return id;
    mark(Mark::kOtherOneSpreads);
  }
  return std::nullopt;
}

// Where a service that nobody serves belongs for the sake of those that are served already.
std::optional<NodeId> ServiceMachine::related_place(const Surroundings& s) const {
  const auto served = [&](const std::vector<ServiceId>& list) {
    std::pair<bool, bool> out;  // here, there
    for (const ServiceId id : list) {
      out.first = out.first || other(id, s).serves();
      out.second = out.second || serves_at_peer(id, s);
    }
    return out;
  };
  const auto [with_here, with_there] = served(service().with);
  if (with_here != with_there) return with_here ? config_->self : config_->peer();
  const auto [apart_here, apart_there] = served(service().apart_from);
  if (with_here || apart_here == apart_there) return std::nullopt;
  return apart_here ? config_->peer() : config_->self;
}

}  // namespace clusterd
