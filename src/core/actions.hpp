// Everything a node can want done: the output of `Node::step`, and the order in which it is done.
//
// The reactor, the simulator and the transcripts perform one step's actions in the order of the members
// below, from top to bottom:
//
//   1. persist          hand the state to the store. It answers with the event `Persisted`; whatever must not
//                       happen before the state is durable (activation, an announced removal from a counted
//                       set) is not in this step at all: the node asks for it when `Persisted` arrives.
//   2. shut and stop    gates shut first: no packet leaves once it was decided that none may
//   3. send             heartbeats and probes tell the peer of what 2. has done, not of what it will do
//   4. renew            gates that are open stay open until a later instant
//   5. open and start   addresses, units, checks, mirror orders
//   6. tell             log lines, decisions, notices, replies
//
// Every order is idempotent: adding an address that is there, or stopping a unit that does not run, succeeds.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/events.hpp"
#include "core/heartbeat.hpp"
#include "core/persisted_state.hpp"

namespace clusterd {

struct StopUnit {
  ServiceId service;
  UnitId unit;
  bool kill = false;  // the orderly stop failed or timed out: SIGKILL
};
struct StartUnit {
  ServiceId service;
  UnitId unit;
};

struct SendHeartbeat {
  Heartbeat heartbeat;
  std::vector<LinkId> links;
  std::vector<HostId> relays;  // reference hosts to bounce it off (S2a)
};
struct SendProbe {
  HostId host;
  Instant sent;  // the answer's event gives it back; evidence counts from here
};
// Ask the LAN whether anybody answers for the service's addresses (ARP probe, neighbour solicitation).
struct ProbeAddress {
  ServiceId service;
  Instant sent;
};

// The kernel lets the service's packets pass until `deadline`.
struct SetGate {
  ServiceId service;
  Instant deadline;
};

enum class WatchdogOrder : uint8_t {
  kArm,     // open the device, which starts it; answers with WatchdogReport
  kPet,     // an order that is carried out late is not carried out at all (kPetLate in core/timing.hpp)
  kDisarm,  // stop it: nothing runs here any more that has to be ended
};

// Switch the peer off by its fence agent, then ask for its status; answers with FenceReport.
struct FenceOrder {
  uint64_t order = 0;
  NodeId node;
};

struct MirrorOrder {
  ServiceId service;
  MirrorId mirror;
  MirrorReport::Kind kind = MirrorReport::Kind::kRun;
  Epoch epoch;
  bool confirmed = false;  // the administrator confirmed what a halt (S10) asked about
};

enum class Severity : uint8_t { kDebug, kInfo, kNotice, kWarning, kError };

struct LogLine {
  Severity severity = Severity::kInfo;
  std::string text;
};

// A recorded change of mind with its evidence: what `clusterctl why` prints.
struct Decision {
  Instant at{};
  std::optional<ServiceId> service;
  std::string what;                   // "takes over web at epoch 7"
  std::vector<std::string> evidence;  // one plain sentence each
};

// Something a human should know. Delivered in order, each with its number.
struct Notice {
  uint64_t sequence = 0;
  std::string kind;  // "takeover", "link-lost", "node-locked", "resync-done", "mirror-halted", "diverged", …
  Severity severity = Severity::kNotice;
  std::optional<ServiceId> service;
  std::string text;
};

struct Reply {
  uint64_t command = 0;
  bool ok = true;
  std::string text;
  bool permits_only = false;  // a permission, which must not outlive its moment: not held until the disk is
};

struct Actions {
  // 1. persist
  std::optional<PersistedState> persist;
  uint64_t persist_version = 0;
  // 2. shut and stop
  std::vector<ServiceId> shut_gates;
  std::vector<ServiceId> stop_receivers;  // kill whatever the peer's mirror runs are writing here (S8)
  std::vector<ServiceId> lift_guards;     // the service's mirrored folders are writable for everybody again
  std::vector<ServiceId> cancel_mirrors;  // end this node's own mirror runs of the service
  std::vector<ServiceId> stop_checks;
  std::vector<StopUnit> stop_units;
  std::vector<ServiceId> remove_addresses;
  // 3. send
  std::vector<SendHeartbeat> heartbeats;  // one at most; a vector for uniformity
  std::vector<SendProbe> probes;
  std::vector<ProbeAddress> address_probes;
  // 4. and 5. renew, open and start
  std::vector<SetGate> set_gates;  // for renewed and newly opened gates alike
  std::optional<WatchdogOrder> watchdog;
  std::optional<FenceOrder> fence;
  std::vector<ServiceId> add_addresses;
  std::vector<ServiceId> announce;  // gratuitous ARP and unsolicited NA, as a short burst
  std::vector<StartUnit> start_units;
  std::vector<ServiceId> start_checks;
  std::vector<MirrorOrder> mirror_orders;
  std::vector<ServiceId> set_guards;  // … are read-only from now on, but for the mirror
  // 6. tell
  std::vector<LogLine> log;
  std::vector<Decision> decisions;
  std::vector<Notice> notices;
  std::vector<Reply> replies;
  bool exit = false;  // the daemon may end now (clean restart or shutdown)
};

}  // namespace clusterd
