// The order of a review: what is learnt from the peer, the lease, the claim of an epoch, then the state.
// The states themselves are in service_states.cpp, the rights in service_rights.cpp, relations to other
// services in service_relations.cpp, orders in service_orders.cpp.
#include "core/service_machine.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/canary.hpp"
#include "base/mark.hpp"

namespace clusterd {

ServiceMachine::ServiceMachine(const Config& config, ServiceId id, PersistedService& stored)
    : config_(&config),
      id_(id),
      stored_(&stored),
      members_(config, id),
      mirrors_(config, id),
      guard_(config, id) {
  mirrors_.restore_halts(stored.halted_mirrors);
}

void ServiceMachine::begin(Instant now, bool host_rebooted, Instant gate, Actions& out) {
  claim_perhaps_used_ = stored_->claimed.value != 0;
  if (stored_->blocked) mark(Mark::kStartsBlocked);
  if (!stored_->active || stored_->blocked) {
    out.shut_gates.push_back(id_);  // whatever a predecessor left behind: first silent, then stopped
    members_.stop(now, out);
    return;
  }
  // With an epoch still claimed it is not known at which one the predecessor served.
  if (!host_rebooted && gate > now && stored_->claimed.value == 0) {
    // The predecessor's lease still runs: go on as if nothing had happened.
    mark(Mark::kGoesOnAtLease);
    if (service().after.empty()) members_.start(now, out);  // else it waits for its forerunners, as it is
    mirrors_.begin(now, stored_->epoch, out);
    become(Starting{});
    log(out, Severity::kNotice,
        fmt::format("goes on at epoch {}: the lease has {:.0f} ms left", stored_->epoch.value,
                    to_ms(gate - now)));
    return;
  }
  if (gate > now && stored_->claimed.value != 0) mark(Mark::kClaimFoundAtStart);
  mark(Mark::kStartsSuspended);
  out.shut_gates.push_back(id_);
  mirrors_.begin(now, stored_->epoch, out);
  const bool known = !host_rebooted && stored_->claimed.value == 0;
  become(Suspended{now, false, known ? std::min(now, gate) : kLongAgo});
  if (host_rebooted) members_.stop(now, out);
  log(out, Severity::kNotice,
      fmt::format("was active here at epoch {}; waits for its peer, or for evidence that it may go on",
                  stored_->epoch.value));
}

// ---- review ----

bool ServiceMachine::review(const Surroundings& s, Actions& out) {
  if (s.peer_heard && forced_ && !sabotaged(Canary::kForcedForEver)) {
    mark(Mark::kForcedHeardAgain);
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
  note_split(s);
  probe_time_ = s.probe_time;
  if (review_peer(s, out)) return true;
  if (review_lease(s, out)) return true;
  if (review_claim(s, out)) return true;
  tell_mirrors(s, out);
  tell_lacks(out);
  return std::visit([&](auto& state) { return review_state(s, out, state); }, state_);
}

bool ServiceMachine::review_lease(const Surroundings& s, Actions& out) {
  if (!holds_lease() || s.lease_held || forced_ || s.now < forced_until_) return false;
  if (sabotaged(Canary::kLeaseEndUnnoticed)) return false;
  if (auto* stopping = std::get_if<Stopping>(&state_)) {
    mark(Mark::kLeaseLostWhileStopping);
    stopping->silent = true;
    out.shut_gates.push_back(id_);
    log(out, Severity::kWarning, "its lease ran out while it stops: no packet leaves any more");
    return false;
  }
  mark(Mark::kLeaseLost);
  suspend(s, "its lease ran out", out);
  return true;
}

// S4, S9 and what is learnt from the peer's report.
bool ServiceMachine::review_peer(const Surroundings& s, Actions& out) {
  const auto* report = theirs(s);
  if (report == nullptr || !s.peer_heard) return false;
  review_divergence(s, out);
  if (served_unremembered(report->epoch)) remember(s, report->epoch, out);
  if (report->epoch > stored_->epoch && !sabotaged(Canary::kEpochIgnored)) {
    if (holds()) {
      mark(Mark::kHigherEpochWhileHolding);
      // `stored_` is changed by step_down, which also names the successor.
      step_down(s,
                fmt::format("{} serves at the higher epoch {}", config_->node(config_->peer()).name,
                            report->epoch.value),
                out);
      return true;
    }
    mark(Mark::kHigherEpochLearnt);
    out.stop_receivers.push_back(id_);  // whatever still writes here was let in at a lower epoch (S8)
    stored_->epoch = report->epoch;
    stored_->active = false;
    synced_by_peer_ = false;  // that was said of an earlier epoch (S8)
    drop_claim();
  }
  const bool newest_there = report->role != Role::kStandby && report->role != Role::kFailed &&
                            report->epoch == report->data_epoch && report->epoch == stored_->epoch;
  if (newest_there && !holds()) {
    synced_by_peer_ = report->peer_synced;
    const bool lineage_known = !peer_lineage_.empty() && peer_lineage_.front() == report->data_epoch;
    if (report->peer_synced && lineage_known && stored_->data_epoch != report->data_epoch) {
      mark(Mark::kDataComplete);
      stored_->data_epoch = report->data_epoch;
      stored_->lineage = peer_lineage_;
      stored_->halted_mirrors.clear();
      mirrors_.forget_halts();
      log(out, Severity::kInfo, fmt::format("has everything of epoch {}", report->data_epoch.value));
    }
  }
  return false;
}

// Only this node draws such numbers, and the peer has learnt it from somebody who served at it: a predecessor
// here, whose disk kept the claim and failed before it knew of the activation.
bool ServiceMachine::served_unremembered(Epoch told) const {
  return told > stored_->epoch && told <= stored_->claimed && told.value % kNodes == config_->self.at() &&
         !sabotaged(Canary::kOwnEpochForgotten);
}

// The files of that epoch are here and nowhere else: neither may this node take itself for overtaken, nor the
// peer take itself for complete (S8).
void ServiceMachine::remember(const Surroundings& s, Epoch epoch, Actions& out) {
  mark(Mark::kOwnEpochRemembered);
  out.stop_receivers.push_back(id_);
  stored_->epoch = stored_->data_epoch = epoch;
  stored_->lineage.insert(stored_->lineage.begin(), epoch);
  if (stored_->lineage.size() > kMaxLineage) stored_->lineage.resize(kMaxLineage);
  stored_->active = true;
  if (holds()) mirrors_.begin(s.now, epoch, out);
  synced_by_peer_ = false;
  changed_ = true;
  log(out, Severity::kWarning,
      fmt::format(
          "{} knows of epoch {}: it was served here, and the disk had failed before it was written down",
          config_->node(config_->peer()).name, epoch.value));
}

void ServiceMachine::review_divergence(const Surroundings& s, Actions& out) {
  const auto* report = theirs(s);
  const Epoch there = report->data_epoch;
  const Epoch here = stored_->data_epoch;
  if (sabotaged(Canary::kDivergenceMissed)) return;
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
  } else {
    mark(Mark::kLineageNotKnownYet);
  }
  const Epoch older = std::min(here, there);
  if (!diverged || divergence_told_ == older) return;
  mark(here > there ? Mark::kDivergedHereNewer : Mark::kDivergedPeerNewer);
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
    if (claim_) mark(Mark::kClaimOverruled);
    claim_.reset();
    return false;
  }
  const auto right = right_to_serve(s);
  if (!right) {
    if (!claim_) return false;
    mark(Mark::kClaimAborted);
    drop_claim();
    log(out, Severity::kInfo, "does not take over after all: the right to it is gone");
    return true;
  }
  // Members that are still up under the old lease need no new epoch.
  if (*right == Right::kResume && members_.state() != Members::State::kDown &&
      members_.state() != Members::State::kStopping) {
    mark(Mark::kResumedAsItWas);
    start_members(s, out);
    out.announce.push_back(id_);  // the neighbours have given the address up meanwhile
    become(Starting{});
    decide(s, out, fmt::format("resumes {} at epoch {}", service().name, stored_->epoch.value),
           {"the peer acknowledged a heartbeat sent after the lease had run out, and does not hold the "
            "service"});
    return true;
  }
  if (members_.state() == Members::State::kStopping) {
    mark(Mark::kClaimAwaitsStop);
    return false;
  }
  if (!claim_) {
    claim_ = Claim{*right, s.next_version, s.now};
    stored_->claimed = next_epoch(s);
    return true;
  }
  if (claim_->right != *right) mark(Mark::kClaimChangedRight);
  claim_->right = *right;
  if (s.durable_version < claim_->version && !sabotaged(Canary::kClaimNotDurable)) {
    mark(Mark::kClaimAwaitsDisk);
    return false;
  }
  // The LAN has been asked since the claim was made, and had as long to answer as the window leaves.
  const bool unanswered =
      s.now - vetoed_at_ >= config_->timing.window && s.now - claim_->since >= s.probe_time;
  if (*right == Right::kTakeover && !(s.silent_past_window && s.lease_held && unanswered)) {
    const bool vetoed = s.silent_past_window && s.now - vetoed_at_ < config_->timing.window;
    mark(vetoed ? Mark::kTakeoverVetoed : Mark::kTakeoverAwaitsHosts);
    return false;
  }
  if (*right == Right::kForce && !(s.now - force_since_ >= config_->timing.window && unanswered)) {
    mark(Mark::kForceAwaitsWindow);
    return false;
  }
  if (*right == Right::kRelease && !s.lease_held) {
    mark(Mark::kReleaseAwaitsLease);
    return false;
  }
  activate(s, out);
  return true;
}

