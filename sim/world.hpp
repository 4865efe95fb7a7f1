// A small deterministic world for two production nodes: one thread, no system call.
//
// Two `Node`s run on simulated kernels (gates, addresses, units), clocks that differ, disks (fsync takes a
// moment, a crash may lose what was on its way), networks, and reference hosts that answer probes and bounce
// relayed heartbeats. Everything happens through one event queue ordered by time, so the same commands and
// the same seed give the same run. It is as large as its configuration: any links, NIC names, services and
// units. The transcripts (tests/script), the random campaigns (swarm.hpp) and `clusterctl whatif` are built
// on it.
//
// The judge does not ask the nodes: after each event it looks at the kernels, and counts how many would let
// a packet of a service's address out at this instant. More than one is a violation.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/node.hpp"
#include "sim/files.hpp"
#include "sim/judge.hpp"
#include "sim/machine.hpp"
#include "sim/network.hpp"
#include "sim/random.hpp"
#include "sim/trace.hpp"

namespace clusterd::sim {

class World {
 public:
  // `seed`: of what is left to chance (losses, what a crash leaves of a write). Nothing is unless a fault
  // asks for it.
  explicit World(Config config, uint64_t seed = 0);

  // Lets time pass; everything that falls due happens.
  void run(Duration span);
  [[nodiscard]] Instant now() const { return now_; }

  // Machines and daemons.
  void power_on(NodeId id);
  void power_off(NodeId id);
  void kill_daemon(NodeId id);
  void start_daemon(NodeId id);
  void freeze(NodeId id);  // the daemon stands still
  void thaw(NodeId id);
  void pause(NodeId id, bool clock_goes_on);  // the machine stands still (a virtual one)
  void resume(NodeId id);
  void crash_at(NodeId id, CrashPoint point) { at(id).crash = point; }
  void set_clock(NodeId id, int64_t ppm);
  void jump_wall(NodeId id, Duration by);
  void start_clocks_anywhere() { clocks_anywhere_ = true; }  // at each boot, instead of with the world's time

  // Networks.
  void set_nic(NodeId id, const std::string& nic, bool up);
  void set_link(LinkId link, bool up);      // between the nodes only
  void set_switch(LinkId link, bool up);    // both nodes' NICs lose their carrier
  void set_one_way(NodeId from, bool cut);  // nothing that `from` sends reaches the peer directly
  void set_host(HostId host, std::optional<NodeId> as_seen_by, bool up);
  void set_relays(bool work);
  void set_stranger(bool answers);
  Network& network() { return network_; }

  // Disks, units, mirrors, files.
  void set_disk(NodeId id, bool good) { set_disk(id, good ? DiskFault::kNone : DiskFault::kFull); }
  void set_disk(NodeId id, DiskFault fault);
  void wipe_disk(NodeId id);
  void roll_back_disk(NodeId id);  // as by a restored snapshot
  void set_behaviour(NodeId id, ServiceId service, Behaviour b) { at(id).behaviour[service.at()] = b; }
  void crash_unit(NodeId id, ServiceId service, UnitId unit = UnitId(0));
  void lose_address(NodeId id, ServiceId service);
  void set_mirror(MirrorReport::Outcome outcome) { mirror_outcome_ = outcome; }
  void set_root(NodeId id, ServiceId service, RootFault fault) { files_.set_root(service, id, fault); }
  void set_clients(Duration every);  // they write files from now on
  void set_config_hash(NodeId id, uint64_t hash) { at(id).config_hash = hash; }  // counts from the next start

  void order(NodeId id, Command command);

  // Nodes whose kernel lets the service's packets out now.
  [[nodiscard]] std::vector<NodeId> answering(ServiceId service) const;
  [[nodiscard]] const Machine& machine(NodeId id) const { return machines_.at(id.at()); }
  [[nodiscard]] Role role(NodeId id, ServiceId service);
  [[nodiscard]] const Status& status(NodeId id) { return at(id).node->status(); }  // of a daemon that runs
  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Files& files() const { return files_; }
  [[nodiscard]] Judge& judge() { return judge_; }
  [[nodiscard]] const Judge& judge() const { return judge_; }
  [[nodiscard]] Trace& events() { return events_; }
  // Lines since the last call: "  12.345 serv1 decides: …". Switched off they cost nothing.
  [[nodiscard]] std::vector<std::string> take_trace();
  [[nodiscard]] std::vector<std::string> violations() const;  // that no broken assumption excuses
  void tell(bool lines) { telling_ = lines; }

 private:
  struct Due {
    Instant at;
    uint64_t order = 0;
    std::function<void()> what;
    bool operator<(const Due& o) const { return at != o.at ? at > o.at : order > o.order; }  // of a max-heap
  };

