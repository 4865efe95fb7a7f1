// Orders of the administrator to a service, and what is told about it.
#include <fmt/format.h>

#include <algorithm>

#include "base/canary.hpp"
#include "base/mark.hpp"
#include "core/service_machine.hpp"

namespace clusterd {

// ---- events and orders ----

void ServiceMachine::answered_by_stranger(Instant now, const AddressAnswered& event, Instant counts_from,
                                          Actions& out) {
  if (!watches_address() || sabotaged(Canary::kVetoIgnored)) return;
  if (event.sent < counts_from) return mark(Mark::kStrangerTooEarly);
  mark(Mark::kStrangerAnswered);
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
  if (refusal.empty()) refusal = why_companions_stay(s);
  if (refusal.empty()) move_ordered_ = true;
  return refusal;
}

std::string ServiceMachine::why_no_move(const Surroundings& s) const {
  if (!std::holds_alternative<Active>(state_) && !waits()) {
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
  if (const auto halted = mirrors_.halted_to_peer()) {
    return fmt::format("mirror {} of {} is halted, so its files cannot be flushed: see `clusterctl why {}`",
                       *halted, service().name, service().name);
  }
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
  // The peer must be able to rely on this node's watchdog once it is cut off again (S13).
  if (service().effects == Effects::kNode && !s.watchdog_ready)
    return "the watchdog of this node is not armed: repair it, or remove [watchdog] on both nodes";
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
  if (sabotaged(Canary::kWrongDirection)) return "";
  if (!std::holds_alternative<Standby>(state_) || claim_) {
    mark(Mark::kReceiveRefusedActive);
    return fmt::format("{} is {} on this node: nothing is mirrored to it", service().name,
                       claim_ ? "about to be active" : name(role()));
  }
  if (epoch < stored_->epoch) {
    mark(Mark::kReceiveRefusedEpoch);
    return fmt::format("epoch {} is older than {}, which this node knows of", epoch.value,
                       stored_->epoch.value);
  }
  const auto* report = theirs(s);
  if (report == nullptr || report->epoch != epoch || !peer_holds(s)) {
    mark(Mark::kReceiveRefusedUnsaid);
    return fmt::format("{} does not say that it is active at epoch {}", config_->node(config_->peer()).name,
                       epoch.value);
  }
  return "";
}

// ---- telling ----

ServiceReport ServiceMachine::report(const Surroundings& s) const {
  ServiceReport out;
  out.role = role();
  out.epoch = stored_->epoch;
  out.data_epoch = stored_->data_epoch;
  out.ready = ready(s);
  out.peer_synced = holds() && mirrors_.peer_synced();
  out.diverged = stored_->diverged;
  out.blocked = stored_->blocked;
  out.may_run = effects_may_go_on();
  out.guarded = !holds() && guard_.complete();
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
    const auto& hosts = s.peer->hosts;
    const bool counts_there = std::any_of(hosts.begin(), hosts.end(), [](const CountedState& host) {
      return host.in_active_set && host.in_standby_set;
    });
    out.takes_over_at_peer = out.ready_at_peer && (s.fence_mode || counts_there);
    out.blocked_at_peer = report_there->blocked;
    out.guarded_at_peer = report_there->guarded;
  }
  out.epoch = stored_->epoch;
  out.data_epoch = stored_->data_epoch;
  out.ready_here = ready(s);
  out.takes_over_here = out.ready_here && (s.fence_mode || s.counts_hosts);
  out.lacks_here = lacks_;
  out.guarded_here = guard_.complete();
  out.diverged = stored_->diverged;
  out.blocked_here = stored_->blocked;
  out.detail = detail_.empty() ? members_.trouble() : detail_;
  if (out.detail.empty() && out.ready_here && !s.counts_hosts && !config_->hosts.empty())
    out.detail = "cannot take over yet: no reference host counts here";
  out.restarts = members_.restarts(s.now);
  out.units = members_.units();
  out.checks = members_.checks();
  out.mirrors = mirrors_.status();
  if (!holds() && report_there != nullptr && report_there->role == Role::kActive) {
    for (MirrorStatus& mirror : out.mirrors) {
      using Is = MirrorStatus::State;
      if (mirror.state == Is::kHalted || mirror.state == Is::kPaused) continue;
      mirror.state = Is::kReceiving;
      mirror.synced = report_there->peer_synced;
    }
  }
  guard_.add_to(out.mirrors);
  const bool halted = std::any_of(out.mirrors.begin(), out.mirrors.end(), [](const MirrorStatus& m) {
    return m.state == MirrorStatus::State::kHalted;
  });
  out.wants_human = out.here == Role::kFailed || out.diverged || out.blocked_here || halted;
  return out;
}

Instant ServiceMachine::next_deadline(Instant now) const {
  Instant next = mirrors_.next_deadline(now);
  const auto consider = [&](Instant at) {
    if (at > now) next = std::min(next, at);
  };
  next = std::min(next, std::max(members_.next_deadline(), now));
  if (const auto* suspended = std::get_if<Suspended>(&state_); suspended != nullptr && !suspended->stopping)
    consider(suspended->since + kSuspendGrace);
  if (force_ordered_) consider(force_since_ + config_->timing.window);
  if (claim_) consider(claim_->since + probe_time_);
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
