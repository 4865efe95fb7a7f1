#include "sim/nemesis.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace clusterd::sim {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

const std::vector<Nemesis::Kind>& Nemesis::kinds() {
  static const std::vector<Kind> kAll{
      {"power", &Nemesis::power, false},
      {"daemon", &Nemesis::daemon, false},
      {"freeze", &Nemesis::freeze, false},
      {"pause-machine", &Nemesis::pause_machine, false},
      {"crash-between-actions", &Nemesis::crash_soon, false},
      {"clean-restart", &Nemesis::clean_restart, false, true},
      {"start-daemons", &Nemesis::restart_daemons, false},
      {"wall-clock-jumps", &Nemesis::wall_jump, false},
      {"other-configuration", &Nemesis::other_configuration, false},
      {"lose-state", &Nemesis::lose_state, false},
      {"nic", &Nemesis::nic, false},
      {"link", &Nemesis::link, false},
      {"switch", &Nemesis::network_switch, false},
      {"one-way", &Nemesis::one_way, false},
      {"lossy-link", &Nemesis::lossy_link, false},
      {"slow-link", &Nemesis::slow_link, false},
      {"clogged-link", &Nemesis::clogged_link, false},
      {"host", &Nemesis::host, false},
      {"host-for-one", &Nemesis::host_for_one, false},
      {"lossy-host", &Nemesis::lossy_host, false},
      {"slow-host", &Nemesis::slow_host, false},
      {"split", &Nemesis::split, false},
      {"isolate", &Nemesis::isolate, false},
      {"left-host", &Nemesis::left_host, false},
      {"swizzle", &Nemesis::swizzle, false},
      {"stranger", &Nemesis::stranger, false},
      {"unit-crash", &Nemesis::unit_crash, false},
      {"unit-behaviour", &Nemesis::unit_behaviour, false},
      {"address-lost", &Nemesis::address_lost, false},
      {"disk-full", &Nemesis::disk_full, false},
      {"disk-slow", &Nemesis::disk_slow, false},
      {"mirror", &Nemesis::mirror_trouble, false},
      {"root", &Nemesis::root_trouble, false},
      {"order-move", &Nemesis::order_move, false, true},
      {"order-standby", &Nemesis::order_standby, false, true},
      {"orders-on-both", &Nemesis::order_both, false, true},
      {"order-force", &Nemesis::order_force, false, true},
      {"order-rare", &Nemesis::order_rare, false, true},
      {"power-cycle", &Nemesis::power_cycle, false},
      {"disk-fails-at-claim", &Nemesis::disk_fails_at_claim, false},
      {"power-lost-at-sets", &Nemesis::power_lost_at_sets, false},
      {"damaged-state", &Nemesis::damaged_state, false},
      {"root-refilled", &Nemesis::root_refilled, false},
      {"clock-stands-still", &Nemesis::clock_stands_still, true},
      {"no-relays", &Nemesis::no_relays, true},
      {"lying-host", &Nemesis::lying_host, true},
      {"disk-forgets", &Nemesis::disk_forgets, true},
      {"roll-back", &Nemesis::roll_back, true},
      {"false-force", &Nemesis::false_force, true},
  };
  return kAll;
}

Nemesis::Nemesis(World& world, Random random) : world_(world), random_(random) {
  const bool breaks = breaks_ = random_.chance(10);
  // Where three takeovers stop the automatic moves, these come to be seen.
  without_administrator_ = world_.config().max_takeovers_per_hour < 10 && random_.chance(50);
  for (const Kind& kind : kinds()) {
    unsigned weight = random_.chance(40) ? 1 + random_.draw(9) : 0;
    if (kind.breaks_assumption && !breaks) weight = 0;
    if (without_administrator_) {
      if (kind.administrator) weight = 0;
      if (kind.strike == &Nemesis::power_cycle) weight = 80;
    }
    weights_.push_back(weight);
    total_ += weight;
  }
  if (total_ == 0) weights_.front() = total_ = 1;
}

void Nemesis::strike() {
  if (scenes_percent_ != 0 && random_.chance(scenes_percent_)) return play_scene();
  if (effects_ && random_.chance(25)) return strike_effects();
  unsigned pick = random_.draw(total_);
  size_t kind = 0;
  while (pick >= weights_.at(kind)) pick -= weights_.at(kind++);
  ++strikes_;
  if (on_fault) on_fault(kinds().at(kind).name);
  (this->*kinds().at(kind).strike)();
}

