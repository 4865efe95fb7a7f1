// Everything that can happen to a node: the input of `Node::step`.
//
// Events are plain facts from the ports. They carry what was observed and never an opinion: whether a silence
// is a failure is decided in the core alone.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/address.hpp"
#include "base/ids.hpp"
#include "core/heartbeat.hpp"

namespace clusterd {

// Always the first event of a daemon's life.
struct Started {
  BootId boot;                // random, new for each start of the daemon
  bool host_rebooted = true;  // the kernel was booted since the state was last written
  WallTime wall{};
  // What the pinned gates of a predecessor still permit, per ServiceId (kLongAgo = shut or none): the lease
  // that a restarted daemon may continue without a gap.
  std::vector<Instant> gate_deadlines;
};

// Time has passed: `Node::next_deadline` is due (or simply later than before).
struct Tick {
  WallTime wall{};
};

// A sealed datagram of the peer was opened and decoded. Exactly one of `link` and `relay` is set.
struct HeartbeatReceived {
  std::optional<LinkId> link;
  std::optional<HostId> relay;  // the reference host off which it bounced
  Heartbeat heartbeat;
};

// An authentic datagram of the peer arrived whose daemon has not yet proven to live (core/challenge.hpp):
// what it says counts for nothing, but the peer may be alive. Exactly one of `link` and `relay` is set.
struct SignOfLife {
  std::optional<LinkId> link;
  std::optional<HostId> relay;
};

// A reference host answered the probe that was sent at `sent` (the instant in `SendProbe`).
struct ProbeAnswered {
  HostId host;
  Instant sent;
};

// Carrier or presence of a NIC that the configuration names. Reported once at start and at each change.
struct NicChanged {
  std::string nic;
  bool up = false;
  std::string detail;  // "no carrier", "missing"
};

// Somebody on the LAN answered for the service's address when it was probed before activation.
struct AddressAnswered {
  ServiceId service;
  IpAddress address;
  MacAddress mac;
  Instant sent;  // when the probe that was answered left
};

// Outcome of `add_addresses`.
struct AddressReport {
  ServiceId service;
  bool ok = false;
  std::string detail;
};

// An address (or the whole NIC) of an active service was taken away by somebody else.
struct AddressLost {
  ServiceId service;
  std::string detail;
};

struct UnitReport {
  ServiceId service;
  UnitId unit;
  enum class Outcome : uint8_t {
    kStarted,      // answers StartUnit; also when it already ran
    kStartFailed,  // answers StartUnit
    kStopped,      // answers StopUnit; verified, also when it did not run
    kStopFailed,   // answers StopUnit; something may still run
    kCrashed,      // spontaneous: it ran, and does not any more
  } outcome = Outcome::kStarted;
  std::string detail;
  // Where it is worth trying again after kStartFailed and kCrashed, as far as the unit itself knows: a
  // program that is not installed does not start at the second try either, and a wrong parameter is wrong on
  // the peer.
  enum class Again : uint8_t { kHere, kElsewhere, kNowhere } again = Again::kHere;
};

struct CheckReport {
  ServiceId service;
  CheckId check;
  bool ok = false;
  std::string detail;
};

// How far the target of a live mirror is behind: what has changed here and is not durable there yet.
struct MirrorLag {
  uint64_t files = 0;
  uint64_t bytes = 0;  // at most: of a file that has changed, all of it
  Duration age{};      // of the oldest such change
  bool operator==(const MirrorLag&) const = default;
};

// How far a live mirror's scrub is: contents are read on both nodes and held against each other.
struct MirrorScrub {
  bool running = false;
  bool ended = false;  // with this very report
  uint64_t files = 0, bytes = 0,
           total = 0;     // compared so far (of so many bytes), or by the last one that ended
  uint64_t differed = 0;  // files whose contents differed unnoticed; they were sent anew
  uint64_t skipped = 0;   // files that were being written meanwhile
  int64_t proved = 0;     // Unix time of the last scrub's begin that found all equal; 0: none yet
  std::string found;      // some of those that differed, in words
  bool operator==(const MirrorScrub&) const = default;
};

// What the mirror process says of an order, or of its own accord (`kProgress`; of a live mirror that follows
// also `kFailed` and `kHalted`).
struct MirrorReport {
  ServiceId service;
  MirrorId mirror;
  Epoch epoch;  // of the order
  enum class Outcome : uint8_t { kProgress, kDone, kFailed, kHalted } outcome = Outcome::kDone;
  // Of the order; of its own accord: of the last order. kFollow is for live mirrors: from now on what changes
  // is noted, though there is nobody to send it to. kScrub, too, is for live mirrors: contents are compared
  // beside everything else. kPause, too: nothing is sent until the next order.
  // Those three have no final report.
  enum class Kind : uint8_t { kRun, kResync, kFlush, kFollow, kScrub, kPause } kind = Kind::kRun;
  uint64_t files = 0;      // copied or changed at the target
  uint64_t bytes = 0;      // sent
  uint64_t removed = 0;    // deleted at the target
  uint64_t backed_up = 0;  // kept in the backup set (kResync)
  uint64_t lost = 0;       // files in the loss report (kResync)
  std::string backup_set;  // its name at the target, empty if nothing was kept
  std::string detail;      // cause of kFailed and kHalted, or what is going on
  MirrorLag lag;           // live mirrors
  MirrorScrub scrub;       // live mirrors
};

// What this machine lacks to run the members of a service, in words; empty: nothing. Told at the start, and
// at each change.
struct LackReport {
  ServiceId service;
  std::string lacks;
};

// What has become of the order to guard a service's mirrored folders: once in the end, and whenever it
// changes while the order stands.
struct GuardReport {
  ServiceId service;
  MirrorId mirror;
  enum class Outcome : uint8_t {
    kSet,     // all folders of the mirror are read-only
    kAbsent,  // a folder is not there yet; it is guarded once it is
    kFailed   // it is tried again
  } outcome = Outcome::kSet;
  std::string detail;  // kSet: who can still write, from before; otherwise the folder, or the cause
  bool operator==(const GuardReport&) const = default;
};

// Answers WatchdogOrder::kArm, and tells of a pet that did not arrive.
struct WatchdogReport {
  bool armed = false;  // it runs, with a timeout that is no longer than the configured one
  std::string detail;  // its name; or why it is not armed, or could not be petted
};

// What became of a FenceOrder: facts, which the core judges.
struct FenceReport {
  uint64_t order = 0;
  bool off_done = false;  // the agent's `off` ended with success
  enum class Power : uint8_t { kUnknown, kOn, kOff } power = Power::kUnknown;  // by its `status`, after that
  std::string detail;  // what the agent said, without passwords
};

// The state of `persist_version` (and all before) is on disk.
struct Persisted {
  uint64_t version = 0;
  bool ok = true;  // false: the disk refused; nothing of it may be relied on
  std::string detail;
};

// An order of the administrator, or of a helper on this host, that came in over the control socket.
struct Command {
  enum class Kind : uint8_t {
    kMove,            // service [, node]: hand the service over to the node
    kStandby,         // node: put it aside (move everything away, set the standby lock)
    kOnline,          // node: release the standby lock and what else was blocked after failures
    kStartForce,      // service or all: start here without knowing of the peer (S6)
    kResync,          // service: compare and copy everything to the standby now
    kMirrorRun,       // service: run the scheduled mirror now
    kMirrorConfirm,   // service, text = mirror: a halted mirror may go on with what it finds
    kMirrorReceive,   // service, text = mirror, epoch: a peer's mirror run asks to write here (S8)
    kAcceptDiverged,  // service: the administrator has seen the divergence
    kStopServices,    // hand everything over, or stop it where nobody takes it: before a shutdown
    kPrepareRestart,  // ask the peer for a promise, then the daemon may exit with its services running
    kHoldBack,        // a new configuration is on its way to both nodes: take nothing over from a silent peer
    kHoldBackNoMore,  // both nodes have the same one again
    kMirrorScrub,     // service [, text = mirror]: compare contents now
    kMirrorPause,     // service [, text = mirror]: nothing is carried over …
    kMirrorResume,    // … until it goes on
    kAlwaysStuck,     // text: what of the always mirror waits for a human; empty: nothing any more
  } kind = Kind::kMove;
  uint64_t id = 0;  // the Reply carries it
  std::optional<ServiceId> service;
  std::optional<NodeId> node;
  std::string text;
  Epoch epoch;
};

using Event = std::variant<Started, Tick, HeartbeatReceived, SignOfLife, ProbeAnswered, NicChanged,
                           AddressAnswered, AddressReport, AddressLost, UnitReport, CheckReport, MirrorReport,
                           Persisted, Command, WatchdogReport, FenceReport, LackReport,
                           GuardReport>;

}  // namespace clusterd
