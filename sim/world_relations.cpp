// Relations between services, as the machines show them (S14).
#include <fmt/format.h>

#include <algorithm>

#include "core/relations.hpp"
#include "sim/world.hpp"

namespace clusterd::sim {

using std::chrono::seconds;

// It serves there, with all that it has.
bool World::whole(NodeId id, ServiceId service) const {
  const Machine& m = machine(id);
  if (!m.powered || m.kernel.addresses.empty() || !m.kernel.addresses.at(service.at())) return false;
  const auto& units = m.kernel.units.at(service.at());
  return std::all_of(units.begin(), units.end(), [](bool runs) { return runs; });
}

void World::look_at_relations() {
  for (size_t s = 0; s < whole_at_.size(); ++s) {
    for (size_t i = 0; i < kNodes; ++i) {
      if (whole(NodeId(i), ServiceId(s))) whole_at_.at(s).at(i) = now_;
    }
  }
}

// A service that was wholly down begins: what it runs after must have been whole a moment ago, as long as
// news of its end may take.
void World::judge_begin(NodeId id, ServiceId service) {
  const Machine& m = machine(id);
  const auto& units = m.kernel.units.at(service.at());
  const bool begins = !m.kernel.addresses.at(service.at()) &&
                      std::none_of(units.begin(), units.end(), [](bool runs) { return runs; });
  const ServiceConfig& config = config_.service(service);
  if (!begins || own(id) - m.now.late_at < 2 * config_.timing.window + m.now.late) return;
  for (const ServiceId before : config.after) {
    const bool same_node = contains(config.with, before);
    const auto& at = whole_at_.at(before.at());
    const Instant last = same_node ? at.at(id.at()) : std::max(at.front(), at.back());
    if (now_ - last <= config_.timing.window + seconds(1)) continue;
    judge_.accuse(now_, fmt::format("S14: {} begins on {} before {} is active", config.name,
                                    config_.node(id).name, config_.service(before).name));
  }
}

// A service that is whole is stopped while its gate is open: in good order, so what runs after it has
// stopped. Not so where a unit that ran already has not answered to its start: that is a restart.
void World::judge_end(NodeId id, const StopUnit& stop) {
  Machine& m = at(id);
  const auto open = [&](ServiceId service) { return m.kernel.gates.at(service.at()) > own(id); };
  if (!related_ || stop.kill || !whole(id, stop.service) || !open(stop.service)) return;
  if (m.hung.contains(stop.service.at())) return;
  m.now.hands_over.insert(stop.service.at());
  for (size_t s = 0; s < config_.services.size(); ++s) {
    if (!contains(config_.services.at(s).after, stop.service)) continue;
    if (whole(id, ServiceId(s)) && open(ServiceId(s))) {
      judge_.accuse(now_, fmt::format("S14: {} is stopped on {} before {}, which runs after it",
                                      config_.service(stop.service).name, config_.node(id).name,
                                      config_.services.at(s).name));
    }
  }
}

// A service was handed over by the node that served it: so were all of its group that it served.
void World::judge_group(NodeId id, ServiceId service) {
  const NodeId peer(1 - id.at());
  const Life& giver = machine(peer).now;
  if (giver.leaving || !giver.hands_over.contains(service.at())) return;
  const auto at_peer = std::vector{peer};
  for (const ServiceId companion : config_.service(service).with) {
    if (answering(companion) != at_peer || !whole(peer, companion)) continue;
    judge_.accuse(now_, fmt::format("S14: {} is handed over to {} without {}", config_.service(service).name,
                                    config_.node(id).name, config_.service(companion).name));
  }
}

}  // namespace clusterd::sim
