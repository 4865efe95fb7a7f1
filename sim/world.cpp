// Time, machines, faults and the judge's view of the simulated world.
#include "sim/world.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/relations.hpp"
#include "core/timing.hpp"

namespace clusterd::sim {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {
constexpr size_t kMostWaiting = 2000;  // datagrams for a daemon that stands still; sockets hold no more
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

World::World(Config config, uint64_t seed)
    : config_(std::move(config)),
      random_(seed),
      network_(config_.links.size(), config_.hosts.size()),
      judge_(config_),
      files_(config_, [this](const std::string& what) { judge_.accuse(now_, what); }) {
  judge_.on_excuse = [this](Assumption assumption, Instant until) {
    note(std::nullopt, "broken",
         {{"assumption", static_cast<int64_t>(assumption)}, {"until", until.time_since_epoch().count()}});
  };
  seeing_.resize(config_.hosts.size());
  answered_.assign(config_.services.size(), std::vector<bool>(kNodes, false));
  related_ = any_relation(config_.services);
  whole_at_.assign(config_.services.size(), {kLongAgo, kLongAgo});
  for (size_t i = 0; i < kNodes; ++i) {
    Machine& m = machines_.at(i);
    for (const auto& link : config_.links) m.nic_up[link.ends.at(i).nic] = true;
    if (const auto& spare = config_.nodes.at(i).redundant_nic) m.nic_up[*spare] = true;
    m.disk.state.services.resize(config_.services.size());
    m.disk.state.hosts.resize(config_.hosts.size());
    m.clock.set(now_, now_);
    m.config_hash = config_.hash;
    m.told_diverged.assign(config_.services.size(), false);
  }
}

// ---- time ----

void World::after(Duration delay, std::function<void()> what) {
  queue_.push_back(Due{now_ + delay, ++orders_, std::move(what)});
  std::push_heap(queue_.begin(), queue_.end());
}

void World::run(Duration span) {
  const Instant end = now_ + span;
  while (true) {
    Instant next = queue_.empty() ? kNever : queue_.front().at;
    std::optional<NodeId> timer;
    for (size_t i = 0; i < kNodes; ++i) {
      const Machine& m = machines_.at(i);
      if (m.node && !m.frozen && !m.paused && m.timer < next) {
        next = m.timer;
        timer = NodeId(i);
      }
    }
    if (next > end) break;
    now_ = std::max(now_, next);
    if (timer) {
      deliver(*timer, Tick{machine(*timer).clock.wall(now_)});
    } else {
      std::pop_heap(queue_.begin(), queue_.end());
      const auto what = std::move(queue_.back().what);
      queue_.pop_back();
      what();
    }
    look();
  }
  now_ = end;
  look();
}

void World::arm(NodeId id) {
  Machine& m = at(id);
  if (m.node) m.timer = m.clock.world(m.node->next_deadline());
}

void World::deliver(NodeId id, Arrival arrival) {
  Machine& m = at(id);
  if (!m.node) return;
  const Event& event = arrival.event;
  if (m.frozen || m.paused) {
    const bool datagram =
        std::holds_alternative<HeartbeatReceived>(event) || std::holds_alternative<ProbeAnswered>(event);
    if (!datagram || m.waiting.size() < kMostWaiting) m.waiting.push_back(std::move(arrival));
    return;
  }
  if (std::holds_alternative<HeartbeatReceived>(event)) {
    if (!open_datagram(id, arrival)) return;
  } else if (const auto* answer = std::get_if<ProbeAnswered>(&event)) {
    if (arrival.unnumbered && !find_probe(id, arrival)) return;
    m.now.evidence = std::max(m.now.evidence, answer->sent);
    note(id, "answered",
         {{"host", static_cast<int64_t>(answer->host.at())},
          {"sent", answer->sent.time_since_epoch().count()}});
  }
  if (const auto* fence = std::get_if<FenceReport>(&event)) {
    m.now.fenced_peer = fence->off_done && fence->power == FenceReport::Power::kOff;
    note(id, "fenced", {{"off", m.now.fenced_peer ? 1 : 0}});
  }
  if (std::holds_alternative<Started>(event)) m.now.quiet_since = own(id);
  note_lateness(id);
  const Actions actions = m.node->step(own(id), event);
  perform(id, actions);
  judge_limits(id);
  arm(id);
}

// What the seal makes of it (src/linux/net/seal.hpp): nothing of an earlier life of the peer once a later one
// has proven itself, and only a sign of life until then.
bool World::open_datagram(NodeId id, Arrival& arrival) {
  Machine& m = at(id);
  const auto& received = std::get<HeartbeatReceived>(arrival.event);
  const Challenge::Verdict verdict = m.challenge->judge(received.heartbeat.boot, arrival.words);
  if (verdict == Challenge::Verdict::kEnded) return false;
  const bool proven = verdict != Challenge::Verdict::kUnproven;
  m.now.quiet_since = own(id);
  note_receive(id, received, proven);
  if (proven) {
    word_given_ = false;
    m.now.fenced_peer = false;
    take_evidence(id, received, verdict == Challenge::Verdict::kProvenNow);
  } else {
    arrival.event = SignOfLife{received.link, received.relay};
  }
  return true;
}

// Which probe counts as answered: one that has been, or an older one. False: none.
bool World::find_probe(NodeId id, Arrival& arrival) {
  auto& answer = std::get<ProbeAnswered>(arrival.event);
  Life& life = at(id).now;
  Instant& newest = life.answered.at(answer.host.at());
  newest = std::max(newest, answer.sent);
  const auto sent =
      life.probes.at(answer.host.at()).answered(arrival.unnumbered->as, arrival.unnumbered->received);
  if (!sent) return false;
  if (*sent > newest) judge_.accuse(now_, "S1: an answer counts for a probe that has not been answered yet");
  answer.sent = *sent;
  return true;
}

void World::deliver_after(NodeId id, Duration delay, Event event) {
  const uint64_t life = machine(id).life;
  after(delay, [this, id, life, event = std::move(event)]() mutable {
    if (machine(id).life == life) deliver(id, std::move(event));
  });
}

void World::deliver_waiting(NodeId id) {
  std::deque<Arrival> waiting;
  waiting.swap(at(id).waiting);
  for (auto& arrival : waiting) deliver(id, std::move(arrival));
  arm(id);
}

// ---- machines and daemons ----

void World::power_on(NodeId id) {
  Machine& m = at(id);
  if (m.powered) return;
  note(id, "power_on", {});
  m.powered = true;
  m.host_rebooted = true;
  ++m.boots;
  files_.booted(id);
  if (clocks_anywhere_) m.clock.set(now_, Instant{} + random_.between(seconds(5), seconds(60)));
  m.clock.go(now_);
  note_clock(id);
  m.kernel.gates.assign(config_.services.size(), kLongAgo);
  m.kernel.guards.assign(config_.services.size(), false);
  m.kernel.addresses.assign(config_.services.size(), false);
  m.kernel.units.clear();
  for (const auto& service : config_.services) m.kernel.units.emplace_back(service.units.size(), false);
  start_daemon(id);
}

void World::power_off(NodeId id) {
  note(id, "power_off", {});
  settle_disk(id, true);
  kill_daemon(id);
  Machine& m = at(id);
  m.powered = m.paused = false;
  m.kernel = {};
  m.watchdog.running = m.watchdog.due = false;
  // What others were copying to it or from it ends with the connection.
  std::vector<uint64_t> broken;
  for (const auto& [number, run] : transfers_) {
    if (run.source == id || run.target == id) broken.push_back(number);
  }
  for (const uint64_t number : broken)
    end_transfer(number, MirrorReport::Outcome::kFailed, "the connection was broken");
}

void World::kill_daemon(NodeId id) {
  Machine& m = at(id);
  if (m.node) note(id, "die", {});
  settle_disk(id, false);
  m.node.reset();
  // What the disk refused is not known any more (docs/safety.md: a takeover of which the disk does not know).
  m.undamped -= std::exchange(m.unstored, 0);
  // The kernel closes the device for it, and pets it by that.
  if (m.watchdog.open && m.watchdog.running) pet_watchdog(id);
  m.watchdog.open = false;
  m.waiting.clear();
  m.frozen = false;
  m.crash = {};
  ++m.life;
}

void World::start_daemon(NodeId id) {
  Machine& m = at(id);
  if (!m.powered || m.node) return;
  ++m.life;
  m.challenge.emplace([this] { return ++questions_; });
  find_damage(id);
  Config config = config_;
  config.self = id;
  config.hash = m.config_hash;
  m.node.emplace(config, m.disk.state);
  report_nics(id);
  Started started;
  started.boot = BootId{++boots_};
  started.host_rebooted = m.host_rebooted;
  started.wall = m.clock.wall(now_);
  started.gate_deadlines = m.kernel.gates;
  m.host_rebooted = false;
  m.now = {};
  m.now.boot = started.boot;
  m.now.hash = config.hash;
  m.now.guard_orders.assign(config_.services.size(), 0);
  m.now.probes.assign(config_.hosts.size(), UnnumberedProbes(config_.timing.window / 2));
  m.now.answered.assign(config_.hosts.size(), kLongAgo);
  for (const Instant gate : m.kernel.gates) m.now.inherited = std::max(m.now.inherited, gate);
  for (const auto& service : m.disk.state.services) {
    m.now.was_active.push_back(service.active);
    m.now.submitted.push_back({service.epoch, service.claimed});
  }
  break_word();
  note(id, "start",
       {{"boot", static_cast<int64_t>(boots_)},
        {"config", static_cast<int64_t>(config.hash)},
        {"rebooted", started.host_rebooted ? 1 : 0}});
  deliver(id, started);
  report_nics(id);
}

// Whoever forces a service says that the other node is dead, and that it comes back only within earshot.
void World::break_word() {
  if (!word_given_) return;
  const bool heard = reachable(NodeId(0));
  judge_.excuse(Assumption::kAdministrator, heard ? now_ + 3 * config_.timing.window : kNever);
}

void World::report_nics(NodeId id) {
  for (const auto& [nic, unused] : machine(id).nic_up) {
    const bool up = shows_carrier(id, nic);
    deliver(id, NicChanged{nic, up, up ? "" : "no carrier"});
  }
}

// A service has come to the spare NIC, or has left it: its carrier is to be seen, or not any more.
void World::report_spare(NodeId id, ServiceId service) {
  const auto& spare = config_.node(id).redundant_nic;
  if (config_.service(service).mac != MacMode::kRedundant || !spare || machine(id).nic_up.at(*spare)) return;
  const bool up = shows_carrier(id, *spare);
  deliver_after(id, Network::kHop, NicChanged{*spare, up, up ? "" : "no carrier"});
}

void World::freeze(NodeId id) {
  note(id, "freeze", {});
  at(id).frozen = true;
}

void World::thaw(NodeId id) {
  Machine& m = at(id);
  if (!m.frozen) return;
  note(id, "thaw", {});
  m.frozen = false;
  if (!m.paused) deliver_waiting(id);
}

// A machine whose clock stands still with it wakes up with a lease that has run out for everybody else (A1).
void World::pause(NodeId id, bool clock_goes_on) {
  Machine& m = at(id);
  if (!m.powered || m.paused) return;
  note(id, "pause", {{"clock", clock_goes_on ? 1 : 0}});
  m.paused = true;
  if (clock_goes_on) return;
  m.clock.stop(now_);
  note_clock(id);
  judge_.excuse(Assumption::kClockRate, kNever);
}

void World::resume(NodeId id) {
  Machine& m = at(id);
  if (!m.paused) return;
  note(id, "resume", {});
  m.paused = false;
  m.clock.go(now_);
  note_clock(id);
  if (m.watchdog.due) return bite(id);
  if (!m.frozen) deliver_waiting(id);
}

void World::jump_wall(NodeId id, Duration by) {
  at(id).clock.jump_wall(by);
  at(id).damping_unsure = true;
}

void World::set_clock(NodeId id, int64_t ppm) {
  at(id).clock.run(now_, ppm);
  note_clock(id);
  arm(id);
}

// ---- networks ----

void World::set_nic(NodeId id, const std::string& nic, bool up) {
  at(id).nic_up[nic] = up;
  const bool shown = shows_carrier(id, nic);
  deliver(id, NicChanged{nic, shown, shown ? "" : "no carrier"});
}

void World::set_link(LinkId link, bool up) {
  for (size_t i = 0; i < kNodes; ++i) network_.link(link, NodeId(i)).up = up;
}

void World::set_switch(LinkId link, bool up) {
  for (size_t i = 0; i < kNodes; ++i) set_nic(NodeId(i), config_.link(link).ends.at(i).nic, up);
}

void World::set_one_way(NodeId from, bool cut) { network_.set_one_way(from, cut); }

void World::set_host(HostId host, std::optional<NodeId> as_seen_by, bool up) {
  for (size_t i = 0; i < kNodes; ++i) {
    if (!as_seen_by || as_seen_by->at() == i) network_.host(host, NodeId(i)).up = up;
  }
}

void World::set_stranger(bool answers) {
  if (answers && !stranger_) stranger_since_ = now_;
  stranger_ = answers;
}

void World::set_relays(bool work) { network_.set_relays(work); }

bool World::nic_up(NodeId id, const std::string& nic) const {
  const Machine& m = machine(id);
  return m.powered && m.nic_up.at(nic);
}

// A spare NIC is down on purpose while no service is on it, and counts as up then.
bool World::shows_carrier(NodeId id, const std::string& nic) const {
  const Machine& m = machine(id);
  if (nic != config_.node(id).redundant_nic || m.nic_up.at(nic)) return m.nic_up.at(nic);
  for (size_t s = 0; s < m.kernel.addresses.size(); ++s) {
    if (config_.services.at(s).mac == MacMode::kRedundant && m.kernel.addresses.at(s)) return false;
  }
  return true;
}

bool World::nic_of_link_up(NodeId id, LinkId link) const {
  return nic_up(id, config_.link(link).ends.at(id.at()).nic);
}

bool World::link_works(NodeId from, LinkId link) const {
  return network_.link_up(from, link) && nic_of_link_up(from, link) &&
         nic_of_link_up(NodeId(1 - from.at()), link);
}

bool World::reachable(NodeId from) const {
  const NodeId peer(1 - from.at());
  for (size_t i = 0; i < config_.links.size(); ++i) {
    if (link_works(from, LinkId(i)) && link_works(peer, LinkId(i))) return true;
  }
  return false;
}

LinkId World::way_to(HostId host) const {
  if (const auto link = config_.host(host).link) return *link;
  return config_.services.empty() ? LinkId(0) : config_.services.front().link;
}

bool World::sees_host(NodeId id, HostId host) const {
  return network_.sees(id, host) && nic_of_link_up(id, way_to(host));
}

// ---- units and orders ----

void World::crash_unit(NodeId id, ServiceId service, UnitId unit) {
  if (!machine(id).powered) return;
  at(id).kernel.units.at(service.at()).at(unit.at()) = false;
  deliver(id, UnitReport{service, unit, UnitReport::Outcome::kCrashed, "killed by signal 9"});
}

void World::lose_address(NodeId id, ServiceId service) {
  if (!machine(id).powered) return;
  at(id).kernel.addresses.at(service.at()) = false;
  deliver(id, AddressLost{service, "deleted"});
}

void World::order(NodeId id, Command command) {
  command.id = ++commands_;
  if (command.kind == Command::Kind::kStartForce && machine(id).node) {
    word_given_ = true;
    at(id).now.forced = true;
    note(id, "force", {{"service", command.service ? static_cast<int64_t>(command.service->at()) : -1}});
    if (machine(NodeId(1 - id.at())).node) break_word();
  }
  Machine& of = at(command.node.value_or(id));
  if (command.kind == Command::Kind::kOnline) {
    for (Machine& m : machines_) m.undamped = m.unstored = 0;
    of.put_aside = 0;
  }
  if (command.kind == Command::Kind::kStandby) {
    of.put_aside = command.id;
    of.lock_durable = of.disk.state.locked;
  }
  if (command.kind == Command::Kind::kPrepareRestart) at(id).now.restarting = true;
  if (command.kind == Command::Kind::kStopServices) at(id).now.leaving = true;
  if (command.kind == Command::Kind::kHoldBack) at(id).now.holds_back = true;
  if (command.kind == Command::Kind::kHoldBackNoMore) at(id).now.holds_back = false;
  deliver(id, command);
}

Role World::role(NodeId id, ServiceId service) {
  Machine& m = at(id);
  return m.node ? m.node->status().services.at(service.at()).here : Role::kStandby;
}

void World::say(NodeId id, const std::string& text) {
  lines_.push_back(
      fmt::format("{:9.4f} {}  {}", to_seconds(now_.time_since_epoch()) - 3600, config_.node(id).name, text));
}

std::vector<std::string> World::take_trace() { return std::exchange(lines_, {}); }

std::vector<std::string> World::violations() const {
  std::vector<std::string> out;
  for (const auto& accusation : judge_.accusations()) {
    if (accusation.excuse) continue;
    out.push_back(
        fmt::format("{:.4f}: {}", to_seconds(accusation.at.time_since_epoch()) - 3600, accusation.text));
  }
  return out;
}

}  // namespace clusterd::sim