// A claim of this daemon was never used; one that it has found may have been.
void ServiceMachine::drop_claim() {
  claim_.reset();
  if (claim_perhaps_used_ && stored_->claimed > stored_->epoch) return;
  stored_->claimed = Epoch{};
  claim_perhaps_used_ = false;
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
  if (from_peer) {
    mark(Mark::kLineageFromPeer);
    lineage.insert(lineage.begin(), stored_->epoch);
  }
  lineage.insert(lineage.begin(), epoch);
  if (lineage.size() > kMaxLineage) {
    mark(Mark::kLineageCut);
    lineage.resize(kMaxLineage);
  }
  stored_->epoch = epoch;
  stored_->data_epoch = epoch;
  stored_->claimed = Epoch{};
  claim_perhaps_used_ = false;
  stored_->active = true;
  told_why_not_.clear();
  forced_ = right == Right::kForce;
  forced_until_ = kLongAgo;
  force_ordered_ = false;
  move_ordered_ = false;
  if (!sabotaged(Canary::kReceiversLeft)) out.stop_receivers.push_back(id_);
  start_members(s, out);
  mirrors_.begin(s.now, epoch, out);
  become(Starting{});

  const std::string& self = config_->node(config_->self).name;
  const std::string what = fmt::format("{} takes over {} at epoch {}", self, service().name, epoch.value);
  switch (right) {
    case Right::kTakeover:
      mark(Mark::kActivatedByTakeover);
      decide(s, out, what, takeover_evidence(s));
      notice(out, Severity::kWarning, "takeover", what);
      break;
    case Right::kRelease:
      mark(Mark::kActivatedByRelease);
      decide(s, out, what, {fmt::format("{} has let go of it", config_->node(config_->peer()).name)});
      notice(out, Severity::kNotice, "moved", what);
      break;
    case Right::kResume:
      mark(Mark::kActivatedByResume);
      decide(s, out, what, {"it was the last active node, and the peer does not hold the service"});
      break;
    case Right::kForce:
      mark(Mark::kActivatedByForce);
      decide(s, out, what, {"an administrator ordered it with `clusterctl start --force`"});
      notice(out, Severity::kWarning, "takeover", what + " (forced)");
      break;
  }
}

