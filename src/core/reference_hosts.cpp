#include "core/reference_hosts.hpp"

#include <algorithm>

#include "base/canary.hpp"
#include "base/mark.hpp"

namespace clusterd {

ReferenceHosts::ReferenceHosts(const Config& config, const PersistedState& state)
    : config_(&config), hosts_(config.hosts.size()) {
  for (size_t i = 0; i < hosts_.size(); ++i) {
    Host& host = hosts_.at(i);
    if (i < state.hosts.size()) host.wanted = state.hosts.at(i);
    host.durable = host.wanted;
  }
}

void ReferenceHosts::answered(HostId id, Instant sent) {
  Host& host = hosts_.at(id.at());
  if (sent <= host.last_sent) return mark(Mark::kProbeOvertaken);
  const Duration gap = config_->timing.heartbeat * 5 / 2;
  if (sent - host.last_sent > gap) {
    mark(Mark::kProbeRunBroken);
    host.steady_since = sent;
  }
  host.last_sent = sent;
}

void ReferenceHosts::relayed(HostId id, Instant now) { hosts_.at(id.at()).last_relayed = now; }

bool ReferenceHosts::answers(HostId id, Instant now) const {
  return now - hosts_.at(id.at()).last_sent < 3 * config_->timing.probe_slow;
}

bool ReferenceHosts::answer_is_late(Instant now) const {
  const Duration limit = config_->timing.probe_slow + 3 * config_->timing.heartbeat;
  for (size_t i = 0; i < hosts_.size(); ++i) {
    if (answers(HostId(i), now) && now - hosts_.at(i).last_sent >= limit) return true;
  }
  return false;
}

bool ReferenceHosts::relays(HostId id, Instant now) const {
  return now - hosts_.at(id.at()).last_relayed < 4 * config_->timing.probe_slow;
}

unsigned ReferenceHosts::count_answering(Instant now) const {
  unsigned count = 0;
  for (size_t i = 0; i < hosts_.size(); ++i) count += answers(HostId(i), now) ? 1U : 0U;
  return count;
}

// Effective membership: S_A is what is wanted *and* durable, S_B what is wanted *or* durable. So a change
// that is not yet on disk can only make this node more careful.
bool ReferenceHosts::in_active_set(const Host& host) const {
  return host.wanted.in_active_set && host.durable.in_active_set;
}
bool ReferenceHosts::in_standby_set(const Host& host) const {
  return host.wanted.in_standby_set || host.durable.in_standby_set;
}

bool ReferenceHosts::any_in_active_set() const {
  return std::any_of(hosts_.begin(), hosts_.end(), [this](const Host& h) { return in_active_set(h); });
}

Instant ReferenceHosts::lease_evidence() const {
  Instant newest = kLongAgo;
  for (const Host& host : hosts_) {
    if (in_active_set(host) || sabotaged(Canary::kLeaseByAnyHost)) newest = std::max(newest, host.last_sent);
  }
  return newest;
}

std::vector<HostId> ReferenceHosts::not_conclusive(Instant silent_since, Duration lease, Instant now) const {
  const Duration fresh = config_->timing.heartbeat * 5 / 2;
  std::vector<HostId> out;
  for (size_t i = 0; i < hosts_.size(); ++i) {
    const Host& host = hosts_.at(i);
    if (!in_standby_set(host)) continue;
    const Instant steady = sabotaged(Canary::kHostsNeedNoRun) ? silent_since : host.steady_since;
    const Instant lease_over = std::max(silent_since, steady) + lease;
    const bool answered_after = (sabotaged(Canary::kStaleAnswersCount) ? now : host.last_sent) >= lease_over;
    if (!answered_after && now >= lease_over) mark(Mark::kAnswerFromBeforeLeaseOver);
    if (now - host.last_sent > fresh || !answered_after) out.emplace_back(i);
  }
  return out;
}

bool ReferenceHosts::all_conclusive(Instant silent_since, Duration lease, Instant now) const {
  const size_t may_miss = sabotaged(Canary::kStandbyNeedsFewer) ? 1 : 0;
  return standby_members() > 0 && not_conclusive(silent_since, lease, now).size() <= may_miss;
}

Instant ReferenceHosts::conclusive_at(Instant silent_since, Duration lease) const {
  Instant latest = silent_since;
  for (const Host& host : hosts_) {
    if (in_standby_set(host)) latest = std::max(latest, host.steady_since);
  }
  return latest + lease;
}

size_t ReferenceHosts::active_members() const {
  return static_cast<size_t>(
      std::count_if(hosts_.begin(), hosts_.end(), [](const Host& h) { return h.wanted.in_active_set; }));
}
size_t ReferenceHosts::standby_members() const {
  return static_cast<size_t>(std::count_if(
      hosts_.begin(), hosts_.end(), [this](const Host& h) { return in_standby_set(h) && !h.leaving; }));
}

void ReferenceHosts::note_presence(Host& host, bool here, bool peer, Instant now) const {
  const auto since = [now](Instant& mark, bool condition) {
    if (!condition) {
      mark = kLongAgo;
    } else if (mark == kLongAgo) {
      mark = now;
    }
  };
  since(host.both_silent_since, !here && !peer);
  since(host.both_answer_since, here && peer);
}

bool ReferenceHosts::review(Instant now, const Heartbeat& peer, uint64_t acked_sequence,
                            uint64_t next_sequence, std::vector<PersistedHost>& stored) {
  for (size_t i = 0; i < hosts_.size() && i < peer.hosts.size(); ++i) {
    Host& host = hosts_.at(i);
    const CountedState& theirs = peer.hosts.at(i);
    note_presence(host, answers(HostId(i), now), theirs.answers, now);
    const bool gone =
        host.both_silent_since != kLongAgo && now - host.both_silent_since >= config_->timing.host_gone;
    const bool back =
        host.both_answer_since != kLongAgo && now - host.both_answer_since >= config_->timing.host_back;

    if (sabotaged(Canary::kLeaveOrderReversed) && gone) {
      host.wanted.in_standby_set = host.durable.in_standby_set = false;
    } else if (gone) {
      if (host.wanted.in_active_set) {
        const bool last = active_members() <= 1;
        mark(last ? Mark::kLastHostOfActiveKept : Mark::kHostLeavesActive);
        host.wanted.in_active_set = last;
      }
      if (!host.leaving && host.wanted.in_standby_set && !host.wanted.in_active_set) {
        const bool last = standby_members() <= 1;
        mark(last ? Mark::kLastHostOfStandbyKept : Mark::kHostLeaving);
        host.leaving = !last;
        if (!last) host.leaving_sequence = next_sequence;
      }
    } else {
      if (host.leaving) mark(Mark::kHostLeavingCalledOff);
      host.leaving = false;
    }
    if (host.leaving && host.wanted.in_standby_set && !theirs.in_active_set &&
        acked_sequence >= host.leaving_sequence) {
      mark(Mark::kHostLeavesStandby);
      host.wanted.in_standby_set = false;
    }
    if (back && !host.wanted.in_standby_set) {
      mark(Mark::kHostEntersStandby);
      host.wanted.in_standby_set = true;
      host.leaving = false;
    }
    // A host enters S_A only while the peer says that it would ask it.
    const bool peer_counts =
        (theirs.in_standby_set && !theirs.leaving) || sabotaged(Canary::kEntersActiveFirst);
    const bool answers_now = answers(HostId(i), now) && theirs.answers;
    if (!host.wanted.in_active_set && peer_counts && answers_now) {
      mark(Mark::kHostEntersActive);
      host.wanted.in_active_set = true;
    }
    // It was wanted, but before it became durable the peer began to let it go.
    if (host.wanted.in_active_set && !host.durable.in_active_set && !peer_counts) {
      mark(Mark::kHostEntryWithdrawn);
      host.wanted.in_active_set = false;
    }
  }
  bool changed = stored.size() != hosts_.size();
  stored.resize(hosts_.size());
  for (size_t i = 0; i < hosts_.size(); ++i) {
    changed = changed || stored.at(i) != hosts_.at(i).wanted;
    stored.at(i) = hosts_.at(i).wanted;
  }
  return changed;
}

void ReferenceHosts::submitted(uint64_t version, const std::vector<PersistedHost>& stored) {
  // The same state once more brings nothing new, whichever of the two is found again.
  if (!in_flight_.empty() && in_flight_.back().hosts == stored) return;
  in_flight_.push_back({version, stored});
}

void ReferenceHosts::durable(uint64_t version) {
  if (in_flight_.size() > 1 && in_flight_.at(1).version <= version) mark(Mark::kSeveralStatesDurable);
  while (!in_flight_.empty() && in_flight_.front().version <= version) {
    const auto& stored = in_flight_.front().hosts;
    for (size_t i = 0; i < hosts_.size() && i < stored.size(); ++i) hosts_.at(i).durable = stored.at(i);
    in_flight_.pop_front();
  }
}

bool ReferenceHosts::surely(size_t host, bool PersistedHost::*set) const {
  if (sabotaged(Canary::kSetsBeforeDurable)) return true;
  return hosts_.at(host).durable.*set &&
         std::all_of(in_flight_.begin(), in_flight_.end(),
                     [&](const InFlight& f) { return host < f.hosts.size() && f.hosts.at(host).*set; });
}
bool ReferenceHosts::perhaps(size_t host, bool PersistedHost::*set) const {
  if (sabotaged(Canary::kSetsBeforeDurable)) return false;
  return hosts_.at(host).durable.*set ||
         std::any_of(in_flight_.begin(), in_flight_.end(),
                     [&](const InFlight& f) { return host < f.hosts.size() && f.hosts.at(host).*set; });
}

std::vector<CountedState> ReferenceHosts::announce(Instant now) const {
  std::vector<CountedState> out(hosts_.size());
  for (size_t i = 0; i < hosts_.size(); ++i) {
    const Host& host = hosts_.at(i);
    CountedState& say = out.at(i);
    say.in_active_set = host.wanted.in_active_set || perhaps(i, &PersistedHost::in_active_set);
    say.in_standby_set = host.wanted.in_standby_set && surely(i, &PersistedHost::in_standby_set);
    if (say.in_standby_set != in_standby_set(host)) mark(Mark::kStatesInFlightDiffer);
    say.leaving = host.leaving;
    say.answers = answers(HostId(i), now);
    say.relays = relays(HostId(i), now);
  }
  return out;
}

}  // namespace clusterd
