// One node under test ("serv2"), its peer and its host played by the test: heartbeats are written by hand,
// time passes on command, and what the node orders is kept for looking at.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "core/node.hpp"
#include "core/timing.hpp"

namespace clusterd::testing {

class Bench {
 public:
  explicit Bench(PersistedState state = {}) {
    config.cluster = "test";
    config.self = NodeId(1);
    config.nodes = {NodeConfig{"serv1", {}}, NodeConfig{"serv2", {}}};
    config.links = {{"service",
                     {LinkEnd{"eth0", *Prefix::parse("192.168.1.11/24")},
                      LinkEnd{"eth0", *Prefix::parse("192.168.1.12/24")}}}};
    config.hosts.resize(1);
    config.hosts.front().text = "r1";
    config.hosts.front().link = LinkId(0);
    ServiceConfig service;
    service.name = "web";
    service.link = LinkId(0);
    service.addresses = {*Prefix::parse("192.168.1.20/24")};
    service.units.resize(1);
    service.units.front().name = "web.service";
    config.services = {service};
    config.timing = timing_profile("steady").value();
    config.hash = 7;
    disk = std::move(state);
    peer.from = NodeId(0);
    peer.boot = BootId{100};
    peer.config_hash = config.hash;
    peer.hosts.assign(1, CountedState{false, true, false, true, true});
    peer.services.resize(1);
  }

  void start(bool host_rebooted = true, Instant gate_deadline = kLongAgo) {
    node.emplace(config, disk);
    own_boot = BootId{own_boot.value + 1};
    Started event;
    event.boot = own_boot;
    event.host_rebooted = host_rebooted;
    event.gate_deadlines = {gate_deadline};
    gate = gate_deadline;
    step(event);
  }

  // One event, and what follows from it at the same instant: the disk, the hosts and the units answer.
  void step(const Event& event) {
    const Actions actions = node->step(now, event);
    for (const auto service : actions.shut_gates) {
      if (service == web) gate = kLongAgo;
    }
    for (const auto& set : actions.set_gates) gate = set.deadline;
    for (const auto& send : actions.heartbeats) own = send.heartbeat;
    replies.insert(replies.end(), actions.replies.begin(), actions.replies.end());
    notices.insert(notices.end(), actions.notices.begin(), actions.notices.end());
    receivers_stopped += actions.stop_receivers.size();
    stops += actions.stop_units.size();
    starts += actions.start_units.size();
    if (actions.persist) {
      disk = *actions.persist;
      version = actions.persist_version;
    }
    if (actions.persist && disk_answers) step(Persisted{version, true, ""});
    for (const auto& probe : actions.probes) {
      if (host_answers && ++probes % host_answers_every == 0) step(ProbeAnswered{probe.host, probe.sent});
    }
    for (const auto service : actions.add_addresses) step(AddressReport{service, true, ""});
    for (const auto& unit : actions.start_units) {
      if (units_answer) step(UnitReport{unit.service, unit.unit, UnitReport::Outcome::kStarted, ""});
    }
    for (const auto& unit : actions.stop_units) {
      if (units_answer) step(UnitReport{unit.service, unit.unit, UnitReport::Outcome::kStopped, ""});
    }
  }

  // The peer's next heartbeat; it acknowledges `acks` (the newest own one unless given).
  void hear(std::optional<uint64_t> acks = std::nullopt) {
    ++peer.sequence;
    peer.ack = {own_boot, acks.value_or(own.sequence)};
    step(HeartbeatReceived{LinkId(0), std::nullopt, peer});
  }

  // Time passes; the peer sends a heartbeat each period if it is alive.
  void run(Duration span) {
    const Instant end = now + span;
    Instant next_peer = now;
    while (true) {
      const Instant tick = node->next_deadline();
      const Instant next = peer_alive ? std::min(tick, next_peer) : tick;
      if (next > end) break;
      now = std::max(now, next);
      if (peer_alive &&
          next_peer < tick) {  // the node's own time goes first, or it would never have its turn
        next_peer = now + config.timing.heartbeat;
        hear();
      } else {
        step(Tick{});
      }
    }
    now = end;
  }

  [[nodiscard]] bool open() const { return gate > now; }
  [[nodiscard]] Role role() const { return node->status().services.front().here; }
  ServiceReport& peer_web() { return peer.services.front(); }

  // The node becomes active because the peer has let go.
  void become_active() {
    start();
    peer_alive = true;
    peer_web().role = Role::kReleased;
    run(std::chrono::milliseconds(500));
    peer_web() = {};
    peer_web().ready = true;
    run(std::chrono::milliseconds(500));
  }

  static constexpr ServiceId web{0};
  Config config;
  PersistedState disk;
  std::optional<Node> node;
  Instant now{std::chrono::hours(1)};
  Instant gate = kLongAgo;
  BootId own_boot{0};
  Heartbeat own, peer;
  uint64_t version = 0;
  bool peer_alive = false, host_answers = true, disk_answers = true, units_answer = true;
  size_t host_answers_every = 1;  // … probe; the others are lost
  size_t probes = 0, stops = 0, starts = 0, receivers_stopped = 0;
  std::vector<Reply> replies;
  std::vector<Notice> notices;
};

}  // namespace clusterd::testing
