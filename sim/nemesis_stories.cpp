// Faults of several steps each: rare coincidences that chance alone would hardly ever bring about.
#include "sim/nemesis.hpp"

namespace clusterd::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Whoever serves loses its power, and comes back when the other one has had the time to take over.
void Nemesis::power_cycle() {
  const auto serving = world_.answering(any_service());
  if (serving.size() != 1) return;
  const NodeId node = serving.front();
  world_.power_off(node);
  later(random_.between(seconds(1), seconds(6)), [this, node] { world_.power_on(node); });
}

// The disk keeps the claim of an epoch and nothing after it; the daemon dies some time later.
void Nemesis::disk_fails_at_claim() {
  const NodeId node = any_node();
  world_.fill_disk_at_claim(node);
  if (coin()) {
    const NodeId peer(1 - node.at());
    world_.freeze(peer);
    later(random_.log_between(seconds(1), seconds(30)), [this, peer] { world_.thaw(peer); });
  }
  later(random_.log_between(seconds(1), seconds(30)), [this, node] {
    world_.kill_daemon(node);
    world_.start_daemon(node);
  });
  later(random_.log_between(seconds(10), seconds(60)),
        [this, node] { world_.set_disk(node, DiskFault::kNone); });
}

// A reference host goes for long enough to leave the counted sets and comes back, and one node loses its
// power while its disk does not know yet.
void Nemesis::power_lost_at_sets() {
  if (world_.config().hosts.size() < 2) return;
  const HostId id = any_host();
  const NodeId node = any_node();
  world_.set_host(id, std::nullopt, false);
  const bool at_leaving = random_.chance(30);
  if (at_leaving) world_.lose_power_at_sets(node);
  const Duration away = random_.between(seconds(62), seconds(75));
  later(away, [this, id, node, at_leaving] {
    world_.set_host(id, std::nullopt, true);
    if (!at_leaving) world_.lose_power_at_sets(node);
  });
  later(away + random_.between(seconds(12), seconds(40)), [this, node] { world_.power_on(node); });
}

// A bit of the state file has turned over while the daemon did not run.
void Nemesis::damaged_state() {
  if (!random_.chance(20)) return;  // rarely, as when it is lost
  const NodeId node = any_node();
  world_.kill_daemon(node);
  world_.damage_disk(node);
  wiped_ = true;
  later(random_.log_between(milliseconds(10), seconds(30)), [this, node] { world_.start_daemon(node); });
}

// The root of the active node is emptied, all its mirrors halt and that is on disk; then somebody writes
// there again, and the daemon is restarted: what it finds looks like any folder. (To a mirror that has not
// looked in between it is one.)
void Nemesis::root_refilled() {
  const ServiceId service = any_service();
  const auto serving = world_.answering(service);
  if (serving.size() != 1 || world_.config().service(service).mirrors.empty()) return;
  const NodeId node = serving.front();
  world_.set_root(node, service, RootFault::kEmptied);
  later(random_.between(seconds(8), seconds(40)), [this, node, service] {
    const bool emptied = world_.files().root(service, node) == RootFault::kEmptied;
    const Disk& disk = world_.machine(node).disk;
    const auto& halted = disk.state.services.at(service.at()).halted_mirrors;
    const bool known = !disk.damaged && halted.size() == world_.config().service(service).mirrors.size();
    world_.set_root(node, service, emptied && known ? RootFault::kRefilled : RootFault::kNone);
    if (coin()) return;
    world_.kill_daemon(node);
    world_.start_daemon(node);
  });
  later(random_.between(seconds(60), seconds(120)),
        [this, node, service] { world_.set_root(node, service, RootFault::kNone); });
}

void Nemesis::slow_beginning() {
  const Duration late = random_.log_between(milliseconds(5), milliseconds(400));
  for (size_t h = 0; h < world_.config().hosts.size(); ++h) world_.set_host(HostId(h), std::nullopt, false);
  for (size_t l = 0; l < world_.config().links.size(); ++l) {
    for (size_t i = 0; i < kNodes; ++i) world_.network().link(LinkId(l), NodeId(i)).delay = late;
  }
  world_.power_on(NodeId(0));
  world_.power_on(NodeId(1));
  for (unsigned i = 0; i < 12; ++i) {
    run(random_.log_between(milliseconds(1), 2 * late));
    const NodeId node = any_node();
    order(node, Command::Kind::kStandby);
    run(random_.log_between(milliseconds(1), late));
    order(node, Command::Kind::kOnline);
  }
  run(seconds(1));
  heal();
}

}  // namespace clusterd::sim