void Nemesis::run(Duration span) {
  const Instant end = world_.now() + span;
  while (true) {
    const auto next = std::min_element(undo_.begin(), undo_.end(),
                                       [](const Undo& a, const Undo& b) { return a.at < b.at; });
    if (next == undo_.end() || next->at > end) break;
    const auto what = std::move(next->what);
    const Instant at = next->at;
    undo_.erase(next);
    if (at > world_.now()) world_.run(at - world_.now());
    what();
  }
  world_.run(end - world_.now());
}

void Nemesis::later(Duration after, std::function<void()> what) {
  undo_.push_back({world_.now() + after, std::move(what)});
}

ServiceId Nemesis::any_service() {
  return ServiceId(random_.draw(static_cast<unsigned>(world_.config().services.size())));
}

// ---- machines and daemons ----

void Nemesis::power() {
  const NodeId node = any_node();
  if (world_.machine(node).powered) {
    world_.power_off(node);
  } else {
    world_.power_on(node);
  }
}

void Nemesis::daemon() {
  const NodeId node = any_node();
  if (world_.machine(node).node) {
    world_.kill_daemon(node);
    // systemd starts it again, sooner or later
    if (coin())
      later(random_.log_between(milliseconds(5), seconds(30)), [this, node] { world_.start_daemon(node); });
  } else {
    world_.start_daemon(node);
  }
}

void Nemesis::freeze() {
  const NodeId node = any_node();
  world_.freeze(node);
  later(random_.log_between(milliseconds(20), seconds(120)), [this, node] { world_.thaw(node); });
}

void Nemesis::pause_machine() {
  const NodeId node = any_node();
  world_.pause(node, true);
  later(random_.log_between(milliseconds(20), seconds(120)), [this, node] { world_.resume(node); });
}

void Nemesis::crash_soon() {
  const NodeId node = any_node();
  world_.crash_at(node, {1 + random_.draw(random_.chance(50) ? 6 : 60), coin()});
  later(random_.log_between(milliseconds(50), seconds(30)), [this, node] {
    if (!world_.machine(node).powered) world_.power_on(node);
    world_.start_daemon(node);
  });
}

void Nemesis::clean_restart() {
  const NodeId node = any_node();
  if (!world_.machine(node).node) return world_.start_daemon(node);
  order(node, Command::Kind::kPrepareRestart);
  if (random_.chance(80))
    later(random_.log_between(milliseconds(20), seconds(10)), [this, node] { world_.start_daemon(node); });
}

void Nemesis::restart_daemons() {
  for (size_t i = 0; i < kNodes; ++i) world_.start_daemon(NodeId(i));
}

void Nemesis::wall_jump() {
  const Duration by = random_.log_between(milliseconds(10), std::chrono::hours(48));
  world_.jump_wall(any_node(), coin() ? by : -by);
}

// One node reads another configuration at its next start (S12), for a while.
void Nemesis::other_configuration() {
  const NodeId node = any_node();
  world_.set_config_hash(node, 2);
  world_.kill_daemon(node);
  world_.start_daemon(node);
  later(random_.log_between(seconds(1), seconds(60)), [this, node] {
    world_.set_config_hash(node, world_.config().hash);
    world_.kill_daemon(node);
    world_.start_daemon(node);
  });
}

void Nemesis::lose_state() {
  if (!random_.chance(20)) return;  // rarely: most of what follows is waiting for a human
  const NodeId node = any_node();
  world_.power_off(node);
  world_.wipe_disk(node);
  wiped_ = true;
  later(random_.log_between(seconds(1), seconds(60)), [this, node] { world_.power_on(node); });
}

// ---- networks ----

void Nemesis::nic() {
  const NodeId node = any_node();
  const auto& spare = world_.config().node(node).redundant_nic;
  const bool takes_spare = spare && random_.chance(20);
  world_.set_nic(node, takes_spare ? *spare : world_.config().link(any_link()).ends.at(node.at()).nic,
                 coin());
}

void Nemesis::link() { world_.set_link(any_link(), coin()); }
void Nemesis::network_switch() { world_.set_switch(any_link(), coin()); }
void Nemesis::one_way() { world_.set_one_way(any_node(), coin()); }

void Nemesis::lossy_link() {
  Path& path = world_.network().link(any_link(), any_node());
  path.loss = coin() ? random_.draw(100) : 0;
  path.duplicates = coin() ? random_.draw(50) : 0;
}

void Nemesis::slow_link() {
  Path& path = world_.network().link(any_link(), any_node());
  path.delay = coin() ? random_.log_between(milliseconds(1), seconds(5)) : Duration::zero();
  path.jitter = coin() ? random_.log_between(milliseconds(1), seconds(5)) : Duration::zero();
}

