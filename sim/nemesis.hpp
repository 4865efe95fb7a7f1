// The nemesis: does to a simulated cluster what its seed says.
//
// Each seed first draws which kinds of fault exist at all and how often they come (swarm testing: Groce et
// al., 2012), and what else the cluster is like. Most seeds keep the assumptions of docs/safety.md; some
// break one, and then only what does not rest on it is judged.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sim/world.hpp"

namespace clusterd::sim {

class Nemesis {
 public:
  Nemesis(World& world, Random random);

  // From now on there are faults of watchdogs and fences, too.
  void begin_effects();
  // This seed may have scenes (nemesis_scenes.cpp), too: it draws whether.
  void begin_scenes(uint64_t seed);
  // Both nodes have just been started, and hear each other late; an administrator changes his mind.
  void slow_beginning();

  // Does one fault (or undoes one).
  void strike();
  // Lets time pass; what was to be undone meanwhile is.
  void run(Duration span);
  // Undoes everything.
  void heal();
  // The administrator tidies up after that: locks, halted mirrors, divergence.
  void tidy();

  // Nobody gives orders before the end: what stops by itself stays stopped.
  [[nodiscard]] bool without_administrator() const { return without_administrator_; }
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
    bool administrator = false;  // it takes one
  };
  static const std::vector<Kind>& kinds();
  static const std::vector<Kind>& effect_kinds();

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
  // Watchdogs and fences.
  void strike_effects();
  void fence_fault();
  void fence_lies();
  void no_watchdog();
  void switch_on();
  void stubborn_isolated();
  void frozen_isolated();
  // Several steps each, for what chance alone meets too rarely (nemesis_stories.cpp).
  void power_cycle();
  void disk_fails_at_claim();
  void power_lost_at_sets();
  void damaged_state();
  void root_refilled();
  // Scenes (nemesis_scenes.cpp): they let time pass themselves, so that nothing else meddles.
  struct Cast {
    ServiceId service;
    NodeId active, standby;
  };
  struct Scene {
    const char* name;
    void (Nemesis::*play)(const Cast& cast);
    bool of_mirror = false;
  };
  static const std::vector<Scene>& scenes();
  void play_scene();
  [[nodiscard]] std::optional<ServiceId> service_with_mirror() const;
  std::optional<Cast> put_in_order(ServiceId service);
  void host_changes_sides(const Cast& cast);
  void new_daemon_unproven(const Cast& cast);
  void standby_late(const Cast& cast);
  void acks_of_daemon_before(const Cast& cast);
  void acks_of_long_ago(const Cast& cast);
  void mirror_asks_late(const Cast& cast);
  void forced_and_cut_off(const Cast& cast);
  void standby_holds_back(const Cast& cast);
  void shift_heartbeats(NodeId node);
  void cut_links();
  void show_hosts(NodeId node, bool up);
  [[nodiscard]] const Timing& timing() const { return world_.config().timing; }
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
  unsigned scenes_percent_ = 0;
  bool effects_ = false, breaks_ = false;
  bool wiped_ = false;
  bool stranger_ = false;
  bool without_administrator_ = false;
  struct Undo {
    Instant at;
    std::function<void()> what;
  };
  std::vector<Undo> undo_;
};

}  // namespace clusterd::sim
