// What the world shows the judge: who answers, on which evidence, and what must have gone before.
#include <fmt/format.h>

#include <algorithm>

#include "sim/world.hpp"

namespace clusterd::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A gate that was not shut on purpose lets packets out until its deadline, and at worst F longer.
std::vector<NodeId> World::answering(ServiceId service) const {
  std::vector<NodeId> out;
  for (size_t i = 0; i < kNodes; ++i) {
    const Machine& m = machines_.at(i);
    if (!m.powered || m.paused || m.kernel.addresses.empty() || !m.kernel.addresses.at(service.at()))
      continue;
    const Instant gate = m.kernel.gates.at(service.at());
    if (gate != kLongAgo && gate + config_.timing.gate_latency > own(NodeId(i))) out.emplace_back(i);
  }
  return out;
}

// Of a unit that lied about its end nothing is known.
std::vector<NodeId> World::running(ServiceId service) const {
  std::vector<NodeId> out;
  for (size_t i = 0; i < kNodes; ++i) {
    const Machine& m = machines_.at(i);
    if (!m.powered || m.paused || m.lied.contains(service.at())) continue;
    const auto& units = m.kernel.units.at(service.at());
    if (std::any_of(units.begin(), units.end(), [](bool runs) { return runs; })) out.emplace_back(i);
  }
  return out;
}

void World::look() {
  if (related_) look_at_relations();
  for (size_t s = 0; s < config_.services.size(); ++s) {
    const ServiceId service(s);
    if (config_.services.at(s).effects == Effects::kNode)
      judge_.look_at_units(now_, service, running(service).size());
    std::vector<bool> now(kNodes, false);
    for (const NodeId id : answering(service)) now.at(id.at()) = true;
    if (now == answered_.at(s)) continue;
    std::vector<Judge::Answer> answers;
    for (size_t i = 0; i < kNodes; ++i) {
      const Epoch epoch = submitted(NodeId(i), service).epoch;
      // A daemon goes by what it has handed to its disk, although that may have refused it.
      const auto& handed = machine(NodeId(i)).now.submitted;
      const bool refused = machine(NodeId(i)).node && s < handed.size() && handed.at(s).used > epoch;
      if (now.at(i)) answers.push_back({NodeId(i), refused ? handed.at(s).used : epoch});
      if (now.at(i) == answered_.at(s).at(i)) continue;
      note(NodeId(i), now.at(i) ? "active" : "inactive",
           {{"service", static_cast<int64_t>(s)}, {"epoch", static_cast<int64_t>(epoch.value)}});
    }
    answered_.at(s) = std::move(now);
    const size_t before = judge_.accusations().size();
    judge_.look(now_, service, answers);
    if (telling_ && judge_.accusations().size() > before)
      lines_.push_back(fmt::format("VIOLATION {:.4f}: {}", to_seconds(now_.time_since_epoch()) - 3600,
                                   judge_.accusations().back().text));
  }
}

// What the daemon has last handed to its disk.
const PersistedService& World::submitted(NodeId id, ServiceId service) const {
  const Disk& disk = machine(id).disk;
  const PersistedState& state = disk.in_flight.empty() ? disk.state : disk.in_flight.back().state;
  return state.services.at(service.at());
}

// A gate that was shut opens: was it allowed to?
void World::judge_activation(NodeId id, ServiceId service) {
  const Machine& m = machine(id);
  const std::string& node = config_.node(id).name;
  const std::string& title = config_.service(service).name;
  const PersistedService& stored = m.disk.state.services.at(service.at());
  const Epoch epoch = submitted(id, service).epoch;
  judge_guard(id, service);
  // A daemon that learns from its peer what a predecessor had served (ServiceMachine::remember) goes on at an
  // epoch whose claim was on this disk; a later claim may have taken its place there since.
  if (epoch != stored.epoch && epoch > stored.claimed)
    judge_.accuse(now_, fmt::format("S4: {} serves {} at epoch {}, which is not on its disk", node, title,
                                    epoch.value));
  if (!m.node || word_given_ || m.now.forced) return;
  if (m.disk.state.locked && m.unlocked == 0)
    judge_.accuse(now_, fmt::format("S11: {} serves {} with the standby lock", node, title));
  if (m.now.heard && m.now.heard_hash != m.now.hash)
    judge_.accuse(now_,
                  fmt::format("S12: {} begins to serve {} although the configurations differ", node, title));
  const bool was_active = m.now.was_active.at(service.at());
  if (!m.now.heard && !was_active)
    judge_.accuse(now_,
                  fmt::format("S6: {} starts alone and serves {}, and was not the last active", node, title));
  // Whoever was the last active node by its own disk may go on alone (S6); the divergence is told later.
  const bool knows_no_better = stored.active || (was_active && !m.now.heard);
  const bool of_peer = stored.epoch.value != 0 && stored.epoch.value % kNodes != id.at();
  if (of_peer && !knows_no_better && !state_lost_ && !files_.complete(service, id, stored.epoch)) {
    judge_.accuse(
        now_, fmt::format("S8: {} serves {} without the files of epoch {}", node, title, stored.epoch.value));
  }
}

