// One simulated server: what survives the daemon (its kernel), what survives the power (its disk), and how it
// misbehaves.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/node.hpp"
#include "sim/clock.hpp"

namespace clusterd::sim {

enum class Behaviour : uint8_t {
  kGood,
  kFailsToStart,
  kRefusesToStop,
  kHangs,  // neither starts nor stops nor answers
  kLies,   // says that it has stopped, and goes on
};

enum class DiskFault : uint8_t {
  kNone,
  kFull,    // refuses writes
  kSlow,    // fsync takes seconds
  kForgets  // acknowledges writes and keeps them in memory: against assumption A3
};

struct Kernel {                // survives the daemon, not the power
  std::vector<Instant> gates;  // deadlines by the node's own clock
  std::vector<bool> addresses;
  std::vector<std::vector<bool>> units;
};

// The state store: the state that a start would find, and what is on its way there.
struct Disk {
  PersistedState state;
  struct Write {
    uint64_t version = 0;
    PersistedState state;
  };
  std::deque<Write> in_flight;  // oldest first
  DiskFault fault = DiskFault::kNone;
  std::optional<PersistedState> platter;  // kForgets: what is really there
  std::deque<PersistedState> old;         // earlier states, for a restored snapshot
};

// The process is ended at the n-th boundary between two actions from now on.
struct CrashPoint {
  unsigned boundaries = 0;  // 0: none is planned
  bool power = false;       // the whole machine, not just the daemon
};

struct Machine {
  bool powered = false;
  bool frozen = false;  // the daemon stands still
  bool paused = false;  // the whole (virtual) machine stands still, its clock too
  bool host_rebooted = true;
  std::optional<Node> node;  // the daemon, if it runs
  uint64_t life = 0;         // counts daemons, so that a dead one's events are dropped
  uint64_t boots = 0;
  Kernel kernel;
  Disk disk;
  NodeClock clock;
  std::map<std::string, bool> nic_up;
  BootId proven;                          // latest life of the peer that this daemon has heard
  std::deque<Event> waiting;              // while frozen
  Instant timer = kNever;                 // of the world
  std::map<size_t, Behaviour> behaviour;  // per service
  CrashPoint crash;
  uint64_t config_hash = 1;
  uint64_t notices = 0, takeovers = 0;  // told since the beginning
  std::vector<bool> told_diverged;      // per service
};

}  // namespace clusterd::sim