  // Time (world.cpp).
  Machine& at(NodeId id) { return machines_.at(id.at()); }
  void after(Duration delay, std::function<void()> what);
  void deliver(NodeId id, Event event);  // to the daemon that runs now, at this instant
  void deliver_after(NodeId id, Duration delay, Event event);
  void deliver_waiting(NodeId id);
  void arm(NodeId id);
  void report_nics(NodeId id);
  void break_word();
  void settle_disk(NodeId id, bool power_lost);
  [[nodiscard]] Instant own(NodeId id) const { return machine(id).clock.own(now_); }
  void say(NodeId id, const std::string& text);
  void note(std::optional<NodeId> node, std::string_view name, std::initializer_list<Trace::Field> fields) {
    events_.add(now_, node, name, fields);
  }
  void look();
  void judge_activation(NodeId id, ServiceId service);
  void judge_gate(NodeId id, const SetGate& gate);
  void judge_notice(NodeId id, const Notice& notice);
  void judge_sets();
  [[nodiscard]] const PersistedService& submitted(NodeId id, ServiceId service) const;
  void take_evidence(NodeId id, const HeartbeatReceived& event);
  [[nodiscard]] bool nic_up(NodeId id, const std::string& nic) const;
  [[nodiscard]] bool nic_of_link_up(NodeId id, LinkId link) const;
  [[nodiscard]] bool link_works(NodeId from, LinkId link) const;
  [[nodiscard]] bool reachable(NodeId from) const;  // the peer, in both directions, on one link
  // The link over which both nodes reach the host: the one whose network holds it, else, for a host behind a
  // router, the one that carries the services.
  [[nodiscard]] LinkId way_to(HostId host) const;
  [[nodiscard]] bool sees_host(NodeId id, HostId host) const;

  // Actions, in the documented order (world_actions.cpp). Each returns false if a crash ended the daemon in
  // it.
  void perform(NodeId id, const Actions& actions);
  [[nodiscard]] bool goes_on(NodeId id);  // a boundary between two actions
  bool perform_persist(NodeId id, const Actions& actions);
  bool perform_stops(NodeId id, const Actions& actions);
  bool perform_sends(NodeId id, const Actions& actions);
  bool perform_starts(NodeId id, const Actions& actions);
  void stop_unit(NodeId id, const StopUnit& stop);
  void start_unit(NodeId id, const StartUnit& start);
  void send(NodeId id, const SendHeartbeat& send);
  void arrive_after(NodeId id, Duration delay, HeartbeatReceived event);
  void probe_address(NodeId id, const ProbeAddress& probe);
  void perform_tells(NodeId id, const Actions& actions);
  void persisted(NodeId id, uint64_t version);
  void store(NodeId id, const PersistedState& state);

  // Mirrors (world_mirrors.cpp).
  void run_mirror(NodeId id, const MirrorOrder& order);
  void mirror_answered(const Reply& reply);
  void carry(uint64_t transfer, int step);
  void end_transfer(uint64_t transfer, MirrorReport::Outcome outcome, const std::string& detail);
  void stop_receivers(NodeId target, ServiceId service);
  void cancel_mirrors(NodeId source, ServiceId service);
  void client_writes();

  Config config_;  // self is set per node
  Random random_;
  std::array<Machine, kNodes> machines_;
  std::vector<Due> queue_;  // a heap
  uint64_t orders_ = 0;
  Instant now_{std::chrono::hours(1)};
  Network network_;
  bool clocks_anywhere_ = false;
  bool stranger_ = false;
  Instant stranger_since_ = kNever;
  bool state_lost_ = false;  // of any node, once
  bool word_given_ = false;  // an administrator vouched for a node's death, and it was not heard since
  MirrorReport::Outcome mirror_outcome_ = MirrorReport::Outcome::kDone;
  uint64_t boots_ = 0;
  uint64_t commands_ = 1000;
  Judge judge_;
  Trace events_;
  Files files_;
  std::map<uint64_t, Transfer> transfers_;  // by the number of the question to the target
  Duration client_period_{};
  // When a heartbeat of the peer last missed the node off a host because the node did not see the host.
  std::vector<std::array<Instant, kNodes>> missed_;
  std::vector<std::vector<bool>> answered_;  // per service, as last seen
  std::vector<std::string> lines_;
  bool telling_ = true;
};

// A configuration for transcripts and tests: two links ("service" on eth0, "heartbeat" on eth1).
[[nodiscard]] Config make_config(const std::string& profile, const std::vector<std::string>& hosts,
                                 const std::vector<ServiceConfig>& services);

}  // namespace clusterd::sim
