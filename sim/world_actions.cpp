// What a node orders is done here, in the order that core/actions.hpp documents. Between any two actions the
// daemon or the machine may be made to die.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "sim/world.hpp"

namespace clusterd::sim {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {
constexpr Duration kFsync = milliseconds(2);
constexpr Duration kUnit = milliseconds(20);
constexpr Duration kAddress = microseconds(500);
constexpr Duration kGuard = milliseconds(5);
constexpr size_t kMostLines = 60;  // that one step may say
}  // namespace

bool World::goes_on(NodeId id) {
  CrashPoint& crash = at(id).crash;
  if (crash.boundaries == 0 || --crash.boundaries > 0) return true;
  const bool power = crash.power;
  crash = {};
  if (power) {
    power_off(id);
  } else {
    kill_daemon(id);
  }
  return false;
}

void World::perform(NodeId id, const Actions& actions) {
  judge_order_of(id, actions);
  // What waits for another service may begin in the very step that releases the lock; and a daemon that dies
  // before it has said anything may have released it on its disk all the same.
  for (const auto& notice : actions.notices) at(id).unlocked += notice.kind == "node-online" ? 1U : 0U;
  note_given_up(id, actions);
  if (actions.persist && !perform_persist(id, actions)) return;
  if (!perform_stops(id, actions)) return;
  if (!perform_sends(id, actions)) return;
  if (!perform_starts(id, actions)) return;
  perform_tells(id, actions);
}

// ---- 1. persist ----

bool World::perform_persist(NodeId id, const Actions& actions) {
  if (!goes_on(id)) return false;
  Machine& m = at(id);
  note_submit(id, *actions.persist);
  const bool cut = m.disk.loses_power_at_sets && actions.persist->hosts != m.disk.state.hosts;
  m.disk.in_flight.push_back({actions.persist_version, *actions.persist});
  Duration delay = m.disk.fault == DiskFault::kSlow ? random_.between(milliseconds(200), seconds(5)) : kFsync;
  if (cut) {
    m.disk.loses_power_at_sets = false;
    m.disk.power_is_cut = true;
    delay += seconds(2);
    after(random_.log_between(milliseconds(1), seconds(2)), [this, id] {
      if (std::exchange(at(id).disk.power_is_cut, false)) power_off(id);
    });
  }
  const uint64_t life = m.life;
  after(delay, [this, id, life, version = actions.persist_version] {
    if (machine(id).life == life) persisted(id, version);
  });
  return goes_on(id);
}

// Writes end in the order in which they began.
void World::persisted(NodeId id, uint64_t version) {
  Disk& disk = at(id).disk;
  if (disk.in_flight.empty() || disk.in_flight.front().version > version) return;
  const bool ok = disk.fault != DiskFault::kFull;
  while (!disk.in_flight.empty() && disk.in_flight.front().version <= version) {
    if (ok) store(id, disk.in_flight.front().state);
    disk.in_flight.pop_front();
  }
  deliver(id, Persisted{version, ok, ok ? "" : "No space left on device"});
}

// ---- 2. shut and stop ----

bool World::perform_stops(NodeId id, const Actions& actions) {
  Machine& m = at(id);
  for (const auto service : actions.shut_gates) {
    if (telling_ && m.kernel.gates.at(service.at()) > own(id))
      say(id, config_.service(service).name + ": gate shut");
    m.kernel.gates.at(service.at()) = kLongAgo;
    note(id, "shut", {{"service", static_cast<int64_t>(service.at())}});
  }
  for (const auto service : actions.stop_receivers) stop_receivers(id, service);
  for (const auto service : actions.lift_guards) lift_guard(id, service);
  for (const auto service : actions.cancel_mirrors) cancel_mirrors(id, service);
  for (const auto& stop : actions.stop_units) stop_unit(id, stop);
  for (const auto service : actions.remove_addresses) {
    if (telling_ && m.kernel.addresses.at(service.at()))
      say(id, config_.service(service).name + ": addresses removed");
    m.kernel.addresses.at(service.at()) = false;
    report_spare(id, service);
  }
  return true;
}

void World::stop_unit(NodeId id, const StopUnit& stop) {
  Machine& m = at(id);
  const auto behaviour = m.behaviour[stop.service.at()];
  std::vector<bool>& units = m.kernel.units.at(stop.service.at());
  judge_end(id, stop);
  m.hung.erase(stop.service.at());
  if (telling_ && units.at(stop.unit.at())) {
    say(id, fmt::format("{}: {} {}", config_.service(stop.service).name, stop.kill ? "kill" : "stop",
                        config_.service(stop.service).units.at(stop.unit.at()).name));
  }
  if (behaviour == Behaviour::kHangs && !stop.kill) return;
  const bool stops = behaviour != Behaviour::kRefusesToStop;
  if (behaviour == Behaviour::kLies) {
    m.lied.insert(stop.service.at());
  } else if (stops) {
    units.at(stop.unit.at()) = false;
    if (std::none_of(units.begin(), units.end(), [](bool runs) { return runs; }))
      m.lied.erase(stop.service.at());
  }
  deliver_after(id, kUnit,
                UnitReport{stop.service, stop.unit,
                           stops ? UnitReport::Outcome::kStopped : UnitReport::Outcome::kStopFailed,
                           stops ? "" : "still runs"});
}

// ---- 3. send ----

bool World::perform_sends(NodeId id, const Actions& actions) {
  for (const auto& heartbeat : actions.heartbeats) {
    if (!goes_on(id)) return false;
    send(id, heartbeat);
    if (!goes_on(id)) return false;
  }
  if (!actions.probes.empty())
    note(id, "probe", {{"sent", actions.probes.front().sent.time_since_epoch().count()}});
  for (const auto& probe : actions.probes) {
    if (config_.host(probe.host).kind == ProbeKind::kArp) {
      for (const AskedAs as : at(id).now.probes.at(probe.host.at()).ask(probe.sent))
        ask_by_arp(id, probe, as);
      continue;
    }
    if (!sees_host(id, probe.host)) continue;
    const Copies answers = network_.probe(id, probe.host, now_, random_);
    if (answers.count > 0) note_seeing(id, probe.host);
    for (const Duration delay : answers) deliver_after(id, delay, ProbeAnswered{probe.host, probe.sent});
  }
  for (const auto& probe : actions.address_probes) probe_address(id, probe);
  return true;
}

// ARP answers once, and not after two seconds (A7).
void World::ask_by_arp(NodeId id, const SendProbe& probe, AskedAs as) {
  at(id).now.probes.at(probe.host.at()).left(as, probe.sent);
  if (!sees_host(id, probe.host) || (as == AskedAs::kNobody && !network_.answers_nobody(probe.host))) return;
  const Copies answers = network_.probe(id, probe.host, now_, random_);
  if (answers.count == 0 || answers.delay.front() > UnnumberedProbes::kLatestAnswer * 9 / 10) return;
  note_seeing(id, probe.host);
  const uint64_t life = machine(id).life;
  after(answers.delay.front(), [this, id, life, probe, as] {
    if (machine(id).life != life) return;
    deliver(id, {ProbeAnswered{probe.host, probe.sent}, {}, UnnumberedAnswer{as, own(id)}});
  });
}

// A host that was out of sight for less than the gap that its answers may have: T does not hold for it. After
// a longer gap the run of its answers begins anew, and what was missed before counts for nothing.
void World::note_seeing(NodeId id, HostId host) {
  Seeing& seeing = seeing_.at(host.at()).at(id.at());
  const Duration gap = 3 * config_.timing.heartbeat;
  if (now_ - seeing.last > gap) seeing.since = now_;
  seeing.last = now_;
  if (seeing.missed >= seeing.since && now_ - seeing.missed < gap)
    judge_.excuse(Assumption::kHearOffHost, now_ + 3 * config_.timing.window);
}

void World::send(NodeId id, const SendHeartbeat& send) {
  const NodeId peer(1 - id.at());
  Life& life = at(id).now;
  life.sent_at.at(send.heartbeat.sequence % life.sent_at.size()) = own(id);
  const Challenge::Words words = at(id).challenge->words();
  note_send(id, send.heartbeat);
  for (const LinkId link : send.links) {
    if (!link_works(id, link)) continue;
    for (const Duration delay : network_.direct(id, link, now_, random_))
      arrive_after(peer, delay, HeartbeatReceived{link, std::nullopt, send.heartbeat}, words);
  }
  const Duration slack = config_.timing.window / 20;
  for (const HostId host : send.relays) {
    if (!sees_host(id, host)) continue;
    if (!sees_host(peer, host)) {
      seeing_.at(host.at()).at(peer.at()).missed = now_;
      continue;
    }
    const Copies copies = network_.relayed(id, host, now_, random_);
    // T says that this one arrives, and in time.
    if (copies.count == 0 || copies.delay.front() > slack)
      judge_.excuse(Assumption::kHearOffHost, now_ + 3 * config_.timing.window);
    for (const Duration delay : copies)
      arrive_after(peer, delay, HeartbeatReceived{std::nullopt, host, send.heartbeat}, words);
  }
}

// The socket that it would have come to ends with the daemon; what is still in the network finds the next
// one's.
void World::arrive_after(NodeId id, Duration delay, HeartbeatReceived event, Challenge::Words words) {
  const uint64_t life = machine(id).life;
  after(delay, [this, id, life, words, event = std::move(event)]() mutable {
    if (machine(id).life == life || stragglers_) deliver(id, Arrival{std::move(event), words});
  });
}

void World::probe_address(NodeId id, const ProbeAddress& probe) {
  const NodeId peer(1 - id.at());
  const auto& service = config_.service(probe.service);
  const auto others = answering(probe.service);
  if (!nic_of_link_up(id, service.link)) return;
  const bool peer_answers = !others.empty() && others.front() == peer && nic_of_link_up(peer, service.link) &&
                            nic_of_link_up(id, service.link) && network_.link_up(id, service.link) &&
                            network_.link_up(peer, service.link);
  if (service.addresses.empty() || !(stranger_ || peer_answers)) return;
  deliver_after(id, 2 * Network::kHop,
                AddressAnswered{probe.service, service.addresses.front().address,
                                MacAddress::derived("test", "stranger"), probe.sent});
}

// ---- 4. and 5. renew, open and start ----

bool World::perform_starts(NodeId id, const Actions& actions) {
  Machine& m = at(id);
  for (const auto& gate : actions.set_gates) {
    if (telling_ && m.kernel.gates.at(gate.service.at()) <= own(id))
      say(id, config_.service(gate.service).name + ": gate open");
    if (m.kernel.gates.at(gate.service.at()) <= own(id)) judge_activation(id, gate.service);
    m.kernel.gates.at(gate.service.at()) = gate.deadline;
    judge_gate(id, gate);
    note(id, "gate",
         {{"service", static_cast<int64_t>(gate.service.at())},
          {"until", gate.deadline.time_since_epoch().count()}});
  }
  if (actions.watchdog) tend_watchdog(id, *actions.watchdog);
  if (actions.fence) run_fence(id, *actions.fence);
  for (const auto service : actions.add_addresses) {
    judge_begin(id, service);
    if (telling_ && !m.kernel.addresses.at(service.at()))
      say(id, config_.service(service).name + ": addresses added");
    m.kernel.addresses.at(service.at()) = true;
    report_spare(id, service);
    deliver_after(id, kAddress, AddressReport{service, true, ""});
  }
  for (const auto& start : actions.start_units) {
    if (!goes_on(id)) return false;
    start_unit(id, start);
  }
  for (const auto& order : actions.mirror_orders) run_mirror(id, order);
  for (const auto service : actions.set_guards) set_guard(id, service);
  return true;
}

// ---- the guard of mirrored folders ----

void World::lift_guard(NodeId id, ServiceId service) {
  Machine& m = at(id);
  if (telling_ && m.kernel.guards.at(service.at())) say(id, config_.service(service).name + ": guard lifted");
  m.kernel.guards.at(service.at()) = false;
  ++m.now.guard_orders.at(service.at());
}

// The folder's disk is asked first, and an order that has been taken back meanwhile changes nothing any more.
void World::set_guard(NodeId id, ServiceId service) {
  Machine& m = at(id);
  const uint64_t life = m.life, order = ++m.now.guard_orders.at(service.at());
  after(kGuard, [this, id, service, life, order] {
    Machine& now = at(id);
    if (now.life != life || now.now.guard_orders.at(service.at()) != order) return;
    if (telling_ && !now.kernel.guards.at(service.at()))
      say(id, config_.service(service).name + ": guard set");
    now.kernel.guards.at(service.at()) = true;
    const auto& mirrors = config_.service(service).mirrors;
    for (size_t i = 0; i < mirrors.size(); ++i) {
      if (mirrors.at(i).guard) deliver(id, GuardReport{service, MirrorId(i), GuardReport::Outcome::kSet, ""});
    }
  });
}

void World::start_unit(NodeId id, const StartUnit& start) {
  Machine& m = at(id);
  const auto behaviour = m.behaviour[start.service.at()];
  const bool missing = behaviour == Behaviour::kMissing, wrong = behaviour == Behaviour::kMisconfigured;
  const bool starts = behaviour != Behaviour::kFailsToStart && !missing && !wrong;
  std::vector<bool>& units = m.kernel.units.at(start.service.at());
  if (telling_ && !units.at(start.unit.at())) {
    say(id, fmt::format("{}: start {}", config_.service(start.service).name,
                        config_.service(start.service).units.at(start.unit.at()).name));
  }
  if (!config_.service(start.service).hot) judge_guard(id, start.service);
  if (behaviour == Behaviour::kHangs) {
    m.hung[start.service.at()] = {start.unit.at(), own(id), m.life, false};
    return;
  }
  m.hung.erase(start.service.at());
  units.at(start.unit.at()) = starts;
  deliver_after(id, kUnit,
                UnitReport{start.service, start.unit,
                           starts ? UnitReport::Outcome::kStarted : UnitReport::Outcome::kStartFailed,
                           starts ? "" : "exit code 1",
                           missing ? UnitReport::Again::kElsewhere
                           : wrong ? UnitReport::Again::kNowhere
                                   : UnitReport::Again::kHere});
}

// ---- 6. tell ----

void World::perform_tells(NodeId id, const Actions& actions) {
  Machine& m = at(id);
  for (const auto& line : actions.log) {
    judge_.logged(now_, line.text);
    if (telling_) say(id, line.text);
  }
  for (const auto& decision : actions.decisions) {
    judge_.logged(now_, decision.what);
    if (!telling_) continue;
    say(id, "decides: " + decision.what);
    for (const auto& why : decision.evidence) say(id, "         because " + why);
  }
  for (const auto& notice : actions.notices) {
    judge_notice(id, notice);
    if (telling_) say(id, fmt::format("notice {}: {}", notice.kind, notice.text));
  }
  const size_t lines = actions.log.size() + actions.decisions.size() + actions.notices.size();
  if (lines > kMostLines) judge_.accuse(now_, fmt::format("one step says {} things", lines));
  for (const auto& reply : actions.replies) {
    judge_reply(reply);
    if (transfers_.contains(reply.command)) {
      mirror_answered(reply);
    } else if (telling_) {
      say(id, fmt::format("answers: {}{}", reply.ok ? "" : "refused: ", reply.text));
    }
  }
  if (!actions.exit) return;
  note(id, "exit", {});
  if (telling_) say(id, "ends, its services go on");
  const uint64_t life = m.life;
  after(kFsync + microseconds(1), [this, id, life] {
    if (machine(id).life == life) kill_daemon(id);
  });
}

}  // namespace clusterd::sim
