// The validated configuration: immutable, the same on every node but for `self`.
//
// src/config reads it from /etc/cluster.d; everything else only looks at it. Whatever stands here has been
// checked: names are unique, indices fit their tables, addresses parse, durations are positive, and the
// timing satisfies the window inequality (`window_is_safe` in core/timing.hpp).
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "base/ids.hpp"
#include "base/time.hpp"

namespace clusterd {

inline constexpr size_t kNodes = 2;
inline constexpr size_t kMaxLinks = 8;
inline constexpr size_t kMaxHosts = 16;
inline constexpr size_t kMaxServices = 24;
inline constexpr size_t kMaxMirrorsPerService = 16;

// How fast a cluster looks and how long it waits. Documented in docs/safety.md (S1, S2).
struct Timing {
  std::string profile = "steady";
  Duration heartbeat{};        // h: between two heartbeats on each link
  Duration lease{};            // L: how long evidence permits to be active, from when it was sent
  Duration window{};           // W: silence before a standby may take over, from the last receipt
  Duration gate_latency{};     // F: between the deadline and the last packet through the gate
  double clock_error = 0.001;  // rho: relative error of the nodes' clock rates
  Duration probe_slow = std::chrono::seconds(1);  // between probes of a reference host while all is well
  Duration settle = std::chrono::seconds(2);      // how long better reachability must last before a handover
  Duration host_gone = std::chrono::seconds(60);  // silence after which a reference host stops counting
  Duration host_back = std::chrono::seconds(10);  // answering for this long lets it count again
};

struct Nic {
  std::string name;  // as the kernel calls it: "eth0"
  auto operator<=>(const Nic&) const = default;
};

// One node's end of a link: the NIC and the node's own address on it.
struct LinkEnd {
  std::string nic;
  Prefix address;
};

// One heartbeat path: a pair of addresses on one network. Named as in the node tables ("service",
// "heartbeat").
struct LinkConfig {
  std::string name;
  std::array<LinkEnd, kNodes> ends;
};

struct NodeConfig {
  std::string name;
  std::optional<std::string> redundant_nic;  // spare NIC, down until needed (mac = "redundant")
};

enum class ProbeKind : uint8_t { kIcmp, kArp, kTcp };

struct HostConfig {
  std::string text;  // as written: "192.168.1.1", "arp://192.168.1.9", "tcp://192.168.1.10:53"
  ProbeKind kind = ProbeKind::kIcmp;
  IpAddress address;
  uint16_t port = 0;           // kTcp only
  std::optional<LinkId> link;  // the link whose network holds the address, if one does
};

// How a service's layer-2 identity moves.
enum class MacMode : uint8_t {
  kVirtual,    // a macvlan with the service's own MAC on the service NIC
  kRedundant,  // the node's spare NIC takes the service's MAC and addresses, and is down on the standby
  kNone,       // the addresses go on the service NIC; only announcements tell the neighbours
};

// A resource agent (API 1.0 and 1.1 of the Open Cluster Framework) and what it is told.
struct OcfConfig {
  std::string provider, type;  // "heartbeat", "Dummy": /usr/lib/ocf/resource.d/heartbeat/Dummy
  std::map<std::string, std::string> parameters;  // may hold passwords: never shown
  Duration monitor_every = std::chrono::seconds(10);
  Duration monitor_timeout = std::chrono::seconds(20);
  unsigned monitor_depth = 0;  // OCF_CHECK_LEVEL

