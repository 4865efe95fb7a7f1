// What each state of a service does when everything is looked at afresh.
#include <fmt/format.h>

#include "base/mark.hpp"
#include "core/service_machine.hpp"

namespace clusterd {

bool ServiceMachine::review_state(const Surroundings& s, Actions& out, Standby& /*state*/) {
  if (members_.state() == Members::State::kStopFailed) {
    mark(Mark::kStopFailedOnStandby);
    notice(out, Severity::kError, "stop-failed",
           fmt::format("{}: {}. It needs you: stop it by hand, then `clusterctl online`", service().name,
                       members_.trouble()));
    become(Failed{true});
    return true;
  }
  if (members_.state() == Members::State::kUnknown || members_.state() == Members::State::kStartFailed) {
    members_.stop(s.now, out);
    return false;
  }
  if (service().hot && members_.state() == Members::State::kDown && !members_.hot_ready() &&
      members_.next_deadline() == kNever) {
    mark(Mark::kHotKeptUp);
    members_.keep_hot(s.now, out);
  }
  const auto* report = theirs(s);
  if (s.peer_heard && report != nullptr) {
    detail_.clear();
    told_why_not_.clear();
    const bool nobody = report->role == Role::kStandby;
    const bool let_go = members_.state() == Members::State::kDown && s.watchdog_settled;
    if (nobody && let_go && s.config_agrees && peer_is_candidate(s)) {
      mark(Mark::kGranted);
      become(Released{s.now, false});
      return true;
    }
    return false;
  }
  if (s.peer == nullptr && !was_last_active()) {
    mark(Mark::kWaitsForPeer);
    detail_ = "waits for its peer: it was not the last active node";
    return false;
  }
  std::string reason = s.no_takeover_reason;
  if (reason.empty() && s.silent_past_lease && !effects_cleared(s)) reason = s.effects_reason;
  if (reason.empty()) return false;
  if (s.locked) {
    mark(Mark::kNoTakeoverLocked);
    reason = "this node carries the standby lock";
  }
  if (stored_->blocked) {
    mark(Mark::kNoTakeoverBlocked);
    reason = "the service failed on this node before";
  }
  if (!s.nics_up) {
    mark(Mark::kNoTakeoverNicDown);
    reason = "its network interface is down here";
  }
  if (service().effects == Effects::kNode && !s.watchdog_ready) {
    mark(Mark::kNoTakeoverUnwatched);
    reason = "the watchdog of this node is not armed";
  }
  if (!data_complete(s)) {
    mark(Mark::kNoTakeoverIncomplete);
    reason = "its files were not completely mirrored to this node";
  }
  detail_ = "does not take over: " + reason;
  if (told_why_not_ == reason) return false;
  mark(Mark::kDoesNotTakeOver);
  told_why_not_ = reason;
  decide(s, out, fmt::format("does not take over {}", service().name), {reason});
  return false;
}

bool ServiceMachine::review_state(const Surroundings& s, Actions& out, Starting& /*state*/) {
  if (members_.state() == Members::State::kUp) {
    become(Active{});
    log(out, Severity::kNotice, fmt::format("active at epoch {}", stored_->epoch.value));
    return true;
  }
  if (members_.state() == Members::State::kStartFailed || members_.state() == Members::State::kStopFailed) {
    members_failed(s, out);
    return true;
  }
  if (s.leaving && !may_move(s) && !await_follower(s)) {
    mark(Mark::kShutdownWhileStarting);
    stop(s, Then::kRest, out);
    return true;
  }
  return !service().after.empty() && review_waiting(s, out);
}

bool ServiceMachine::review_state(const Surroundings& s, Actions& out, Active& /*state*/) {
  if (members_.state() == Members::State::kStartFailed || members_.state() == Members::State::kStopFailed) {
    members_failed(s, out);
    return true;
  }
  if (members_.state() == Members::State::kStarting) {  // restarts a member within its budget
    mark(Mark::kRestartsMember);
    become(Starting{});
    return true;
  }
  detail_.clear();
  std::string why;
  if (s.leaving && !may_move(s)) {
    if (await_follower(s)) return false;
    mark(Mark::kShutdownAlone);
    stop(s, Then::kRest, out);
    return true;
  }
  if (wants_to_hand_over(s, why)) {
    if (await_follower(s)) return false;
    hand_over(s, why, out);
    return true;
  }
  const auto forerunner = yields_to(s);
  if (!forerunner || await_follower(s)) return false;
  step_aside(s, *forerunner, out);
  return true;
}

void ServiceMachine::hand_over(const Surroundings& s, const std::string& why, Actions& out) {
  decide(s, out, fmt::format("hands {} over to {}", service().name, config_->node(config_->peer()).name),
         {why});
  stop(s, Then::kRelease, out);
}

// Whether it is to go, apart from what the other services of its group want.
bool ServiceMachine::own_wish(const Surroundings& s, std::string& why) const {
  if (move_ordered_) {
    mark(Mark::kHandoverByOrder);
    why = "an administrator ordered the move";
    return true;
  }
  if (s.leaving || s.locked) {
    mark(s.leaving ? Mark::kHandoverLeaving : Mark::kHandoverLocked);
    why = s.leaving ? "this node is shutting down" : "this node carries the standby lock";
    return true;
  }
  if (s.moves_stopped || s.now < no_handover_before_) {
    mark(Mark::kHandoverDamped);
    return false;
  }
  // Its files cannot be flushed: without need it stays where they are.
  if (mirrors_.halted_to_peer() && may_serve(s)) return false;
  if (s.peer_better) {
    mark(Mark::kHandoverReach);
    why = s.better_evidence;
    return true;
  }
  if (joins_peer(s)) {
    mark(Mark::kHandoverJoins);
    why =
        fmt::format("services that it is to run with are active on {}", config_->node(config_->peer()).name);
    return true;
  }
  const bool long_ready =
      s.reach_peer >= s.reach_here && s.now - peer_ready_since_ >= service().failback_after;
  const auto ready_there = [&] {
    return fmt::format("has been ready for {:.0f} s", to_seconds(s.now - peer_ready_since_));
  };
  if (const auto near = long_ready ? crowded_by(s) : std::nullopt) {
    mark(Mark::kHandoverSpreads);
    why = fmt::format("it is to run apart from {}, and {} {}", config_->service(*near).name,
                      config_->node(config_->peer()).name, ready_there());
    return true;
  }
  if (service().failback == Failback::kAuto && service().prefer == config_->peer() && long_ready &&
      !apart_at_peer(s)) {
    mark(Mark::kHandoverFailback);
    why = fmt::format("{} is preferred and {}", config_->node(config_->peer()).name, ready_there());
    return true;
  }
  return false;
}

bool ServiceMachine::review_state(const Surroundings& s, Actions& out, Stopping& state) {
  if (members_.state() == Members::State::kStopFailed) {
    mark(Mark::kStopFailed);
    mirrors_.end(out);
    notice(out, Severity::kError, "stop-failed",
           fmt::format("{}: {}. Its gate is shut; nobody takes over until you have stopped it by hand "
                       "(then `clusterctl online`)",
                       service().name, members_.trouble()));
    become(Failed{true});
    return true;
  }
  if (members_.state() != Members::State::kDown) return false;
  if (state.then == Then::kRelease && !state.ready) {
    if (mirrors_.any_to_peer() && !flushed(s, out, state)) return !std::holds_alternative<Stopping>(state_);
    state.ready = true;
    return true;
  }
  if (state.then == Then::kRelease && along(s) != Along::kNobody) return awaits_along(s, state, out);
  stopped(s, state, out);
  return true;
}

// The last mirror run before a release. False: it is under way, or came to nothing (then the state has
// changed).
bool ServiceMachine::flushed(const Surroundings& s, Actions& out, Stopping& state) {
  if (!state.flushing) {
    mark(Mark::kFlushStarted);
    state.flushing = true;
    state.flush_limit = s.now + kFlushLimit;
    mirrors_.flush(s.now, out);
  }
  if (mirrors_.flush_state() == MirrorRules::Flush::kRunning && s.now < state.flush_limit && s.peer_heard) {
    return false;
  }
  if (mirrors_.flush_state() == MirrorRules::Flush::kDone) return true;
  mark(s.now >= state.flush_limit ? Mark::kFlushTimedOut
       : !s.peer_heard            ? Mark::kFlushPeerLost
                                  : Mark::kFlushFailed);
  const std::string why = s.now >= state.flush_limit ? "time limit"
                          : !s.peer_heard            ? "the peer is not heard any more"
                                                     : mirrors_.flush_trouble();
  const std::string unflushed = fmt::format("its files could not be flushed to the peer ({})", why);
  // It cannot stay here: the peer serves with what the last complete run brought it, rather than nobody.
  if (may_serve(s) || !peer_ready(s)) {
    break_off(s, unflushed, out);
    return false;
  }
  mark(Mark::kReleasedUnflushed);
  mirrors_.end(out);
  notice(out, Severity::kWarning, "not-flushed",
         fmt::format("{}: {}: the peer serves with what it has; what it lacks is kept and reported when it "
                     "is resynchronised",
                     service().name, unflushed));
  return true;
}

void ServiceMachine::stopped(const Surroundings& s, Stopping& state, Actions& out) {
  switch (state.then) {
    case Then::kStandby:
      become(Standby{});
      return;
    case Then::kRelease:
      become(Released{s.now, true});
      return;
    case Then::kFail:
      mirrors_.end(out);
      become(Failed{false});
      return;
    case Then::kRest:
      mark(Mark::kRestsForShutdown);
      mirrors_.end(out);
      become(Standby{});  // `active` stays on disk: this node was the last one (S6)
      log(out, Severity::kNotice, "stopped for the shutdown; this node was the last active one");
      return;
  }
}

bool ServiceMachine::review_state(const Surroundings& s, Actions& out, Suspended& state) {
  const bool heard_since = s.peer_heard && s.acked_sent >= state.since;
  if (heard_since && s.watchdog_settled && !may_serve(s) && peer_ready(s) && s.now >= no_handover_before_) {
    mark(Mark::kSuspendedHandsOver);
    decide(s, out, fmt::format("hands {} over to {}", service().name, config_->node(config_->peer()).name),
           {"it fell silent here, and this node may not serve now"});
    stop(s, Then::kRelease, out);
    return true;
  }
  if (s.locked) {
    mark(Mark::kSuspendedLocked);
    step_down(s, "this node carries the standby lock", out);
    return true;
  }
  if (s.leaving || stored_->blocked) {
    mark(s.leaving ? Mark::kSuspendedLeaving : Mark::kSuspendedBlocked);
    stop(s, s.leaving ? Then::kRest : Then::kFail, out);
    return true;
  }
  detail_ = s.peer_heard ? "its lease ran out; the peer decides"
                         : "its lease ran out: neither peer nor enough reference hosts";
  if (s.peer == nullptr && stored_->active)
    detail_ = "was the last active node; gathers evidence that it may start";
  if (members_.state() == Members::State::kStopFailed) {
    mark(Mark::kSuspendedStopFailed);
    become(Failed{true});
    return true;
  }
  const bool up = members_.state() != Members::State::kDown && members_.state() != Members::State::kStopping;
  if (up && !state.stopping && s.now - state.since >= kSuspendGrace) {
    mark(Mark::kSuspendGraceOver);
    state.stopping = true;
    log(out, Severity::kWarning, "stops its units: the lease did not come back");
    mirrors_.end(out);
    members_.stop(s.now, out);
  }
  return false;
}

bool ServiceMachine::review_state(const Surroundings& s, Actions& out, Released& state) {
  const auto* report = theirs(s);
  const bool peer_took = report != nullptr && s.peer_heard && report->epoch >= stored_->epoch &&
                         (report->role == Role::kStarting || report->role == Role::kActive);
  if (peer_took && !state.held) {
    mark(Mark::kGrantTaken);
    withdraw(s);
    become(Standby{});
    return true;
  }
  if (state.held) {
    // A successor at a higher epoch is seen by review_peer. Here: it did not come.
    if (s.peer_heard && s.now - state.since < kReleaseLimit &&
        (peer_ready(s) || (report != nullptr && report->role != Role::kStandby))) {
      return false;
    }
    mark(Mark::kReleaseNotTaken);
    break_off(s, "the peer did not take it", out);
    return true;
  }
  if (!s.peer_heard || !s.config_agrees || !peer_is_candidate(s)) {
    mark(Mark::kGrantWithdrawn);
    withdraw(s);
    become(Standby{});
    return true;
  }
  return false;
}

bool ServiceMachine::review_state(const Surroundings& s, Actions& out, Failed& state) {
  detail_ = members_.trouble();
  if (state.stop_failed) {
    if (members_.state() == Members::State::kDown) {
      mark(Mark::kStopFailedEndedAfterAll);
      become(Standby{});
      return true;
    }
    if (members_.state() == Members::State::kUnknown) {
      mark(Mark::kStopFailedTriedAgain);
      members_.stop(s.now, out);
    }
    return false;
  }
  if (members_.state() == Members::State::kUnknown || !stored_->blocked) {
    mark(Mark::kFailedForgiven);
    become(Standby{});
    return true;
  }
  if (may_move(s) && members_.state() == Members::State::kDown && !s.moves_stopped && !members_.nowhere() &&
      s.now >= no_handover_before_) {
    decide(s, out, fmt::format("hands {} over to {}", service().name, config_->node(config_->peer()).name),
           {"it failed here, and the peer is ready now"});
    if (mirrors_.any_to_peer() && mirrors_.peer_synced()) {
      mark(Mark::kFailedFlushed);
      stop(s, Then::kRelease, out);  // flushes first
    } else if (!service().with.empty()) {
      become(Stopping{Then::kRelease, true, false, kNever, true});  // together with the others
    } else {
      mark(Mark::kFailedReleased);
      become(Released{s.now, true});
    }
    return true;
  }
  return false;
}

}  // namespace clusterd
