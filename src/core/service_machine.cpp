#include "core/service_machine.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace clusterd {

ServiceMachine::ServiceMachine(const Config& config, ServiceId id, PersistedService& stored)
    : config_(&config), id_(id), stored_(&stored), members_(config, id), mirrors_(config, id) {
  mirrors_.restore_halts(stored.halted_mirrors);
}

void ServiceMachine::begin(Instant now, bool host_rebooted, Instant gate, Actions& out) {
  if (!stored_->active || stored_->blocked) {
    out.shut_gates.push_back(id_);  // whatever a predecessor left behind: first silent, then stopped
    members_.stop(now, out);
    return;
  }
  // With an epoch still claimed it is not known at which one the predecessor served.
  if (!host_rebooted && gate > now && stored_->claimed.value == 0) {
    // The predecessor's lease still runs: go on as if nothing had happened.
    members_.start(now, out);
    mirrors_.begin(now, stored_->epoch);
    become(Starting{});
    log(out, Severity::kNotice,
        fmt::format("goes on at epoch {}: the lease has {:.0f} ms left", stored_->epoch.value,
                    to_ms(gate - now)));
    return;
  }
  out.shut_gates.push_back(id_);
  mirrors_.begin(now, stored_->epoch);
  become(Suspended{now, false});
  if (host_rebooted) members_.stop(now, out);
  log(out, Severity::kNotice,
      fmt::format("was active here at epoch {}; waits for its peer, or for evidence that it may go on",
                  stored_->epoch.value));
}

// ---- what is known
// ------------------------------------------------------------------------------------------

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
  if (synced_by_peer_) return true;
  const auto* report = theirs(s);
  if (report == nullptr) return was_last_active();
  return !peer_holds(s) && report->data_epoch <= stored_->data_epoch;
}

// By all that this node knows (S6).
bool ServiceMachine::was_last_active() const { return stored_->active; }

bool ServiceMachine::may_serve(const Surroundings& s) const {
  return !s.locked && !s.leaving && !stored_->blocked && s.nics_up && s.config_agrees && data_complete(s) &&
         members_.state() != Members::State::kStopFailed;
}

bool ServiceMachine::ready(const Surroundings& s) const {
  if (!std::holds_alternative<Standby>(state_) || !may_serve(s)) return false;
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
  const bool peer_may = !s.peer->locked && !s.peer->leaving && !report->blocked && s.peer->service_nic_up &&
                        (!mirrors_.any_to_peer() || report->data_epoch >= stored_->data_epoch);
  const bool self_may = !s.locked && !s.leaving && !stored_->blocked && s.nics_up &&
                        (!mirrors_.any_to_peer() || stored_->data_epoch >= report->data_epoch);
  if (peer_may != self_may) return peer_may;
  if (!peer_may) return false;
  if (service().prefer) return *service().prefer != config_->self;
  if (s.reach_here != s.reach_peer) return s.reach_peer > s.reach_here;
  return config_->peer() < config_->self;
}

Epoch ServiceMachine::next_epoch(const Surroundings& s) const {
  uint64_t highest = std::max(stored_->epoch.value, stored_->claimed.value);
  if (const auto* report = theirs(s)) highest = std::max(highest, report->epoch.value);
  const uint64_t next = highest + 1;
  return Epoch{next % kNodes == config_->self.at() ? next : next + 1};
}

// ---- rights
// ------------------------------------------------------------------------------------------------

bool ServiceMachine::right_holds(Right right, const Surroundings& s) const {
  const auto* report = theirs(s);
  const bool suspended = std::holds_alternative<Suspended>(state_);
  switch (right) {
    case Right::kForce:
      return force_ordered_ && !s.peer_heard;
    case Right::kRelease:
      return s.peer_heard && report != nullptr && report->role == Role::kReleased && release_is_fresh(s) &&
             may_serve(s);
    case Right::kTakeover:
      return s.silent_past_lease && may_serve(s) &&
             (suspended || ((s.peer != nullptr || was_last_active()) && !s.moves_stopped));
    case Right::kResume:
      return suspended && may_resume(s) && may_serve(s);
  }
  return false;
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
  return s.acked_sequence >= withdrawn_sequence_ && s.now - s.acked_sent < config_->timing.window;
}

