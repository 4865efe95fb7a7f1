// What leaves a node at the end of a step: heartbeats, probes, gates, the state for the disk, the next
// deadline.
#include <algorithm>
#include <utility>

#include "base/canary.hpp"
#include "base/mark.hpp"
#include "core/node_impl.hpp"

namespace clusterd {

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
  out.watchdog = watchdog_armed_;
  out.service_nic_up = nics_reach();
  const Surroundings s = surroundings();
  for (const auto& service : services_) out.services.push_back(service.report(s));
  const size_t turns = services_.size() + (tells_lacks_ ? 1 : 0);
  const size_t turn = turns == 0 ? 0 : lineage_turn_ % turns;
  if (turn < services_.size()) {
    out.lineage_of = static_cast<uint16_t>(turn);
    out.lineage = services_.at(out.lineage_of).stored().lineage;
    if (out.lineage.size() > kMaxLineage) out.lineage.resize(kMaxLineage);
  } else if (tells_lacks_) {
    out.lineage_of = kLacksTurn;
    Epoch lacks;
    for (size_t i = 0; i < services_.size(); ++i) {
      if (!services_.at(i).lacks().empty()) lacks.value |= uint64_t{1} << i;
    }
    out.lineage = {lacks};
  }
  out.request = request_;
  if (durable_version_ >= answer_version_) {
    out.answer = answer_;
  } else {
    mark(Mark::kAnswerAwaitsDisk);
  }
  return out;
}

void Node::Impl::send_heartbeat(Actions& out) {
  const bool host_late = hosts_.answer_is_late(now_);
  const bool late = evidence_is_late() || host_late;
  const bool became_late = late && !fast_;
  if (became_late) mark(host_late ? Mark::kAnswerLate : Mark::kEvidenceLate);
  fast_ = late;
  // A takeover waits for answers to probes that were sent when the peer's lease was over, not a period later.
  const bool conclusive = last_probe_ < conclusive_at() && now_ >= conclusive_at();
  if (now_ < next_heartbeat_ && !say_it_now_ && !became_late && !conclusive) return;
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
  last_probe_ = now_;
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
    if (!services_.at(i).needs_gate()) {
      gate = kLongAgo;
      continue;
    }
    Instant until = services_.at(i).forced() ? std::max(lease_, now_ + config_.timing.lease) : lease_;
    if (sabotaged(Canary::kGateLeftOpen)) until = now_ + std::chrono::hours(1);
    if (sabotaged(Canary::kGateBeyondLease)) until += config_.timing.lease;
    if (services_.at(i).forced() && until > lease_) mark(Mark::kGateOfForced);
    if (until <= now_) mark(Mark::kGateUnchangedLeaseOver);
    if (until == gate || until <= now_) continue;
    gate = until;
    out.set_gates.push_back({ServiceId(i), until});
  }
}

void Node::Impl::persist(Actions& out) {
  const bool retry = now_ >= retry_persist_;
  if (state_ != submitted_ || retry) {
    if (retry) mark(Mark::kPersistRetried);
    retry_persist_ = kNever;
    submitted_ = state_;
    ++version_;
    hosts_.submitted(version_, state_.hosts);
    out.persist = state_;
    out.persist_version = version_;
  }
  hold_replies(out);
}

// Nobody is told that an order was carried out before its effect would survive a loss of power: not in the
// step that hands the state to the disk, nor in a later one while it is on its way. The peer is not told even
// if this daemon ends now; its own administrator is, who asked for that end, which changes nothing.
void Node::Impl::hold_replies(Actions& out) {
  if (sabotaged(Canary::kReplyBeforeDurable)) return;
  if (std::exchange(answer_is_new_, false)) answer_version_ = version_;
  if (exiting_ || durable_version_ >= version_) return;
  std::erase_if(out.replies, [&](Reply& reply) {
    // A permission is registered as it is given: held, it would be given after what ends all permitted
    // writers.
    if (!reply.ok || reply.permits_only) return false;
    mark(Mark::kReplyHeld);
    held_replies_.push_back({version_, std::move(reply)});
    return true;
  });
}

void Node::Impl::release_replies(const Persisted& event, Actions& out) {
  std::erase_if(held_replies_, [&](HeldReply& held) {
    if (held.version > event.version) return false;
    if (!event.ok) {
      mark(Mark::kReplyRefusedByDisk);
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
  consider(conclusive_at());
  consider(promised_until_);
  consider(fencing_.next_deadline());
  if (fencing_.confirmed()) consider(fencing_.confirmed_at() + kFenceHolds);
  if (config_.watchdog) {
    consider(watchdog_armed_ ? next_pet_ : next_arm_);
    consider(std::max(silent_since(), promised_until_) + effects_bound_ + (window() - t.window));
    consider(hosts_.conclusive_at(silent_since(), effects_bound_));
    for (const Instant since : unsane_since_) {
      if (since != kNever) consider(since + stop_limit_);
    }
  }
  consider(retry_persist_);
  if (spare_used_) consider(spare_due_);
  if (restart_command_) consider(promise_asked_ + kPromiseLimit);
  if (peer_better_since_ != kNever) consider(peer_better_since_ + t.settle);
  for (const auto& service : services_) {
    next = std::min(next, service.next_deadline(now_));
    if (service.watches_address()) consider(next_address_probe_);
  }
  deadline_ = next;
}

}  // namespace clusterd