  [[nodiscard]] std::string text() const { return "ocf:" + provider + ":" + type; }
};

// A file system that is mounted where the service is active.
struct MountConfig {
  std::string what, where, type;  // an empty type: mount(8) finds it out
  std::string options;            // as in /etc/fstab; empty = none
};

// One member of a service that is started and stopped.
struct UnitConfig {
  enum class Kind : uint8_t {
    kSystemd,  // `name` is the systemd unit
    kCommand,  // start / stop / status commands; a pid file makes a crash an event
    kRun,      // one command that stays in the foreground
    kOcf,      // a resource agent
    kLsb,      // an init script: its three commands, as for kCommand
    kMount,    // a file system
  };
  Kind kind = Kind::kSystemd;
  std::string name;
  std::string start, stop, status;  // kCommand, kLsb: shell commands; kRun: `start` is the command
  std::string pid_file;             // kCommand, optional
  std::string script;               // kLsb: its path
  OcfConfig ocf;                    // kOcf
  MountConfig mount;                // kMount
  Duration start_timeout = std::chrono::seconds(30);
  Duration stop_timeout = std::chrono::seconds(30);
};

struct CheckConfig {
  enum class Kind : uint8_t {
    kTcp,      // a connection is made
    kCommand,  // exit code 0
    kHttp,     // an answer with the right status and body
    kDns,      // a name server answers a question
    kProcess,  // a process lives
    kUnit,     // a systemd unit is active
    kOcf,      // the agent of a unit of the service says so when it looks deeper
  };
  Kind kind = Kind::kTcp;
  std::string text;   // as shown: "tcp 445", "command /usr/bin/…"
  uint16_t port = 0;  // kTcp, kHttp, kDns: on the service's first address, or on `address`; 0: the usual one
  std::optional<IpAddress> address;
  std::string command;  // kCommand
  // kHttp: the URL; kDns: the name that is asked for; kProcess: a program's name or the path of a pid file;
  // kUnit: the systemd unit; kOcf: the name of the unit.
  std::string target;
  unsigned status_least = 200, status_most = 399;  // kHttp: good answers
  std::string body;                                // kHttp: what the answer contains; empty = anything
  bool verify = true;                              // kHttp: the certificate must be valid
  std::string record = "A";                        // kDns: the type that is asked for
  std::string answer;                              // kDns: one of the answers; empty = any
  unsigned depth = 10;                             // kOcf: OCF_CHECK_LEVEL
  Duration every = std::chrono::seconds(2);
  Duration timeout = std::chrono::seconds(5);
  Duration grace = std::chrono::seconds(10);  // after a start, failures do not count yet
  unsigned failures = 3;                      // in a row, before the service counts as failed
};

// How a mirror carries owners and groups.
enum class Ids : uint8_t {
  kNumeric,  // as numbers: right where both nodes have given the same ones
  kName,     // as names, which each node knows by its own numbers
};

struct MirrorConfig {
  std::string name;                // unique within the service; "1", "2", … unless given
  std::vector<std::string> paths;  // absolute; a directory ends with "/"
  std::vector<std::string> exclude;
  bool live = false;   // follows every change (docs/mirror.md); otherwise rsync on a schedule
  bool guard = false;  // on the standby its folders are read-only for everybody but the mirror
  Duration every = std::chrono::minutes(5);  // live: between two compares for safety's sake
  bool remove = true;                        // delete at the target what vanished at the source
  Ids ids = Ids::kNumeric;                   // kName: live mirrors only
  bool whole_file = false;                   // save CPU: no deltas
  bool compress = false;
  uint64_t bandwidth = 0;  // bytes per second, 0 = no limit
  Duration keep_backups = std::chrono::hours(24 * 30);
  uint64_t max_backups = 0;                  // bytes, 0 = no limit
  Duration scrub_every{};                    // live: contents are compared that often; 0 = only when told to
  uint64_t scrub_rate = uint64_t{20} << 20;  // bytes per second, on each node
  // Other target than the peer (an off-site copy): "user@host:/path/". Never a source of a resync.
  std::optional<std::string> to;
};

struct RestartBudget {
  unsigned restarts = 3;
  Duration within = std::chrono::minutes(10);
};

// What of a service's work is felt outside of its node.
enum class Effects : uint8_t {
  kAddress,  // only what leaves through its addresses: the gate silences it
  kNode,     // more (mail that goes out, shared storage): its units must be known to have ended
};

enum class Failback : uint8_t { kManual, kAuto };

struct ServiceConfig {
  std::string name;
  std::optional<NodeId> prefer;
  std::vector<Prefix> addresses;
  LinkId link;  // the link whose NIC carries the addresses
  MacMode mac = MacMode::kVirtual;
  MacAddress mac_address;  // unused with kNone
  std::vector<UnitConfig> units;
  std::vector<CheckConfig> checks;
  std::vector<MirrorConfig> mirrors;
  bool hot = false;  // units run on both nodes; only the addresses move
  Effects effects = Effects::kAddress;
  Failback failback = Failback::kManual;
  // kAuto, and before a service leaves one that it is to be apart from: the peer must have been well for this
  // long.
  Duration failback_after = std::chrono::seconds(30);
  RestartBudget budget;
  // Relations to other services, complete (core/relations.hpp): the rest of its group, which is on the same
  // node; those that it should not share a node with; those that are active before it starts.
  std::vector<ServiceId> with, apart_from, after;
};

struct NotifyConfig {
  std::string command;  // called for each notice; empty = none
  std::string mail;     // address for the local sendmail program; empty = none
};

// Site's own ifup/ifdown, called with the service, the NIC and the addresses in the environment.
struct HookConfig {
  std::string up, down;
  Duration timeout = std::chrono::seconds(10);
};

struct SshConfig {
  std::string user = "root";
  std::string identity;     // private key; empty = ssh's own default
  std::string known_hosts;  // empty = ssh's own default
  uint16_t port = 22;
};

// A watchdog device, the same on both nodes: it resets the machine that is not petted within its timeout.
struct WatchdogConfig {
  std::string device = "/dev/watchdog";
  Duration timeout = std::chrono::seconds(10);
  bool fake = false;  // a FIFO, for tests
};

// How one node is switched off by the other: a fence agent (stdin "name=value", as in the Debian package
// fence-agents) and what it is told.
struct FenceConfig {
  std::string agent;                              // absolute path of the program
  std::map<std::string, std::string> parameters;  // may hold passwords: never shown
  Duration timeout = std::chrono::seconds(30);    // for each call of the agent; then it is killed
  Duration delay{};                               // before this node is switched off
};

// The always mirror: files of the site that are the same on both nodes, wherever they are edited
// (docs/decisions/0015). A directory ends with "/". Empty: there is none.
struct AlwaysConfig {
  std::vector<std::string> paths, exclude;
};

enum class Rejoin : uint8_t { kAuto, kManual };

struct Config {
  std::string cluster;
  NodeId self;
  std::array<NodeConfig, kNodes> nodes;
  std::vector<LinkConfig> links;
  std::vector<HostConfig> hosts;
  std::vector<ServiceConfig> services;
  Timing timing;
  bool relay = true;
  Rejoin rejoin = Rejoin::kAuto;
  unsigned max_takeovers_per_hour = 4;
  uint16_t port = 7410;         // UDP, heartbeats
  uint16_t mirror_port = 7411;  // TCP, live mirrors
  std::string secret_file;      // 32 bytes in hex
  NotifyConfig notify;
  HookConfig hooks;
  SshConfig ssh;
  AlwaysConfig always;
  std::optional<WatchdogConfig> watchdog;
  std::array<std::optional<FenceConfig>, kNodes> fences;  // per node: how that node is switched off
  uint64_t hash = 0;                                      // over everything that both nodes must share (S12)
  // What the hash covers, one readable line per setting ("services/web.toml: mac = virtual"): exchanged and
  // compared when the hashes differ, so that an error can say which lines differ.
  std::vector<std::string> hashed_lines;

  [[nodiscard]] NodeId peer() const { return NodeId(1 - self.at()); }
  [[nodiscard]] const NodeConfig& node(NodeId id) const { return nodes.at(id.at()); }
  [[nodiscard]] const ServiceConfig& service(ServiceId id) const { return services.at(id.at()); }
  // How the peer is switched off; nullptr: not at all.
  [[nodiscard]] const FenceConfig* peer_fence() const {
    const auto& fence = fences.at(peer().at());
    return fence ? &*fence : nullptr;
  }
  [[nodiscard]] const LinkConfig& link(LinkId id) const { return links.at(id.at()); }
  [[nodiscard]] const HostConfig& host(HostId id) const { return hosts.at(id.at()); }
};

}  // namespace clusterd