// A release may come back, and members that still stop may have to write: then everything stays as it is.
void ServiceMachine::review_guard(Actions& out) {
  const bool standby = std::holds_alternative<Standby>(state_);
  const bool released = std::holds_alternative<Released>(state_);
  const bool still = members_.state() == Members::State::kDown;
  if (claim_ || !(standby || released)) return guard_.review(GuardRules::Wish::kLift, out);
  guard_.review(standby && still ? GuardRules::Wish::kSet : GuardRules::Wish::kAsItIs, out);
}

void ServiceMachine::on(const GuardReport& report, Actions& out) {
  const auto before = guard_.of(report.mirror);
  if (!guard_.on(report) || guard_.of(report.mirror) == before) return;
  const std::string title =
      fmt::format("mirror {} of {}", service().mirrors.at(report.mirror.at()).name, service().name);
  if (report.outcome == GuardReport::Outcome::kFailed) {
    mark(Mark::kGuardFailed);
    notice(
        out, Severity::kWarning, "guard-failed",
        fmt::format("{} is not guarded here: {}. What is changed here now will be overwritten; it is tried "
                    "again",
                    title, report.detail));
  } else if (report.outcome == GuardReport::Outcome::kSet && report.detail.empty()) {
    log(out, Severity::kInfo, fmt::format("{} is guarded: its folders are read-only here", title));
  } else if (report.outcome == GuardReport::Outcome::kSet) {
    log(out, Severity::kWarning,
        fmt::format("{} is guarded, but not from who was there before: {}", title, report.detail));
  }
}

