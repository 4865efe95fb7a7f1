// Time, machines, faults and the judge's view of the simulated world.
#include "sim/world.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/timing.hpp"

namespace clusterd::sim {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {
constexpr size_t kMostWaiting = 2000;  // datagrams for a daemon that stands still; sockets hold no more
constexpr size_t kOldStates = 8;
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
  missed_.assign(config_.hosts.size(), {kLongAgo, kLongAgo});
  answered_.assign(config_.services.size(), std::vector<bool>(kNodes, false));
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

void World::deliver(NodeId id, Event event) {
  Machine& m = at(id);
  if (!m.node) return;
  if (m.frozen || m.paused) {
    const bool datagram =
        std::holds_alternative<HeartbeatReceived>(event) || std::holds_alternative<ProbeAnswered>(event);
    if (!datagram || m.waiting.size() < kMostWaiting) m.waiting.push_back(std::move(event));
    return;
  }
  if (const auto* heartbeat = std::get_if<HeartbeatReceived>(&event)) {
    if (heartbeat->heartbeat.boot < m.proven) return;  // an earlier life of the peer: the seal refuses it
    word_given_ = false;
    take_evidence(id, *heartbeat);
    m.proven = std::max(m.proven, heartbeat->heartbeat.boot);
    note(id, "hear",
         {{"seq", static_cast<int64_t>(heartbeat->heartbeat.sequence)},
          {"link", heartbeat->link ? static_cast<int64_t>(heartbeat->link->at()) : -1},
          {"host", heartbeat->relay ? static_cast<int64_t>(heartbeat->relay->at()) : -1}});
  } else if (const auto* answer = std::get_if<ProbeAnswered>(&event)) {
    m.now.evidence = std::max(m.now.evidence, answer->sent);
    note(id, "answer",
         {{"host", static_cast<int64_t>(answer->host.at())},
          {"sent", answer->sent.time_since_epoch().count()}});
  }
  const Actions actions = m.node->step(own(id), event);
  perform(id, actions);
  arm(id);
}

void World::deliver_after(NodeId id, Duration delay, Event event) {
  const uint64_t life = machine(id).life;
  after(delay, [this, id, life, event = std::move(event)] {
    if (machine(id).life == life) deliver(id, event);
  });
}

void World::deliver_waiting(NodeId id) {
  std::deque<Event> waiting;
  waiting.swap(at(id).waiting);
  for (auto& event : waiting) deliver(id, std::move(event));
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
  m.kernel.gates.assign(config_.services.size(), kLongAgo);
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
  if (m.node) note(id, "kill", {});
  settle_disk(id, false);
  m.node.reset();
  m.waiting.clear();
  m.frozen = false;
  m.crash = {};
  ++m.life;
}

void World::start_daemon(NodeId id) {
  Machine& m = at(id);
  if (!m.powered || m.node) return;
  ++m.life;
  m.proven = BootId{};
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
  for (const Instant gate : m.kernel.gates) m.now.inherited = std::max(m.now.inherited, gate);
  for (const auto& service : m.disk.state.services) m.now.was_active.push_back(service.active);
  break_word();
  note(id, "start", {{"boot", static_cast<int64_t>(boots_)}});
  note(id, "clock", {{"offset", (own(id) - now_).count()}, {"rate", m.clock.ppm()}});
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
  for (const auto& [nic, up] : machine(id).nic_up) deliver(id, NicChanged{nic, up, up ? "" : "no carrier"});
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
  judge_.excuse(Assumption::kClockRate, kNever);
}

void World::resume(NodeId id) {
  Machine& m = at(id);
  if (!m.paused) return;
  note(id, "resume", {});
  m.paused = false;
  m.clock.go(now_);
  if (!m.frozen) deliver_waiting(id);
}

void World::jump_wall(NodeId id, Duration by) {
  at(id).clock.jump_wall(by);
  at(id).damping_unsure = true;
}

void World::set_clock(NodeId id, int64_t ppm) {
  at(id).clock.run(now_, ppm);
  note(id, "clock", {{"offset", (own(id) - now_).count()}, {"rate", ppm}});
  arm(id);
}

// ---- networks ----

void World::set_nic(NodeId id, const std::string& nic, bool up) {
  at(id).nic_up[nic] = up;
  deliver(id, NicChanged{nic, up, up ? "" : "no carrier"});
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

// ---- disks and units ----

void World::set_disk(NodeId id, DiskFault fault) {
  Disk& disk = at(id).disk;
  disk.fault = fault;
  if (fault == DiskFault::kForgets) {
    if (!disk.platter) disk.platter = disk.state;
    judge_.excuse(Assumption::kDisk, kNever);
  } else {
    disk.platter.reset();
  }
}

// What a crash leaves of the writes that were under way: any prefix of them, once chance is allowed. A
// daemon's death loses less than the power's: its kernel may still finish what was handed to it.
void World::settle_disk(NodeId id, bool power_lost) {
  Disk& disk = at(id).disk;
  if (clocks_anywhere_) {
    const auto kept = random_.draw(static_cast<unsigned>(disk.in_flight.size()) + 1);
    if (disk.fault != DiskFault::kFull && kept > 0) store(id, disk.in_flight.at(kept - 1).state);
  }
  disk.in_flight.clear();
  if (power_lost && disk.platter) disk.state = *disk.platter;
}

void World::wipe_disk(NodeId id) {
  Disk& disk = at(id).disk;
  disk = {};
  disk.state.services.resize(config_.services.size());
  disk.state.hosts.resize(config_.hosts.size());
  files_.forget_manifests(id);
  judge_.forgot(id);
  state_lost_ = true;
  at(id).damping_unsure = true;
}

void World::roll_back_disk(NodeId id) {
  Disk& disk = at(id).disk;
  if (disk.old.empty()) return;
  disk.state = disk.old.at(random_.draw(static_cast<unsigned>(disk.old.size())));
  judge_.forgot(id);
  at(id).damping_unsure = state_lost_ = true;
  judge_.excuse(Assumption::kDisk, kNever);
}

void World::store(NodeId id, const PersistedState& state) {
  Disk& disk = at(id).disk;
  if (disk.state.locked && !state.locked && !at(id).unlocked)
    judge_.accuse(now_, fmt::format("S11: the standby lock of {} is gone", config_.node(id).name));
  if (disk.state.locked && !state.locked) at(id).unlocked = false;
  disk.old.push_back(std::move(disk.state));
  if (disk.old.size() > kOldStates) disk.old.pop_front();
  disk.state = state;
  for (size_t i = 0; i < state.services.size(); ++i) {
    const PersistedService& service = state.services.at(i);
    note(id, "durable",
         {{"service", static_cast<int64_t>(i)},
          {"epoch", static_cast<int64_t>(service.epoch.value)},
          {"claimed", static_cast<int64_t>(service.claimed.value)}});
    judge_.stored(now_, id, ServiceId(i), service.epoch);
  }
  judge_sets();
}

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
    if (machine(NodeId(1 - id.at())).node) break_word();
  }
  if (command.kind == Command::Kind::kOnline) {
    for (Machine& m : machines_) m.undamped = 0;
  }
  if (command.kind == Command::Kind::kPrepareRestart) at(id).now.restarting = true;
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
