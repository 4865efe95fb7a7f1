// The nemesis: does to a simulated cluster what its seed says.
//
// Each seed first draws which kinds of fault exist at all and how often they come (swarm testing: Groce et
// al., 2012), and what else the cluster is like. Most seeds keep the assumptions of docs/safety.md; some
// break one, and then only what does not rest on it is judged.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "sim/world.hpp"

namespace clusterd::sim {

class Nemesis {
 public:
  Nemesis(World& world, Random random);

  // Does one fault (or undoes one).
  void strike();
  // Lets time pass; what was to be undone meanwhile is.
  void run(Duration span);
  // Undoes everything.
  void heal();
  // The administrator tidies up after that: locks, halted mirrors, divergence.
  void tidy();

  [[nodiscard]] unsigned strikes() const { return strikes_; }
  [[nodiscard]] bool wiped() const { return wiped_; }
  // Called with a line for each fault, if set.
  std::function<void(const std::string&)> on_fault;

 private:
  using Fault = void (Nemesis::*)();
  struct Kind {
    const char* name;
    Fault strike;
    bool breaks_assumption;
  };
  static const std::vector<Kind>& kinds();

  // Machines and daemons.
  void power();
  void daemon();
  void freeze();
  void pause_machine();
  void crash_soon();
  void clean_restart();
  void restart_daemons();
  void wall_jump();
  void other_configuration();
  void lose_state();
  // Networks.
  void nic();
  void link();
  void network_switch();
  void one_way();
  void lossy_link();
  void slow_link();
  void clogged_link();
  void host();
  void host_for_one();
  void lossy_host();
  void slow_host();
  void split();
  void isolate();
  void left_host();
  void swizzle();
  void stranger();
  // Units, disks, mirrors.
  void unit_crash();
  void unit_behaviour();
  void address_lost();
  void disk_full();
  void disk_slow();
  void mirror_trouble();
  void root_trouble();
  // Administrators.
  void order_move();
  void order_standby();
  void order_both();
  void order_force();
  void order_rare();
  // Against the assumptions.
  void clock_stands_still();
  void no_relays();
  void lying_host();
  void disk_forgets();
  void roll_back();
  void false_force();

  NodeId any_node() { return NodeId(random_.draw(kNodes)); }
  ServiceId any_service();
  HostId any_host() { return HostId(random_.draw(static_cast<unsigned>(world_.config().hosts.size()))); }
  LinkId any_link() { return LinkId(random_.draw(static_cast<unsigned>(world_.config().links.size()))); }
  bool coin() { return random_.draw(2) == 0; }
  void order(NodeId node, Command::Kind kind, std::string text = "");
  void later(Duration after, std::function<void()> what);

  World& world_;
  Random random_;
  std::vector<unsigned> weights_;
  unsigned total_ = 0;
  unsigned strikes_ = 0;
  bool wiped_ = false;
  bool stranger_ = false;
  struct Undo {
    Instant at;
    std::function<void()> what;
  };
  std::vector<Undo> undo_;
};

}  // namespace clusterd::sim