// The lease ran out, but the peer has acknowledged a heartbeat that was sent after that, and does not hold
// the service: whatever it counts, it counts anew from then.
bool ServiceMachine::may_resume(const Surroundings& s) const {
  const auto* suspended = std::get_if<Suspended>(&state_);
  const auto* report = theirs(s);
  if (suspended == nullptr || report == nullptr || !s.peer_heard || !s.lease_held) return false;
  if (s.acked_sent < suspended->since) return false;
  const bool peer_lets_go = report->role == Role::kStandby || report->role == Role::kFailed;
  return peer_lets_go && report->epoch <= stored_->epoch;
}

// ---- review
// -------------------------------------------------------------------------------------------------

bool ServiceMachine::review(const Surroundings& s, Actions& out) {
  if (s.peer_heard && forced_) {
    forced_ = false;
    // The gate is not opened any further, but stays as it is for the round trip that evidence takes.
    forced_until_ = s.now + config_->timing.lease / 2;
    log(out, Severity::kNotice, "the peer is heard again: the lease rests on evidence once more");
  }
  if (s.peer_heard) force_ordered_ = false;
  if (peer_ready(s)) {
    if (peer_ready_since_ == kNever) peer_ready_since_ = s.now;
  } else {
    peer_ready_since_ = kNever;
  }
  probe_time_ = s.probe_time;
  if (review_peer(s, out)) return true;
  if (review_lease(s, out)) return true;
  if (review_claim(s, out)) return true;
  tell_mirrors(s, out);
  return std::visit([&](auto& state) { return review_state(s, out, state); }, state_);
}

bool ServiceMachine::review_lease(const Surroundings& s, Actions& out) {
  if (!holds_lease() || s.lease_held || forced_ || s.now < forced_until_) return false;
  if (auto* stopping = std::get_if<Stopping>(&state_)) {
    stopping->silent = true;
    out.shut_gates.push_back(id_);
    log(out, Severity::kWarning, "its lease ran out while it stops: no packet leaves any more");
    return false;
  }
  suspend(s, "its lease ran out", out);
  return true;
}

// S4, S9 and what is learnt from the peer's report.
bool ServiceMachine::review_peer(const Surroundings& s, Actions& out) {
  const auto* report = theirs(s);
  if (report == nullptr || !s.peer_heard) return false;
  review_divergence(s, out);
  if (report->epoch > stored_->epoch) {
    if (holds()) {
      // `stored_` is changed by step_down, which also names the successor.
      step_down(s,
                fmt::format("{} serves at the higher epoch {}", config_->node(config_->peer()).name,
                            report->epoch.value),
                out);
      return true;
    }
    stored_->epoch = report->epoch;
    stored_->active = false;
    claim_.reset();
  }
  const bool newest_there = report->role != Role::kStandby && report->role != Role::kFailed &&
                            report->epoch == report->data_epoch && report->epoch == stored_->epoch;
  if (newest_there && !holds()) {
    synced_by_peer_ = report->peer_synced;
    const bool lineage_known = !peer_lineage_.empty() && peer_lineage_.front() == report->data_epoch;
    if (report->peer_synced && lineage_known && stored_->data_epoch != report->data_epoch) {
      stored_->data_epoch = report->data_epoch;
      stored_->lineage = peer_lineage_;
      stored_->halted_mirrors.clear();
      mirrors_.forget_halts();
      log(out, Severity::kInfo, fmt::format("has everything of epoch {}", report->data_epoch.value));
    }
  }
  return false;
}

