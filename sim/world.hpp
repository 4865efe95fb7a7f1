// A small deterministic world for two production nodes: one thread, one clock, no system call.
//
// Two `Node`s run on simulated kernels (gates, addresses, units), disks (fsync takes a moment), links, and
// reference hosts that answer probes and bounce relayed heartbeats. Everything happens through one event
// queue ordered by time, so the same commands give the same trace. The transcripts (tests/script) are written
// against it.
//
// The world is as large as its configuration: any links, NIC names, services and units. A NIC that is down
// takes every link with it that has an end there, and the reference hosts on their networks.
//
// The oracle does not ask the nodes: after each event it looks at the kernels, and counts how many would let
// a packet of a service's address out at this instant. More than one is a violation.
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/node.hpp"

namespace clusterd::sim {

enum class Behaviour : uint8_t { kGood, kFailsToStart, kRefusesToStop };

struct Kernel {  // survives the daemon, not the power
  std::vector<Instant> gates;
  std::vector<bool> addresses;
  std::vector<std::vector<bool>> units;
};

struct Machine {
  bool powered = false;
  bool frozen = false;
  bool host_rebooted = true;
  std::optional<Node> node;  // the daemon, if it runs
  uint64_t life = 0;         // counts daemons, so that a dead one's events are dropped
  Kernel kernel;
  PersistedState disk;
  bool disk_good = true;
  std::map<std::string, bool> nic_up;
  std::deque<Event> waiting;  // while frozen
  Instant timer = kNever;
  std::map<size_t, Behaviour> behaviour;  // per service
};

class World {
 public:
  explicit World(Config config);

  // Lets time pass; everything that falls due happens.
  void run(Duration span);
  [[nodiscard]] Instant now() const { return now_; }

  void power_on(NodeId id);
  void power_off(NodeId id);
  void kill_daemon(NodeId id);
  void start_daemon(NodeId id);
  void freeze(NodeId id);
  void thaw(NodeId id);
  void set_nic(NodeId id, const std::string& nic, bool up);
  void set_link(LinkId link, bool up);      // between the nodes only
  void set_one_way(NodeId from, bool cut);  // nothing that `from` sends reaches the peer directly
  void set_host(HostId host, std::optional<NodeId> as_seen_by, bool up);
  void set_relays(bool work) { relays_work_ = work; }
  void set_stranger(bool answers) { stranger_ = answers; }
  void set_mirror(MirrorReport::Outcome outcome) { mirror_outcome_ = outcome; }
  void set_disk(NodeId id, bool good) { at(id).disk_good = good; }
  void set_behaviour(NodeId id, ServiceId service, Behaviour b) { at(id).behaviour[service.at()] = b; }
  void crash_unit(NodeId id, ServiceId service, UnitId unit = UnitId(0));
  void lose_address(NodeId id, ServiceId service);
  void wipe_disk(NodeId id);
  void order(NodeId id, Command command);

  // Nodes whose kernel lets the service's packets out now.
  [[nodiscard]] std::vector<NodeId> answering(ServiceId service) const;
  [[nodiscard]] const Machine& machine(NodeId id) const { return machines_.at(id.at()); }
  [[nodiscard]] Role role(NodeId id, ServiceId service);
  [[nodiscard]] const std::vector<std::string>& violations() const { return violations_; }
  // Lines since the last call: "  12.345 serv1 decides: …".
  [[nodiscard]] std::vector<std::string> take_trace();

 private:
  struct Due {
    Instant at;
    uint64_t order;
    std::function<void()> what;
    bool operator<(const Due& o) const { return at != o.at ? at < o.at : order < o.order; }
  };

  Machine& at(NodeId id) { return machines_.at(id.at()); }
  void after(Duration delay, std::function<void()> what);
  void deliver(NodeId id, Event event);  // to the daemon that runs now, at this instant
  void deliver_after(NodeId id, Duration delay, Event event);
  void arm(NodeId id);
  void perform(NodeId id, const Actions& actions);
  void perform_stops(NodeId id, const Actions& actions);
  void perform_sends(NodeId id, const Actions& actions);
  void perform_starts(NodeId id, const Actions& actions);
  void run_mirror(NodeId id, const MirrorOrder& order);
  void report_nics(NodeId id);
  void trace(NodeId id, const std::string& text);
  void look();
  [[nodiscard]] bool nic_of_link_up(NodeId id, LinkId link) const;
  [[nodiscard]] bool link_works(NodeId from, LinkId link) const;
  // The link over which both nodes reach the host: the one whose network holds it, else, for a host behind a
  // router, the one that carries the services.
  [[nodiscard]] LinkId way_to(HostId host) const;
  [[nodiscard]] bool sees_host(NodeId id, HostId host) const;

  Config config_;  // self is set per node
  std::array<Machine, kNodes> machines_;
  std::set<Due> queue_;
  uint64_t orders_ = 0;
  Instant now_{std::chrono::hours(1)};
  std::vector<bool> link_up_;
  std::array<bool, kNodes> one_way_cut_{};
  std::vector<std::array<bool, kNodes>> host_seen_;
  bool relays_work_ = true;
  bool stranger_ = false;
  MirrorReport::Outcome mirror_outcome_ = MirrorReport::Outcome::kDone;
  uint64_t boots_ = 0;
  std::map<uint64_t, std::pair<NodeId, MirrorOrder>> receiving_;
  uint64_t commands_ = 1000;
  std::vector<std::string> trace_;
  std::vector<std::string> violations_;
};

// A configuration for transcripts and tests: two links ("service" on eth0, "heartbeat" on eth1).
[[nodiscard]] Config make_config(const std::string& profile, const std::vector<std::string>& hosts,
                                 const std::vector<ServiceConfig>& services);

}  // namespace clusterd::sim
