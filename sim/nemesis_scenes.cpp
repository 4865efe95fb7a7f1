// Scenes: the cluster is put in order and then led, step by step, to the instant for which one rule is there.
// Chance alone meets such an instant in fewer than one of a thousand seeds.
#include <algorithm>

#include "sim/nemesis.hpp"

namespace clusterd::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;

const std::vector<Nemesis::Scene>& Nemesis::scenes() {
  static const std::vector<Scene> kAll{
      {"a-host-changes-sides", &Nemesis::host_changes_sides},
      {"a-new-daemon-goes-on-unproven", &Nemesis::new_daemon_unproven},
      {"the-standby-is-late", &Nemesis::standby_late},
      {"acks-of-the-daemon-before", &Nemesis::acks_of_daemon_before},
      {"acks-of-long-ago", &Nemesis::acks_of_long_ago},
      {"a-mirror-asks-late", &Nemesis::mirror_asks_late, true},
      {"forced-and-cut-off", &Nemesis::forced_and_cut_off},
      {"the-standby-holds-back", &Nemesis::standby_holds_back},
  };
  return kAll;
}

// Drawn apart, so that a seed without them is what it was before there were any.
void Nemesis::begin_scenes(uint64_t seed) {
  Random random(seed ^ 0x5ce7e5ULL);
  if (!random.chance(50)) return;
  scenes_percent_ = 5 + random.draw(20);
  world_.set_stragglers(true);
}

void Nemesis::play_scene() {
  const Scene& scene = scenes().at(random_.draw(static_cast<unsigned>(scenes().size())));
  const auto service = scene.of_mirror ? service_with_mirror() : any_service();
  if (!service) return;
  strikes_ += 3;  // it is made of several faults
  if (on_fault) on_fault(scene.name);
  const auto cast = put_in_order(*service);
  if (!cast) return;
  (this->*scene.play)(*cast);
  heal();
}

// One whose runs are scheduled: a live mirror asks only when it begins.
std::optional<ServiceId> Nemesis::service_with_mirror() const {
  for (size_t s = 0; s < world_.config().services.size(); ++s) {
    const auto& mirrors = world_.config().services.at(s).mirrors;
    if (std::any_of(mirrors.begin(), mirrors.end(), [](const MirrorConfig& m) { return !m.live; }))
      return ServiceId(s);
  }
  return std::nullopt;
}

// Waits until a node serves and the other one would take over; the nodes' heartbeats may fall into any step.
std::optional<Nemesis::Cast> Nemesis::put_in_order(ServiceId service) {
  heal();
  if (!without_administrator_) tidy();
  for (int i = 0; i < 40; ++i) {
    run(milliseconds(500));
    const auto serving = world_.answering(service);
    if (serving.size() != 1) continue;
    const Cast cast{service, serving.front(), NodeId(1 - serving.front().at())};
    if (!world_.machine(cast.active).node || !world_.machine(cast.standby).node) continue;
    if (!world_.status(cast.standby).services.at(service.at()).takes_over_here) continue;
    run(random_.between(Duration::zero(), 2 * timing().heartbeat));
    shift_heartbeats(cast.standby);
    return cast;
  }
  return std::nullopt;
}

// A NIC that comes and goes is told at once, and from then on each period begins then.
void Nemesis::shift_heartbeats(NodeId node) {
  const std::string& nic =
      world_.config().link(LinkId(world_.config().links.size() - 1)).ends.at(node.at()).nic;
  world_.set_nic(node, nic, false);
  run(milliseconds(1));
  world_.set_nic(node, nic, true);
  run(random_.between(3 * timing().heartbeat, 5 * timing().heartbeat));
}

void Nemesis::cut_links() {
  for (size_t l = 0; l < world_.config().links.size(); ++l) world_.set_link(LinkId(l), false);
}

void Nemesis::show_hosts(NodeId node, bool up) {
  for (size_t h = 0; h < world_.config().hosts.size(); ++h) world_.set_host(HostId(h), node, up);
}

// The nodes are cut from each other, and the hosts go over from the standby's side to the active node's while
// its lease still runs (S2: an answer from before the lease was over proves nothing).
void Nemesis::host_changes_sides(const Cast& cast) {
  cut_links();
  show_hosts(cast.active, false);
  run(random_.between(timing().lease * 3 / 4, timing().lease));
  show_hosts(cast.active, true);
  show_hosts(cast.standby, false);
  run(3 * timing().window);
}