void Nemesis::clogged_link() {
  world_.network().link(any_link(), any_node()).clogged_until =
      world_.now() + random_.log_between(milliseconds(50), seconds(30));
}

void Nemesis::host() {
  if (world_.config().hosts.empty()) return;
  const HostId id = any_host();
  world_.set_host(id, std::nullopt, coin());
  // Some stay away for long enough to leave the counted sets.
  if (random_.chance(30)) {
    world_.set_host(id, std::nullopt, false);
    later(random_.between(seconds(50), seconds(150)),
          [this, id] { world_.set_host(id, std::nullopt, true); });
  }
}

void Nemesis::host_for_one() {
  if (!world_.config().hosts.empty()) world_.set_host(any_host(), any_node(), coin());
}

void Nemesis::lossy_host() {
  if (!world_.config().hosts.empty())
    world_.network().host(any_host(), any_node()).loss = coin() ? random_.draw(100) : 0;
}

void Nemesis::slow_host() {
  if (world_.config().hosts.empty()) return;
  world_.network().host(any_host(), any_node()).delay =
      coin() ? random_.log_between(milliseconds(1), seconds(5)) : Duration::zero();
}

// All links are cut, and each reference host is seen by one node at most: the case for which kA + kB > n.
void Nemesis::split() {
  for (size_t l = 0; l < world_.config().links.size(); ++l) world_.set_link(LinkId(l), false);
  for (size_t h = 0; h < world_.config().hosts.size(); ++h) {
    const unsigned seen_by = random_.draw(3);
    for (size_t i = 0; i < kNodes; ++i) world_.set_host(HostId(h), NodeId(i), seen_by == i);
  }
}

// One node loses the other and most reference hosts; before that its answers may come late for a while.
void Nemesis::isolate() {
  const NodeId node = any_node();
  const auto cut = [this, node] {
    for (size_t l = 0; l < world_.config().links.size(); ++l) world_.set_link(LinkId(l), false);
    const unsigned seen = random_.draw(100);
    for (size_t h = 0; h < world_.config().hosts.size(); ++h) {
      world_.set_host(HostId(h), node, random_.chance(seen / 2));
      world_.set_host(HostId(h), NodeId(1 - node.at()), true);
    }
  };
  if (coin()) return cut();
  const Duration late = random_.log_between(milliseconds(10), seconds(2));
  for (size_t l = 0; l < world_.config().links.size(); ++l)
    world_.network().link(LinkId(l), NodeId(1 - node.at())).delay = late;
  later(random_.log_between(milliseconds(100), seconds(5)), cut);
}

// A reference host stays away until it has left the counted sets, and comes back for one node alone, which is
// cut off from everything else.
void Nemesis::left_host() {
  if (world_.config().hosts.size() < 2) return;
  const HostId id = any_host();
  const NodeId node = any_node();
  world_.network().heal();
  world_.set_host(id, std::nullopt, false);
  later(random_.between(seconds(58), seconds(70)), [this, id, node] {
    for (size_t l = 0; l < world_.config().links.size(); ++l) world_.set_link(LinkId(l), false);
    for (size_t h = 0; h < world_.config().hosts.size(); ++h) {
      world_.set_host(HostId(h), node, HostId(h) == id);
      world_.set_host(HostId(h), NodeId(1 - node.at()), HostId(h) != id);
    }
  });
}

// Everything is cut off in a random order, and comes back in another.
void Nemesis::swizzle() {
  for (size_t l = 0; l < world_.config().links.size(); ++l) {
    for (size_t i = 0; i < kNodes; ++i) {
      const LinkId id(l);
      const NodeId node(i);
      later(random_.between(Duration::zero(), seconds(3)),
            [this, id, node] { world_.network().link(id, node).up = false; });
      later(random_.between(seconds(4), seconds(8)),
            [this, id, node] { world_.network().link(id, node).up = true; });
    }
  }
  for (size_t h = 0; h < world_.config().hosts.size(); ++h) {
    for (size_t i = 0; i < kNodes; ++i) {
      const HostId id(h);
      const NodeId node(i);
      later(random_.between(Duration::zero(), seconds(3)),
            [this, id, node] { world_.set_host(id, node, false); });
      later(random_.between(seconds(4), seconds(8)), [this, id, node] { world_.set_host(id, node, true); });
    }
  }
}

void Nemesis::stranger() {
  stranger_ = !stranger_;
  world_.set_stranger(stranger_);
}

// ---- units, disks, mirrors ----

void Nemesis::unit_crash() {
  const NodeId node = any_node();
  if (world_.machine(node).node) world_.crash_unit(node, any_service());
}

