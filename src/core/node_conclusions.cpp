// What a node concludes from its evidence: who is heard, how long the lease runs, which services move.
#include <fmt/format.h>

#include <algorithm>

#include "base/canary.hpp"
#include "base/check.hpp"
#include "base/mark.hpp"
#include "core/node_impl.hpp"
#include "core/relations.hpp"

namespace clusterd {

bool Node::Impl::config_agrees() const {
  if (sabotaged(Canary::kConfigUnchecked)) return true;
  return !peer_.known() || peer_.latest()->config_hash == config_.hash;
}

bool Node::Impl::peer_heard() const { return now_ - peer_.last_receipt() < config_.timing.window; }

// Late is what has not come a quarter period after it was due; an acknowledgement takes a round trip more.
bool Node::Impl::evidence_is_late() const {
  const Duration h = config_.timing.heartbeat;
  return now_ - peer_.last_receipt() >= h * 5 / 4 || now_ - peer_.acked_sent() >= h * 3;
}

bool Node::Impl::find_nics_up() const {
  for (const auto& service : config_.services) {
    const auto& end = config_.link(service.link).ends.at(config_.self.at());
    const auto it = nics_.find(end.nic);
    if (it != nics_.end() && !it->second.up) return false;
  }
  return true;
}

// S1: the lease counts from when the evidence was sent.
void Node::Impl::renew_lease() {
  Instant evidence = std::max(peer_.acked_sent(), hosts_.lease_evidence());
  if (fence_mode() && fence_holds()) evidence = now_;  // the peer is off: nobody else can be active
  const Instant own = evidence + config_.timing.lease;
  if (inherited_lease_ <= now_) inherited_lease_ = kLongAgo;
  if (own > now_ && inherited_lease_ != kLongAgo) {
    // From now on the ordinary lease; the peer may forget its promise after the gates have been set back,
    // that is with the next step's heartbeat.
    mark(Mark::kInheritedLeaseEnded);
    inherited_lease_ = kLongAgo;
    lease_ = own;
    return;
  }
  if (inherited_lease_ == kLongAgo && promise_wanted_ && !restart_command_ && !exiting_)
    promise_wanted_ = false;
  lease_ = std::max({lease_, own, inherited_lease_});
}

Duration Node::Impl::window() const {
  if (sabotaged(Canary::kWindowTooShort)) return config_.timing.lease / 2;
  const bool lately =
      now_ - late_at_ < 2 * config_.timing.window + lateness_ && !sabotaged(Canary::kLatenessIgnored);
  if (lately) mark(Mark::kWindowLengthened);
  return config_.timing.window + (lately ? lateness_ : Duration::zero());
}

Duration Node::Impl::lease_is_over() const {
  if (sabotaged(Canary::kWindowTooShort)) return config_.timing.lease / 2;
  return lease_is_over_;
}

// After a start a full window is waited, whatever was heard before. A daemon of the peer that has just
// started may already serve before it has proven to live.
Instant Node::Impl::silent_since() const {
  if (sabotaged(Canary::kRestartWithoutWindow)) return peer_.last_receipt();
  return std::max({peer_.last_receipt(), peer_.last_sign_of_life(), started_at_});
}

Instant Node::Impl::conclusive_at() const { return hosts_.conclusive_at(silent_since(), lease_is_over()); }

// In a clean restart the peer was promised that nobody takes over from it; and with another configuration it
// may be alive although it is not heard.
bool Node::Impl::promised() const {
  if (holds_back_ && !sabotaged(Canary::kHoldBackIgnored)) return true;
  return now_ < promised_until_ && !sabotaged(Canary::kPromiseBroken);
}

bool Node::Impl::silent_past_lease() const { return now_ - silent_since() >= lease_is_over() && !promised(); }

bool Node::Impl::silent_past_window() const {
  if (now_ - silent_since() < window() || promised()) return false;
  return fence_mode() ? fence_holds() : hosts_.all_conclusive(silent_since(), lease_is_over(), now_);
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
  for (size_t i = 0; i < config_.hosts.size(); ++i) {
    if (hosts_.in_standby_set(HostId(i))) names += (names.empty() ? "" : ", ") + config_.hosts.at(i).text;
  }
  if (!names.empty())
    out.push_back(fmt::format("the counted reference hosts answer without a gap ({})", names));
  out.emplace_back("nobody answers for the service addresses on the LAN");
  return out;
}

std::string Node::Impl::no_takeover_reason() const {
  if (now_ - std::max(peer_.last_receipt(), started_at_) < 2 * window()) return "";
  if (now_ < promised_until_) {
    mark(Mark::kHeldBackByPromise);
    return "";
  }
  if (holds_back_) {
    mark(Mark::kNoTakeoverHoldsBack);
    return "a new configuration is not settled yet (`clusterctl versions`)";
  }
  if (!config_agrees()) {
    mark(Mark::kNoTakeoverConfig);
    return "the nodes have different configurations";
  }
  if (moves_stopped_) {
    mark(Mark::kNoTakeoverDamped);
    return "too many takeovers within an hour";
  }
  if (told_persist_failed_) {
    mark(Mark::kNoTakeoverDiskRefuses);
    return "its state cannot be written to disk";
  }
  if (fence_mode()) return "";  // why not: effects_reason
  if (config_.hosts.empty()) {
    mark(Mark::kNoTakeoverNoHosts);
    return "there are no reference hosts that could tell which node is at fault";
  }
  if (!hosts_.any_in_active_set()) {
    mark(Mark::kNoTakeoverNothingCounted);
    return "the nodes have not yet seen a reference host answer both of them: none counts here";
  }
  if (now_ - peer_.last_sign_of_life() < window()) {
    mark(Mark::kNoTakeoverUnproven);
    return fmt::format("{} seems to send, but does not answer this node: it may be alive", peer_name());
  }
  const auto missing = hosts_.not_conclusive(silent_since(), lease_is_over(), now_);
  if (missing.empty()) return "";
  mark(Mark::kNoTakeoverHostsMissing);
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
    mark(up ? Mark::kLinkBack : Mark::kLinkLost);
    (up ? found : lost) +=
        fmt::format("{}{}", (up ? found : lost).empty() ? "" : ", ", config_.links.at(i).name);
    say_it_now_ = true;
  }
  const bool heard = now_ - peer_.last_receipt() < limit;
  if (heard && !peer_was_heard_) {
    log(out, Severity::kNotice, fmt::format("{} is heard", peer_name()));
    links_due_ = now_ + limit + 2 * config_.timing.heartbeat;
  }
  // A link on which the returned peer has not been heard by now was dead from the beginning.
  if (heard && now_ >= links_due_) {
    links_due_ = kNever;
    for (size_t i = 0; i < link_up_.size(); ++i) {
      if (link_up_.at(i)) continue;
      mark(Mark::kLinkDeadFromStart);
      lost += (lost.empty() ? "" : ", ") + config_.links.at(i).name;
    }
  }
  const bool awaited = !heard && peer_was_heard_ && now_ < promised_until_;
  if (awaited && !told_awaited_) {
    mark(Mark::kPeerAwaited);
    log(out, Severity::kNotice, fmt::format("{} restarts: this node waits for it", peer_name()));
  } else if (!heard && peer_was_heard_ && !awaited) {
    mark(Mark::kPeerLost);
    notice(out, Severity::kWarning, "peer-lost", fmt::format("{} is not heard on any path", peer_name()));
    for (auto& service : services_) service.peer_was_away();
  }
  if (!lost.empty() && heard) {
    if (now_ - peer_.last_direct() >= limit) mark(Mark::kHeardOnlyRelayed);
    notice(out, Severity::kWarning, "link-lost",
           fmt::format("{} is not heard on link {}; it is heard {}", peer_name(), lost,
                       now_ - peer_.last_direct() < limit ? "on another" : "only off the reference hosts"));
  }
  if (!found.empty())
    notice(out, Severity::kInfo, "link-back", fmt::format("{} is heard on link {}", peer_name(), found));
  told_awaited_ = awaited;
  peer_was_heard_ = heard || awaited;
}