// The active node's daemon goes on under its predecessor's lease, renews it by a host, and stands still
// before it has proven to the standby that it lives (S2: it gives a sign of life all the same).
void Nemesis::new_daemon_unproven(const Cast& cast) {
  cut_links();  // nobody can answer for the address on the LAN either
  run(random_.between(timing().window, 2 * timing().window));
  world_.kill_daemon(cast.active);
  run(random_.between(timing().lease / 4, timing().lease * 9 / 10));
  world_.start_daemon(cast.active);
  run(random_.log_between(milliseconds(1), timing().heartbeat / 4));
  world_.freeze(cast.active);
  run(random_.between(timing().window / 2, 2 * timing().window));
  world_.thaw(cast.active);
  run(2 * timing().window);
}

// The active node ends, and the standby stands still while its window runs: for less than the gap that the
// answers of its hosts may have (S2: it lengthens its window by as much).
void Nemesis::standby_late(const Cast& cast) {
  world_.power_off(cast.active);
  run(random_.between(Duration::zero(), timing().window));
  world_.freeze(cast.standby);
  run(random_.between(timing().heartbeat / 2, timing().heartbeat * 5 / 2));
  world_.thaw(cast.standby);
  run(3 * timing().window);
}

// Acknowledgements of one daemon's heartbeats are so slow on one link that they come to the next daemon,
// which serves and is cut off just then (S1: they are not its own).
void Nemesis::acks_of_daemon_before(const Cast& cast) {
  const LinkId slow = any_link();
  const Duration life = random_.between(2 * timing().lease, 5 * timing().lease);
  world_.kill_daemon(cast.active);
  world_.start_daemon(cast.active);
  world_.network().link(slow, cast.standby).delay = life + random_.between(Duration::zero(), timing().lease);
  run(life);
  world_.kill_daemon(cast.active);
  world_.start_daemon(cast.active);
  run(random_.between(timing().lease, life));
  cut_links();
  show_hosts(cast.active, false);
  run(2 * timing().window);
}

// What the standby says comes so late that it has taken over when the active node reads that it stands by,
// with an acknowledgement of what was sent after the lease had run out; and a host comes back just then (S1:
// the acknowledgement is older than a lease).
void Nemesis::acks_of_long_ago(const Cast& cast) {
  const Duration late = random_.between(2 * timing().lease, 4 * timing().lease);
  for (size_t l = 0; l < world_.config().links.size(); ++l)
    world_.network().link(LinkId(l), cast.standby).delay = late;
  show_hosts(cast.active, false);
  run(timing().lease + random_.between(timing().heartbeat, timing().window));
  world_.set_one_way(cast.active, true);
  const Instant limit = world_.now() + 3 * timing().window;
  while (world_.answering(cast.service) != std::vector{cast.standby}) {
    if (world_.now() >= limit) return;
    run(timing().heartbeat / 10);
  }
  run(random_.between(Duration::zero(), late / 2));
  show_hosts(cast.active, true);
  run(late);
}

// The source of a mirror asks the standby whether it may write, and stands still; when the question is read,
// the standby has taken over (S8: nothing is written towards a node that serves).
void Nemesis::mirror_asks_late(const Cast& cast) {
  const Duration late = random_.between(2 * timing().window, 8 * timing().window);
  world_.set_mirror_questions(late);
  Command command;
  command.kind = Command::Kind::kMirrorRun;
  command.service = cast.service;
  world_.order(cast.active, command);
  run(random_.log_between(milliseconds(1), timing().heartbeat));
  world_.set_mirror_questions(Duration::zero());
  world_.freeze(cast.active);
  run(late + timing().window);
}

// The peer of a node that is off is told to serve by force, and is cut off when both had heard each other
// again (S1: from then on it rests on evidence like any other).
void Nemesis::forced_and_cut_off(const Cast& cast) {
  if (without_administrator_) return;
  show_hosts(cast.standby, false);
  world_.power_off(cast.active);
  run(2 * timing().window);
  Command command;
  command.kind = Command::Kind::kStartForce;
  command.service = cast.service;
  world_.order(cast.standby, command);
  run(2 * timing().window);
  show_hosts(cast.standby, true);
  world_.power_on(cast.active);
  for (int i = 0; i < 20; ++i) {
    run(milliseconds(500));
    if (!world_.machine(cast.active).node) return;
    if (world_.status(cast.active).services.at(cast.service.at()).takes_over_here) break;
  }
  cut_links();
  show_hosts(cast.standby, false);
  run(3 * timing().window);
}

// A new configuration is on its way, and the active node is not heard any more (S12: it may have another
// one).
void Nemesis::standby_holds_back(const Cast& cast) {
  Command command;
  command.kind = Command::Kind::kHoldBack;
  world_.order(cast.standby, command);
  world_.power_off(cast.active);
  run(random_.between(timing().window, 4 * timing().window));
  command.kind = Command::Kind::kHoldBackNoMore;
  world_.order(cast.standby, command);
  run(2 * timing().window);
}

}  // namespace clusterd::sim
