// The disks of the simulated world: what a write leaves when it fails, is slow, or is cut short.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/canary.hpp"
#include "sim/world.hpp"

namespace clusterd::sim {

namespace {
constexpr size_t kOldStates = 8;
}

void World::set_disk(NodeId id, DiskFault fault) {
  Disk& disk = at(id).disk;
  disk.fault = fault;
  if (fault == DiskFault::kNone) disk.fills_at_claim = disk.loses_power_at_sets = disk.power_is_cut = false;
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
  at(id).unlocked = 0;
  if (power_lost && disk.platter) {
    disk.state = *disk.platter;
    note_state(id, "disk", disk.state);
  }
  for (size_t s = 0; s < config_.services.size(); ++s) {
    files_.forgot(ServiceId(s), id, disk.state.services.at(s).epoch);
  }
}

void World::wipe_disk(NodeId id) {
  Disk& disk = at(id).disk;
  disk = {};
  disk.state.services.resize(config_.services.size());
  disk.state.hosts.resize(config_.hosts.size());
  note_state(id, "disk", disk.state);
  files_.forget_manifests(id);
  judge_.forgot(id);
  state_lost_ = true;
  at(id).damping_unsure = true;
  at(id).put_aside = 0;
}

// The store refuses a state file whose checksum is wrong, as if there were none (src/linux/state); the canary
// has it believe what it reads.
void World::find_damage(NodeId id) {
  Disk& disk = at(id).disk;
  if (!std::exchange(disk.damaged, false)) return;
  if (!sabotaged(Canary::kStateUnchecked)) {
    disk.state = {};
    disk.state.services.resize(config_.services.size());
    disk.state.hosts.resize(config_.hosts.size());
    note_state(id, "disk", disk.state);
    files_.forget_halts(id);
    judge_.forgot(id);
    state_lost_ = at(id).damping_unsure = true;
    at(id).put_aside = 0;
    return;
  }
  for (PersistedService& service : disk.state.services) {
    service.epoch.value /= 2;
    service.active = !service.active;
  }
  note_state(id, "disk", disk.state);
}

void World::roll_back_disk(NodeId id) {
  Disk& disk = at(id).disk;
  if (disk.old.empty()) return;
  disk.state = disk.old.at(random_.draw(static_cast<unsigned>(disk.old.size())));
  note_state(id, "disk", disk.state);
  judge_.forgot(id);
  at(id).damping_unsure = state_lost_ = true;
  at(id).put_aside = 0;
  judge_.excuse(Assumption::kDisk, kNever);
}

void World::store(NodeId id, const PersistedState& state) {
  Disk& disk = at(id).disk;
  if (disk.state.locked && !state.locked && !at(id).unlocked)
    judge_.accuse(now_, fmt::format("S11: the standby lock of {} is gone", config_.node(id).name));
  if (disk.state.locked && !state.locked && at(id).unlocked > 0) --at(id).unlocked;
  const auto last = [](const PersistedState& s) { return s.takeovers.empty() ? WallTime{} : s.takeovers.back(); };
  if (last(state) > last(disk.state)) at(id).unstored = 0;
  disk.old.push_back(std::move(disk.state));
  if (disk.old.size() > kOldStates) disk.old.pop_front();
  disk.state = state;
  note_state(id, "write", state);
  at(id).lock_durable = at(id).lock_durable || state.locked;
  const auto claims = [](const PersistedService& service) { return service.claimed.value != 0; };
  if (disk.fills_at_claim && std::any_of(state.services.begin(), state.services.end(), claims)) {
    disk.fills_at_claim = false;
    set_disk(id, DiskFault::kFull);
  }
  for (size_t i = 0; i < state.services.size(); ++i) {
    const PersistedService& service = state.services.at(i);
    judge_.stored(now_, id, ServiceId(i), service.epoch);
  }
  judge_sets();
}

}  // namespace clusterd::sim