// S8: what begins to serve can write.
void World::judge_guard(NodeId id, ServiceId service) {
  if (machine(id).kernel.guards.at(service.at()))
    judge_.accuse(now_, fmt::format("S8: {} serves {} with its files read-only", config_.node(id).name,
                                    config_.service(service).name));
}

// S1: no gate is open for longer than the lease of the newest evidence.
void World::judge_gate(NodeId id, const SetGate& gate) {
  const Machine& m = machine(id);
  if (m.now.forced || m.now.restarting || m.now.fenced_peer || gate.deadline <= m.now.inherited) return;
  if (gate.deadline <= m.now.evidence + config_.timing.lease) return;
  judge_.accuse(now_, fmt::format("S1: the gate of {} on {} is set {:.1f} ms beyond its evidence's lease",
                                  config_.service(gate.service).name, config_.node(id).name,
                                  to_ms(gate.deadline - m.now.evidence - config_.timing.lease)));
}

// By how much a daemon was late for what it had asked to be woken for: what S2 calls its own lateness.
void World::note_lateness(NodeId id) {
  Machine& m = at(id);
  const Instant due = m.node->next_deadline();
  const Duration least = std::max<Duration>(config_.timing.heartbeat / 2, milliseconds(3));
  if (due == kLongAgo || own(id) <= due || own(id) - due <= least) return;
  m.now.late = own(id) - due;
  m.now.late_at = own(id);
}

// What is not started again is stopped in its turn only: that it is waited for no more is what the log says.
void World::note_given_up(NodeId id, const Actions& actions) {
  auto& hung = at(id).hung;
  if (hung.empty()) return;
  for (const auto& line : actions.log) {
    if (line.text.find(" did not start within ") == std::string::npos) continue;
    for (auto& [service, one] : hung)
      one.given_up = one.given_up || line.text.starts_with(config_.services.at(service).name + ": ");
  }
}

// A unit that does not answer to its start is not waited for without end. (Those of a hot service are waited
// for in every state.)
void World::judge_limits(NodeId id) {
  const Machine& m = machine(id);
  for (const auto& [service, hung] : m.hung) {
    const ServiceConfig& config = config_.services.at(service);
    if (config.hot || hung.given_up) continue;
    const Duration limit = config.units.at(hung.unit).start_timeout;
    const bool late = own(id) - m.now.late_at < seconds(1);
    if (!m.node || m.life != hung.life || late || own(id) - hung.since <= limit + seconds(1)) continue;
    judge_.accuse(now_, fmt::format("limits: {} waits for {} for {:.1f} s, and its limit is {:.0f} s",
                                    config_.node(id).name, config.units.at(hung.unit).name,
                                    to_seconds(own(id) - hung.since), to_seconds(limit)));
  }
}

// S2: nobody takes over before a window of silence is over, direct or relayed, as much longer as it was late;
// S12: nor while it holds back.
void World::judge_silence(NodeId id) {
  const Life& life = machine(id).now;
  if (life.holds_back)
    judge_.accuse(now_, fmt::format("S12: {} takes over while a new configuration is not settled",
                                    config_.node(id).name));
  const bool lately = own(id) - life.late_at < 2 * config_.timing.window + life.late;
  const Duration due = config_.timing.window + (lately ? life.late : Duration::zero());
  const Duration silence = own(id) - life.quiet_since;
  if (silence >= due) return;
  judge_.accuse(now_, fmt::format("S2: {} takes over after {:.1f} ms of silence, {:.1f} ms too early",
                                  config_.node(id).name, to_ms(silence), to_ms(due - silence)));
}

