// [watchdog] and [fence.NODE]: what ends the effects of a node that its gate does not silence (S13).
#include <fmt/format.h>

#include <algorithm>

#include "config/draft.hpp"
#include "config/scalar.hpp"

namespace clusterd::config {

namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr Duration kDelayOfPreferred = seconds(5);
constexpr size_t kMaxParameters = 64;
const std::string kAgents = "/usr/sbin/";  // where the package fence-agents puts them

void read_parameters(const Value& table, const std::string& section, FenceConfig& fence, Problems& problems) {
  if (table.entries.size() > kMaxParameters)
    problems.error(table.place, fmt::format("{} has more than {} parameters", section, kMaxParameters),
                   "an agent needs a few only");
  for (const Entry& entry : table.entries) {
    if (entry.key == "action" || entry.key == "option") {
      problems.error(entry.place,
                     fmt::format("{} in {} is what clusterd itself tells the agent", entry.key, section),
                     fmt::format("remove {}", entry.key));
    } else if (!is_name(entry.key, "_-", 64)) {
      problems.error(entry.place, fmt::format("\"{:.60}\" in {} is no parameter's name", entry.key, section),
                     "`AGENT -o metadata` lists them");
    } else if (auto value = agent_parameter(entry, section, problems)) {
      fence.parameters.emplace(entry.key, std::move(*value));
    }
  }
}

void read_fence(const Value& table, const std::string& node, size_t index, ClusterDraft& draft,
                Problems& problems) {
  const std::string name = fmt::format("[fence.{}]", node);
  Section section(table, name, problems);
  FenceConfig fence;
  if (const auto agent = section.required_text("agent", "fence_ipmilan")) {
    const bool path = agent->value.front() == '/';
    if (path ? is_plain_path(agent->value) && agent->value.back() != '/' : is_name(agent->value, "_-", 64)) {
      fence.agent = path ? agent->value : kAgents + agent->value;
    } else {
      problems.error(agent->place, fmt::format("agent in {} is no program: \"{:.80}\"", name, agent->value),
                     "write the name of an agent of the package fence-agents (agent = \"fence_ipmilan\"), or "
                     "a path");
    }
  }
  section.duration("timeout", fence.timeout, seconds(1), minutes(5));
  section.duration("delay", fence.delay, milliseconds(0), minutes(5));
  draft.delay_given.at(index) = section.has("delay");
  if (const Value* parameters = section.table("parameters")) {
    read_parameters(*parameters, name, fence, problems);
  } else if (!section.has("parameters")) {
    problems.error(section.place(),
                   fmt::format("{} has no parameters: its agent would not know what to switch off", name),
                   "add parameters = { ip = \"…\", username = \"…\", password = \"…\" }, or whatever "
                   "`AGENT -o metadata` asks for");
  }
  section.finish();
  draft.fences.at(index) = section.place();
  draft.config.fences.at(index) = std::move(fence);
}

}  // namespace

std::optional<std::string> agent_parameter(const Entry& entry, const std::string& section,
                                           Problems& problems) {
  const Value& value = entry.value;
  std::string text;
  if (value.kind == Value::Kind::kString) {
    text = value.text;
  } else if (value.kind == Value::Kind::kInteger) {
    text = std::to_string(value.integer);
  } else if (value.kind == Value::Kind::kBool) {
    text = std::to_string(value.boolean ? 1 : 0);
  } else {
    problems.error(
        value.place,
        fmt::format("{:.60} in {} is neither a text nor a number nor true or false", entry.key, section),
        fmt::format("write {:.60} = \"…\"", entry.key));
    return std::nullopt;
  }
  const bool plain = text.size() <= kMaxTextBytes && std::none_of(text.begin(), text.end(), [](char c) {
                       return static_cast<uint8_t>(c) < 32;
                     });
  if (plain) return text;
  problems.error(value.place,
                 fmt::format("{:.60} in {} holds a control character or is too long", entry.key, section),
                 "agents read one line per parameter");
  return std::nullopt;
}

