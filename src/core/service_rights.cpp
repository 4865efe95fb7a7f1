// What is known of a service, and the rights to serve that follow from it. Nothing here changes anything.
#include <algorithm>

#include "base/canary.hpp"
#include "base/mark.hpp"
#include "core/service_machine.hpp"

namespace clusterd {

// ---- what is known ----

const ServiceReport* ServiceMachine::theirs(const Surroundings& s) const {
  // With different configurations an index does not name the same service on both nodes (S12).
  if (s.peer == nullptr || !s.config_agrees || id_.at() >= s.peer->services.size()) return nullptr;
  return &s.peer->services.at(id_.at());
}

Role ServiceMachine::role() const {
  struct Name {
    Role operator()(const Standby&) const { return Role::kStandby; }
    Role operator()(const Starting&) const { return Role::kStarting; }
    Role operator()(const Active&) const { return Role::kActive; }
    Role operator()(const Stopping&) const { return Role::kStopping; }
    Role operator()(const Suspended&) const { return Role::kSuspended; }
    Role operator()(const Released&) const { return Role::kReleased; }
    Role operator()(const Failed&) const { return Role::kFailed; }
  };
  return std::visit(Name{}, state_);
}

bool ServiceMachine::holds_lease() const {
  if (const auto* stopping = std::get_if<Stopping>(&state_)) {
    return !stopping->silent && stopping->then != Then::kStandby &&
           members_.state() == Members::State::kStopping;
  }
  return std::holds_alternative<Starting>(state_) || std::holds_alternative<Active>(state_);
}

bool ServiceMachine::holds() const {
  if (const auto* stopping = std::get_if<Stopping>(&state_)) return stopping->then != Then::kStandby;
  if (const auto* released = std::get_if<Released>(&state_)) return released->held;
  return !std::holds_alternative<Standby>(state_);
}

bool ServiceMachine::watches_address() const {
  return claim_ && (claim_->right == Right::kTakeover || claim_->right == Right::kForce);
}

bool ServiceMachine::peer_holds(const Surroundings& s) const {
  const auto* report = theirs(s);
  if (report == nullptr) return false;
  return report->role != Role::kStandby && report->role != Role::kFailed && report->role != Role::kReleased;
}

// Are the newest files of the service on this disk? (S8, S9)
bool ServiceMachine::data_complete(const Surroundings& s) const {
  if (!mirrors_.any_to_peer() || std::holds_alternative<Suspended>(state_)) return true;
  if (synced_by_peer_ || sabotaged(Canary::kUnsyncedTakesOver)) return true;
  const auto* report = theirs(s);
  if (report == nullptr) return was_last_active();
  return !peer_holds(s) && report->data_epoch <= stored_->data_epoch;
}

// By all that this node knows (S6).
bool ServiceMachine::was_last_active() const { return stored_->active || sabotaged(Canary::kColdStartAlone); }

bool ServiceMachine::may_serve(const Surroundings& s) const {
  const bool put_aside = s.locked && !sabotaged(Canary::kLockIgnored);
  const bool watched = service().effects == Effects::kAddress || s.watchdog_ready;
  return !put_aside && !s.leaving && !stored_->blocked && s.nics_up && s.config_agrees && watched &&
         data_complete(s) && members_.state() != Members::State::kStopFailed;
}

bool ServiceMachine::ready(const Surroundings& s) const {
  if (!std::holds_alternative<Standby>(state_) || !may_serve(s) || s.disk_refuses) return false;
  return members_.state() == Members::State::kDown && (!service().hot || members_.hot_ready());
}

bool ServiceMachine::peer_ready(const Surroundings& s) const {
  const auto* report = theirs(s);
  return report != nullptr && s.peer_heard && s.config_agrees && report->ready && !report->blocked;
}

// Nobody serves, both stand by: is it the peer that should? Both nodes judge by the same facts; should they
// ever differ, both release or both wait, and nobody serves until they agree: never both.
bool ServiceMachine::peer_is_candidate(const Surroundings& s) const {
  const auto* report = theirs(s);
  if (report == nullptr) return false;
  const bool watched = service().effects == Effects::kNode && config_->watchdog;
  const bool peer_may = !s.peer->locked && !s.peer->leaving && !report->blocked && s.peer->service_nic_up &&
                        (!watched || s.peer->watchdog) &&
                        (!mirrors_.any_to_peer() || report->data_epoch >= stored_->data_epoch);
  const bool self_may = !s.locked && !s.leaving && !stored_->blocked && s.nics_reach &&
                        (!watched || s.watchdog_ready) &&
                        (!mirrors_.any_to_peer() || stored_->data_epoch >= report->data_epoch);
  if (peer_may != self_may) return peer_may;
  if (!peer_may) {
    mark(Mark::kNobodyMayServe);
    return false;
  }
  if (const auto place = related_place(s)) {
    mark(Mark::kCandidateByRelation);
    return *place != config_->self;
  }
  if (service().prefer) {
    mark(Mark::kCandidatesEqual);
    return *service().prefer != config_->self;
  }
  if (s.reach_here != s.reach_peer) {
    mark(Mark::kCandidateByReach);
    return s.reach_peer > s.reach_here;
  }
  mark(Mark::kCandidateByNumber);
  return config_->peer() < config_->self;
}

Epoch ServiceMachine::next_epoch(const Surroundings& s) const {
  uint64_t highest = std::max(stored_->epoch.value, stored_->claimed.value);
  if (const auto* report = theirs(s)) highest = std::max(highest, report->epoch.value);
  const uint64_t next = highest + 1;
  if (sabotaged(Canary::kEpochsCollide)) return Epoch{next};
  return Epoch{next % kNodes == config_->self.at() ? next : next + 1};
}

std::vector<std::string> ServiceMachine::takeover_evidence(const Surroundings& s) const {
  std::vector<std::string> out = s.silence_evidence;
  const bool rests_on_end = service().effects == Effects::kNode || s.fence_mode;
  if (rests_on_end && !s.effects_evidence.empty()) out.push_back(s.effects_evidence);
  return out;
}

// ---- rights ----

bool ServiceMachine::right_holds(Right right, const Surroundings& s) const {
  const auto* report = theirs(s);
  switch (right) {
    case Right::kForce:
      return force_ordered_ && !s.peer_heard;
    case Right::kRelease:
      return s.peer_heard && report != nullptr && report->role == Role::kReleased && release_is_fresh(s) &&
             may_serve(s);
    case Right::kTakeover:
      return s.silent_past_lease && may_take_over(s) && effects_cleared(s);
    case Right::kResume:
      return may_resume(s) && may_serve(s);
  }
  return false;
}

// The silence of the peer aside.
bool ServiceMachine::may_take_over(const Surroundings& s) const {
  const bool suspended = std::holds_alternative<Suspended>(state_);
  return may_serve(s) && (suspended || ((s.peer != nullptr || was_last_active()) && !s.moves_stopped));
}

// S13: what the gate of the peer does not silence has ended there.
bool ServiceMachine::effects_cleared(const Surroundings& s) const {
  if ((service().effects == Effects::kAddress && !s.fence_mode) || s.effects_over) return true;
  // Whoever was active here a moment ago still runs here alone: nobody can have waited long enough.
  const auto* suspended = std::get_if<Suspended>(&state_);
  const bool just_active = suspended != nullptr && suspended->lease_end != kLongAgo &&
                           s.now - suspended->lease_end < s.effects_grace;
  if (just_active && !s.fence_mode) mark(Mark::kEffectsOnlyHere);
  return just_active && !s.fence_mode;
}

bool ServiceMachine::wants_fence(const Surroundings& s) const {
  const bool waits = std::holds_alternative<Standby>(state_) || std::holds_alternative<Suspended>(state_);
  return waits && !effects_cleared(s) && may_take_over(s) && members_.state() != Members::State::kStopping;
}

bool ServiceMachine::effects_may_go_on() const {
  return service().effects == Effects::kNode && members_.may_run();
}

// A node that is about to resume what never stopped has the same evidence as a lease (may_resume).
bool ServiceMachine::effects_are_sane(const Surroundings& s) const {
  if (!effects_may_go_on()) return true;
  return forced_ || (s.lease_held && (holds_lease() || may_resume(s)));
}

std::optional<ServiceMachine::Right> ServiceMachine::right_to_serve(const Surroundings& s) const {
  for (const Right right : {Right::kRelease, Right::kResume, Right::kForce, Right::kTakeover}) {
    if (right_holds(right, s)) return right;
  }
  return std::nullopt;
}

// The peer says "released" with the knowledge of a heartbeat that this node sent within the window. So it is
// not a word of long ago that waited in a queue while this node stood still; and it was said after the peer
// had learnt that this node does not release any more. Both could otherwise take at the same time what the
// other one had released just before.
bool ServiceMachine::release_is_fresh(const Surroundings& s) const {
  if (sabotaged(Canary::kReleaseAlwaysFresh)) return true;
  if (s.acked_sequence < withdrawn_sequence_) {
    mark(Mark::kReleaseUnacknowledged);
    return false;
  }
  const bool recent = s.now - s.acked_sent < config_->timing.window;
  if (!recent) mark(Mark::kReleaseStale);
  return recent;
}

// The lease ran out, but the peer has acknowledged a heartbeat that was sent after that, and does not hold
// the service: whatever it counts, it counts anew from then. The acknowledged heartbeat must be younger than
// a lease: what was said long ago, and waited in a queue, may have been followed by a takeover.
bool ServiceMachine::may_resume(const Surroundings& s) const {
  const auto* suspended = std::get_if<Suspended>(&state_);
  const auto* report = theirs(s);
  if (sabotaged(Canary::kResumeUnasked)) return suspended != nullptr && s.lease_held;
  if (suspended == nullptr || report == nullptr || !s.peer_heard || !s.lease_held) return false;
  if (s.acked_sent < suspended->since) {
    mark(Mark::kResumeUnacknowledged);
    return false;
  }
  if (s.now - s.acked_sent >= config_->timing.lease && !sabotaged(Canary::kStaleAckResumes)) {
    mark(Mark::kResumeStale);
    return false;
  }
  const bool peer_lets_go = report->role == Role::kStandby || report->role == Role::kFailed;
  if (!peer_lets_go) mark(Mark::kResumePeerHolds);
  // A daemon that has just started, or could not stop them, holds nothing and has units that run all the
  // same.
  if (peer_lets_go && report->may_run) {
    mark(Mark::kResumeAwaitsUnitsOfPeer);
    return false;
  }
  return peer_lets_go && report->epoch <= stored_->epoch;
}

}  // namespace clusterd