void World::judge_notice(NodeId id, const Notice& notice) {
  Machine& m = at(id);
  judge_.logged(now_, notice.text);
  if (notice.kind == "diverged" && notice.service) m.told_diverged.at(notice.service->at()) = true;
  const bool forced = notice.text.find("(forced)") != std::string::npos;
  if (notice.kind == "takeover" && !forced) {
    ++m.takeovers;
    const auto newest = notice.service ? judge_.newest(*notice.service) : std::nullopt;
    // Whoever starts alone and was the last active node, as far as it knows, goes on: that is no move.
    const bool goes_on = !m.now.heard && notice.service && m.now.was_active.at(notice.service->at());
    const bool from_peer = newest && newest->node != id && !goes_on;
    const auto limit = config_.max_takeovers_per_hour + 2 * static_cast<unsigned>(config_.services.size());
    if (from_peer) ++m.unstored;
    if (from_peer && ++m.undamped > limit && !m.damping_unsure)
      judge_.accuse(now_, fmt::format("S11: {} takeovers within an hour", m.undamped));
    judge_silence(id);
    if (stranger_ && now_ - stranger_since_ >= 3 * config_.timing.window)
      judge_.accuse(now_, "S2: a node takes an address over that somebody else answers for");
  }
  if (notice.kind == "moved" && notice.service) {
    judge_group(id, *notice.service);
    files_.handed_over(*notice.service, id);
    const NodeId peer(1 - id.at());
    const Machine& other = machine(peer);
    const bool unsure = other.lied.contains(notice.service->at());
    if (!other.powered || config_.service(*notice.service).hot || unsure) return;
    const auto& units = other.kernel.units.at(notice.service->at());
    if (std::any_of(units.begin(), units.end(), [](bool runs) { return runs; }))
      judge_.accuse(now_, fmt::format("S7: {} was handed over while its units still run on {}",
                                      config_.service(*notice.service).name, config_.node(peer).name));
  }
}

// Whoever is told that a node was put aside may cut its power the next moment: the lock has to be on its
// disk.
void World::judge_reply(const Reply& reply) {
  if (!reply.ok) return;
  for (size_t i = 0; i < kNodes; ++i) {
    const Machine& m = machines_.at(i);
    if (m.put_aside != reply.command || m.lock_durable) continue;
    judge_.accuse(now_, fmt::format("S11: the order to put {} aside is answered, and its disk does not know",
                                    config_.nodes.at(i).name));
  }
}

// S7: stops come before starts in the actions of a step. A unit that is both started and stopped in one was
// thought of as stopped, and runs.
void World::judge_order_of(NodeId id, const Actions& actions) {
  for (const StartUnit& start : actions.start_units) {
    const bool stopped = std::any_of(
        actions.stop_units.begin(), actions.stop_units.end(),
        [&](const StopUnit& stop) { return stop.service == start.service && stop.unit == start.unit; });
    if (stopped)
      judge_.accuse(now_, fmt::format("S7: one step stops and starts a unit of {} on {}",
                                      config_.service(start.service).name, config_.node(id).name));
  }
}

// S2: each node's S_A lies within the other one's S_B; of a node that does not run, what its disk says
// counts.
void World::judge_sets() {
  const auto sets = [this](NodeId id) {
    std::vector<std::pair<bool, bool>> out;
    const Machine& m = machine(id);
    if (m.node) {
      for (const auto& host : m.node->status().hosts) out.emplace_back(host.renews_lease, host.must_answer);
    } else {
      for (const auto& host : m.disk.state.hosts) out.emplace_back(host.in_active_set, host.in_standby_set);
    }
    return out;
  };
  const std::array both{sets(NodeId(0)), sets(NodeId(1))};
  for (size_t h = 0; h < both.front().size(); ++h) {
    for (size_t i = 0; i < kNodes; ++i) {
      const auto& [a, b] = both.at(i).at(h);
      if (!a || both.at(1 - i).at(h).second) continue;
      judge_.accuse(now_, fmt::format("S2: {} is in S_A of {} and not in S_B of the other node",
                                      config_.hosts.at(h).text, config_.nodes.at(i).name));
    }
  }
}

void World::take_evidence(NodeId id, const HeartbeatReceived& event, bool new_life) {
  Machine& m = at(id);
  const Heartbeat& heartbeat = event.heartbeat;
  if (!m.now.heard || heartbeat.sequence > m.now.heard_sequence || new_life) {
    m.now.heard_sequence = heartbeat.sequence;
    m.now.heard_hash = heartbeat.config_hash;
    m.now.heard_roles.clear();
    for (const ServiceReport& service : heartbeat.services) m.now.heard_roles.push_back(service.role);
  }
  m.now.heard = true;
  const auto& ack = heartbeat.ack;
  if (ack.boot != m.now.boot || ack.sequence == 0) return;
  const Instant sent = m.now.sent_at.at(ack.sequence % m.now.sent_at.size());
  if (sent <= m.now.evidence && ack.sequence <= m.now.evidence_sequence) return;
  m.now.evidence_sequence = std::max(m.now.evidence_sequence, ack.sequence);
  m.now.evidence = std::max(m.now.evidence, sent);
  note(id, "acked", {{"seq", static_cast<int64_t>(ack.sequence)}, {"sent", sent.time_since_epoch().count()}});
}

}  // namespace clusterd::sim