void ServiceMachine::review_divergence(const Surroundings& s, Actions& out) {
  const auto* report = theirs(s);
  const Epoch there = report->data_epoch;
  const Epoch here = stored_->data_epoch;
  if (there.value == 0 || here.value == 0 || there == here || stored_->diverged) return;
  const auto descends = [](const std::vector<Epoch>& lineage, Epoch from) {
    return std::find(lineage.begin(), lineage.end(), from) != lineage.end();
  };
  // The newer side must descend from the older one; only the newer side's lineage can tell.
  bool diverged = false;
  if (here > there) {
    diverged = !descends(stored_->lineage, there);
  } else if (!peer_lineage_.empty() && peer_lineage_.front() == there) {
    diverged = !descends(peer_lineage_, here);
  }
  const Epoch older = std::min(here, there);
  if (!diverged || divergence_told_ == older) return;
  divergence_told_ = older;
  stored_->diverged = true;
  notice(out, Severity::kError, "diverged",
         fmt::format(
             "{}: both nodes were active on their own: epoch {} here and {} on {} have no line of descent. "
             "The files of the lower epoch are kept in backup sets when they are overwritten; "
             "see `clusterctl diverged`",
             service().name, here.value, there.value, config_->node(config_->peer()).name));
}

// A claim: the epoch is being made durable, or is, and the last condition is awaited.
bool ServiceMachine::review_claim(const Surroundings& s, Actions& out) {
  const bool may_claim = std::holds_alternative<Standby>(state_) || std::holds_alternative<Suspended>(state_);
  if (!may_claim) {
    claim_.reset();
    return false;
  }
  const auto right = right_to_serve(s);
  if (!right) {
    if (!claim_) return false;
    claim_.reset();
    stored_->claimed = Epoch{};  // it was never used
    log(out, Severity::kInfo, "does not take over after all: the right to it is gone");
    return true;
  }
  // Members that are still up under the old lease need no new epoch.
  if (*right == Right::kResume && members_.state() != Members::State::kDown &&
      members_.state() != Members::State::kStopping) {
    members_.start(s.now, out);
    out.announce.push_back(id_);  // the neighbours have given the address up meanwhile
    become(Starting{});
    decide(s, out, fmt::format("resumes {} at epoch {}", service().name, stored_->epoch.value),
           {"the peer acknowledged a heartbeat sent after the lease had run out, and does not hold the "
            "service"});
    return true;
  }
  if (members_.state() == Members::State::kStopping) return false;
  if (!claim_) {
    claim_ = Claim{*right, s.next_version, s.now};
    stored_->claimed = next_epoch(s);
    return true;
  }
  claim_->right = *right;
  if (s.durable_version < claim_->version) return false;
  // The LAN has been asked since the claim was made, and had as long to answer as the window leaves.
  const bool unanswered =
      s.now - vetoed_at_ >= config_->timing.window && s.now - claim_->since >= s.probe_time;
  if (*right == Right::kTakeover && !(s.silent_past_window && s.lease_held && unanswered)) return false;
  if (*right == Right::kForce && !(s.now - force_since_ >= config_->timing.window && unanswered))
    return false;
  if (*right == Right::kRelease && !s.lease_held) return false;
  activate(s, out);
  return true;
}

