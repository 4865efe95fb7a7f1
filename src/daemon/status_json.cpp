#include "daemon/status_json.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>

#include "daemon/json_text.hpp"
#include "daemon/likeness.hpp"

namespace clusterd {

namespace json = boost::json;

namespace {

double rounded(double value) { return std::round(value * 1000.0) / 1000.0; }

json::value age_ms(Instant then, Instant now) {
  if (then == kLongAgo || then > now + std::chrono::hours(1)) return nullptr;
  return rounded(std::max(0.0, to_ms(now - then)));
}

json::value age_s(Instant then, Instant now) {
  if (then == kLongAgo) return nullptr;
  return rounded(std::max(0.0, to_seconds(now - then)));
}

// Time that is left; null for what is over or was never set.
json::value left_ms(Instant deadline, Instant now) {
  if (deadline == kLongAgo || deadline == kNever || deadline <= now) return nullptr;
  return rounded(to_ms(deadline - now));
}

std::string rfc3339(WallTime wall) {
  const auto ms = std::chrono::floor<std::chrono::milliseconds>(wall.time_since_epoch()).count();
  const std::time_t seconds = static_cast<std::time_t>(ms / 1000);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(seconds), ms % 1000);
}

std::string hex(uint64_t value) { return fmt::format("{:016x}", value); }

const char* mac_name(MacMode mode) {
  switch (mode) {
    case MacMode::kVirtual:
      return "virtual";
    case MacMode::kRedundant:
      return "redundant";
    case MacMode::kNone:
      return "none";
  }
  return "?";
}

const char* probe_name(ProbeKind kind) {
  switch (kind) {
    case ProbeKind::kIcmp:
      return "icmp";
    case ProbeKind::kArp:
      return "arp";
    case ProbeKind::kTcp:
      return "tcp";
  }
  return "?";
}

const char* mirror_state_name(MirrorStatus::State state) {
  static constexpr const char* kNames[] = {"idle",  "running",   "failed", "halted",
                                           "never", "following", "paused", "receiving"};
  return kNames[static_cast<size_t>(state)];
}

const char* unit_state_name(UnitReport::Outcome outcome) {
  switch (outcome) {
    case UnitReport::Outcome::kStarted:
      return "started";
    case UnitReport::Outcome::kStartFailed:
      return "start-failed";
    case UnitReport::Outcome::kStopped:
      return "stopped";
    case UnitReport::Outcome::kStopFailed:
      return "stop-failed";
    case UnitReport::Outcome::kCrashed:
      return "crashed";
  }
  return "?";
}

json::value service_name(const Config& config, std::optional<ServiceId> service) {
  if (!service || service->at() >= config.services.size()) return nullptr;
  return json::value(config.service(*service).name);
}

json::array strings(const std::vector<std::string>& texts) {
  json::array array;
  for (const std::string& text : texts) array.emplace_back(text);
  return array;
}

json::object decision_object(const Config& config, const Decision& decision, Instant now, WallTime wall) {
  return {{"time", rfc3339(wall)},
          {"age_s", age_s(decision.at, now)},
          {"service", service_name(config, decision.service)},
          {"what", decision.what},
          {"evidence", strings(decision.evidence)}};
}

json::object nodes_object(const Config& config, const Status& status, Instant now) {
  json::object nodes;
  for (size_t i = 0; i < kNodes; ++i) {
    const NodeStatus& node = status.nodes.at(i);
    const bool self = NodeId(i) == config.self;
    nodes[config.nodes.at(i).name] =
        json::object{{"self", self},
                     {"heard", self || node.heard},
                     {"locked", node.locked},
                     {"lock_reason", node.lock_reason},
                     {"leaving", node.leaving},
                     {"watchdog", node.watchdog},
                     {"last_heard_ms", self ? json::value() : age_ms(node.last_heard, now)},
                     {"clock_skew_ms", rounded(to_ms(node.clock_skew))}};
  }
  return nodes;
}

json::array links_array(const Config& config, const Status& status, Instant now) {
  json::array links;
  for (size_t i = 0; i < config.links.size(); ++i) {
    const LinkConfig& link = config.links[i];
    const LinkStatus state = i < status.links.size() ? status.links[i] : LinkStatus{};
    json::object ends;
    for (size_t n = 0; n < kNodes; ++n) {
      ends[config.nodes.at(n).name] =
          json::object{{"nic", link.ends.at(n).nic}, {"address", link.ends.at(n).address.text()}};
    }
    links.push_back(json::object{{"name", link.name},
                                 {"up", state.up},
                                 {"last_heard_ms", age_ms(state.last_heard, now)},
                                 {"ends", std::move(ends)}});
  }
  return links;
}

json::array hosts_array(const Config& config, const Status& status, Instant now) {
  const auto counted = [](const CountedState& state) {
    return json::object{{"to_stay", state.in_active_set},
                        {"to_take_over", state.in_standby_set},
                        {"leaving", state.leaving},
                        {"answers", state.answers},
                        {"relays", state.relays}};
  };
  json::array hosts;
  for (size_t i = 0; i < config.hosts.size(); ++i) {
    const HostConfig& host = config.hosts[i];
    const HostStatus state = i < status.hosts.size() ? status.hosts[i] : HostStatus{};
    hosts.push_back(
        json::object{{"host", host.text},
                     {"kind", probe_name(host.kind)},
                     {"answers", state.answers},
                     {"relays", state.relays},
                     {"last_answer_ms", age_ms(state.last_answer, now)},
                     {"counted", json::object{{config.node(config.self).name, counted(state.here)},
                                              {config.node(config.peer()).name, counted(state.at_peer)}}}});
  }
  return hosts;
}

json::value report_value(const std::optional<MirrorReport>& report) {
  if (!report) return nullptr;
  static constexpr const char* kKinds[] = {"run", "resync", "flush", "follow"};
  static constexpr const char* kOutcomes[] = {"progress", "done", "failed", "halted"};
  return json::object{{"kind", kKinds[static_cast<size_t>(report->kind)]},
                      {"outcome", kOutcomes[static_cast<size_t>(report->outcome)]},
                      {"epoch", report->epoch.value},
                      {"files", report->files},
                      {"bytes", report->bytes},
                      {"removed", report->removed},
                      {"backed_up", report->backed_up},
                      {"lost", report->lost},
                      {"backup_set", report->backup_set},
                      {"detail", report->detail}};
}

// How far the peer of a live mirror is behind now: what waited when it was last told has grown older since.
json::value behind_value(const MirrorStatus& status, Instant now) {
  if (!status.lag) return nullptr;
  const Duration older = status.lag->files > 0 ? status.lag->age + (now - status.lag_at) : Duration::zero();
  return json::object{
      {"files", status.lag->files}, {"bytes", status.lag->bytes}, {"age_s", rounded(to_seconds(older))}};
}

// Of a live mirror: the comparison of contents under way, or the last one.
json::value scrub_value(const MirrorConfig& mirror, const MirrorScrub& scrub) {
  if (!mirror.live) return nullptr;
  json::value proved = nullptr;
  if (scrub.proved > 0) proved = scrub.proved;
  return json::object{{"running", scrub.running},   {"files", scrub.files},       {"bytes", scrub.bytes},
                      {"total_bytes", scrub.total}, {"differed", scrub.differed}, {"skipped", scrub.skipped},
                      {"found", scrub.found},       {"proved_unix", proved}};
}

json::value guard_value(const std::optional<MirrorGuard>& guard) {
  if (!guard) return nullptr;
  static constexpr const char* kStates[] = {"lifted", "awaited", "set", "failed"};
  return json::object{{"state", kStates[static_cast<size_t>(guard->state)]}, {"detail", guard->detail}};
}

json::array mirrors_array(const ServiceConfig& service, const ServiceStatus& state, Instant now) {
  json::array mirrors;
  for (size_t i = 0; i < service.mirrors.size(); ++i) {
    const MirrorConfig& mirror = service.mirrors[i];
    const MirrorStatus status = i < state.mirrors.size() ? state.mirrors[i] : MirrorStatus{};
    json::value next = nullptr;
    if (status.next_run != kNever) next = rounded(std::max(0.0, to_seconds(status.next_run - now)));
    mirrors.push_back(json::object{{"name", mirror.name},
                                   {"mode", mirror.live ? "live" : "interval"},
                                   {"state", mirror_state_name(status.state)},
                                   {"behind", behind_value(status, now)},
                                   {"scrub", scrub_value(mirror, status.scrub)},
                                   {"guard", guard_value(status.guard)},
                                   {"synced", status.synced},
                                   {"lag_s", age_s(status.last_success, now)},
                                   {"next_run_s", next},
                                   {"to", mirror.to.value_or("peer")},
                                   {"paths", strings(mirror.paths)},
                                   {"detail", status.detail},
                                   {"last", report_value(status.last)}});
  }
  return mirrors;
}

json::array units_array(const ServiceConfig& service, const ServiceStatus& state) {
  json::array units;
  for (size_t i = 0; i < service.units.size(); ++i) {
    const bool known = i < state.units.size();
    units.push_back(json::object{{"name", service.units[i].name},
                                 {"state", known ? unit_state_name(state.units[i]) : "unknown"}});
  }
  return units;
}

json::array checks_array(const ServiceConfig& service, const ServiceStatus& state) {
  json::array checks;
  for (size_t i = 0; i < service.checks.size(); ++i) {
    checks.push_back(
        json::object{{"check", service.checks[i].text}, {"ok", i < state.checks.size() && state.checks[i]}});
  }
  return checks;
}

// A pair {"serv1": …, "serv2": …} from what is known here and there.
json::object both(const Config& config, json::value here, json::value at_peer) {
  json::object pair;
  for (size_t i = 0; i < kNodes; ++i) {
    const bool self = NodeId(i) == config.self;
    pair[config.nodes.at(i).name] = self ? here : at_peer;
  }
  return pair;
}

json::object service_object(const Config& config, const ServiceConfig& service, const ServiceStatus& state,
                            Instant gate, Instant now) {
  json::value active_on = nullptr;
  if (state.here == Role::kActive) {
    active_on = json::value(config.node(config.self).name);
  } else if (state.peer_known && state.at_peer == Role::kActive) {
    active_on = json::value(config.node(config.peer()).name);
  }
  json::array addresses;
  for (const Prefix& prefix : service.addresses) addresses.emplace_back(prefix.text());
  const auto if_known = [&](json::value value) {
    return state.peer_known ? std::move(value) : json::value();
  };
  json::object object;
  object["name"] = service.name;
  object["active_on"] = active_on;
  object["prefer"] = service.prefer ? json::value(config.node(*service.prefer).name) : json::value();
  object["roles"] = both(config, name(state.here), if_known(name(state.at_peer)));
  object["ready"] = both(config, state.ready_here, if_known(state.ready_at_peer));
  object["takes_over"] = both(config, state.takes_over_here, if_known(state.takes_over_at_peer));
  object["prepared"] = both(config, state.lacks_here.empty(), if_known(!state.lacks_at_peer));
  object["lacks"] = state.lacks_here;
  object["blocked"] = both(config, state.blocked_here, if_known(state.blocked_at_peer));
  const bool guards = std::ranges::any_of(service.mirrors, [](const MirrorConfig& m) { return m.guard; });
  object["guarded"] =
      guards ? json::value(both(config, state.guarded_here, if_known(state.guarded_at_peer))) : json::value();
  object["epoch"] = state.epoch.value;
  object["data_epoch"] = state.data_epoch.value;
  object["diverged"] = state.diverged;
  object["wants_human"] = state.wants_human;
  object["detail"] = state.detail;
  object["restarts"] = state.restarts;
  object["addresses"] = std::move(addresses);
  object["effects"] = service.effects == Effects::kNode ? "node" : "address";
  object["mac"] = mac_name(service.mac);
  object["link"] =
      service.link.at() < config.links.size() ? json::value(config.link(service.link).name) : json::value();
  object["gate"] = json::object{{"open", gate > now}, {"remaining_ms", left_ms(gate, now)}};
  object["units"] = units_array(service, state);
  object["checks"] = checks_array(service, state);
  object["mirrors"] = mirrors_array(service, state, now);
  return object;
}

json::array services_array(const Config& config, const Status& status, const DaemonFacts& facts) {
  json::array services;
  for (size_t i = 0; i < config.services.size(); ++i) {
    const ServiceStatus state = i < status.services.size() ? status.services[i] : ServiceStatus{};
    const Instant gate = i < facts.gate_deadlines.size() ? facts.gate_deadlines[i] : kLongAgo;
    json::object object = service_object(config, config.services[i], state, gate, facts.now);
    object["likeness"] = likeness_value(config, config.services[i], facts.likeness);
    services.push_back(std::move(object));
  }
  return services;
}

WallTime wall_of(Instant then, const DaemonFacts& facts) { return facts.wall - (facts.now - then); }

}  // namespace