void ServiceMachine::tell_mirrors(const Surroundings& s, Actions& out) {
  const auto* report = theirs(s);
  const bool receives = s.peer_direct && s.config_agrees && report != nullptr &&
                        report->role == Role::kStandby && report->epoch <= stored_->epoch;
  const bool serving = std::holds_alternative<Active>(state_) || waits();
  if (serving) mirrors_.review(s.now, receives || sabotaged(Canary::kTargetUnasked), out);
  for (const auto& done : mirrors_.take_finished()) {
    const auto& report_of = done.report;
    const std::string title = fmt::format("mirror {} of {}", done.mirror, service().name);
    changed_ = true;
    if (report_of.outcome == MirrorReport::Outcome::kProgress) {
      tell_scrub(title, report_of.scrub, out);
    } else if (report_of.outcome == MirrorReport::Outcome::kHalted) {
      mark(Mark::kMirrorHalted);
      auto& halted = stored_->halted_mirrors;
      if (std::find(halted.begin(), halted.end(), done.mirror) == halted.end()) halted.push_back(done.mirror);
      notice(out, Severity::kError, "mirror-halted",
             fmt::format("{} is halted: {}. `clusterctl mirror confirm {} {}` lets it go on", title,
                         report_of.detail, service().name, done.mirror));
    } else if (report_of.outcome == MirrorReport::Outcome::kFailed) {
      log(out, Severity::kWarning, fmt::format("{} failed: {}", title, report_of.detail));
      mark(done.first_failure ? Mark::kMirrorFailedFirst : Mark::kMirrorFailedAgain);
      if (done.first_failure) {
        notice(out, Severity::kWarning, "mirror-failed", fmt::format("{}: {}", title, report_of.detail));
      }
    } else if (report_of.kind == MirrorReport::Kind::kResync) {
      if (report_of.lost > 0) mark(Mark::kResyncLostFiles);
      notice(out, report_of.lost > 0 ? Severity::kWarning : Severity::kNotice, "resync-done",
             fmt::format(
                 "{}: {} files copied, {} removed; {} files that had not been mirrored before, {} kept{}",
                 title, report_of.files, report_of.removed, report_of.lost, report_of.backed_up,
                 report_of.backup_set.empty() ? "" : " in backup set " + report_of.backup_set));
    }
  }
}

// Of a standby alone: what serves shows by itself what it lacks.
void ServiceMachine::tell_lacks(Actions& out) {
  if (!std::holds_alternative<Standby>(state_) || told_lacks_ == !lacks_.empty()) return;
  told_lacks_ = !lacks_.empty();
  mark(told_lacks_ ? Mark::kStandbyLacks : Mark::kStandbyLacksNothing);
  const std::string& self = config_->node(config_->self).name;
  if (told_lacks_) {
    notice(out, Severity::kWarning, "standby-not-ready",
           fmt::format("{}: the standby {} could not run it as it is: {}", service().name, self, lacks_));
  } else {
    notice(out, Severity::kNotice, "standby-ready",
           fmt::format("{}: the standby {} has what it needs again", service().name, self));
  }
}