void ServiceMachine::activate(const Surroundings& s, Actions& out) {
  const Right right = claim_->right;
  const Epoch epoch = stored_->claimed;
  if (right == Right::kTakeover) took_ = was_last_active() ? Took::kOwn : Took::kFromPeer;
  claim_.reset();
  auto& lineage = stored_->lineage;
  // The files here descend from the peer's last epoch although its lineage had not been heard yet.
  const bool from_peer =
      synced_by_peer_ && stored_->epoch.value != 0 && stored_->data_epoch != stored_->epoch;
  if (from_peer) lineage.insert(lineage.begin(), stored_->epoch);
  lineage.insert(lineage.begin(), epoch);
  if (lineage.size() > kMaxLineage) lineage.resize(kMaxLineage);
  stored_->epoch = epoch;
  stored_->data_epoch = epoch;
  stored_->claimed = Epoch{};
  stored_->active = true;
  told_why_not_.clear();
  forced_ = right == Right::kForce;
  forced_until_ = kLongAgo;
  force_ordered_ = false;
  move_ordered_ = false;
  out.stop_receivers.push_back(id_);
  members_.start(s.now, out);
  mirrors_.begin(s.now, epoch);
  become(Starting{});

  const std::string& self = config_->node(config_->self).name;
  const std::string what = fmt::format("{} takes over {} at epoch {}", self, service().name, epoch.value);
  switch (right) {
    case Right::kTakeover:
      decide(s, out, what, s.silence_evidence);
      notice(out, Severity::kWarning, "takeover", what);
      break;
    case Right::kRelease:
      decide(s, out, what, {fmt::format("{} has let go of it", config_->node(config_->peer()).name)});
      notice(out, Severity::kNotice, "moved", what);
      break;
    case Right::kResume:
      decide(s, out, what, {"it was the last active node, and the peer does not hold the service"});
      break;
    case Right::kForce:
      decide(s, out, what, {"an administrator ordered it with `clusterctl start --force`"});
      notice(out, Severity::kWarning, "takeover", what + " (forced)");
      break;
  }
}

void ServiceMachine::tell_mirrors(const Surroundings& s, Actions& out) {
  const auto* report = theirs(s);
  const bool receives = s.peer_direct && s.config_agrees && report != nullptr &&
                        report->role == Role::kStandby && report->epoch <= stored_->epoch;
  const bool serving = std::holds_alternative<Active>(state_);
  if (serving) mirrors_.review(s.now, receives, out);
  for (const auto& done : mirrors_.take_finished()) {
    const auto& report_of = done.report;
    const std::string title = fmt::format("mirror {} of {}", done.mirror, service().name);
    changed_ = true;
    if (report_of.outcome == MirrorReport::Outcome::kHalted) {
      auto& halted = stored_->halted_mirrors;
      if (std::find(halted.begin(), halted.end(), done.mirror) == halted.end()) halted.push_back(done.mirror);
      notice(out, Severity::kError, "mirror-halted",
             fmt::format("{} is halted: {}. `clusterctl mirror confirm {} {}` lets it go on", title,
                         report_of.detail, service().name, done.mirror));
    } else if (report_of.outcome == MirrorReport::Outcome::kFailed) {
      log(out, Severity::kWarning, fmt::format("{} failed: {}", title, report_of.detail));
      if (done.first_failure) {
        notice(out, Severity::kWarning, "mirror-failed", fmt::format("{}: {}", title, report_of.detail));
      }
    } else if (report_of.kind == MirrorReport::Kind::kResync) {
      notice(out, report_of.lost > 0 ? Severity::kWarning : Severity::kNotice, "resync-done",
             fmt::format(
                 "{}: {} files copied, {} removed; {} files that had not been mirrored before, {} kept{}",
                 title, report_of.files, report_of.removed, report_of.lost, report_of.backed_up,
                 report_of.backup_set.empty() ? "" : " in backup set " + report_of.backup_set));
    }
  }
}

// ---- states
// -------------------------------------------------------------------------------------------------

bool ServiceMachine::review_state(const Surroundings& s, Actions& out, Standby& /*state*/) {
  if (members_.state() == Members::State::kStopFailed) {
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
    members_.keep_hot(s.now, out);
  }
  const auto* report = theirs(s);
  if (s.peer_heard && report != nullptr) {
    detail_.clear();
    told_why_not_.clear();
    const bool nobody = report->role == Role::kStandby;
    const bool let_go = members_.state() == Members::State::kDown;
    if (nobody && let_go && s.config_agrees && peer_is_candidate(s)) {
      become(Released{s.now, false});
      return true;
    }
    return false;
  }
  if (s.peer == nullptr && !was_last_active()) {
    detail_ = "waits for its peer: it was not the last active node";
    return false;
  }
  if (s.no_takeover_reason.empty()) return false;
  std::string reason = s.no_takeover_reason;
  if (s.locked) reason = "this node carries the standby lock";
  if (stored_->blocked) reason = "the service failed on this node before";
  if (!s.nics_up) reason = "its network interface is down here";
  if (!data_complete(s)) reason = "its files were not completely mirrored to this node";
  detail_ = "does not take over: " + reason;
  if (told_why_not_ == reason) return false;
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
  if (s.leaving && !peer_ready(s)) {
    stop(s, Then::kRest, out);
    return true;
  }
  return false;
}

