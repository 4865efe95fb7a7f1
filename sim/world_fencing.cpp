// Watchdog devices and fence devices: both reset or switch off a whole machine, whatever its daemon does.
#include <fmt/format.h>

#include <algorithm>

#include "sim/world.hpp"

namespace clusterd::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {
constexpr Duration kDevice = milliseconds(1);
constexpr Duration kAgent = milliseconds(500);  // one call of a fence agent
constexpr Duration kLateOff = seconds(45);      // FenceFault::kLate
}  // namespace

// ---- watchdogs ----

void World::tend_watchdog(NodeId id, WatchdogOrder order) {
  WatchdogDevice& dog = at(id).watchdog;
  switch (order) {
    case WatchdogOrder::kArm:
      if (!dog.works) {
        deliver_after(id, kDevice, WatchdogReport{false, "/dev/watchdog: No such file or directory"});
        return;
      }
      dog.running = dog.open = true;
      note(id, "watchdog", {{"armed", 1}});
      deliver_after(id, kDevice, WatchdogReport{true, "Simulated Watchdog"});
      pet_watchdog(id);
      return;
    case WatchdogOrder::kPet:
      if (dog.open) pet_watchdog(id);
      return;
    case WatchdogOrder::kDisarm:
      dog.running = dog.open = false;
      note(id, "watchdog", {{"armed", 0}});
      return;
  }
}

void World::pet_watchdog(NodeId id) {
  WatchdogDevice& dog = at(id).watchdog;
  const auto timeout = static_cast<double>(config_.watchdog->timeout.count()) * (1 + dog.error);
  after(Duration{static_cast<int64_t>(timeout)}, [this, id, pet = ++dog.pets, boots = machine(id).boots] {
    const Machine& m = machine(id);
    if (m.powered && m.watchdog.running && m.watchdog.pets == pet && m.boots == boots) bite(id);
  });
}

void World::bite(NodeId id) {
  Machine& m = at(id);
  m.watchdog.due = m.paused;  // a machine that stands still is reset when it goes on
  if (m.paused) return;
  if (telling_) say(id, "is reset by its watchdog");
  note(id, "bite", {});
  power_off(id);
  after(boot_time_, [this, id, boots = m.boots] {
    if (machine(id).boots == boots) power_on(id);
  });
}

// ---- fences ----

void World::run_fence(NodeId id, const FenceOrder& order) {
  const NodeId target = order.node;
  if (telling_) say(id, fmt::format("fence agent: off {}", config_.node(target).name));
  note(id, "fence", {{"target", static_cast<int64_t>(target.at())}});
  judge_fence(id);
  const FenceFault fault = machine(target).fence;
  FenceReport report{order.order, true, FenceReport::Power::kOff, "off"};
  switch (fault) {
    case FenceFault::kSilent:
      return;
    case FenceFault::kFails:
      report.off_done = false;
      report.power = FenceReport::Power::kUnknown;
      report.detail = "exit code 1: Connection timed out";
      break;
    case FenceFault::kLies:
      judge_.excuse(Assumption::kFence, kNever);
      break;
    case FenceFault::kLate:
      report.power = FenceReport::Power::kOn;
      report.detail = "on";
      break;
    case FenceFault::kNone:
      break;
  }
  // The agent is a process of its own: it goes on when its daemon ends, but not without power.
  if (fault == FenceFault::kNone || fault == FenceFault::kLate) {
    after(fault == FenceFault::kLate ? kLateOff : kAgent, [this, id, target, boots = machine(id).boots] {
      if (!machine(id).powered || machine(id).boots != boots || !machine(target).powered) return;
      if (telling_) say(target, "is switched off by its fence");
      power_off(target);
    });
  }
  // The status is asked after `off`, and somebody may have switched the machine on again.
  after(2 * kAgent, [this, id, target, fault, report, life = machine(id).life]() mutable {
    if (machine(id).life != life) return;
    if (fault == FenceFault::kNone && machine(target).powered) {
      report.power = FenceReport::Power::kOn;
      report.detail = "on";
    }
    deliver(id, report);
  });
}

// S13: where reference hosts decide, only a node that hears from all that it counts may fence.
void World::judge_fence(NodeId id) {
  const Machine& m = machine(id);
  if (config_.hosts.empty() || !m.node) return;
  const Duration gap = 4 * config_.timing.heartbeat;
  const auto& hosts = m.node->status().hosts;
  const bool all = std::all_of(hosts.begin(), hosts.end(), [&](const HostStatus& host) {
    return !host.must_answer || own(id) - host.last_answer < gap;
  });
  if (!all)
    judge_.accuse(now_, fmt::format("S13: {} fences its peer although not all of its hosts answer",
                                    config_.node(id).name));
}

}  // namespace clusterd::sim
