// One simulated server: what survives the daemon (its kernel), what survives the power (its disk), and how it
// misbehaves.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <optional>
#include <set>
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

// What a daemon's life has brought so far, as the world knows it: for the judge.
struct Life {
  BootId boot;
  std::array<Instant, 1024> sent_at{};  // own clock, by heartbeat
  Instant evidence = kLongAgo;          // own clock: when the newest evidence was sent
  Instant inherited = kLongAgo;         // the longest gate that its predecessor left
  uint64_t evidence_sequence = 0;       // newest own heartbeat that the peer has acknowledged
  bool heard = false;                   // the peer
  uint64_t hash = 0;                    // of the configuration that it has read
  uint64_t heard_sequence = 0, heard_hash = 0;
  bool forced = false;           // ordered to serve without evidence
  bool restarting = false;       // ordered to prepare a restart: its lease may be as long as a promise
  std::vector<bool> was_active;  // by its disk, at its start; per service
};

struct Machine {
  bool powered = false;
  bool frozen = false;  // the daemon stands still
  bool paused = false;  // the whole (virtual) machine stands still, its clock too
  bool host_rebooted = true;
  std::optional<Node> node;  // the daemon, if it runs
  uint64_t life = 0;         // counts daemons, so that a dead one's events are dropped
  uint64_t boots = 0;
  Life now;
  Kernel kernel;
  Disk disk;
  NodeClock clock;
  std::map<std::string, bool> nic_up;
  BootId proven;                          // latest life of the peer that this daemon has heard
  std::deque<Event> waiting;              // while frozen
  Instant timer = kNever;                 // of the world
  std::map<size_t, Behaviour> behaviour;  // per service
  std::set<size_t> lied;                  // services of which a unit said wrongly that it had stopped
  CrashPoint crash;
  uint64_t config_hash = 1;
  uint64_t takeovers = 0;           // told since the beginning
  unsigned undamped = 0;            // … since an administrator released the node
  bool unlocked = false;            // an administrator did so, and the disk does not have it yet
  bool damping_unsure = false;      // its civil time jumped, or its disk forgot
  std::vector<bool> told_diverged;  // per service
};

}  // namespace clusterd::sim
