// What the trace says of larger things than one number: in the words of the model, and only what kernels,
// disks and the network see. Of what a daemon believes there is nothing here (model/check-trace draws its own
// conclusions).
#include <cmath>

#include "sim/world.hpp"

namespace clusterd::sim {

namespace {
int64_t number(uint64_t value) { return static_cast<int64_t>(value); }
int64_t number(Instant at) { return at.time_since_epoch().count(); }
}  // namespace

void World::introduce() {
  const Timing& t = config_.timing;
  note(std::nullopt, "timing",
       {{"heartbeat", t.heartbeat.count()},
        {"lease", t.lease.count()},
        {"window", t.window.count()},
        {"latency", t.gate_latency.count()},
        {"ppm", std::llround(t.clock_error * 1e6)}});
  const bool fence_mode = config_.hosts.empty() && config_.fences.front() && config_.fences.back();
  note(std::nullopt, "cluster",
       {{"services", number(config_.services.size())},
        {"hosts", number(config_.hosts.size())},
        {"fence_mode", fence_mode ? 1 : 0}});
}

void World::note_clock(NodeId id) {
  const NodeClock& clock = machine(id).clock;
  note(id, "clock",
       {{"offset", (own(id) - now_).count()}, {"rate", clock.ppm()}, {"runs", clock.stopped() ? 0 : 1}});
}

void World::note_state(NodeId id, std::string_view name, const PersistedState& state) {
  for (size_t s = 0; s < state.services.size(); ++s) {
    const PersistedService& service = state.services.at(s);
    note(id, name,
         {{"service", number(s)},
          {"epoch", number(service.epoch.value)},
          {"claim", number(service.claimed.value)},
          {"active", service.active ? 1 : 0},
          {"blocked", service.blocked ? 1 : 0}});
  }
  for (size_t h = 0; h < state.hosts.size(); ++h) {
    const PersistedHost& host = state.hosts.at(h);
    note(id, name,
         {{"host", number(h)}, {"a", host.in_active_set ? 1 : 0}, {"b", host.in_standby_set ? 1 : 0}});
  }
}

// An epoch that is used is one that was claimed; one that was learnt is not active here, and one that a
// predecessor is found to have used leaves the claim as it is.
void World::note_submit(NodeId id, const PersistedState& state) {
  note_state(id, "submit", state);
  std::vector<Life::Epochs>& before = at(id).now.submitted;
  for (size_t s = 0; s < state.services.size(); ++s) {
    const PersistedService& service = state.services.at(s);
    if (service.claimed != before.at(s).claim && service.claimed.value != 0)
      note(id, "claim", {{"service", number(s)}, {"epoch", number(service.claimed.value)}});
    if (service.epoch > before.at(s).used && service.active && service.claimed.value == 0)
      note(id, "activate", {{"service", number(s)}, {"epoch", number(service.epoch.value)}});
    before.at(s) = {service.epoch, service.claimed};
  }
}

// What a heartbeat says of a service is told when it changes.
void World::note_send(NodeId id, const Heartbeat& heartbeat) {
  std::vector<ServiceReport>& said = at(id).now.said;
  const bool first = said.empty();
  for (size_t s = 0; s < heartbeat.services.size(); ++s) {
    const ServiceReport& service = heartbeat.services.at(s);
    if (service.role != Role::kStopping && service.role != Role::kReleased) at(id).now.hands_over.erase(s);
    if (!first && service.role == said.at(s).role && service.epoch == said.at(s).epoch) continue;
    note(id, "fill",
         {{"service", number(s)},
          {"role", static_cast<int64_t>(service.role)},
          {"epoch", number(service.epoch.value)}});
  }
  said = heartbeat.services;
  note(id, "send",
       {{"seq", number(heartbeat.sequence)},
        {"sent", number(own(id))},
        {"ack_boot", number(heartbeat.ack.boot.value)},
        {"ack_seq", number(heartbeat.ack.sequence)},
        {"wanted", heartbeat.promise_wanted ? heartbeat.promise.count() : 0},
        {"given", heartbeat.promise_given ? 1 : 0}});
}

void World::note_receive(NodeId id, const HeartbeatReceived& received, bool proven) {
  note(id, "receive",
       {{"boot", number(received.heartbeat.boot.value)},
        {"seq", number(received.heartbeat.sequence)},
        {"proven", proven ? 1 : 0},
        {"link", received.link ? number(received.link->at()) : -1},
        {"host", received.relay ? number(received.relay->at()) : -1}});
}

}  // namespace clusterd::sim