void Nemesis::unit_behaviour() {
  constexpr std::array kAll{Behaviour::kGood,          Behaviour::kGood,  Behaviour::kFailsToStart,
                            Behaviour::kRefusesToStop, Behaviour::kHangs, Behaviour::kLies};
  world_.set_behaviour(any_node(), any_service(), kAll.at(random_.draw(kAll.size())));
}

void Nemesis::address_lost() { world_.lose_address(any_node(), any_service()); }

void Nemesis::disk_full() { world_.set_disk(any_node(), coin() ? DiskFault::kFull : DiskFault::kNone); }
void Nemesis::disk_slow() { world_.set_disk(any_node(), coin() ? DiskFault::kSlow : DiskFault::kNone); }

void Nemesis::mirror_trouble() {
  world_.set_mirror(coin() ? MirrorReport::Outcome::kDone : MirrorReport::Outcome::kFailed);
}

void Nemesis::root_trouble() {
  constexpr std::array kAll{RootFault::kNone, RootFault::kNotMounted, RootFault::kEmptied};
  const ServiceId service = any_service();
  const NodeId node = any_node();
  world_.set_root(node, service, kAll.at(random_.draw(kAll.size())));
  later(random_.log_between(seconds(2), seconds(60)),
        [this, node, service] { world_.set_root(node, service, RootFault::kNone); });
}

// ---- administrators ----

void Nemesis::order(NodeId node, Command::Kind kind, std::string text) {
  if (!world_.machine(node).node) return;
  Command command;
  command.kind = kind;
  command.text = std::move(text);
  const bool of_node = kind == Command::Kind::kStandby || kind == Command::Kind::kOnline ||
                       kind == Command::Kind::kPrepareRestart || kind == Command::Kind::kStopServices;
  if (!of_node) command.service = any_service();
  if (kind == Command::Kind::kStandby || kind == Command::Kind::kOnline) {
    if (coin()) command.node = any_node();
  }
  world_.order(node, command);
}

void Nemesis::order_move() { order(any_node(), Command::Kind::kMove); }
void Nemesis::order_standby() {
  order(any_node(), random_.chance(35) ? Command::Kind::kStandby : Command::Kind::kOnline);
}

void Nemesis::order_both() {
  constexpr std::array kAll{Command::Kind::kMove, Command::Kind::kStandby, Command::Kind::kOnline,
                            Command::Kind::kPrepareRestart, Command::Kind::kResync};
  for (size_t i = 0; i < kNodes; ++i) order(NodeId(i), kAll.at(random_.draw(kAll.size())));
}

// An administrator who forces has looked: the other machine is off, and stays off while he does it.
void Nemesis::order_force() {
  const NodeId node = any_node();
  const Machine& peer = world_.machine(NodeId(1 - node.at()));
  if (!peer.powered) order(node, Command::Kind::kStartForce);
}

void Nemesis::order_rare() {
  constexpr std::array kAll{Command::Kind::kStopServices, Command::Kind::kMirrorRun,
                            Command::Kind::kMirrorConfirm, Command::Kind::kAcceptDiverged,
                            Command::Kind::kResync};
  order(any_node(), kAll.at(random_.draw(kAll.size())), "1");
}

// ---- watchdogs and fences ----

const std::vector<Nemesis::Kind>& Nemesis::effect_kinds() {
  static const std::vector<Kind> kAll{
      {"fence-fault", &Nemesis::fence_fault, false},
      {"no-watchdog", &Nemesis::no_watchdog, false},
      {"switch-on", &Nemesis::switch_on, false},
      {"stubborn-and-isolated", &Nemesis::stubborn_isolated, false},
      {"frozen-and-isolated", &Nemesis::frozen_isolated, false},
      {"fence-lies", &Nemesis::fence_lies, true},
  };
  return kAll;
}

void Nemesis::begin_effects() {
  effects_ = true;
  for (size_t i = 0; i < kNodes; ++i)
    world_.set_watchdog_error(NodeId(i), (static_cast<double>(random_.draw(101)) - 50) / 1000);
}

void Nemesis::strike_effects() {
  const Kind& kind = effect_kinds().at(random_.draw(static_cast<unsigned>(effect_kinds().size())));
  if (kind.breaks_assumption && !breaks_) return;
  ++strikes_;
  if (on_fault) on_fault(kind.name);
  (this->*kind.strike)();
}

void Nemesis::fence_fault() {
  constexpr std::array kAll{FenceFault::kNone, FenceFault::kNone, FenceFault::kFails, FenceFault::kSilent,
                            FenceFault::kLate};
  world_.set_fence(any_node(), kAll.at(random_.draw(kAll.size())));
}

