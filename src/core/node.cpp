#include "core/node.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/canary.hpp"
#include "base/check.hpp"
#include "base/mark.hpp"
#include "core/node_impl.hpp"

namespace clusterd {

namespace {
constexpr Duration kMostPromised = std::chrono::seconds(30);
constexpr Duration kPersistRetry = std::chrono::seconds(1);
}  // namespace

Node::Node(const Config& config, const PersistedState& state)
    : impl_(std::make_unique<Impl>(config, state)) {}
Node::~Node() = default;
Node::Node(Node&&) noexcept = default;
Node& Node::operator=(Node&&) noexcept = default;
Actions Node::step(Instant now, const Event& event) { return impl_->step(now, event); }
Instant Node::next_deadline() const { return impl_->next_deadline(); }
const Status& Node::status() const { return impl_->status(); }

Node::Impl::Impl(const Config& config, const PersistedState& state)
    : config_(config),
      lease_is_over_(
          smallest_safe_window(config.timing.lease, config.timing.gate_latency, config.timing.clock_error)),
      stop_limit_(effects_stop_limit(config.services)),
      effects_bound_(config.watchdog ? effects_bound(config.timing, stop_limit_, config.watchdog->timeout)
                                     : Duration::zero()),
      state_(state),
      hosts_(config_, state) {
  CLUSTERD_CHECK(window_is_safe(config_.timing), "the window inequality of S2 was checked when loading");
  if (sabotaged(Canary::kLockForgotten)) state_.locked = false;
  state_.services.resize(config_.services.size());
  state_.hosts.resize(config_.hosts.size());
  submitted_ = state_;
  for (size_t i = 0; i < config_.services.size(); ++i) {
    services_.emplace_back(config_, ServiceId(i), state_.services.at(i));
  }
  gates_.assign(config_.services.size(), kLongAgo);
  link_up_.assign(config_.links.size(), false);
  unsane_since_.assign(config_.services.size(), kNever);
}

// One step: take the event in, draw all conclusions, say what is to be done. The order of the reviews is the
// order of knowledge: evidence first, then the lease, then services, then what is told to the peer.
Actions Node::Impl::step(Instant now, const Event& event) {
  CLUSTERD_CHECK(now >= now_, "time goes forwards");
  Actions out;
  now_ = now;
  if (exiting_ || (!started_ && !std::holds_alternative<Started>(event))) {
    deadline_ = kNever;
    return out;
  }
  note_lateness(now, out);
  const Instant lease_before = lease_;
  // The same heartbeat over another path says only that the path lives: what it means for the links can wait
  // for the next tick, and the rest of it is known.
  if (const auto* received = std::get_if<HeartbeatReceived>(&event);
      received && repeats(received->heartbeat)) {
    on(*received, out);
    return out;
  }
  // It only puts a takeover off, and nothing is concluded from it: a flood of them is cheap.
  if (const auto* sign = std::get_if<SignOfLife>(&event)) {
    on(*sign, out);
    return out;
  }
  // A lease that has run out does so before this event's evidence could renew it.
  if (started_) {
    const Surroundings before = surroundings();
    for (auto& service : services_) service.review_lease(before, out);
  }
  std::visit([&](const auto& e) { on(e, out); }, event);
  renew_lease();
  review_links(out);
  review_spare(out);
  review_reachability();
  review_moves_stopped(out);
  review_services(out);
  review_fencing(out);
  review_promise(out);
  review_watchdog(lease_before, out);
  review_waiting(out);
  number_notices(out);
  persist(out);
  send_heartbeat(out);
  probe_addresses(out);
  set_gates(out);
  if (!out.decisions.empty()) last_decision_ = out.decisions.back();
  reckon_deadline();
  return out;
}

// ---- evidence ----

// A node whose own loop was late distrusts its own suspicion: it lengthens its window by as much.
void Node::Impl::note_lateness(Instant now, Actions& out) {
  if (!started_) return;
  const Duration late = now - deadline_;
  if (late <= std::max<Duration>(config_.timing.heartbeat / 2, std::chrono::milliseconds(3))) return;
  lateness_ = late;
  late_at_ = now;
  for (auto& service : services_) service.ask_lan_anew(now);
  mark(Mark::kLoopLate);
  if (late > config_.timing.lease / 2) {
    mark(Mark::kLoopVeryLate);
    log(out, Severity::kWarning,
        fmt::format("the own loop was {:.0f} ms late: suspicion is put off as long", to_ms(late)));
  }
}

void Node::Impl::on(const Started& event, Actions& out) {
  started_ = true;
  started_at_ = now_;
  host_rebooted_ = event.host_rebooted;
  boot_ = event.boot;
  wall_ = event.wall;
  wall_at_ = now_;
  for (size_t i = 0; i < services_.size(); ++i) {
    const Instant gate = i < event.gate_deadlines.size() ? event.gate_deadlines.at(i) : kLongAgo;
    services_.at(i).begin(now_, event.host_rebooted, gate, out);
    // One lease for all: a gate that was open longer (a forced service) says nothing of the others.
    if (!services_.at(i).holds_lease()) continue;
    mark(Mark::kLeaseInherited);
    inherited_lease_ = inherited_lease_ == kLongAgo ? gate : std::min(inherited_lease_, gate);
  }
  // The predecessor's lease is longer than an ordinary one if the peer has given a promise: ask it to keep
  // the promise until this daemon's first own evidence has shortened the lease again.
  if (inherited_lease_ > now_ + config_.timing.lease) {
    mark(Mark::kPromiseAskedOnInherited);
    promise_wanted_ = true;
  }
  log(out, Severity::kNotice,
      fmt::format("{} of cluster {} starts; profile {}, lease {:.0f} ms, window {:.0f} ms{}", self_name(),
                  config_.cluster, config_.timing.profile, to_ms(config_.timing.lease),
                  to_ms(config_.timing.window),
                  state_.locked ? "; standby lock: " + state_.lock_reason : ""));
}

void Node::Impl::on(const Tick& event, Actions& out) {
  wall_ = event.wall;
  wall_at_ = now_;
  for (auto& service : services_) service.tick(now_, out);
}

bool Node::Impl::repeats(const Heartbeat& heartbeat) const {
  const Heartbeat* latest = peer_.latest();
  return latest != nullptr && heartbeat.from == config_.peer() && heartbeat.boot == latest->boot &&
         heartbeat.sequence <= latest->sequence;
}

void Node::Impl::on(const HeartbeatReceived& event, Actions& out) {
  const Heartbeat& heartbeat = event.heartbeat;
  if (heartbeat.from != config_.peer()) return mark(Mark::kHeartbeatNotFromPeer);
  if (sabotaged(Canary::kRelaysUncounted) && event.relay) return;
  if (event.relay && event.relay->at() < config_.hosts.size()) hosts_.relayed(*event.relay, now_);
  if (event.link && event.link->at() >= config_.links.size()) return mark(Mark::kHeartbeatUnknownLink);
  if (heartbeat.config_hash == config_.hash &&
      (heartbeat.services.size() != services_.size() || heartbeat.hosts.size() != config_.hosts.size())) {
    return mark(Mark::kHeartbeatWrongTables);
  }
  if (!peer_.heard(now_, event.link, heartbeat, boot_)) return;
  learn_from_peer(heartbeat, out);
}

void Node::Impl::on(const SignOfLife& /*event*/, Actions& /*out*/) {
  if (sabotaged(Canary::kUnprovenIgnored)) return;
  mark(Mark::kSignOfLife);
  peer_.sign_of_life(now_);
}

void Node::Impl::learn_from_peer(const Heartbeat& heartbeat, Actions& out) {
  const bool new_boot = peer_.take_rebooted();
  doubt_fence(new_boot, out);
  if (new_boot) {
    mark(Mark::kPeerDaemonNew);
    log(out, Severity::kNotice, fmt::format("{} has started anew", peer_name()));
    for (auto& service : services_) service.peer_was_away();
    shorten_forwarded_moves();
    peer_lacks_ = 0;
    answer_ = {};  // the new daemon counts its requests anew
    answered_request_ = 0;
    say_it_now_ = true;
  }
  clock_skew_ = heartbeat.wall - (wall_ + (now_ - wall_at_));
  const bool agrees = config_agrees();
  if (agrees && told_config_differs_) mark(Mark::kConfigAgreesAgain);
  if (!agrees && !told_config_differs_) {
    mark(Mark::kConfigDiffers);
    notice(
        out, Severity::kError, "config-differs",
        fmt::format(
            "{} has a different configuration: no service is moved until both are equal (`clusterctl check`)",
            peer_name()));
  }
  told_config_differs_ = !agrees;
  // With different tables the indices of the two nodes do not mean the same things.
  if (agrees) {
    if (heartbeat.lineage_of == kLacksTurn)
      peer_lacks_ = heartbeat.lineage.empty() ? 0 : heartbeat.lineage.front().value;
    if (heartbeat.lineage_of < services_.size())
      services_.at(heartbeat.lineage_of).learn_lineage(heartbeat.lineage);
    hosts_.review(now_, heartbeat, peer_.acked_sequence(), sequence_ + 1, state_.hosts);
    obey_request(heartbeat, out);
    state_.peer_watchdog = heartbeat.watchdog;
  }
  obey_peer_lock(heartbeat, out);
  if (heartbeat.promise_wanted) {
    if (promised_until_ <= now_) mark(Mark::kPromiseGiven);
    promised_until_ =
        std::max(promised_until_, now_ + std::clamp(heartbeat.promise, Duration{}, kMostPromised));
    if (sabotaged(Canary::kPromiseForEver)) promised_until_ = kNever;
  } else if (!sabotaged(Canary::kPromiseForEver)) {
    if (promised_until_ > now_) mark(Mark::kPromiseReturned);
    promised_until_ = kLongAgo;
  }
}

void Node::Impl::obey_peer_lock(const Heartbeat& heartbeat, Actions& out) {
  if (heartbeat.lock_peer && !state_.locked) {
    mark(Mark::kLockedByPeer);
    lock(fmt::format("{} judged this node faulty", peer_name()), out);
  }
  if (state_.peer_faulty && heartbeat.locked) {
    mark(Mark::kPeerLockSeen);
    state_.peer_faulty = false;
  }
}

void Node::Impl::on(const ProbeAnswered& event, Actions& /*out*/) {
  if (event.host.at() >= config_.hosts.size() || event.sent > now_) return mark(Mark::kProbeAnswerIgnored);
  hosts_.answered(event.host, sabotaged(Canary::kLeaseFromReceipt) ? now_ : event.sent);
}

void Node::Impl::on(const NicChanged& event, Actions& out) {
  const auto [at, is_new] = nics_.try_emplace(event.nic, event);
  if (!is_new && at->second.up == event.up) return;
  at->second = event;
  nics_up_ = find_nics_up();
  say_it_now_ = true;
  if (!event.up) {
    mark(Mark::kNicDown);
    log(out, Severity::kWarning, fmt::format("network interface {} is down: {}", event.nic, event.detail));
  } else if (!is_new) {
    mark(Mark::kNicBack);
    log(out, Severity::kNotice, fmt::format("network interface {} is up again", event.nic));
  }
}

void Node::Impl::on(const AddressAnswered& event, Actions& out) {
  if (event.service.at() >= services_.size()) return mark(Mark::kReportOfUnknown);
  services_.at(event.service.at()).answered_by_stranger(now_, event, silent_since() + lease_is_over(), out);
}
void Node::Impl::on(const AddressReport& event, Actions& out) {
  if (event.service.at() < services_.size()) services_.at(event.service.at()).on_member(now_, event, out);
}
void Node::Impl::on(const AddressLost& event, Actions& out) {
  if (event.service.at() < services_.size()) services_.at(event.service.at()).on_member(now_, event, out);
}
void Node::Impl::on(const UnitReport& event, Actions& out) {
  if (event.service.at() >= services_.size()) return mark(Mark::kReportOfUnknown);
  if (event.unit.at() >= config_.service(event.service).units.size()) return mark(Mark::kReportOfUnknown);
  services_.at(event.service.at()).on_member(now_, event, out);
}
void Node::Impl::on(const CheckReport& event, Actions& out) {
  if (event.service.at() >= services_.size()) return mark(Mark::kReportOfUnknown);
  if (event.check.at() >= config_.service(event.service).checks.size()) return mark(Mark::kReportOfUnknown);
  services_.at(event.service.at()).on_member(now_, event, out);
}
void Node::Impl::on(const MirrorReport& event, Actions& out) {
  if (event.service.at() >= services_.size()) return mark(Mark::kReportOfUnknown);
  if (event.mirror.at() >= config_.service(event.service).mirrors.size()) return mark(Mark::kReportOfUnknown);
  services_.at(event.service.at()).on(now_, event, out);
}

void Node::Impl::on(const LackReport& event, Actions& /*out*/) {
  if (event.service.at() >= services_.size()) return mark(Mark::kReportOfUnknown);
  services_.at(event.service.at()).on(event);
  tells_lacks_ = tells_lacks_ || !event.lacks.empty();
  say_it_now_ = say_it_now_ || tells_lacks_;
}

void Node::Impl::on(const GuardReport& event, Actions& out) {
  if (event.service.at() >= services_.size()) return mark(Mark::kReportOfUnknown);
  if (event.mirror.at() >= config_.service(event.service).mirrors.size()) return mark(Mark::kReportOfUnknown);
  services_.at(event.service.at()).on(event, out);
}

void Node::Impl::on(const Persisted& event, Actions& out) {
  release_replies(event, out);
  if (!event.ok) {
    retry_persist_ = now_ + kPersistRetry;
    if (!told_persist_failed_) {
      mark(Mark::kPersistFailed);
      notice(out, Severity::kError, "disk-failed",
             fmt::format("the state of {} cannot be written: {}. It takes over nothing until it can",
                         self_name(), event.detail));
    }
    told_persist_failed_ = true;
    return;
  }
  if (told_persist_failed_) mark(Mark::kPersistWorksAgain);
  told_persist_failed_ = false;
  if (durable_version_ < answer_version_ && event.version >= answer_version_) say_it_now_ = true;
  durable_version_ = std::max(durable_version_, event.version);
  hosts_.durable(event.version);
}

void Node::Impl::on(const Command& event, Actions& out) { obey(event, out); }

}  // namespace clusterd
