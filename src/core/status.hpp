// What a node believes at this moment, for `clusterctl status`, the web page and readiness: a plain picture
// without behaviour. Ages are given as instants; kLongAgo means "never".
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "core/actions.hpp"
#include "core/config.hpp"
#include "core/heartbeat.hpp"

namespace clusterd {

struct LinkStatus {
  bool up = false;
  Instant last_heard = kLongAgo;
};

struct HostStatus {
  bool answers = false;
  bool relays = false;
  Instant last_answer = kLongAgo;  // when the newest answered probe was sent
  CountedState here, at_peer;      // as announced
  // As it counts on this node now (S2): an answer renews the lease; it must answer before a takeover.
  bool renews_lease = false;
  bool must_answer = false;
};

// The guard of one mirror's folders on this node.
struct MirrorGuard {
  enum class State : uint8_t {
    kLifted,   // this node serves, or is about to
    kAwaited,  // ordered, and not in place yet
    kSet,
    kFailed  // it is tried again
  } state = State::kLifted;
  std::string detail;  // kAwaited, kFailed: why; kSet: who can still write, from before
  bool operator==(const MirrorGuard&) const = default;
};

struct MirrorStatus {
  // kFollowing: live, every change is on its way to the peer as it happens.
  // kReceiving: the peer is active and its files come here; `synced` is what the peer says of them.
  enum class State : uint8_t {
    kIdle,
    kRunning,
    kFailed,
    kHalted,
    kNotYet,
    kFollowing,
    kPaused,
    kReceiving
  } state = State::kNotYet;
  Instant last_success = kLongAgo;  // as the source: when the last complete run began
  Instant next_run = kNever;
  bool synced = false;           // a complete run of this epoch has reached the peer
  std::string detail;            // progress, or the cause of a failure or halt
  std::optional<MirrorLag> lag;  // live: as it was `lag_at`
  Instant lag_at = kLongAgo;
  MirrorScrub scrub;  // live: as last told
  std::optional<MirrorReport> last;
  std::optional<MirrorGuard> guard;  // if the mirror has one
};

struct ServiceStatus {
  Role here = Role::kStandby;
  Role at_peer = Role::kStandby;
  bool peer_known = false;
  Epoch epoch, data_epoch;
  bool ready_here = false, ready_at_peer = false;  // for a handover
  // … and also if the active node falls silent: a reference host counts there (S2).
  bool takes_over_here = false, takes_over_at_peer = false;
  // The machine could not run its members as it is. That is said, and hinders nothing: a takeover is tried.
  std::string lacks_here;  // empty: nothing
  bool lacks_at_peer = false;
  bool guarded_here = false, guarded_at_peer = false;  // all mirrors with a guard are read-only there
  bool diverged = false;
  bool blocked_here = false, blocked_at_peer = false;
  bool wants_human = false;
  std::string detail;     // why it is where it is, in a few words: "waits for its peer (started alone)"
  unsigned restarts = 0;  // within the budget's time
  std::vector<UnitReport::Outcome> units;
  std::vector<bool> checks;  // true = good
  std::vector<MirrorStatus> mirrors;
};

struct NodeStatus {
  bool watchdog = false;  // armed, as last said
  bool heard = false;     // always true of the own node
  bool locked = false;
  std::string lock_reason;
  bool leaving = false;
  Instant last_heard = kLongAgo;
  Duration clock_skew{};  // wall clock of the peer minus the own one
};

struct Status {
  NodeId self;
  std::array<NodeStatus, kNodes> nodes;
  std::vector<LinkStatus> links;
  std::vector<HostStatus> hosts;
  std::vector<ServiceStatus> services;
  bool config_differs = false;
  std::string always_stuck;    // what of the always mirror waits for a human; empty: nothing
  bool moves_stopped = false;  // too many takeovers within an hour (S11)
  Instant lease = kLongAgo;    // until when this node may be active
  Duration lateness{};         // by which the own loop was late lately
  // What decides when the peer is silent: "reference", "fence" or "manual"; and what that guarantees.
  std::string mode = "reference";
  std::string guarantee;
  std::string fence;     // how far the fence of the peer is; empty: none is configured
  std::string watchdog;  // the own one, in words; empty: none is configured
  std::optional<Decision> last_decision;
};

}  // namespace clusterd
