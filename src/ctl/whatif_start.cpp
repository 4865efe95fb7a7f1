#include "ctl/whatif_start.hpp"

#include <fmt/format.h>

#include "ctl/client.hpp"
#include "ctl/json_view.hpp"
#include "whatif/report.hpp"

namespace clusterd::ctl {

whatif::Start start_from_status(const Config& config, const std::string& status_json) {
  whatif::Start start = whatif::start_of(config);
  const auto value = parse_or_null(status_json);
  const View status(&value);
  status["services"].each([&](View service) {
    for (size_t s = 0; s < config.services.size(); ++s) {
      if (config.services[s].name != service["name"].text()) continue;
      for (size_t n = 0; n < kNodes; ++n) {
        if (config.nodes.at(n).name == service["active_on"].text()) start.active[s] = NodeId(n);
      }
    }
  });
  const bool heard = status["nodes"][status["peer"].text()]["heard"].yes();
  status["hosts"].each([&](View host) {
    for (size_t h = 0; h < config.hosts.size(); ++h) {
      // Relaying shows only while the peer lives and the host answers; then the eyes know better than the
      // file.
      if (config.hosts[h].text == host["host"].text() && heard && host["answers"].yes())
        start.relays[h] = host["relays"].yes();
    }
  });
  return start;
}

whatif::Start live_start(const Config& config, const Globals& globals) {
  const auto answer = Client(globals.run_dir).get("/v1/status");
  if (!answer || answer->status != 200) return whatif::start_of(config);
  return start_from_status(config, answer->body);
}

std::string start_text(const Config& config, const whatif::Start& start) {
  std::string out = "Begins with both nodes up";
  for (size_t s = 0; s < config.services.size(); ++s) {
    out += fmt::format(", {}{}", config.services[s].name,
                       start.active[s] ? " on " + config.node(*start.active[s]).name : "");
  }
  out += ".\n";
  for (size_t h = 0; h < config.hosts.size(); ++h) {
    if (!start.relays[h])
      out += fmt::format("Reference host {} does not relay heartbeats.\n", config.hosts[h].text);
  }
  return out + "\n";
}

std::vector<Finding> whatif_findings(const Config& config, const whatif::Exploration& all) {
  std::vector<Finding> out;
  const auto add = [&](Level level, const std::string& text, const std::string& remedy) {
    out.push_back({level, "what if", printable(text), remedy, ""});
  };
  const std::string look = "clusterctl whatif shows every fault";
  for (const whatif::Run& run : all.singles) {
    const auto grade = whatif::grade_of(run);
    if (grade == whatif::Grade::kBoth)
      add(Level::kError, fmt::format("{}: two nodes would serve", whatif::faults_text(all, run)), look);
    if (grade != whatif::Grade::kNoService) continue;
    for (size_t s = 0; s < run.services.size(); ++s) {
      if (run.services[s].up) continue;
      add(Level::kWarning,
          fmt::format("{}: {} would not be served ({})", whatif::faults_text(all, run),
                      config.services[s].name, run.services[s].why),
          look);
    }
  }
  for (const whatif::Run* run : whatif::notable_pairs(all)) {
    if (whatif::grade_of(*run) != whatif::Grade::kBoth) continue;
    add(Level::kWarning, fmt::format("{}: two nodes would serve", whatif::faults_text(all, *run)),
        "reference hosts that relay heartbeats would prevent it (docs/safety.md, A2)");
  }
  std::string summary = whatif::summary_text(all);
  for (size_t at = 0; at < summary.size();) {
    const size_t end = std::min(summary.find('\n', at), summary.size());
    add(Level::kOk, summary.substr(at, end - at), "");
    at = end + 1;
  }
  return out;
}

}  // namespace clusterd::ctl