bool Node::Impl::spare_is_used() const {
  for (size_t i = 0; i < services_.size(); ++i) {
    if (config_.services.at(i).mac == MacMode::kRedundant && services_.at(i).needs_gate()) return true;
  }
  return false;
}

// A spare NIC without carrier moves its service (S5), but forbids nothing: where no other node can serve, an
// attempt on it is better than none.
void Node::Impl::review_spare(Actions& out) {
  const auto& spare = config_.node(config_.self).redundant_nic;
  if (!spare) return;
  const bool used = spare_is_used();
  if (used && !spare_used_) {
    spare_due_ = now_ + kSpareLimit;
    spare_lost_ = false;  // it has to show itself again
  }
  spare_used_ = used;
  if (!used) return;
  const auto seen = nics_.find(*spare);
  const bool lost = now_ >= spare_due_ && seen != nics_.end() && !seen->second.up;
  if (lost == spare_lost_) return;
  spare_lost_ = lost;
  say_it_now_ = true;
  mark(lost ? Mark::kSpareLost : Mark::kSpareBack);
  log(out, lost ? Severity::kWarning : Severity::kNotice,
      fmt::format("the spare network interface {} {}", *spare,
                  lost ? "cannot be reached through: " + seen->second.detail : "is in order again"));
}

int Node::Impl::score_here() const {
  return (nics_reach() ? 100 : 0) + static_cast<int>(hosts_.count_answering(now_));
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
    if (peer_better_since_ != kNever) mark(Mark::kPeerReachedMoreBriefly);
    peer_better_since_ = kNever;
  } else if (peer_better_since_ == kNever) {
    mark(Mark::kPeerReachesMore);
    peer_better_since_ = now_;
  }
}

