// The heartbeat: everything one node tells the other, and its encoding.
//
// A heartbeat is one datagram, sent unchanged on every link and off every relaying reference host. The
// encoding is fixed-width little-endian with counted lists; `decode` accepts nothing that `encode` could not
// have written. Sealing (AEAD, replay window) is the transport's work (src/linux/seal.hpp); this file is
// pure.
//
// `sequence` grows by one with each heartbeat of a boot id. The receiver remembers the highest one and tells
// it back in `ack`: so the sender knows that its heartbeat `ack.sequence` has arrived, and, from its own
// notes, when that one had been sent. That is the evidence of S1.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/ids.hpp"
#include "base/time.hpp"
#include "core/config.hpp"

namespace clusterd {

// What a node does for a service, as it tells the peer.
enum class Role : uint8_t {
  kStandby,
  kStarting,  // holds the lease and is on its way to active
  kActive,
  kStopping,   // on its way to standby, has not let go yet
  kSuspended,  // was active, its lease ran out: silent, has not let go yet
  kReleased,   // stopped in good order for the peer to take (`release_to` says at which epoch)
  kFailed,     // could not start, or could not stop: needs a human
};

// A reference host in the counted sets of the sender (S2). Node-local: each node has one per host.
struct CountedState {
  bool in_active_set = false;   // member of S_A: an answer may renew this node's lease
  bool in_standby_set = false;  // member of S_B: must answer before this node takes over
  bool leaving = false;         // about to leave S_B; the peer must not add it to its S_A
  bool answers = false;         // seen answering lately
  bool relays = false;          // a heartbeat came through it lately
  bool operator==(const CountedState&) const = default;
};

struct ServiceReport {
  Role role = Role::kStandby;
  Epoch epoch;               // of the latest activation that the sender knows of
  Epoch data_epoch;          // epoch whose files the sender's disk holds completely; = epoch when active
  bool ready = false;        // as a standby: could take over now (not locked, not failed, data complete)
  bool peer_synced = false;  // as the active node: a complete mirror run of this epoch reached the peer
  bool diverged = false;
  bool blocked = false;  // failed here; do not hand it to this node
  bool may_run = false;  // units that are felt beyond the addresses are not known to be down (S13)
  bool guarded = false;  // as a standby: the mirrored folders that are to be read-only are
  bool operator==(const ServiceReport&) const = default;
};

// An order of the administrator that was given on one node and concerns the other.
struct Request {
  enum class Kind : uint8_t { kNone, kMove, kStandby, kOnline, kResync, kStopServices };
  Kind kind = Kind::kNone;
  uint64_t id = 0;       // grows with each request of a boot id
  uint16_t service = 0;  // kMove, kResync
  bool operator==(const Request&) const = default;
};
struct RequestAnswer {
  uint64_t id = 0;  // of the peer's latest request that was seen; 0 = none
  enum class Outcome : uint8_t { kNone, kAccepted, kRefused } outcome = Outcome::kNone;
  std::string reason;  // kRefused; at most 120 bytes
  bool operator==(const RequestAnswer&) const = default;
};

struct Heartbeat {
  NodeId from;
  BootId boot;
  uint64_t sequence = 0;
  struct Ack {
    BootId boot;            // 0 = nothing heard yet
    uint64_t sequence = 0;  // highest heard of that boot id
    bool operator==(const Ack&) const = default;
  } ack;
  uint64_t config_hash = 0;
  WallTime wall{};

  bool locked = false;     // carries the standby lock
  bool lock_peer = false;  // judges the receiver faulty: it has to set its standby lock (rejoin = manual)
  bool leaving = false;    // is shutting down: will not serve again before a new boot id
  bool promise_wanted = false;  // asks the peer not to take over for `promise` (a clean restart)
  bool promise_given = false;   // grants the promise asked for in the heartbeat `ack.sequence` or earlier
  Duration promise{};

  uint8_t links_up = 0;                 // bit per LinkId: this node hears the peer there
  std::vector<CountedState> hosts;      // per HostId
  bool watchdog = false;                // armed: the sender is reset when it is not sane for its bound
  bool service_nic_up = true;           // carrier on every NIC that services need, the spare one included
  std::vector<ServiceReport> services;  // per ServiceId
  // Epochs from which one service's data descends, newest first; one service per heartbeat, in turn. With
  // `kLacksTurn` instead: one number, with a bit for each ServiceId whose members the sender's machine could
  // not run as it is (LackReport). A node that lacks nothing and never did has no such turn; a daemon that
  // does not know of it takes it for a service that it does not have, and passes it over.
  uint16_t lineage_of = 0;
  std::vector<Epoch> lineage;  // at most kMaxLineage
  Request request;
  RequestAnswer answer;

  bool operator==(const Heartbeat&) const = default;
};

inline constexpr size_t kMaxLineage = 16;
inline constexpr uint16_t kLacksTurn = 0xffff;
inline constexpr size_t kMaxHeartbeatBytes = 1100;

[[nodiscard]] std::vector<uint8_t> encode(const Heartbeat& heartbeat);
// nullopt for whatever encode() could not have written: wrong version, lengths, counts, enumerators, rest.
[[nodiscard]] std::optional<Heartbeat> decode(std::span<const uint8_t> bytes);

[[nodiscard]] const char* name(Role role);

}  // namespace clusterd
