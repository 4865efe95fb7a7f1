// What a node must still know after a crash. Written by the port `StateStore` with fsync, read once at start.
//
// Names, not indices, are the keys on disk, so that a changed configuration cannot give one service the
// epochs of another; the store translates. Losing this file is survivable (S6: the node then waits for its
// peer), believing a damaged one is not: the store checks it.
#pragma once

#include <string>
#include <vector>

#include "base/ids.hpp"
#include "base/time.hpp"

namespace clusterd {

struct PersistedService {
  Epoch epoch;       // latest activation known of, here or at the peer
  Epoch data_epoch;  // epoch whose files are complete on this disk
  // Epoch reserved for an activation that may have begun: fsynced before the activation, cleared after. If a
  // crash leaves it set, nobody knows whether this node served; it then waits for its peer (S6).
  Epoch claimed;
  // True from the activation until this node has stopped in good order or learnt of a successor.
  bool active = false;
  std::vector<Epoch> lineage;  // of data_epoch, newest first, data_epoch included; at most kMaxLineage
  bool diverged = false;  // both nodes were active from the same ancestor; until the administrator says so
  bool blocked = false;   // failed here beyond its budget; until `clusterctl online`
  std::vector<std::string> halted_mirrors;  // names of mirrors that wait for `clusterctl mirror confirm`
  bool operator==(const PersistedService&) const = default;
};

// Membership in the counted sets (S2), as announced: additions before, removals after they hold.
struct PersistedHost {
  bool in_active_set = false;
  bool in_standby_set = true;
  bool operator==(const PersistedHost&) const = default;
};

struct PersistedState {
  std::vector<PersistedService> services;  // per ServiceId
  std::vector<PersistedHost> hosts;        // per HostId
  bool locked = false;
  std::string lock_reason;
  bool peer_faulty = false;         // the peer was judged faulty and is to be locked when it returns
  bool peer_watchdog = false;       // the peer said last that its watchdog is armed
  std::vector<WallTime> takeovers;  // of the last hour, oldest first (S11)
  uint64_t notice_sequence = 0;     // number of the last notice sent
  bool operator==(const PersistedState&) const = default;
};

}  // namespace clusterd