bool ServiceMachine::review_state(const Surroundings& s, Actions& out, Active& /*state*/) {
  if (members_.state() == Members::State::kStartFailed || members_.state() == Members::State::kStopFailed) {
    members_failed(s, out);
    return true;
  }
  if (members_.state() == Members::State::kStarting) {  // restarts a member within its budget
    become(Starting{});
    return true;
  }
  detail_.clear();
  std::string why;
  if (s.leaving && !peer_ready(s)) {
    stop(s, Then::kRest, out);
    return true;
  }
  if (!wants_to_hand_over(s, why)) return false;
  decide(s, out, fmt::format("hands {} over to {}", service().name, config_->node(config_->peer()).name),
         {why});
  stop(s, Then::kRelease, out);
  return true;
}

bool ServiceMachine::wants_to_hand_over(const Surroundings& s, std::string& why) const {
  if (!peer_ready(s)) return false;
  if (move_ordered_) {
    why = "an administrator ordered the move";
    return true;
  }
  if (s.leaving || s.locked) {
    why = s.leaving ? "this node is shutting down" : "this node carries the standby lock";
    return true;
  }
  if (s.moves_stopped || s.now < no_handover_before_) return false;
  if (s.peer_better) {
    why = s.better_evidence;
    return true;
  }
  if (service().failback == Failback::kAuto && service().prefer == config_->peer() &&
      s.reach_peer >= s.reach_here && s.now - peer_ready_since_ >= service().failback_after) {
    why = fmt::format("{} is preferred and has been ready for {:.0f} s", config_->node(config_->peer()).name,
                      to_seconds(s.now - peer_ready_since_));
    return true;
  }
  return false;
}

bool ServiceMachine::review_state(const Surroundings& s, Actions& out, Stopping& state) {
  if (members_.state() == Members::State::kStopFailed) {
    mirrors_.end(out);
    notice(out, Severity::kError, "stop-failed",
           fmt::format("{}: {}. Its gate is shut; nobody takes over until you have stopped it by hand "
                       "(then `clusterctl online`)",
                       service().name, members_.trouble()));
    become(Failed{true});
    return true;
  }
  if (members_.state() != Members::State::kDown) return false;
  if (state.then == Then::kRelease && mirrors_.any_to_peer()) {
    if (!state.flushing) {
      state.flushing = true;
      state.flush_limit = s.now + kFlushLimit;
      mirrors_.flush(s.now, out);
    }
    if (mirrors_.flush_state() == MirrorRules::Flush::kRunning && s.now < state.flush_limit && s.peer_heard) {
      return false;
    }
    if (mirrors_.flush_state() != MirrorRules::Flush::kDone) {
      const std::string why = s.now >= state.flush_limit ? "time limit"
                              : !s.peer_heard            ? "the peer is not heard any more"
                                                         : mirrors_.flush_trouble();
      const std::string unflushed = fmt::format("its files could not be flushed to the peer ({})", why);
      // It cannot stay here: the peer serves with what the last complete run brought it, rather than nobody.
      if (may_serve(s) || !peer_ready(s)) {
        break_off(s, unflushed, out);
        return true;
      }
      mirrors_.end(out);
      notice(
          out, Severity::kWarning, "not-flushed",
          fmt::format("{}: {}: the peer serves with what it has; what it lacks is kept and reported when it "
                      "is resynchronised",
                      service().name, unflushed));
    }
  }
  stopped(s, state, out);
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
      mirrors_.end(out);
      become(Standby{});  // `active` stays on disk: this node was the last one (S6)
      log(out, Severity::kNotice, "stopped for the shutdown; this node was the last active one");
      return;
  }
}

