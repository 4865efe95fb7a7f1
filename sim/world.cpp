#include "sim/world.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/timing.hpp"

namespace clusterd::sim {

using std::chrono::microseconds;
using std::chrono::milliseconds;

namespace {
constexpr Duration kHop = microseconds(150);
constexpr Duration kFsync = milliseconds(2);
constexpr Duration kUnit = milliseconds(20);
constexpr Duration kMirror = milliseconds(50);
}  // namespace

Config make_config(const std::string& profile, const std::vector<std::string>& hosts,
                   const std::vector<ServiceConfig>& services) {
  Config config;
  config.cluster = "test";
  config.self = NodeId(0);
  config.nodes = {NodeConfig{"serv1", "eth2"}, NodeConfig{"serv2", "eth2"}};
  config.links = {{"service",
                   {LinkEnd{"eth0", *Prefix::parse("192.168.1.11/24")},
                    LinkEnd{"eth0", *Prefix::parse("192.168.1.12/24")}}},
                  {"heartbeat",
                   {LinkEnd{"eth1", *Prefix::parse("192.168.111.1/24")},
                    LinkEnd{"eth1", *Prefix::parse("192.168.111.2/24")}}}};
  uint8_t last = 1;
  for (const auto& host : hosts) {
    HostConfig out;
    out.text = host;
    out.address = *IpAddress::parse(fmt::format("192.168.1.{}", last++));
    out.link = LinkId(0);
    config.hosts.push_back(out);
  }
  config.services = services;
  config.timing = timing_profile(profile).value();
  config.hash = 1;
  return config;
}

World::World(Config config) : config_(std::move(config)) {
  link_up_.assign(config_.links.size(), true);
  host_seen_.assign(config_.hosts.size(), {true, true});
  for (size_t i = 0; i < kNodes; ++i) {
    Machine& m = machines_.at(i);
    for (const auto& link : config_.links) m.nic_up[link.ends.at(i).nic] = true;
    if (const auto& spare = config_.nodes.at(i).redundant_nic) m.nic_up[*spare] = true;
    m.disk.services.resize(config_.services.size());
    m.disk.hosts.resize(config_.hosts.size());
  }
}

// ---- time
// ---------------------------------------------------------------------------------------------------

void World::after(Duration delay, std::function<void()> what) {
  queue_.insert(Due{now_ + delay, ++orders_, std::move(what)});
}

void World::run(Duration span) {
  const Instant end = now_ + span;
  while (true) {
    Instant next = queue_.empty() ? kNever : queue_.begin()->at;
    std::optional<NodeId> timer;
    for (size_t i = 0; i < kNodes; ++i) {
      const Machine& m = machines_.at(i);
      if (m.node && !m.frozen && m.timer < next) {
        next = m.timer;
        timer = NodeId(i);
      }
    }
    if (next > end) break;
    now_ = std::max(now_, next);
    if (timer) {
      deliver(*timer, Tick{WallTime{now_.time_since_epoch()}});
    } else {
      auto due = queue_.extract(queue_.begin());
      due.value().what();
    }
    look();
  }
  now_ = end;
  look();
}

void World::arm(NodeId id) {
  Machine& m = at(id);
  if (m.node) m.timer = m.node->next_deadline();
}

void World::deliver(NodeId id, Event event) {
  Machine& m = at(id);
  if (!m.node) return;
  if (m.frozen) {
    m.waiting.push_back(std::move(event));
    return;
  }
  const Actions actions = m.node->step(now_, event);
  perform(id, actions);
  arm(id);
}

void World::deliver_after(NodeId id, Duration delay, Event event) {
  const uint64_t life = machine(id).life;
  after(delay, [this, id, life, event = std::move(event)] {
    if (machine(id).life == life) deliver(id, event);
  });
}

// ---- faults
// -------------------------------------------------------------------------------------------------

void World::power_on(NodeId id) {
  Machine& m = at(id);
  m.powered = true;
  m.host_rebooted = true;
  m.kernel.gates.assign(config_.services.size(), kLongAgo);
  m.kernel.addresses.assign(config_.services.size(), false);
  m.kernel.units.clear();
  for (const auto& service : config_.services) m.kernel.units.emplace_back(service.units.size(), false);
  start_daemon(id);
}

void World::power_off(NodeId id) {
  kill_daemon(id);
  at(id).powered = false;
  at(id).kernel = {};
}

void World::kill_daemon(NodeId id) {
  Machine& m = at(id);
  m.node.reset();
  m.waiting.clear();
  m.frozen = false;
  ++m.life;
}

void World::start_daemon(NodeId id) {
  Machine& m = at(id);
  if (!m.powered || m.node) return;
  ++m.life;
  Config config = config_;
  config.self = id;
  m.node.emplace(config, m.disk);
  report_nics(id);
  Started started;
  started.boot = BootId{++boots_};
  started.host_rebooted = m.host_rebooted;
  started.wall = WallTime{now_.time_since_epoch()};
  started.gate_deadlines = m.kernel.gates;
  m.host_rebooted = false;
  deliver(id, started);
  report_nics(id);
}

void World::report_nics(NodeId id) {
  for (const auto& [nic, up] : machine(id).nic_up) deliver(id, NicChanged{nic, up, up ? "" : "no carrier"});
}

void World::freeze(NodeId id) { at(id).frozen = true; }

void World::thaw(NodeId id) {
  Machine& m = at(id);
  m.frozen = false;
  std::deque<Event> waiting;
  waiting.swap(m.waiting);
  for (auto& event : waiting) deliver(id, std::move(event));
}

void World::set_nic(NodeId id, const std::string& nic, bool up) {
  at(id).nic_up[nic] = up;
  deliver(id, NicChanged{nic, up, up ? "" : "no carrier"});
}

void World::set_link(LinkId link, bool up) { link_up_.at(link.at()) = up; }
void World::set_one_way(NodeId from, bool cut) { one_way_cut_.at(from.at()) = cut; }

void World::set_host(HostId host, std::optional<NodeId> as_seen_by, bool up) {
  for (size_t i = 0; i < kNodes; ++i) {
    if (!as_seen_by || as_seen_by->at() == i) host_seen_.at(host.at()).at(i) = up;
  }
}

void World::crash_unit(NodeId id, ServiceId service, UnitId unit) {
  at(id).kernel.units.at(service.at()).at(unit.at()) = false;
  deliver(id, UnitReport{service, unit, UnitReport::Outcome::kCrashed, "killed by signal 9"});
}

void World::lose_address(NodeId id, ServiceId service) {
  at(id).kernel.addresses.at(service.at()) = false;
  deliver(id, AddressLost{service, "deleted"});
}

void World::wipe_disk(NodeId id) {
  at(id).disk = {};
  at(id).disk.services.resize(config_.services.size());
  at(id).disk.hosts.resize(config_.hosts.size());
}

void World::order(NodeId id, Command command) {
  command.id = ++commands_;
  deliver(id, command);
}

// ---- the network
// --------------------------------------------------------------------------------------------

bool World::nic_of_link_up(NodeId id, LinkId link) const {
  const auto& nic = config_.link(link).ends.at(id.at()).nic;
  return machine(id).powered && machine(id).nic_up.at(nic);
}

bool World::link_works(NodeId from, LinkId link) const {
  const NodeId to(1 - from.at());
  return link_up_.at(link.at()) && !one_way_cut_.at(from.at()) && nic_of_link_up(from, link) &&
         nic_of_link_up(to, link);
}

LinkId World::way_to(HostId host) const {
  if (const auto link = config_.host(host).link) return *link;
  return config_.services.empty() ? LinkId(0) : config_.services.front().link;
}

bool World::sees_host(NodeId id, HostId host) const {
  return host_seen_.at(host.at()).at(id.at()) && nic_of_link_up(id, way_to(host));
}

// ---- actions, in the documented order
// -----------------------------------------------------------------------

void World::perform(NodeId id, const Actions& actions) {
  Machine& m = at(id);
  if (actions.persist) {
    const uint64_t life = m.life;
    after(kFsync, [this, id, life, state = *actions.persist, version = actions.persist_version] {
      Machine& later = at(id);
      if (later.life != life) return;  // it was lost with the power
      if (later.disk_good) later.disk = state;
      deliver(id, Persisted{version, later.disk_good, later.disk_good ? "" : "No space left on device"});
    });
  }
  perform_stops(id, actions);
  perform_sends(id, actions);
  perform_starts(id, actions);
  for (const auto& line : actions.log) trace(id, line.text);
  for (const auto& decision : actions.decisions) {
    trace(id, "decides: " + decision.what);
    for (const auto& why : decision.evidence) trace(id, "         because " + why);
  }
  for (const auto& notice : actions.notices)
    trace(id, fmt::format("notice {}: {}", notice.kind, notice.text));
  for (const auto& reply : actions.replies) {
    if (const auto it = receiving_.find(reply.command); it != receiving_.end()) {
      const auto [source, order] = it->second;
      receiving_.erase(it);
      MirrorReport report;
      report.service = order.service;
      report.mirror = order.mirror;
      report.epoch = order.epoch;
      report.kind = order.kind;
      report.outcome = mirror_outcome_;
      if (!reply.ok) report.outcome = MirrorReport::Outcome::kFailed;
      report.detail = reply.ok ? (mirror_outcome_ == MirrorReport::Outcome::kDone ? "" : "its root is empty")
                               : reply.text;
      deliver_after(source, kMirror, report);
    } else {
      trace(id, fmt::format("answers: {}{}", reply.ok ? "" : "refused: ", reply.text));
    }
  }
  if (actions.exit) {
    trace(id, "ends, its services go on");
    const uint64_t life = m.life;
    after(kFsync + microseconds(1), [this, id, life] {
      if (machine(id).life == life) kill_daemon(id);
    });
  }
}

void World::perform_stops(NodeId id, const Actions& actions) {
  Machine& m = at(id);
  for (const auto service : actions.shut_gates) {
    if (m.kernel.gates.at(service.at()) > now_) trace(id, config_.service(service).name + ": gate shut");
    m.kernel.gates.at(service.at()) = kLongAgo;
  }
  for (const auto& stop : actions.stop_units) {
    const auto behaviour = m.behaviour[stop.service.at()];
    const bool stops = behaviour != Behaviour::kRefusesToStop;
    if (m.kernel.units.at(stop.service.at()).at(stop.unit.at())) {
      trace(id, fmt::format("{}: {} {}", config_.service(stop.service).name, stop.kill ? "kill" : "stop",
                            config_.service(stop.service).units.at(stop.unit.at()).name));
    }
    if (stops) m.kernel.units.at(stop.service.at()).at(stop.unit.at()) = false;
    deliver_after(id, kUnit,
                  UnitReport{stop.service, stop.unit,
                             stops ? UnitReport::Outcome::kStopped : UnitReport::Outcome::kStopFailed,
                             stops ? "" : "still runs"});
  }
  for (const auto service : actions.remove_addresses) {
    if (m.kernel.addresses.at(service.at())) trace(id, config_.service(service).name + ": addresses removed");
    m.kernel.addresses.at(service.at()) = false;
  }
}

void World::perform_sends(NodeId id, const Actions& actions) {
  const NodeId peer(1 - id.at());
  for (const auto& send : actions.heartbeats) {
    for (const LinkId link : send.links) {
      if (link_works(id, link))
        deliver_after(peer, kHop, HeartbeatReceived{link, std::nullopt, send.heartbeat});
    }
    for (const HostId host : send.relays) {
      if (relays_work_ && sees_host(id, host) && sees_host(peer, host)) {
        deliver_after(peer, 2 * kHop, HeartbeatReceived{std::nullopt, host, send.heartbeat});
      }
    }
  }
  for (const auto& probe : actions.probes) {
    if (sees_host(id, probe.host)) deliver_after(id, 2 * kHop, ProbeAnswered{probe.host, probe.sent});
  }
  for (const auto& probe : actions.address_probes) {
    const auto& service = config_.service(probe.service);
    const bool peer_answers = !answering(probe.service).empty() && answering(probe.service).front() == peer &&
                              nic_of_link_up(peer, service.link) && nic_of_link_up(id, service.link) &&
                              link_up_.at(service.link.at());
    if (service.addresses.empty() || !(stranger_ || peer_answers)) continue;
    deliver_after(id, 2 * kHop,
                  AddressAnswered{probe.service, service.addresses.front().address,
                                  MacAddress::derived("test", "stranger"), probe.sent});
  }
}

void World::perform_starts(NodeId id, const Actions& actions) {
  Machine& m = at(id);
  for (const auto& gate : actions.set_gates) {
    if (m.kernel.gates.at(gate.service.at()) <= now_)
      trace(id, config_.service(gate.service).name + ": gate open");
    m.kernel.gates.at(gate.service.at()) = gate.deadline;
  }
  for (const auto service : actions.add_addresses) {
    if (!m.kernel.addresses.at(service.at())) trace(id, config_.service(service).name + ": addresses added");
    m.kernel.addresses.at(service.at()) = true;
    deliver_after(id, microseconds(500), AddressReport{service, true, ""});
  }
  for (const auto& start : actions.start_units) {
    const bool starts = m.behaviour[start.service.at()] != Behaviour::kFailsToStart;
    if (!m.kernel.units.at(start.service.at()).at(start.unit.at())) {
      trace(id, fmt::format("{}: start {}", config_.service(start.service).name,
                            config_.service(start.service).units.at(start.unit.at()).name));
    }
    m.kernel.units.at(start.service.at()).at(start.unit.at()) = starts;
    deliver_after(id, kUnit,
                  UnitReport{start.service, start.unit,
                             starts ? UnitReport::Outcome::kStarted : UnitReport::Outcome::kStartFailed,
                             starts ? "" : "exit code 1"});
  }
  for (const auto& order : actions.mirror_orders) run_mirror(id, order);
}

// The target's daemon is asked first, as the real receiver does (S8).
void World::run_mirror(NodeId id, const MirrorOrder& order) {
  const NodeId peer(1 - id.at());
  bool connected = false;
  for (size_t i = 0; i < config_.links.size(); ++i) connected = connected || link_works(id, LinkId(i));
  const bool reachable = connected && machine(peer).node.has_value();
  const char* kind = order.kind == MirrorReport::Kind::kResync  ? "resync"
                     : order.kind == MirrorReport::Kind::kFlush ? "flush"
                                                                : "run";
  if (order.kind != MirrorReport::Kind::kRun)
    trace(id, fmt::format("{}: mirror {}", config_.service(order.service).name, kind));
  if (!reachable) {
    MirrorReport report;
    report.service = order.service;
    report.mirror = order.mirror;
    report.epoch = order.epoch;
    report.kind = order.kind;
    report.outcome = MirrorReport::Outcome::kFailed;
    report.detail = "the peer cannot be reached";
    deliver_after(id, kMirror, report);
    return;
  }
  Command ask;
  ask.kind = Command::Kind::kMirrorReceive;
  ask.service = order.service;
  ask.text = config_.service(order.service).mirrors.at(order.mirror.at()).name;
  ask.epoch = order.epoch;
  ask.id = ++commands_;
  receiving_[ask.id] = {id, order};
  deliver_after(peer, kHop, ask);
}

// ---- observing
// ----------------------------------------------------------------------------------------------

std::vector<NodeId> World::answering(ServiceId service) const {
  std::vector<NodeId> out;
  for (size_t i = 0; i < kNodes; ++i) {
    const Machine& m = machines_.at(i);
    if (!m.powered || m.kernel.addresses.empty()) continue;
    if (m.kernel.addresses.at(service.at()) && m.kernel.gates.at(service.at()) > now_) out.emplace_back(i);
  }
  return out;
}

void World::look() {
  for (size_t i = 0; i < config_.services.size(); ++i) {
    if (answering(ServiceId(i)).size() < 2) continue;
    const std::string what =
        fmt::format("{:.4f}: both nodes answer for {}", to_seconds(now_.time_since_epoch()) - 3600,
                    config_.services.at(i).name);
    if (violations_.empty()) trace_.push_back("VIOLATION " + what);
    violations_.push_back(what);
  }
}

Role World::role(NodeId id, ServiceId service) {
  Machine& m = at(id);
  return m.node ? m.node->status().services.at(service.at()).here : Role::kStandby;
}

void World::trace(NodeId id, const std::string& text) {
  trace_.push_back(
      fmt::format("{:9.4f} {}  {}", to_seconds(now_.time_since_epoch()) - 3600, config_.node(id).name, text));
}

std::vector<std::string> World::take_trace() { return std::exchange(trace_, {}); }

}  // namespace clusterd::sim
