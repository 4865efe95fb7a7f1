// A unit that is an OCF resource agent: { name = "…", ocf = "ocf:heartbeat:Dummy", parameters = { … } }.
//
// Which parameters an agent has is not known here: nothing but the files is read, on whichever machine.
// `clusterctl check` asks the agent itself.
#include <fmt/format.h>

#include "config/draft.hpp"

namespace clusterd::config {

namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr size_t kMaxParameters = 64;
constexpr std::string_view kStandard = "ocf:";

// "ocf:heartbeat:Dummy"
bool parse_agent(std::string_view text, OcfConfig& ocf) {
  if (text.substr(0, kStandard.size()) != kStandard) return false;
  text.remove_prefix(kStandard.size());
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) return false;
  ocf.provider = text.substr(0, colon);
  ocf.type = text.substr(colon + 1);
  return is_name(ocf.provider, "._-", 64) && is_name(ocf.type, "._-", 64);
}

std::string suggestion(std::string_view text) {
  const size_t colon = text.rfind(':');
  const std::string_view type = colon == std::string_view::npos ? text : text.substr(colon + 1);
  return fmt::format(
      "write ocf = \"ocf:heartbeat:{}\"; `ls /usr/lib/ocf/resource.d/heartbeat` shows the "
      "agents of the package resource-agents",
      is_name(type, "._-", 64) ? type : "Dummy");
}

void read_parameters(const Value& table, OcfConfig& ocf, Problems& problems) {
  if (table.entries.size() > kMaxParameters)
    problems.error(table.place, fmt::format("an agent is given more than {} parameters", kMaxParameters),
                   "leave out what has its default value anyway");
  for (const Entry& entry : table.entries) {
    if (entry.key.starts_with("CRM_meta_")) {
      problems.error(entry.place, fmt::format("{:.60} is what clusterd itself tells the agent", entry.key),
                     "remove it");
    } else if (!is_name(entry.key, "_", 64)) {
      problems.error(entry.place, fmt::format("\"{:.60}\" is no parameter's name", entry.key),
                     "the agent's manual page (`man ocf_heartbeat_TYPE`) lists its parameters");
    } else if (auto value = agent_parameter(entry, "the agent's parameters", problems)) {
      ocf.parameters.emplace(entry.key, std::move(*value));
    }
  }
}

}  // namespace

void read_ocf(Section& section, UnitConfig& unit, Problems& problems) {
  unit.kind = UnitConfig::Kind::kOcf;
  if (const auto agent = section.text("ocf"); agent && !parse_agent(agent->value, unit.ocf))
    problems.error(agent->place, fmt::format("ocf names no resource agent: \"{:.80}\"", agent->value),
                   suggestion(agent->value));
  if (const Value* parameters = section.table("parameters")) read_parameters(*parameters, unit.ocf, problems);
  section.duration("monitor_every", unit.ocf.monitor_every, milliseconds(500), hours(1));
  section.duration("monitor_timeout", unit.ocf.monitor_timeout, milliseconds(100), minutes(10));
  section.number("monitor_depth", unit.ocf.monitor_depth, 0, 100);
}

}  // namespace clusterd::config