void read_watchdog(const Value& table, ClusterDraft& draft, Problems& problems) {
  Section section(table, "[watchdog]", problems);
  WatchdogConfig watchdog;
  if (const auto device = section.text("device")) {
    if (is_plain_path(device->value) && device->value.back() != '/') {
      watchdog.device = device->value;
    } else {
      problems.error(
          device->place,
          fmt::format("device in [watchdog] is no absolute path of a file: \"{:.80}\"", device->value),
          "write device = \"/dev/watchdog\"");
    }
  }
  section.duration("timeout", watchdog.timeout, seconds(5), minutes(10));
  if (watchdog.timeout % seconds(1) != Duration::zero())
    problems.error(
        section.place("timeout"),
        fmt::format("the timeout of a watchdog is whole seconds, not {}", duration_text(watchdog.timeout)),
        fmt::format("write timeout = \"{}\"", duration_text(std::chrono::ceil<seconds>(watchdog.timeout))));
  section.flag("fake", watchdog.fake);
  draft.watchdog = section.has("timeout") ? section.place("timeout") : section.place();
  section.finish();
  draft.config.watchdog = watchdog;
}

void read_fences(const Value& table, ClusterDraft& draft, Problems& problems) {
  if (!draft.nodes_known) return;  // already reported
  std::vector<std::string> names;
  for (const NodeConfig& node : draft.config.nodes) names.push_back(node.name);
  for (const Entry& entry : table.entries) {
    const auto at = std::find(names.begin(), names.end(), entry.key);
    if (at == names.end()) {
      const auto near = nearest(entry.key, names);
      problems.error(entry.place, fmt::format("[fence.{:.60}] names no node", entry.key),
                     near ? fmt::format("did you mean [fence.{}]?", *near)
                          : fmt::format("known nodes: {}", listed(names)));
    } else if (entry.value.kind != Value::Kind::kTable) {
      problems.error(entry.place, fmt::format("fence.{} is no table", entry.key),
                     fmt::format("write [fence.{}] with agent = \"fence_ipmilan\"", entry.key));
    } else {
      read_fence(entry.value, entry.key, static_cast<size_t>(at - names.begin()), draft, problems);
    }
  }
}

void check_fencing(ClusterDraft& cluster, const std::vector<ServiceDraft>& services, Problems& problems) {
  Config& config = cluster.config;
  const auto& fences = config.fences;
  const auto node_effects = std::find_if(services.begin(), services.end(), [](const ServiceDraft& service) {
    return service.config.effects == Effects::kNode;
  });
  if (config.watchdog && config.watchdog->timeout <= 3 * config.timing.window)
    problems.error(
        cluster.watchdog,
        fmt::format("the watchdog's timeout ({}) is not longer than three windows (3 × {}): it would "
                    "bite before a daemon could be restarted",
                    duration_text(config.watchdog->timeout), duration_text(config.timing.window)),
        fmt::format("write timeout = \"{}\" or more",
                    duration_text(std::chrono::ceil<seconds>(3 * config.timing.window + seconds(1)))));
  if (node_effects != services.end() && !config.watchdog && !fences[0] && !fences[1])
    problems.warning(
        node_effects->effects,
        fmt::format("{} has effects = \"node\", and there is neither a watchdog nor a fence: it is "
                    "never taken over by itself when its node falls silent",
                    node_effects->config.name),
        "add [watchdog] or [fence.NODE] to cluster.toml");
  for (size_t n = 0; n < kNodes; ++n) {
    if (fences.at(n) || !fences.at(1 - n)) continue;
    problems.warning(*cluster.fences.at(1 - n),
                     fmt::format("{} can be switched off by its peer, {} cannot", config.nodes.at(1 - n).name,
                                 config.nodes.at(n).name),
                     fmt::format("add [fence.{}]", config.nodes.at(n).name));
  }
  if (!config.hosts.empty() || !fences[0] || !fences[1]) return;
  // Without reference hosts both may shoot: the preferred node is shot later.
  size_t preferred = 0;
  for (const ServiceDraft& service : services) {
    if (!service.config.prefer) continue;
    preferred = service.config.prefer->at();
    break;
  }
  if (!cluster.delay_given.at(0) && !cluster.delay_given.at(1))
    config.fences.at(preferred)->delay = kDelayOfPreferred;
  if (fences[0]->delay == fences[1]->delay)
    problems.warning(
        *cluster.fences.at(preferred),
        "both nodes would be switched off after the same delay, and without reference hosts both "
        "may be at once",
        fmt::format("write delay = \"5s\" in [fence.{}] alone", config.nodes.at(preferred).name));
}

}  // namespace clusterd::config