void ServiceMachine::tell_scrub(const std::string& title, const MirrorScrub& scrub, Actions& out) const {
  const std::string but =
      scrub.skipped == 0 ? "" : fmt::format("; {} changed meanwhile and were not compared", scrub.skipped);
  if (scrub.differed > 0) {
    notice(
        out, Severity::kWarning, "mirror-differed",
        fmt::format(
            "{}: the contents of {} of {} files differed, and nothing had said so; they were sent anew: {}{}",
            title, scrub.differed, scrub.files, scrub.found, but));
  } else {
    notice(out, Severity::kNotice, "mirror-proved",
           fmt::format("{}: the contents of {} files are equal on both nodes{}", title, scrub.files, but));
  }
}

// ---- transitions ----

void ServiceMachine::become(State state) {
  state_ = state;
  changed_ = true;
}

void ServiceMachine::suspend(const Surroundings& s, const std::string& why, Actions& out) {
  out.shut_gates.push_back(id_);
  become(Suspended{s.now, false, std::min(s.now, s.lease_end)});
  decide(s, out, fmt::format("falls silent for {}", service().name), {why});
  notice(out, Severity::kError, "lease-lost",
         fmt::format("{}: {}: no packet leaves until it may", service().name, why));
}

// From the next heartbeat on, this node does not say "released" any more.
void ServiceMachine::withdraw(const Surroundings& s) { withdrawn_sequence_ = s.next_sequence; }

// A handover came to nothing: the service comes back, as far as it may.
void ServiceMachine::break_off(const Surroundings& s, const std::string& why, Actions& out) {
  mark(Mark::kHandoverBrokenOff);
  mirrors_.end(out);
  withdraw(s);
  no_handover_before_ = s.now + kHandoverPause;
  move_ordered_ = false;
  notice(out, Severity::kWarning, "handover-failed",
         fmt::format("{}: {}: it stays here", service().name, why));
  become(Suspended{s.now, true, kLongAgo});
}

void ServiceMachine::step_down(const Surroundings& s, const std::string& why, Actions& out) {
  out.shut_gates.push_back(id_);
  mirrors_.end(out);
  if (const auto* report = theirs(s); report != nullptr && report->epoch > stored_->epoch) {
    stored_->epoch = report->epoch;
    stored_->active = false;
  }
  drop_claim();
  synced_by_peer_ = false;
  move_ordered_ = false;
  forced_ = false;
  withdraw(s);
  forced_until_ = kLongAgo;
  if (!std::holds_alternative<Released>(state_)) {
    decide(s, out, fmt::format("steps down from {}", service().name), {why});
  } else {
    mark(Mark::kStepDownWhileReleased);
    log(out, Severity::kNotice, why);
  }
  const bool stop_failed = std::holds_alternative<Failed>(state_) && std::get<Failed>(state_).stop_failed;
  if (stop_failed) return mark(Mark::kStepDownWhileStopFailed);
  if (members_.state() == Members::State::kDown) {
    mark(Mark::kStepDownMembersDown);
    become(Standby{});
    return;
  }
  members_.stop(s.now, out);
  become(Stopping{Then::kStandby, true});
}

void ServiceMachine::stop(const Surroundings& s, Then then, Actions& out) {
  // What has refused to stop in the middle of a restart has had its gate shut (S7): that is not undone.
  const bool silent = !holds_lease() || members_.state() == Members::State::kStopFailed;
  members_.stop(s.now, out);
  become(Stopping{then, silent});
}

void ServiceMachine::members_failed(const Surroundings& s, Actions& out) {
  const std::string trouble = members_.trouble();
  stored_->blocked = true;
  const bool to_peer = may_move(s) && !s.moves_stopped && !members_.nowhere();
  mark(to_peer ? Mark::kFailedToPeer : Mark::kFailedAlone);
  notice(out, Severity::kError, "service-failed",
         fmt::format("{} failed on {}: {}. {}", service().name, config_->node(config_->self).name, trouble,
                     to_peer ? "The peer takes over"
                     : members_.nowhere()
                         ? "It is stopped: correct it, then `clusterctl online`"
                         : "No ready standby: it is stopped and needs you (`clusterctl online`)"));
  decide(s, out, fmt::format("gives up {} here", service().name), {trouble});
  stop(s, to_peer ? Then::kRelease : Then::kFail, out);
}

}  // namespace clusterd