bool ServiceMachine::review_state(const Surroundings& s, Actions& out, Suspended& state) {
  const bool heard_since = s.peer_heard && s.acked_sent >= state.since;
  if (heard_since && !may_serve(s) && peer_ready(s) && s.now >= no_handover_before_) {
    decide(s, out, fmt::format("hands {} over to {}", service().name, config_->node(config_->peer()).name),
           {"it fell silent here, and this node may not serve now"});
    stop(s, Then::kRelease, out);
    return true;
  }
  if (s.locked) {
    step_down(s, "this node carries the standby lock", out);
    return true;
  }
  if (s.leaving || stored_->blocked) {
    stop(s, s.leaving ? Then::kRest : Then::kFail, out);
    return true;
  }
  detail_ = s.peer_heard ? "its lease ran out; the peer decides"
                         : "its lease ran out: neither peer nor enough reference hosts";
  if (s.peer == nullptr && stored_->active)
    detail_ = "was the last active node; gathers evidence that it may start";
  if (members_.state() == Members::State::kStopFailed) {
    become(Failed{true});
    return true;
  }
  const bool up = members_.state() != Members::State::kDown && members_.state() != Members::State::kStopping;
  if (up && !state.stopping && s.now - state.since >= kSuspendGrace) {
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
    break_off(s, "the peer did not take it", out);
    return true;
  }
  if (!s.peer_heard || !s.config_agrees || !peer_is_candidate(s)) {
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
      become(Standby{});
      return true;
    }
    if (members_.state() == Members::State::kUnknown) members_.stop(s.now, out);
    return false;
  }
  if (members_.state() == Members::State::kUnknown || !stored_->blocked) {
    become(Standby{});
    return true;
  }
  if (peer_ready(s) && members_.state() == Members::State::kDown && !s.moves_stopped &&
      s.now >= no_handover_before_) {
    decide(s, out, fmt::format("hands {} over to {}", service().name, config_->node(config_->peer()).name),
           {"it failed here, and the peer is ready now"});
    if (mirrors_.any_to_peer() && mirrors_.peer_synced()) {
      stop(s, Then::kRelease, out);  // flushes first
    } else {
      become(Released{s.now, true});
    }
    return true;
  }
  return false;
}

// ---- transitions
// --------------------------------------------------------------------------------------------

void ServiceMachine::become(State state) {
  state_ = state;
  changed_ = true;
}

void ServiceMachine::suspend(const Surroundings& s, const std::string& why, Actions& out) {
  out.shut_gates.push_back(id_);
  become(Suspended{s.now, false});
  decide(s, out, fmt::format("falls silent for {}", service().name), {why});
  notice(out, Severity::kError, "lease-lost",
         fmt::format("{}: {}: no packet leaves until it may", service().name, why));
}

// From the next heartbeat on, this node does not say "released" any more.
void ServiceMachine::withdraw(const Surroundings& s) { withdrawn_sequence_ = s.next_sequence; }

// A handover came to nothing: the service comes back, as far as it may.
void ServiceMachine::break_off(const Surroundings& s, const std::string& why, Actions& out) {
  mirrors_.end(out);
  withdraw(s);
  no_handover_before_ = s.now + kHandoverPause;
  move_ordered_ = false;
  notice(out, Severity::kWarning, "handover-failed",
         fmt::format("{}: {}: it stays here", service().name, why));
  become(Suspended{s.now, true});
}

void ServiceMachine::step_down(const Surroundings& s, const std::string& why, Actions& out) {
  out.shut_gates.push_back(id_);
  mirrors_.end(out);
  claim_.reset();
  stored_->claimed = Epoch{};
  if (const auto* report = theirs(s); report != nullptr && report->epoch > stored_->epoch) {
    stored_->epoch = report->epoch;
    stored_->active = false;
  }
  synced_by_peer_ = false;
  move_ordered_ = false;
  forced_ = false;
  withdraw(s);
  forced_until_ = kLongAgo;
  if (!std::holds_alternative<Released>(state_)) {
    decide(s, out, fmt::format("steps down from {}", service().name), {why});
  } else {
    log(out, Severity::kNotice, why);
  }
  const bool stop_failed = std::holds_alternative<Failed>(state_) && std::get<Failed>(state_).stop_failed;
  if (stop_failed) return;
  if (members_.state() == Members::State::kDown) {
    become(Standby{});
    return;
  }
  members_.stop(s.now, out);
  become(Stopping{Then::kStandby, true});
}

