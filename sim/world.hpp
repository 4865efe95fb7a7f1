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

  // Watchdogs and fences.
  void set_watchdog(NodeId id, bool works) { at(id).watchdog.works = works; }
  void set_watchdog_error(NodeId id, double error) { at(id).watchdog.error = error; }
  void set_fence(NodeId target, FenceFault fault) { at(target).fence = fault; }
  void set_boot_time(Duration time) { boot_time_ = time; }  // from a reset to the start of the daemon
  // Machines on which a unit of the service runs now.
  [[nodiscard]] std::vector<NodeId> running(ServiceId service) const;

  // Networks.
  void set_nic(NodeId id, const std::string& nic, bool up);
  void set_link(LinkId link, bool up);      // between the nodes only
  void set_switch(LinkId link, bool up);    // both nodes' NICs lose their carrier
  void set_one_way(NodeId from, bool cut);  // nothing that `from` sends reaches the peer directly
  void set_host(HostId host, std::optional<NodeId> as_seen_by, bool up);
  void set_relays(bool work);
  void set_stranger(bool answers);
  // What is on its way cannot be called back: a datagram comes to the next daemon when this one ends, instead
  // of to nobody, and a mirror's question to a node that has taken over since.
  void set_stragglers(bool come) { stragglers_ = come; }
  Network& network() { return network_; }

  // Disks, units, mirrors, files.
  void set_disk(NodeId id, bool good) { set_disk(id, good ? DiskFault::kNone : DiskFault::kFull); }
  void set_disk(NodeId id, DiskFault fault);
  void wipe_disk(NodeId id);
  void roll_back_disk(NodeId id);                              // as by a restored snapshot
  void damage_disk(NodeId id) { at(id).disk.damaged = true; }  // the state file; noticed at the next start
  void fill_disk_at_claim(NodeId id) { at(id).disk.fills_at_claim = true; }
  void lose_power_at_sets(NodeId id) { at(id).disk.loses_power_at_sets = true; }
  void set_behaviour(NodeId id, ServiceId service, Behaviour b) { at(id).behaviour[service.at()] = b; }
  void crash_unit(NodeId id, ServiceId service, UnitId unit = UnitId(0));
  void lose_address(NodeId id, ServiceId service);
  void set_lack(NodeId id, ServiceId service, const std::string& what) {
    deliver(id, LackReport{service, what});
  }
  void set_mirror(MirrorReport::Outcome outcome);
  void set_mirror_questions(Duration late) { questions_late_ = late; }  // … to the target's daemon
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
  void introduce();  // the trace's first lines: of what kind this cluster is
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
  void deliver(NodeId id, Arrival arrival);  // to the daemon that runs now, at this instant
  void deliver(NodeId id, Event event) { deliver(id, Arrival{std::move(event), {}}); }
  [[nodiscard]] bool open_datagram(NodeId id, Arrival& arrival);
  void deliver_after(NodeId id, Duration delay, Event event);
  void deliver_waiting(NodeId id);
  void arm(NodeId id);
  void report_nics(NodeId id);
  void report_spare(NodeId id, ServiceId service);
  void break_word();
  void settle_disk(NodeId id, bool power_lost);
  void find_damage(NodeId id);
  [[nodiscard]] Instant own(NodeId id) const { return machine(id).clock.own(now_); }
  void say(NodeId id, const std::string& text);
  void note(std::optional<NodeId> node, std::string_view name, std::initializer_list<Trace::Field> fields) {
    events_.add(now_, node, name, fields);
  }
  // What the trace says of larger things (world_tracing.cpp).
  void note_clock(NodeId id);
  void note_state(NodeId id, std::string_view name, const PersistedState& state);
  void note_submit(NodeId id, const PersistedState& state);
  void note_send(NodeId id, const Heartbeat& heartbeat);
  void note_receive(NodeId id, const HeartbeatReceived& received, bool proven);
  void look();
  void note_lateness(NodeId id);
  void note_given_up(NodeId id, const Actions& actions);
  void judge_limits(NodeId id);
  void judge_activation(NodeId id, ServiceId service);
  void judge_guard(NodeId id, ServiceId service);
  void judge_gate(NodeId id, const SetGate& gate);
  void judge_notice(NodeId id, const Notice& notice);
  void judge_silence(NodeId id);
  void judge_reply(const Reply& reply);
  void judge_order_of(NodeId id, const Actions& actions);
  void judge_sets();
  // Relations between services (world_relations.cpp).
  [[nodiscard]] bool whole(NodeId id, ServiceId service) const;
  void look_at_relations();
  void judge_begin(NodeId id, ServiceId service);
  void judge_end(NodeId id, const StopUnit& stop);
  void judge_group(NodeId id, ServiceId service);
  [[nodiscard]] const PersistedService& submitted(NodeId id, ServiceId service) const;
  void take_evidence(NodeId id, const HeartbeatReceived& event, bool new_life);
  [[nodiscard]] bool nic_up(NodeId id, const std::string& nic) const;
  [[nodiscard]] bool shows_carrier(NodeId id, const std::string& nic) const;
  [[nodiscard]] bool nic_of_link_up(NodeId id, LinkId link) const;
  [[nodiscard]] bool link_works(NodeId from, LinkId link) const;
  [[nodiscard]] bool reachable(NodeId from) const;  // the peer, in both directions, on one link
  // The link over which both nodes reach the host: the one whose network holds it, else, for a host behind a
  // router, the one that carries the services.
  [[nodiscard]] LinkId way_to(HostId host) const;
  [[nodiscard]] bool sees_host(NodeId id, HostId host) const;
  void note_seeing(NodeId id, HostId host);

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
  void arrive_after(NodeId id, Duration delay, HeartbeatReceived event, Challenge::Words words);
  void ask_by_arp(NodeId id, const SendProbe& probe, AskedAs as);
  [[nodiscard]] bool find_probe(NodeId id, Arrival& arrival);
  void probe_address(NodeId id, const ProbeAddress& probe);
  // Watchdogs and fences (world_fencing.cpp).
  void tend_watchdog(NodeId id, WatchdogOrder order);
  void pet_watchdog(NodeId id);
  void bite(NodeId id);
  void run_fence(NodeId id, const FenceOrder& order);
  void judge_fence(NodeId id);
  void perform_tells(NodeId id, const Actions& actions);
  void persisted(NodeId id, uint64_t version);
  void store(NodeId id, const PersistedState& state);

  // Mirrors (world_mirrors.cpp).
  void run_mirror(NodeId id, const MirrorOrder& order);
  void mirror_answered(const Reply& reply);
  void carry(uint64_t transfer, int step);
  void end_transfer(uint64_t transfer, MirrorReport::Outcome outcome, const std::string& detail);
  void stop_receivers(NodeId target, ServiceId service);
  void lift_guard(NodeId id, ServiceId service);
  void set_guard(NodeId id, ServiceId service);
  void cancel_mirrors(NodeId source, ServiceId service);
  void judge_order(NodeId id, const MirrorOrder& order);
  void judge_direction(const Transfer& run);
  void follow_from_now_on(Transfer run);
  void follow(uint64_t stream);
  void flush_stream(uint64_t stream);
  void end_stream(uint64_t stream, MirrorReport::Outcome outcome, const std::string& detail);
  std::optional<uint64_t> stream_of(NodeId source, const MirrorOrder& order) const;
  void client_writes();

  Config config_;  // self is set per node
  Random random_;
  std::array<Machine, kNodes> machines_;
  std::vector<Due> queue_;  // a heap
  uint64_t orders_ = 0;
  Instant now_{std::chrono::hours(1)};
  Network network_;
  bool clocks_anywhere_ = false;
  Duration boot_time_ = std::chrono::seconds(5);
  bool stragglers_ = false;
  Duration questions_late_{};
  bool stranger_ = false;
  Instant stranger_since_ = kNever;
  bool state_lost_ = false;  // of any node, once
  bool word_given_ = false;  // an administrator vouched for a node's death, and it was not heard since
  MirrorReport::Outcome mirror_outcome_ = MirrorReport::Outcome::kDone;
  uint64_t boots_ = 0;
  uint64_t questions_ = 0;
  uint64_t commands_ = 1000;
  Judge judge_;
  Trace events_;
  Files files_;
  std::map<uint64_t, Transfer> transfers_;  // by the number of the question to the target
  struct Stream {
    Transfer run;  // the one that brought everything over
    uint64_t target_life = 0;
    Instant told = kLongAgo;
  };
  std::map<uint64_t, Stream> streams_;  // of live mirrors that follow
  Duration client_period_{};
  // How a node sees a host: that is sampled (A2).
  struct Seeing {
    Instant since = kLongAgo, last = kLongAgo;  // the run of answered probes without a gap
    Instant missed = kLongAgo;  // a heartbeat of the peer off the host, because the node did not see the host
  };
  std::vector<std::array<Seeing, kNodes>> seeing_;
  std::vector<std::vector<bool>> answered_;            // per service, as last seen
  bool related_ = false;                               // there are relations between services
  std::vector<std::array<Instant, kNodes>> whole_at_;  // per service, on each machine: when it was last whole
  std::vector<std::string> lines_;
  bool telling_ = true;
};

// A configuration for transcripts and tests: two links ("service" on eth0, "heartbeat" on eth1).
[[nodiscard]] Config make_config(const std::string& profile, const std::vector<std::string>& hosts,
                                 const std::vector<ServiceConfig>& services);

}  // namespace clusterd::sim