std::string status_json(const Config& config, const Status& status, const DaemonFacts& facts) {
  const Timing& timing = config.timing;
  json::object transport;
  for (const auto& [counter, value] : facts.transport) transport[counter] = value;
  json::object object;
  object["version"] = kVersion;
  object["cluster"] = config.cluster;
  object["node"] = config.node(config.self).name;
  object["peer"] = config.node(config.peer()).name;
  object["time"] = rfc3339(facts.wall);
  object["boot"] = hex(facts.boot.value);
  object["uptime_s"] = age_s(facts.started, facts.now);
  object["mode"] = status.mode;
  object["guarantee"] = status.guarantee;
  object["fence"] = status.fence.empty() ? json::value() : json::value(status.fence);
  object["watchdog"] = status.watchdog.empty() ? json::value() : json::value(status.watchdog);
  object["engine"] = "embedded";
  object["config_hash"] = hex(config.hash);
  object["config_differs"] = status.config_differs;
  object["always_stuck"] = status.always_stuck;
  object["moves_stopped"] = status.moves_stopped;
  object["lease_remaining_ms"] = left_ms(status.lease, facts.now);
  object["lateness_ms"] = rounded(to_ms(status.lateness));
  object["worst_lateness_ms"] = rounded(to_ms(facts.worst_lateness));
  object["timing"] = json::object{{"profile", timing.profile},
                                  {"heartbeat_ms", rounded(to_ms(timing.heartbeat))},
                                  {"lease_ms", rounded(to_ms(timing.lease))},
                                  {"window_ms", rounded(to_ms(timing.window))},
                                  {"gate_latency_ms", rounded(to_ms(timing.gate_latency))}};
  object["gate"] = json::object{{"kind", facts.has_gate ? "bpf" : "none"}, {"detail", facts.gate_detail}};
  object["realtime"] = facts.realtime;
  object["memory_locked"] = facts.memory_locked;
  object["nodes"] = nodes_object(config, status, facts.now);
  object["links"] = links_array(config, status, facts.now);
  object["hosts"] = hosts_array(config, status, facts.now);
  object["services"] = services_array(config, status, facts);
  object["transport"] = std::move(transport);
  object["last_decision"] = nullptr;
  if (status.last_decision) {
    const WallTime wall = wall_of(status.last_decision->at, facts);
    object["last_decision"] = decision_object(config, *status.last_decision, facts.now, wall);
  }
  return json_text(object) + "\n";
}

