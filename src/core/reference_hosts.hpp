// Reference hosts: when each one answered, and the counted sets S_A and S_B (S2).
//
// Evidence. An answer counts from when its probe was *sent*. `steady_since` is the begin of the current run
// of answered probes without a gap of more than 2.5 fast probe periods. Before a standby takes over, every
// host of its S_B must be *conclusive*: its run has lasted for the peer's longest possible lease while the
// peer was silent, counted up to the newest answered probe and not up to now. Whatever the peer has renewed
// its lease by, it did so before the run or before the silence, so the lease was over when that probe was
// sent; what the host does after that, in the 2.5 periods for which its last answer counts, renews nothing
// any more.
//
// Counted sets. Each node has its own S_A (any answer of a member may renew its lease) and S_B (all members
// must answer before it takes over). The invariant is S_A(x) is a subset of S_B(y) for x != y, at every
// instant, through crashes and lost, late and reordered heartbeats:
//
//   leave S_A   stop using it at once; announce it only when it is durable
//   leave S_B   announce `leaving`; drop only after the peer has acknowledged that announcement in a
//               heartbeat that says "not in my S_A"
//   enter S_B   announce it only when it is durable
//   enter S_A   only while the newest heartbeat of the peer says "in my S_B, not leaving"; announce at once,
//               use it only when it is durable and the peer still says so
//
// "Durable" speaks of what a crash leaves behind: while several states are on their way to the disk, any of
// them may be the one that is found again. So a host is announced in S_A if any of them has it there, and in
// S_B only if all of them have.
//
// A host leaves when neither node has got an answer for `host_gone`, and never as the last one of a set:
// when all hosts vanish together, the fault is ours rather than theirs.
#pragma once

#include <deque>
#include <vector>

#include "core/config.hpp"
#include "core/heartbeat.hpp"
#include "core/persisted_state.hpp"

namespace clusterd {

class ReferenceHosts {
 public:
  ReferenceHosts(const Config& config, const PersistedState& state);

  void answered(HostId host, Instant sent);
  void relayed(HostId host, Instant now);

  // Time since the newest answered probe was sent is below three slow probe periods.
  [[nodiscard]] bool answers(HostId host, Instant now) const;
  [[nodiscard]] bool relays(HostId host, Instant now) const;
  // A host that answers has not answered a slow probe in time: it is asked with every heartbeat until it
  // answers or counts as silent. A lossy network loses single probes all the time, and three in a row every
  // few minutes; it does not lose twenty.
  [[nodiscard]] bool answer_is_late(Instant now) const;
  [[nodiscard]] Instant last_answer(HostId host) const { return hosts_.at(host.at()).last_sent; }
  [[nodiscard]] unsigned count_answering(Instant now) const;

  // The sets as they count on this node now.
  [[nodiscard]] bool in_active_set(HostId host) const { return in_active_set(hosts_.at(host.at())); }
  [[nodiscard]] bool in_standby_set(HostId host) const { return in_standby_set(hosts_.at(host.at())); }

  [[nodiscard]] bool any_in_active_set() const;

  // When the newest answered probe to a member of S_A was sent: the lease may run from there.
  [[nodiscard]] Instant lease_evidence() const;
  // True if S_B is not empty and each member is conclusive: the peer is silent since `silent_since`, and
  // `lease` is the longest for which it may go on without new evidence.
  [[nodiscard]] bool all_conclusive(Instant silent_since, Duration lease, Instant now) const;
  // The members of S_B that are not: for "does not take over, because …".
  [[nodiscard]] std::vector<HostId> not_conclusive(Instant silent_since, Duration lease, Instant now) const;
  // The earliest probe whose answer can make all of them conclusive, if none before it goes unanswered.
  [[nodiscard]] Instant conclusive_at(Instant silent_since, Duration lease) const;

  // Moves hosts in and out of the sets. Called with each new heartbeat of the peer.
  // Returns true if `state().hosts` has changed and must be persisted.
  bool review(Instant now, const Heartbeat& peer, uint64_t acked_sequence, uint64_t next_sequence,
              std::vector<PersistedHost>& stored);
  // `stored` is on its way to the disk as this version: from now on until a later version is durable, a crash
  // may bring it back.
  void submitted(uint64_t version, const std::vector<PersistedHost>& stored);
  // This version, and all before, are on disk now.
  void durable(uint64_t version);

  // What the heartbeat says of each host.
  [[nodiscard]] std::vector<CountedState> announce(Instant now) const;

  // Everything that a snapshot of the node must hold (core/node_snapshot.cpp).
  template <class Archive>
  void fields(Archive& archive) {
    archive(hosts_, in_flight_);
    archive.same_size(hosts_, config_->hosts);
  }

 private:
  struct Host {
    Instant last_sent = kLongAgo;     // newest answered probe
    Instant steady_since = kLongAgo;  // begin of the run without gaps
    Instant last_relayed = kLongAgo;
    Instant both_silent_since = kLongAgo;  // kLongAgo: not both silent
    Instant both_answer_since = kLongAgo;  // kLongAgo: not both answering
    PersistedHost wanted, durable;
    bool leaving = false;
    uint64_t leaving_sequence = 0;  // first heartbeat that announces it
  };

  void note_presence(Host& host, bool here, bool peer, Instant now) const;
  [[nodiscard]] bool in_active_set(const Host& host) const;
  [[nodiscard]] bool in_standby_set(const Host& host) const;
  [[nodiscard]] size_t active_members() const;
  [[nodiscard]] size_t standby_members() const;
  // True if every state that a crash could bring back (durable or in flight) has this host in the set.
  [[nodiscard]] bool surely(size_t host, bool PersistedHost::*set) const;
  [[nodiscard]] bool perhaps(size_t host, bool PersistedHost::*set) const;

  struct InFlight {
    uint64_t version = 0;
    std::vector<PersistedHost> hosts;
  };

  const Config* config_;
  std::vector<Host> hosts_;
  std::deque<InFlight> in_flight_;  // oldest first; grows only while the disk does not answer
};

}  // namespace clusterd
