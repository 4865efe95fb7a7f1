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

#include "core/challenge.hpp"
#include "core/node.hpp"
#include "core/unnumbered_probes.hpp"
#include "sim/clock.hpp"

namespace clusterd::sim {

enum class Behaviour : uint8_t {
  kGood,
  kFailsToStart,
  kMissing,        // cannot be started on this node, and knows it
  kMisconfigured,  // nor on the other one
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

// What the fence device of a machine does when it is told to switch it off.
enum class FenceFault : uint8_t {
  kNone,
  kFails,   // the agent ends with an error
  kSilent,  // the agent does not answer
  kLate,    // says that it was done; the machine goes off much later, and the status tells the truth
  kLies     // says that it is off, and it is not: against assumption A6
};

// A watchdog device: runs by its own clock, on whatever the daemon does, until the power is cut.
struct WatchdogDevice {
  bool works = true;     // it can be opened
  bool running = false;  // since it was opened
  bool open = false;     // by the daemon that runs
  bool due = false;      // it has bitten while the machine stood still
  double error = 0;      // of its own clock
  uint64_t pets = 0;     // a later pet takes the effect of an earlier one's deadline
};

struct Kernel {                // survives the daemon, not the power
  std::vector<Instant> gates;  // deadlines by the node's own clock
  std::vector<bool> addresses;
  std::vector<std::vector<bool>> units;
  std::vector<bool> guards;  // the service's mirrored folders are read-only
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
  bool damaged = false;                   // what a start would find is not what was written
  bool fills_at_claim = false;            // … once the next claim of an epoch is on it
  bool loses_power_at_sets = false;       // while the next change of the counted sets is on its way to it
  bool power_is_cut = false;              // … which it is now
};

// The process is ended at the n-th boundary between two actions from now on.
struct CrashPoint {
  unsigned boundaries = 0;  // 0: none is planned
  bool power = false;       // the whole machine, not just the daemon
};

// What a daemon's life has brought so far, as the world knows it: for the judge.
struct Life {
  BootId boot;
  std::array<Instant, 1024> sent_at{};   // own clock, by heartbeat
  Instant evidence = kLongAgo;           // own clock: when the newest evidence was sent
  Instant inherited = kLongAgo;          // the longest gate that its predecessor left
  uint64_t evidence_sequence = 0;        // newest own heartbeat that the peer has acknowledged
  bool heard = false;                    // the peer
  std::vector<UnnumberedProbes> probes;  // per host: those by ARP
  std::vector<Instant> answered;         // per host, by ARP: the newest probe that really was answered
  Instant quiet_since = kLongAgo;        // own clock: last sign of life of the peer, or its own start
  Duration late{};                       // the last time that the daemon stood still: for so long …
  Instant late_at = kLongAgo;            // … until then, by its own clock
  uint64_t hash = 0;                     // of the configuration that it has read
  uint64_t heard_sequence = 0, heard_hash = 0;
  std::vector<Role> heard_roles;       // what the peer last said that it is; per service
  bool forced = false;                 // ordered to serve without evidence
  bool fenced_peer = false;            // was told that the peer is off, and has not heard it since
  bool restarting = false;             // ordered to prepare a restart: its lease may be as long as a promise
  bool holds_back = false;             // ordered to take nothing over from a silent peer
  bool leaving = false;                // was ordered to stop its services
  std::set<size_t> hands_over;         // services that it has stopped in good order, to let go of them
  std::vector<uint64_t> guard_orders;  // per service: how many there were
  std::vector<bool> was_active;        // by its disk, at its start; per service
  struct Epochs {
    Epoch used, claim;
  };
  std::vector<Epochs> submitted;    // to its disk; per service
  std::vector<ServiceReport> said;  // in its newest heartbeat; per service
};

// What a host answers by ARP: it does not say to which probe, which is found out when it is read.
struct UnnumberedAnswer {
  AskedAs as = AskedAs::kOwnAddress;
  Instant received;  // own clock
};

// What comes to a daemon. The words are those of a heartbeat's datagram, which is judged when it is read.
struct Arrival {
  Event event;
  Challenge::Words words;
  std::optional<UnnumberedAnswer> unnumbered = std::nullopt;  // the event says what it really answers
};

// A unit that does not answer to its start.
struct Hung {
  size_t unit = 0;
  Instant since;      // by the machine's clock
  uint64_t life = 0;  // of the daemon that waits for it
  bool given_up = false;
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
  WatchdogDevice watchdog;
  FenceFault fence = FenceFault::kNone;   // of the device that switches this machine off
  std::optional<Challenge> challenge;     // of the daemon that runs
  std::deque<Arrival> waiting;            // while frozen
  Instant timer = kNever;                 // of the world
  std::map<size_t, Behaviour> behaviour;  // per service
  std::set<size_t> lied;                  // services of which a unit said wrongly that it had stopped
  std::map<size_t, Hung> hung;            // per service
  CrashPoint crash;
  uint64_t config_hash = 1;
  uint64_t takeovers = 0;           // told since the beginning
  unsigned undamped = 0;            // … since an administrator released the node
  unsigned unstored = 0;            // … of which its disk does not know yet
  unsigned unlocked = 0;            // so often by administrators, which the disk does not have yet
  uint64_t put_aside = 0;           // the latest order of a standby lock that no later order has released
  bool lock_durable = false;        // … the lock has been on disk since
  bool damping_unsure = false;      // its civil time jumped, or its disk forgot
  std::vector<bool> told_diverged;  // per service
};

}  // namespace clusterd::sim
