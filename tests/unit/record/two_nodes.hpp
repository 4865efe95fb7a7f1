// Two nodes on bad networks and worse hosts, with an administrator who cannot keep still: what comes of it
// does not matter, only that many different events come. Deterministic by its seed.
#pragma once

#include <functional>
#include <map>

#include "core/node.hpp"
#include "core/timing.hpp"
#include "unit/record/random_values.hpp"

namespace clusterd::testing {

inline Config two_node_config(size_t self) {
  Config config;
  config.cluster = "test";
  config.self = NodeId(self);
  config.nodes = {NodeConfig{"serv1", {}}, NodeConfig{"serv2", {}}};
  config.links = {
      {"service",
       {LinkEnd{"eth0", *Prefix::parse("10.0.0.1/24")}, LinkEnd{"eth0", *Prefix::parse("10.0.0.2/24")}}},
      {"heartbeat",
       {LinkEnd{"eth1", *Prefix::parse("10.0.1.1/24")}, LinkEnd{"eth1", *Prefix::parse("10.0.1.2/24")}}}};
  config.hosts.resize(2);
  for (auto& host : config.hosts) host.link = LinkId(0);
  for (const char* name : {"web", "mail"}) {
    ServiceConfig service;
    service.name = name;
    service.link = LinkId(0);
    service.prefer = NodeId(config.services.size());
    service.addresses = {*Prefix::parse("10.0.0.20/24")};
    service.units.resize(2);
    service.checks.resize(1);
    MirrorConfig mirror;
    mirror.name = "1";
    mirror.paths = {"/srv/"};
    mirror.every = std::chrono::seconds(5);
    service.mirrors = {mirror};
    config.services.push_back(service);
  }
  config.timing = timing_profile("steady").value();
  config.hash = 7;
  return config;
}

class TwoNodes {
 public:
  using OnStep = std::function<void(size_t node, Instant now, const Event& event, const Actions& actions)>;
  using Before = std::function<void(size_t node, Instant now, const Event& event)>;

  explicit TwoNodes(uint64_t seed) : random_(seed) {
    for (size_t i = 0; i < kNodes; ++i) {
      configs_.at(i) = two_node_config(i);
      PersistedState state;
      state.services.resize(2);
      state.hosts.resize(2);
      nodes_.push_back(std::make_unique<Node>(configs_.at(i), state));
    }
  }
  OnStep on_step;
  Before before;

  void run(Duration span) {
    const Instant end = now_ + span;
    if (!started_) {
      started_ = true;
      for (size_t i = 0; i < kNodes; ++i) {
        Started event;
        event.boot = BootId{i + 1};
        event.gate_deadlines.assign(2, kLongAgo);
        step(i, event);
      }
    }
    while (now_ < end) {
      size_t next = nodes_[0]->next_deadline() <= nodes_[1]->next_deadline() ? 0 : 1;
      const Instant timer = nodes_[next]->next_deadline();
      if (!queue_.empty() && queue_.begin()->first <= timer) {
        now_ = std::max(now_, queue_.begin()->first);
        auto [node, event] = std::move(queue_.begin()->second);
        queue_.erase(queue_.begin());
        step(node, event);
      } else {
        now_ = std::max(now_, timer) + Duration(static_cast<int64_t>(random_.below(300'000)));
        step(next, Tick{wall()});
      }
      if (random_.once_in(400)) trouble();
    }
  }
  [[nodiscard]] Instant now() const { return now_; }
  [[nodiscard]] const Node& node(size_t i) const { return *nodes_.at(i); }
  [[nodiscard]] const Config& config(size_t i) const { return configs_.at(i); }

 private:
  WallTime wall() const { return WallTime(now_.time_since_epoch() + std::chrono::hours(500'000)); }
  void later(size_t node, Duration delay, Event event) {
    queue_.emplace(now_ + delay, std::pair(node, std::move(event)));
  }
  void step(size_t i, const Event& event) {
    if (before) before(i, now_, event);
    const Actions actions = nodes_.at(i)->step(now_, event);
    if (on_step) on_step(i, now_, event, actions);
    using std::chrono::milliseconds;
    if (actions.persist)
      later(i, milliseconds(2), Persisted{actions.persist_version, !random_.once_in(50), ""});
    for (const auto& send : actions.heartbeats) {
      for (const LinkId link : send.links) {
        if (!cut_ && !random_.once_in(10))
          later(1 - i, milliseconds(1), HeartbeatReceived{link, std::nullopt, send.heartbeat});
      }
      for (const HostId host : send.relays) {
        if (!cut_) later(1 - i, milliseconds(1), HeartbeatReceived{std::nullopt, host, send.heartbeat});
      }
    }
    for (const auto& probe : actions.probes) {
      if (!random_.once_in(20)) later(i, milliseconds(1), ProbeAnswered{probe.host, probe.sent});
    }
    for (const ServiceId service : actions.add_addresses)
      later(i, milliseconds(1), AddressReport{service, true, ""});
    using Outcome = UnitReport::Outcome;
    for (const auto& unit : actions.start_units) {
      const bool starts = !random_.once_in(8);
      later(i, milliseconds(20),
            UnitReport{unit.service, unit.unit, starts ? Outcome::kStarted : Outcome::kStartFailed, ""});
    }
    for (const auto& unit : actions.stop_units) {
      const bool stops = !random_.once_in(8);
      later(i, milliseconds(20),
            UnitReport{unit.service, unit.unit, stops ? Outcome::kStopped : Outcome::kStopFailed, ""});
    }
    for (const auto& order : actions.mirror_orders) {
      MirrorReport report;
      report.service = order.service;
      report.mirror = order.mirror;
      report.epoch = order.epoch;
      report.kind = order.kind;
      if (random_.once_in(10)) report.outcome = MirrorReport::Outcome::kFailed;
      later(i, milliseconds(50), report);
    }
  }
  void trouble() {
    const size_t i = random_.below(2);
    const ServiceId service(random_.below(2));
    switch (random_.below(6)) {
      case 0:
        cut_ = !cut_ && random_.once_in(2);
        return;
      case 1:
        return later(i, Duration{},
                     UnitReport{service, UnitId(random_.below(2)), UnitReport::Outcome::kCrashed, "9"});
      case 2:
        return later(i, Duration{},
                     NicChanged{random_.once_in(2) ? "eth0" : "eth1", !random_.once_in(3), ""});
      case 3:
        return later(i, Duration{}, CheckReport{service, CheckId(0), random_.once_in(2), "no answer"});
      default: {
        Command command;
        random_(command.kind);
        if (command.kind == Command::Kind::kPrepareRestart) return;  // the daemon would end
        command.id = ++commands_;
        command.service = service;
        if (random_.once_in(2)) command.node = NodeId(random_.below(2));
        command.text = "1";
        return later(i, Duration{}, command);
      }
    }
  }

  RandomValues random_;
  std::array<Config, kNodes> configs_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::multimap<Instant, std::pair<size_t, Event>> queue_;
  Instant now_{std::chrono::hours(1)};
  bool started_ = false;
  bool cut_ = false;
  uint64_t commands_ = 0;
};

}  // namespace clusterd::testing