void ServiceMachine::stop(const Surroundings& s, Then then, Actions& out) {
  const bool silent = !holds_lease();
  members_.stop(s.now, out);
  become(Stopping{then, silent});
}

void ServiceMachine::members_failed(const Surroundings& s, Actions& out) {
  const std::string trouble = members_.trouble();
  stored_->blocked = true;
  const bool to_peer = peer_ready(s) && !s.moves_stopped;
  notice(out, Severity::kError, "service-failed",
         fmt::format("{} failed on {}: {}. {}", service().name, config_->node(config_->self).name, trouble,
                     to_peer ? "The peer takes over"
                             : "No ready standby: it is stopped and needs you (`clusterctl online`)"));
  decide(s, out, fmt::format("gives up {} here", service().name), {trouble});
  stop(s, to_peer ? Then::kRelease : Then::kFail, out);
}

// ---- events and orders
// --------------------------------------------------------------------------------------

void ServiceMachine::answered_by_stranger(Instant now, const AddressAnswered& event, Instant counts_from,
                                          Actions& out) {
  if (!watches_address() || event.sent < counts_from) return;
  if (now - vetoed_at_ >= config_->timing.window) {
    notice(
        out, Severity::kError, "address-in-use",
        fmt::format(
            "{}: {} is answered by {} although nobody may serve it: this node does not take over while it is",
            service().name, event.address.text(), event.mac.text()));
  }
  vetoed_at_ = now;
}

void ServiceMachine::learn_lineage(const std::vector<Epoch>& lineage) { peer_lineage_ = lineage; }

std::string ServiceMachine::order_move(const Surroundings& s) {
  std::string refusal = why_no_move(s);
  if (refusal.empty()) move_ordered_ = true;
  return refusal;
}

std::string ServiceMachine::why_no_move(const Surroundings& s) const {
  if (!std::holds_alternative<Active>(state_)) {
    return fmt::format("{} is not active on {} (it is {})", service().name, config_->node(config_->self).name,
                       name(role()));
  }
  const std::string& peer = config_->node(config_->peer()).name;
  if (!s.peer_heard) return fmt::format("{} is not heard", peer);
  if (!s.config_agrees) return "the nodes have different configurations";
  const auto* report = theirs(s);
  if (report->blocked)
    return fmt::format("{} failed on {} before: `clusterctl online {}` first", service().name, peer, peer);
  if (s.peer->locked)
    return fmt::format("{} carries the standby lock: `clusterctl online {}` first", peer, peer);
  if (!mirrors_.peer_synced())
    return fmt::format("the files of {} are not completely on {} yet", service().name, peer);
  if (!report->ready) return fmt::format("{} is not ready to serve {}", peer, service().name);
  return "";
}

std::string ServiceMachine::order_force(const Surroundings& s) {
  if (holds_lease()) return fmt::format("{} is active here already", service().name);
  if (s.peer_heard) {
    return fmt::format("{} is heard: use `clusterctl move {}` instead", config_->node(config_->peer()).name,
                       service().name);
  }
  if (s.locked) return "this node carries the standby lock: `clusterctl online` first";
  if (stored_->blocked)
    return fmt::format("{} failed here before: `clusterctl online` first", service().name);
  if (std::holds_alternative<Failed>(state_) || std::holds_alternative<Stopping>(state_)) {
    return fmt::format("{} has not stopped here yet", service().name);
  }
  if (!force_ordered_) force_since_ = s.now;
  force_ordered_ = true;
  return "";
}

void ServiceMachine::forgive() {
  stored_->blocked = false;
  members_.forgive();
}

