#include "core/node.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.hpp"
#include "core/node_impl.hpp"

namespace clusterd {

namespace {
constexpr Duration kPromise = std::chrono::seconds(5);
constexpr Duration kMostPromised = std::chrono::seconds(30);
constexpr Duration kPromiseLimit = std::chrono::seconds(2);
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
    : config_(config), state_(state), hosts_(config_, state) {
  CLUSTERD_CHECK(window_is_safe(config_.timing), "the window inequality of S2 was checked when loading");
  state_.services.resize(config_.services.size());
  state_.hosts.resize(config_.hosts.size());
  submitted_ = state_;
  for (size_t i = 0; i < config_.services.size(); ++i) {
    services_.emplace_back(config_, ServiceId(i), state_.services.at(i));
  }
  gates_.assign(config_.services.size(), kLongAgo);
  link_up_.assign(config_.links.size(), false);
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
  // The same heartbeat over another path says only that the path lives: what it means for the links can wait
  // for the next tick, and the rest of it is known.
  if (const auto* received = std::get_if<HeartbeatReceived>(&event);
      received && repeats(received->heartbeat)) {
    on(*received, out);
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
  review_reachability();
  review_moves_stopped(out);
  review_services(out);
  review_promise(out);
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

// ---- evidence
// -----------------------------------------------------------------------------------------------

// A node whose own loop was late distrusts its own suspicion: it lengthens its window by as much.
void Node::Impl::note_lateness(Instant now, Actions& out) {
  if (!started_ || deadline_ == kNever) return;
  const Duration late = now - deadline_;
  if (late <= std::max<Duration>(config_.timing.heartbeat / 2, std::chrono::milliseconds(3))) return;
  lateness_ = late;
  late_at_ = now;
  if (late > config_.timing.lease / 2) {
    log(out, Severity::kWarning,
        fmt::format("the own loop was {:.0f} ms late: suspicion is put off as long", to_ms(late)));
  }
}

void Node::Impl::on(const Started& event, Actions& out) {
  started_ = true;
  started_at_ = now_;
  boot_ = event.boot;
  wall_ = event.wall;
  wall_at_ = now_;
  for (size_t i = 0; i < services_.size(); ++i) {
    const Instant gate = i < event.gate_deadlines.size() ? event.gate_deadlines.at(i) : kLongAgo;
    services_.at(i).begin(now_, event.host_rebooted, gate, out);
    // One lease for all: a gate that was open longer (a forced service) says nothing of the others.
    if (!services_.at(i).holds_lease()) continue;
    inherited_lease_ = inherited_lease_ == kLongAgo ? gate : std::min(inherited_lease_, gate);
  }
  // The predecessor's lease is longer than an ordinary one if the peer has given a promise: ask it to keep
  // the promise until this daemon's first own evidence has shortened the lease again.
  if (inherited_lease_ > now_ + config_.timing.lease) promise_wanted_ = true;
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
  return started_ && latest != nullptr && heartbeat.from == config_.peer() &&
         heartbeat.boot == latest->boot && heartbeat.sequence <= latest->sequence;
}

void Node::Impl::on(const HeartbeatReceived& event, Actions& out) {
  const Heartbeat& heartbeat = event.heartbeat;
  if (heartbeat.from != config_.peer()) return;
  if (event.relay && event.relay->at() < config_.hosts.size()) hosts_.relayed(*event.relay, now_);
  if (event.link && event.link->at() >= config_.links.size()) return;
  if (heartbeat.config_hash == config_.hash &&
      (heartbeat.services.size() != services_.size() || heartbeat.hosts.size() != config_.hosts.size())) {
    return;
  }
  if (!peer_.heard(now_, event.link, heartbeat, boot_)) return;
  learn_from_peer(heartbeat, out);
}

void Node::Impl::learn_from_peer(const Heartbeat& heartbeat, Actions& out) {
  if (peer_.take_rebooted()) {
    log(out, Severity::kNotice, fmt::format("{} has started anew", peer_name()));
    for (auto& service : services_) service.peer_was_away();
    answer_ = {};  // the new daemon counts its requests anew
    answered_request_ = 0;
    say_it_now_ = true;
  }
  clock_skew_ = heartbeat.wall - (wall_ + (now_ - wall_at_));
  const bool agrees = config_agrees();
  if (!agrees && !told_config_differs_) {
    notice(
        out, Severity::kError, "config-differs",
        fmt::format(
            "{} has a different configuration: no service is moved until both are equal (`clusterctl check`)",
            peer_name()));
  }
  told_config_differs_ = !agrees;
  // With different tables the indices of the two nodes do not mean the same things.
  if (agrees) {
    if (heartbeat.lineage_of < services_.size())
      services_.at(heartbeat.lineage_of).learn_lineage(heartbeat.lineage);
    hosts_.review(now_, heartbeat, peer_.acked_sequence(), sequence_ + 1, state_.hosts);
    obey_request(heartbeat, out);
  }
  obey_peer_lock(heartbeat, out);
  if (heartbeat.promise_wanted) {
    promised_until_ =
        std::max(promised_until_, now_ + std::clamp(heartbeat.promise, Duration{}, kMostPromised));
  } else {
    promised_until_ = kLongAgo;
  }
}

void Node::Impl::obey_peer_lock(const Heartbeat& heartbeat, Actions& out) {
  if (heartbeat.lock_peer && !state_.locked)
    lock(fmt::format("{} judged this node faulty", peer_name()), out);
  if (state_.peer_faulty && heartbeat.locked) state_.peer_faulty = false;
}

void Node::Impl::on(const ProbeAnswered& event, Actions& /*out*/) {
  if (event.host.at() < config_.hosts.size() && event.sent <= now_) hosts_.answered(event.host, event.sent);
}

void Node::Impl::on(const NicChanged& event, Actions& out) {
  const auto [at, is_new] = nics_.try_emplace(event.nic, event);
  if (!is_new && at->second.up == event.up) return;
  at->second = event;
  say_it_now_ = true;
  if (!event.up) {
    log(out, Severity::kWarning, fmt::format("network interface {} is down: {}", event.nic, event.detail));
  } else if (!is_new) {
    log(out, Severity::kNotice, fmt::format("network interface {} is up again", event.nic));
  }
}

void Node::Impl::on(const AddressAnswered& event, Actions& out) {
  if (event.service.at() >= services_.size()) return;
  services_.at(event.service.at()).answered_by_stranger(now_, event, silent_since() + lease_is_over(), out);
}
void Node::Impl::on(const AddressReport& event, Actions& out) {
  if (event.service.at() < services_.size()) services_.at(event.service.at()).on_member(now_, event, out);
}
void Node::Impl::on(const AddressLost& event, Actions& out) {
  if (event.service.at() < services_.size()) services_.at(event.service.at()).on_member(now_, event, out);
}
void Node::Impl::on(const UnitReport& event, Actions& out) {
  if (event.service.at() >= services_.size()) return;
  if (event.unit.at() >= config_.service(event.service).units.size()) return;
  services_.at(event.service.at()).on_member(now_, event, out);
}
void Node::Impl::on(const CheckReport& event, Actions& out) {
  if (event.service.at() >= services_.size()) return;
  if (event.check.at() >= config_.service(event.service).checks.size()) return;
  services_.at(event.service.at()).on_member(now_, event, out);
}
void Node::Impl::on(const MirrorReport& event, Actions& out) {
  if (event.service.at() >= services_.size()) return;
  if (event.mirror.at() >= config_.service(event.service).mirrors.size()) return;
  services_.at(event.service.at()).on(now_, event, out);
}

void Node::Impl::on(const Persisted& event, Actions& out) {
  release_replies(event, out);
  if (!event.ok) {
    retry_persist_ = now_ + kPersistRetry;
    if (!told_persist_failed_) {
      notice(out, Severity::kError, "disk-failed",
             fmt::format("the state of {} cannot be written: {}. It takes over nothing until it can",
                         self_name(), event.detail));
    }
    told_persist_failed_ = true;
    return;
  }
  told_persist_failed_ = false;
  if (durable_version_ < answer_version_ && event.version >= answer_version_) say_it_now_ = true;
  durable_version_ = std::max(durable_version_, event.version);
  hosts_.durable(event.version);
}

void Node::Impl::on(const Command& event, Actions& out) { obey(event, out); }

// ---- conclusions
// --------------------------------------------------------------------------------------------

bool Node::Impl::config_agrees() const {
  return !peer_.known() || peer_.latest()->config_hash == config_.hash;
}

bool Node::Impl::peer_heard() const { return now_ - peer_.last_receipt() < config_.timing.window; }

// Late is what has not come a quarter period after it was due; an acknowledgement takes a round trip more.
bool Node::Impl::evidence_is_late() const {
  const Duration h = config_.timing.heartbeat;
  return now_ - peer_.last_receipt() >= h * 5 / 4 || now_ - peer_.acked_sent() >= h * 3;
}

bool Node::Impl::nics_up() const {
  for (const auto& service : config_.services) {
    const auto& end = config_.link(service.link).ends.at(config_.self.at());
    const auto it = nics_.find(end.nic);
    if (it != nics_.end() && !it->second.up) return false;
  }
  return true;
}

// S1: the lease counts from when the evidence was sent.
void Node::Impl::renew_lease() {
  const Instant own = std::max(peer_.acked_sent(), hosts_.lease_evidence()) + config_.timing.lease;
  if (inherited_lease_ <= now_) inherited_lease_ = kLongAgo;
  if (own > now_ && inherited_lease_ != kLongAgo) {
    // From now on the ordinary lease; the peer may forget its promise after the gates have been set back,
    // that is with the next step's heartbeat.
    inherited_lease_ = kLongAgo;
    lease_ = own;
    return;
  }
  if (inherited_lease_ == kLongAgo && promise_wanted_ && !restart_command_ && !exiting_)
    promise_wanted_ = false;
  lease_ = std::max({lease_, own, inherited_lease_});
}

Duration Node::Impl::window() const {
  const bool lately = now_ - late_at_ < 2 * config_.timing.window + lateness_;
  return config_.timing.window + (lately ? lateness_ : Duration::zero());
}

Duration Node::Impl::lease_is_over() const {
  const Timing& t = config_.timing;
  return smallest_safe_window(t.lease, t.gate_latency, t.clock_error);
}

// After a start a full window is waited, whatever was heard before.
Instant Node::Impl::silent_since() const { return std::max(peer_.last_receipt(), started_at_); }

bool Node::Impl::silent_past_lease() const {
  return now_ - silent_since() >= lease_is_over() && now_ >= promised_until_;
}

bool Node::Impl::silent_past_window() const {
  return now_ - silent_since() >= window() && now_ >= promised_until_ &&
         hosts_.all_steady_for(lease_is_over(), now_);
}

std::vector<std::string> Node::Impl::silence_evidence() const {
  std::vector<std::string> out;
  if (!silent_past_lease()) return out;
  out.push_back(
      peer_.known()
          ? fmt::format("{} was last heard {:.0f} ms ago, direct or relayed; the window is {:.0f} ms",
                        peer_name(), to_ms(now_ - peer_.last_receipt()), to_ms(window()))
          : fmt::format("{} was not heard in the {:.1f} s since this daemon started", peer_name(),
                        to_seconds(now_ - started_at_)));
  std::string names;
  for (const auto& host : config_.hosts) names += (names.empty() ? "" : ", ") + host.text;
  out.push_back(fmt::format("the counted reference hosts answer without a gap ({})", names));
  out.emplace_back("nobody answers for the service addresses on the LAN");
  return out;
}

std::string Node::Impl::no_takeover_reason() const {
  if (now_ - silent_since() < 2 * window()) return "";
  if (now_ < promised_until_) return "";
  if (!config_agrees()) return "the nodes have different configurations";
  if (moves_stopped_) return "too many takeovers within an hour";
  if (config_.hosts.empty()) return "there are no reference hosts that could tell which node is at fault";
  const auto missing = hosts_.not_steady_for(lease_is_over(), now_);
  if (missing.empty()) return "";
  std::string names;
  for (const HostId id : missing) names += (names.empty() ? "" : ", ") + config_.host(id).text;
  return fmt::format(
      "not all counted reference hosts answer here ({}): this node may be the one that is cut off", names);
}

void Node::Impl::review_links(Actions& out) {
  const Duration limit = std::max(config_.timing.window, 4 * config_.timing.heartbeat);
  std::string lost;
  std::string found;
  for (size_t i = 0; i < link_up_.size(); ++i) {
    // A link is given a little longer than the peer: a peer that dies is not first reported link by link.
    const bool up = now_ - peer_.last_receipt_on(LinkId(i)) < limit + 2 * config_.timing.heartbeat;
    if (up == link_up_.at(i)) continue;
    link_up_.at(i) = up;
    (up ? found : lost) +=
        fmt::format("{}{}", (up ? found : lost).empty() ? "" : ", ", config_.links.at(i).name);
    say_it_now_ = true;
  }
  const bool heard = now_ - peer_.last_receipt() < limit;
  if (heard && !peer_was_heard_) log(out, Severity::kNotice, fmt::format("{} is heard", peer_name()));
  const bool awaited = !heard && peer_was_heard_ && now_ < promised_until_;
  if (awaited && !told_awaited_) {
    log(out, Severity::kNotice, fmt::format("{} restarts: this node waits for it", peer_name()));
  } else if (!heard && peer_was_heard_ && !awaited) {
    notice(out, Severity::kWarning, "peer-lost", fmt::format("{} is not heard on any path", peer_name()));
    for (auto& service : services_) service.peer_was_away();
  }
  if (!lost.empty() && heard) {
    notice(out, Severity::kWarning, "link-lost",
           fmt::format("{} is not heard on link {} any more; it is heard {}", peer_name(), lost,
                       now_ - peer_.last_direct() < limit ? "on another" : "only off the reference hosts"));
  }
  if (!found.empty())
    notice(out, Severity::kInfo, "link-back", fmt::format("{} is heard on link {}", peer_name(), found));
  told_awaited_ = awaited;
  peer_was_heard_ = heard || awaited;
}

int Node::Impl::score_here() const {
  return (nics_up() ? 100 : 0) + static_cast<int>(hosts_.count_answering(now_));
}

int Node::Impl::score_peer() const {
  if (!peer_.known()) return -1;
  int score = peer_.latest()->service_nic_up ? 100 : 0;
  for (const auto& host : peer_.latest()->hosts) score += host.answers ? 1 : 0;
  return score;
}

// S5: better reachability must last before it moves anything; equal evidence moves nothing.
void Node::Impl::review_reachability() {
  const bool better = peer_heard() && config_agrees() && score_peer() > score_here();
  if (!better) {
    peer_better_since_ = kNever;
  } else if (peer_better_since_ == kNever) {
    peer_better_since_ = now_;
  }
}

void Node::Impl::review_moves_stopped(Actions& out) {
  for (size_t i = 0; i < services_.size(); ++i) {
    const auto took = services_.at(i).take_takeover();
    if (took == ServiceMachine::Took::kNothing) continue;
    state_.takeovers.push_back(wall_);
    const bool at_fault = took == ServiceMachine::Took::kFromPeer;
    if (at_fault && config_.rejoin == Rejoin::kManual) state_.peer_faulty = true;
  }
  std::erase_if(state_.takeovers, [&](WallTime at) {
    return wall_ - at > std::chrono::hours(1) || at - wall_ > std::chrono::hours(1);
  });
  const bool stopped = state_.takeovers.size() > config_.max_takeovers_per_hour;
  if (stopped && !moves_stopped_) {
    notice(
        out, Severity::kError, "moves-stopped",
        fmt::format("{} takeovers within an hour: automatic moves are stopped until `clusterctl online {}`",
                    state_.takeovers.size(), self_name()));
  }
  moves_stopped_ = stopped;
}

Surroundings Node::Impl::surroundings() const {
  Surroundings s;
  s.now = now_;
  s.wall = wall_;
  s.peer = peer_.latest();
  s.peer_heard = peer_heard();
  s.peer_direct = now_ - peer_.last_direct() < config_.timing.window;
  s.config_agrees = config_agrees();
  s.acked_sequence = peer_.acked_sequence();
  s.acked_sent = peer_.acked_by_this_daemon();
  s.next_sequence = sequence_ + 1;
  s.lease = lease_;
  s.lease_held = now_ < lease_;
  s.silent_past_lease = silent_past_lease();
  s.silent_past_window = silent_past_window();
  if (s.silent_past_window) s.silence_evidence = silence_evidence();
  if (!s.peer_heard) s.no_takeover_reason = no_takeover_reason();
  s.probe_time = config_.timing.window - lease_is_over();
  s.locked = state_.locked;
  s.leaving = leaving_;
  s.moves_stopped = moves_stopped_;
  s.reach_here = score_here();
  s.reach_peer = score_peer();
  s.peer_better = peer_better_since_ != kNever && now_ - peer_better_since_ >= config_.timing.settle;
  if (s.peer_better) {
    s.better_evidence =
        fmt::format("{} has reached more for {:.1f} s: {}{} reference hosts there, {}{} here", peer_name(),
                    to_seconds(now_ - peer_better_since_), s.reach_peer >= 100 ? "" : "service NIC down, ",
                    s.reach_peer % 100, s.reach_here >= 100 ? "" : "service NIC down, ", s.reach_here % 100);
  }
  s.nics_up = nics_up();
  s.durable_version = durable_version_;
  s.next_version = version_ + 1;
  return s;
}

void Node::Impl::review_services(Actions& out) {
  const Surroundings s = surroundings();
  for (auto& service : services_) {
    // Each transition makes progress; the limit only guards against a mistake in this code.
    int turns = 0;
    while (service.review(s, out)) CLUSTERD_CHECK(++turns < 20, "a service machine comes to rest");
    if (service.take_changed()) say_it_now_ = true;
  }
}

// A clean restart: once the peer has promised to wait, the gates are opened for as long, and the daemon ends.
void Node::Impl::review_promise(Actions& out) {
  if (!restart_command_) return;
  const bool serving =
      std::any_of(services_.begin(), services_.end(), [](const auto& s) { return s.holds_lease(); });
  const Heartbeat* peer = peer_.latest();
  const bool given = peer_heard() && peer->promise_given && peer_.acked_sequence() >= promise_sequence_;
  if (serving && !given && peer_heard() && now_ - promise_asked_ < kPromiseLimit) return;
  if (serving && given) {
    // The longest lease for which the promise is a safe window.
    const double usable = static_cast<double>(kPromise.count() - 2'000'000) / 1.02;
    const Duration lease = Duration{static_cast<int64_t>(usable)} - config_.timing.gate_latency;
    lease_ = std::max(lease_, peer_.acked_sent() + lease);
    log(out, Severity::kNotice,
        fmt::format("{} waits for us: the gates stay open for {:.1f} s", peer_name(),
                    to_seconds(lease_ - now_)));
  }
  reply(out, *restart_command_, true, serving && !given ? "without the peer's promise" : "ready");
  restart_command_.reset();
  exiting_ = true;
  out.exit = true;
}

// ---- telling the peer
// ---------------------------------------------------------------------------------------

Heartbeat Node::Impl::heartbeat() const {
  Heartbeat out;
  out.from = config_.self;
  out.boot = boot_;
  out.sequence = sequence_;
  if (peer_.known()) out.ack = {peer_.latest()->boot, peer_.latest()->sequence};
  out.config_hash = config_.hash;
  out.wall = wall_ + (now_ - wall_at_);
  out.locked = state_.locked;
  out.lock_peer = state_.peer_faulty;
  out.leaving = leaving_;
  out.promise_wanted = promise_wanted_;
  if (promise_wanted_) {
    const Duration rest = inherited_lease_ == kLongAgo ? kPromise : (inherited_lease_ - now_);
    out.promise =
        std::max(kPromise, smallest_safe_window(std::max(rest, Duration{1}), config_.timing.gate_latency,
                                                config_.timing.clock_error));
  }
  out.promise_given = promised_until_ > now_;
  for (size_t i = 0; i < link_up_.size(); ++i) {
    if (link_up_.at(i)) out.links_up = static_cast<uint8_t>(out.links_up | (1U << i));
  }
  out.hosts = hosts_.announce(now_);
  out.service_nic_up = nics_up();
  const Surroundings s = surroundings();
  for (const auto& service : services_) out.services.push_back(service.report(s));
  if (!services_.empty()) {
    out.lineage_of = static_cast<uint16_t>(lineage_turn_ % services_.size());
    out.lineage = services_.at(out.lineage_of).stored().lineage;
    if (out.lineage.size() > kMaxLineage) out.lineage.resize(kMaxLineage);
  }
  out.request = request_;
  if (durable_version_ >= answer_version_) out.answer = answer_;
  return out;
}

void Node::Impl::send_heartbeat(Actions& out) {
  const bool late = evidence_is_late();
  const bool became_late = late && !fast_;
  fast_ = late;
  if (now_ < next_heartbeat_ && !say_it_now_ && !became_late) return;
  say_it_now_ = false;
  next_heartbeat_ = now_ + config_.timing.heartbeat;
  ++sequence_;
  ++lineage_turn_;
  if (promise_wanted_ && promise_sequence_ == 0) promise_sequence_ = sequence_;
  peer_.sent(sequence_, now_);
  SendHeartbeat order;
  order.heartbeat = heartbeat();
  for (size_t i = 0; i < config_.links.size(); ++i) order.links.emplace_back(i);
  const bool slow_probe = now_ >= next_slow_probe_;
  if (config_.relay && (fast_ || slow_probe)) {
    for (size_t i = 0; i < config_.hosts.size(); ++i) {
      if (config_.hosts.at(i).link) order.relays.emplace_back(i);
    }
  }
  out.heartbeats.push_back(std::move(order));
  // Probes go with heartbeats, so that each probe of a host has a heartbeat relayed off it beside it.
  if (!fast_ && !slow_probe) return;
  next_slow_probe_ = now_ + config_.timing.probe_slow;
  for (size_t i = 0; i < config_.hosts.size(); ++i) out.probes.push_back({HostId(i), now_});
}

// While a takeover is prepared the LAN is asked again and again whether somebody still serves.
void Node::Impl::probe_addresses(Actions& out) {
  if (now_ < next_address_probe_) return;
  for (size_t i = 0; i < services_.size(); ++i) {
    if (!services_.at(i).watches_address()) continue;
    out.address_probes.push_back({ServiceId(i), now_});
    const Duration slack = config_.timing.window - lease_is_over();
    next_address_probe_ =
        now_ + std::clamp<Duration>(slack / 3, std::chrono::milliseconds(2), config_.timing.heartbeat);
  }
}

void Node::Impl::set_gates(Actions& out) {
  for (size_t i = 0; i < services_.size(); ++i) {
    Instant& gate = gates_.at(i);
    if (!services_.at(i).holds_lease()) {
      gate = kLongAgo;
      continue;
    }
    const Instant until = services_.at(i).forced() ? std::max(lease_, now_ + config_.timing.lease) : lease_;
    if (until == gate || until <= now_) continue;
    gate = until;
    out.set_gates.push_back({ServiceId(i), until});
  }
}

void Node::Impl::persist(Actions& out) {
  const bool retry = now_ >= retry_persist_;
  if (state_ == submitted_ && !retry) {
    answer_is_new_ = false;
    return;
  }
  retry_persist_ = kNever;
  submitted_ = state_;
  ++version_;
  hosts_.submitted(version_, state_.hosts);
  out.persist = state_;
  out.persist_version = version_;
  // Nobody is told that an order was carried out before its effect would survive a loss of power.
  if (exiting_) return;  // the daemon ends now, and changes nothing by it
  for (auto& reply : out.replies) held_replies_.push_back({version_, std::move(reply)});
  out.replies.clear();
  if (std::exchange(answer_is_new_, false)) answer_version_ = version_;
}

void Node::Impl::release_replies(const Persisted& event, Actions& out) {
  std::erase_if(held_replies_, [&](HeldReply& held) {
    if (held.version > event.version) return false;
    if (!event.ok) {
      held.reply.ok = false;
      held.reply.text = "it could not be written to disk: " + event.detail;
    }
    out.replies.push_back(std::move(held.reply));
    return true;
  });
}

void Node::Impl::number_notices(Actions& out) {
  for (auto& notice : out.notices) notice.sequence = ++state_.notice_sequence;
}

// The next instant at which something can change by the mere passing of time.
void Node::Impl::reckon_deadline() {
  Instant next = next_heartbeat_;
  const auto consider = [&](Instant at) {
    if (at > now_ && at < next) next = at;
  };
  const Timing& t = config_.timing;
  consider(peer_.last_receipt() + t.heartbeat * 5 / 4);
  consider(peer_.acked_sent() + t.heartbeat * 3);
  consider(lease_);
  consider(silent_since() + lease_is_over());
  consider(silent_since() + window());
  consider(hosts_.steady_at(lease_is_over()));
  consider(promised_until_);
  consider(retry_persist_);
  if (restart_command_) consider(promise_asked_ + kPromiseLimit);
  if (peer_better_since_ != kNever) consider(peer_better_since_ + t.settle);
  for (const auto& service : services_) {
    consider(service.next_deadline());
    if (service.watches_address()) consider(next_address_probe_);
  }
  deadline_ = next;
}

}  // namespace clusterd