std::string decisions_json(const Config& config, const std::deque<DatedDecision>& history,
                           std::optional<ServiceId> service, size_t limit, Instant now) {
  std::vector<const DatedDecision*> chosen;
  for (auto it = history.rbegin(); it != history.rend() && chosen.size() < limit; ++it) {
    if (!service || !it->decision.service || it->decision.service == service) chosen.push_back(&*it);
  }
  json::array decisions;
  for (auto it = chosen.rbegin(); it != chosen.rend(); ++it) {
    decisions.push_back(decision_object(config, (*it)->decision, now, (*it)->wall));
  }
  return json_text(json::object{{"decisions", std::move(decisions)}}) + "\n";
}

std::string events_json(const std::vector<std::string>& events, uint64_t after) {
  json::array array;
  uint64_t last = after;
  for (const std::string& text : events) {
    json::error_code error;
    json::value event = json::parse(text, error);
    if (error || !event.is_object()) continue;
    if (const json::value* sequence = event.get_object().if_contains("sequence"); sequence != nullptr) {
      const uint64_t number = sequence->to_number<uint64_t>(error);
      if (!error) last = std::max(last, number);
    }
    array.push_back(std::move(event));
  }
  return json_text(json::object{{"events", std::move(array)}, {"last", last}}) + "\n";
}

}  // namespace clusterd