bool ServiceMachine::confirm_mirror(const std::string& mirror, Instant now) {
  if (!mirrors_.confirm(mirror, now)) return false;
  std::erase(stored_->halted_mirrors, mirror);
  return true;
}

void ServiceMachine::accept_diverged() { stored_->diverged = false; }

std::string ServiceMachine::may_receive(const std::string& mirror, Epoch epoch, const Surroundings& s) const {
  const bool known = std::any_of(service().mirrors.begin(), service().mirrors.end(),
                                 [&](const MirrorConfig& m) { return m.name == mirror && !m.to; });
  if (!known) return fmt::format("{} has no mirror {}", service().name, mirror);
  if (!std::holds_alternative<Standby>(state_) || claim_) {
    return fmt::format("{} is {} on this node: nothing is mirrored to it", service().name,
                       claim_ ? "about to be active" : name(role()));
  }
  if (epoch < stored_->epoch) {
    return fmt::format("epoch {} is older than {}, which this node knows of", epoch.value,
                       stored_->epoch.value);
  }
  const auto* report = theirs(s);
  if (report == nullptr || report->epoch != epoch || !peer_holds(s)) {
    return fmt::format("{} does not say that it is active at epoch {}", config_->node(config_->peer()).name,
                       epoch.value);
  }
  return "";
}

// ---- telling
// ------------------------------------------------------------------------------------------------

ServiceReport ServiceMachine::report(const Surroundings& s) const {
  ServiceReport out;
  out.role = role();
  out.epoch = stored_->epoch;
  out.data_epoch = stored_->data_epoch;
  out.ready = ready(s);
  out.peer_synced = holds() && mirrors_.peer_synced();
  out.diverged = stored_->diverged;
  out.blocked = stored_->blocked;
  return out;
}

ServiceStatus ServiceMachine::status(const Surroundings& s) const {
  ServiceStatus out;
  const auto* report_there = theirs(s);
  out.here = role();
  out.peer_known = report_there != nullptr;
  if (report_there != nullptr) {
    out.at_peer = report_there->role;
    out.ready_at_peer = s.peer_heard && report_there->ready;
    out.blocked_at_peer = report_there->blocked;
  }
  out.epoch = stored_->epoch;
  out.data_epoch = stored_->data_epoch;
  out.ready_here = ready(s);
  out.diverged = stored_->diverged;
  out.blocked_here = stored_->blocked;
  out.detail = detail_.empty() ? members_.trouble() : detail_;
  out.restarts = members_.restarts(s.now);
  out.units = members_.units();
  out.checks = members_.checks();
  out.mirrors = mirrors_.status();
  const bool halted = std::any_of(out.mirrors.begin(), out.mirrors.end(), [](const MirrorStatus& m) {
    return m.state == MirrorStatus::State::kHalted;
  });
  out.wants_human = out.here == Role::kFailed || out.diverged || out.blocked_here || halted;
  return out;
}

Instant ServiceMachine::next_deadline() const {
  Instant next = std::min(members_.next_deadline(), mirrors_.next_deadline());
  if (const auto* suspended = std::get_if<Suspended>(&state_); suspended != nullptr && !suspended->stopping) {
    next = std::min(next, suspended->since + kSuspendGrace);
  }
  if (force_ordered_) next = std::min(next, force_since_ + config_->timing.window);
  if (claim_) next = std::min(next, claim_->since + probe_time_);
  return next;
}

void ServiceMachine::log(Actions& out, Severity severity, const std::string& text) const {
  out.log.push_back({severity, fmt::format("{}: {}", service().name, text)});
}

void ServiceMachine::notice(Actions& out, Severity severity, const std::string& kind,
                            const std::string& text) const {
  out.notices.push_back({0, kind, severity, id_, text});
}

void ServiceMachine::decide(const Surroundings& s, Actions& out, const std::string& what,
                            std::vector<std::string> evidence) const {
  out.decisions.push_back({s.now, id_, what, std::move(evidence)});
}

}  // namespace clusterd