void Node::Impl::review_moves_stopped(Actions& out) {
  for (size_t i = 0; i < services_.size(); ++i) {
    const auto took = services_.at(i).take_takeover();
    if (took == ServiceMachine::Took::kNothing) continue;
    state_.takeovers.push_back(wall_);
    if (took == ServiceMachine::Took::kOwn) {
      mark(Mark::kTakeoverOfOwn);
    } else if (config_.rejoin == Rejoin::kManual) {
      mark(Mark::kPeerJudgedFaulty);
      state_.peer_faulty = true;
    }
  }
  const size_t forgotten = std::erase_if(state_.takeovers, [&](WallTime at) {
    return wall_ - at > std::chrono::hours(1) || at - wall_ > std::chrono::hours(1);
  });
  if (forgotten > 0) mark(Mark::kTakeoverForgotten);
  const bool stopped =
      state_.takeovers.size() > config_.max_takeovers_per_hour && !sabotaged(Canary::kDampingOff);
  if (!stopped && moves_stopped_) mark(Mark::kMovesAllowedAgain);
  if (stopped && !moves_stopped_) {
    mark(Mark::kMovesStopped);
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
  s.services = &services_;
  s.peer = peer_.latest();
  s.peer_heard = peer_heard();
  s.peer_direct = now_ - peer_.last_direct() < config_.timing.window;
  s.config_agrees = config_agrees();
  s.acked_sequence = peer_.acked_sequence();
  s.acked_sent = peer_.acked_by_this_daemon();
  s.next_sequence = sequence_ + 1;
  s.lease_held = now_ < lease_;
  s.lease_end = lease_;
  s.silent_past_lease = silent_past_lease();
  s.silent_past_window = silent_past_window();
  if (s.silent_past_window) s.silence_evidence = silence_evidence();
  if (!s.peer_heard) s.no_takeover_reason = no_takeover_reason();
  add_effects(s);
  s.probe_time = window() - lease_is_over();
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
  s.nics_reach = nics_reach();
  s.disk_refuses = told_persist_failed_;
  s.counts_hosts = hosts_.any_in_active_set();
  s.durable_version = durable_version_;
  s.next_version = version_ + 1;
  return s;
}

void Node::Impl::review_services(Actions& out) {
  const Surroundings s = surroundings();
  // Where services are related, what one does may let another one go on: until all are at rest.
  const bool related = any_relation(config_.services);
  bool again = true;
  // Each transition makes progress; the limits only guard against a mistake in this code.
  for (int passes = 0; again; ++passes) {
    CLUSTERD_CHECK(passes < 100, "related services come to rest");
    again = false;
    for (auto& service : services_) {
      int turns = 0;
      while (service.review(s, out)) CLUSTERD_CHECK(++turns < 20, "a service machine comes to rest");
      service.review_guard(out);
      again = again || (related && turns > 0);
      if (service.take_changed()) say_it_now_ = true;
    }
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
  mark(!serving ? Mark::kRestartServingNothing : given ? Mark::kRestartPromised : Mark::kRestartUnpromised);
  reply(out, *restart_command_, true, serving && !given ? "without the peer's promise" : "ready");
  restart_command_.reset();
  exiting_ = true;
  out.exit = true;
}

}  // namespace clusterd