void Nemesis::fence_lies() { world_.set_fence(any_node(), FenceFault::kLies); }
void Nemesis::no_watchdog() { world_.set_watchdog(any_node(), coin()); }

// What a fence has switched off stays off until somebody comes.
void Nemesis::switch_on() {
  for (size_t i = 0; i < kNodes; ++i) world_.power_on(NodeId(i));
}

// The node that serves is cut off, and its units do not end: the case for its watchdog.
void Nemesis::stubborn_isolated() {
  const ServiceId service = any_service();
  const auto serving = world_.running(service);
  const NodeId node = serving.empty() ? any_node() : serving.front();
  world_.set_behaviour(node, service, Behaviour::kRefusesToStop);
  for (size_t l = 0; l < world_.config().links.size(); ++l) world_.set_link(LinkId(l), false);
  for (size_t h = 0; h < world_.config().hosts.size(); ++h) {
    world_.set_host(HostId(h), node, false);
    world_.set_host(HostId(h), NodeId(1 - node.at()), true);
  }
  later(random_.between(seconds(20), seconds(90)), [this] { world_.network().heal(); });
}

void Nemesis::frozen_isolated() {
  const auto serving = world_.running(any_service());
  const NodeId node = serving.empty() ? any_node() : serving.front();
  world_.network().heal();
  world_.freeze(node);
  later(random_.log_between(seconds(5), seconds(80)), [this, node] { world_.thaw(node); });
}

// ---- against the assumptions ----

void Nemesis::clock_stands_still() {
  const NodeId node = any_node();
  world_.pause(node, false);
  later(random_.log_between(milliseconds(20), seconds(120)), [this, node] { world_.resume(node); });
}

void Nemesis::no_relays() { world_.set_relays(coin()); }

// Two machines with the address of one reference host: each node asks its own.
void Nemesis::lying_host() {
  if (!world_.config().hosts.empty()) world_.network().set_relays(any_host(), coin());
}

void Nemesis::disk_forgets() { world_.set_disk(any_node(), coin() ? DiskFault::kForgets : DiskFault::kNone); }

void Nemesis::roll_back() {
  const NodeId node = any_node();
  world_.power_off(node);
  world_.roll_back_disk(node);
  wiped_ = true;
  later(random_.log_between(seconds(1), seconds(60)), [this, node] { world_.power_on(node); });
}

void Nemesis::false_force() {
  world_.judge().excuse(Assumption::kAdministrator, kNever);
  order(any_node(), Command::Kind::kStartForce);
}

// ---- the end ----

void Nemesis::heal() {
  undo_.clear();
  world_.set_mirror(MirrorReport::Outcome::kDone);
  world_.network().heal();
  world_.set_stranger(stranger_ = false);
  for (size_t i = 0; i < kNodes; ++i) {
    const NodeId id(i);
    world_.set_disk(id, DiskFault::kNone);
    world_.set_fence(id, FenceFault::kNone);
    world_.set_watchdog(id, true);
    world_.crash_at(id, {});
    const bool other = world_.machine(id).config_hash != world_.config().hash;
    world_.set_config_hash(id, world_.config().hash);
    if (other) world_.kill_daemon(id);
    for (size_t s = 0; s < world_.config().services.size(); ++s) {
      world_.set_behaviour(id, ServiceId(s), Behaviour::kGood);
      world_.set_root(id, ServiceId(s), RootFault::kNone);
    }
    if (!world_.machine(id).powered) world_.power_on(id);
    world_.resume(id);
    world_.thaw(id);
    world_.start_daemon(id);
    for (const auto& [nic, up] : std::map<std::string, bool>(world_.machine(id).nic_up))
      world_.set_nic(id, nic, true);
  }
}

void Nemesis::tidy() {
  for (size_t i = 0; i < kNodes; ++i) {
    const NodeId id(i);
    if (effects_) world_.power_on(id);  // a fence was quicker
    world_.start_daemon(id);            // it was in a clean restart
    if (!world_.machine(id).node) continue;
    Command online;
    online.kind = Command::Kind::kOnline;
    world_.order(id, online);
    for (size_t s = 0; s < world_.config().services.size(); ++s) {
      Command command;
      command.service = ServiceId(s);
      command.kind = Command::Kind::kAcceptDiverged;
      world_.order(id, command);
      command.kind = Command::Kind::kMirrorConfirm;
      for (const auto& mirror : world_.config().services.at(s).mirrors) {
        command.text = mirror.name;
        world_.order(id, command);
      }
    }
  }
}

}  // namespace clusterd::sim
