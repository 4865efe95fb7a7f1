#include "whatif/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <map>

namespace clusterd::whatif {

namespace {

std::string time_text(Duration time) {
  const double seconds = to_seconds(time);
  if (seconds < 1) return fmt::format("{:.0f} ms", to_ms(time));
  if (seconds < 60) return fmt::format("{:.1f} s", seconds);
  if (seconds < 3600) return fmt::format("{:.0f} min", seconds / 60);
  return fmt::format("{:.0f} h", seconds / 3600);
}

size_t width_of(std::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0U) != 0x80U; }));
}

// Rows in columns as wide as their widest cell.
std::string columns(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - width_of(row[i]) + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

bool touched(const ServiceEnd& service) {
  return !service.up || service.down > Duration{} || service.before != service.active;
}

std::string node_text(const Config& config, const std::optional<NodeId>& node) {
  return node ? config.node(*node).name : "nobody";
}

std::vector<std::string> service_row(const Config& config, const std::string& fault, size_t index,
                                     const ServiceEnd& service) {
  return {fault, config.services[index].name, service.up ? node_text(config, service.active) : "NOBODY",
          service.up ? time_text(service.down) : "-",
          service.at_risk > Duration{} ? "of the last " + time_text(service.at_risk) : "-"};
}

std::string singles_text(const Config& config, const Exploration& all) {
  std::vector<std::vector<std::string>> rows{{"FAULT", "SERVICE", "THEN ON", "DOWN", "CHANGES AT RISK"}};
  for (const Run& run : all.singles) {
    std::string fault = all.faults[run.faults[0]].text;
    for (size_t s = 0; s < run.services.size(); ++s) {
      if (!touched(run.services[s])) continue;
      rows.push_back(service_row(config, fault, s, run.services[s]));
      fault.clear();
    }
    if (!fault.empty()) rows.push_back({fault, "-", "as before"});
  }
  return columns(rows);
}

// Why a run is worth a line: one reason per service or assumption.
std::vector<std::string> reasons(const Config& config, const Run& run) {
  std::vector<std::string> out;
  for (size_t s = 0; s < run.services.size(); ++s) {
    if (!run.services[s].up)
      out.push_back(fmt::format("{}: {}", config.services[s].name, run.services[s].why));
  }
  out.insert(out.end(), run.assumptions.begin(), run.assumptions.end());
  return out;
}

const char* heading(Grade grade) {
  switch (grade) {
    case Grade::kBoth:
      return "TWO NODES SERVE AT ONCE (an assumption is broken)";
    case Grade::kNoService:
      return "NO SERVICE";
    case Grade::kAssumed:
      return "SERVED, BY AN ASSUMPTION";
    case Grade::kServed:
      break;
  }
  return "SERVED";
}

void add_section(const Config& config, const Exploration& all, const std::vector<const Run*>& runs,
                 Grade grade, std::string& out) {
  bool first = true;
  for (const Run* run : runs) {
    if (grade_of(*run) != grade) continue;
    if (first) out += fmt::format("\n{}\n", heading(grade));
    first = false;
    out += fmt::format("  {}\n", faults_text(all, *run));
    for (const auto& reason : reasons(config, *run)) out += "      " + reason + "\n";
  }
}

const char* name(Grade grade) {
  switch (grade) {
    case Grade::kBoth:
      return "both";
    case Grade::kNoService:
      return "no-service";
    case Grade::kAssumed:
      return "assumed";
    case Grade::kServed:
      break;
  }
  return "served";
}

const char* name(When when) {
  switch (when) {
    case When::kAlone:
      return "alone";
    case When::kTogether:
      return "together";
    case When::kFirstLater:
      return "second-first";
    case When::kSecondLater:
      break;
  }
  return "first-first";
}

boost::json::object run_json(const Config& config, const Exploration& all, const Run& run) {
  boost::json::array faults;
  for (const uint32_t fault : run.faults) faults.emplace_back(all.faults[fault].text);
  boost::json::array services;
  for (size_t s = 0; s < run.services.size(); ++s) {
    const ServiceEnd& end = run.services[s];
    const auto node = [&](const std::optional<NodeId>& id) {
      return id ? boost::json::value(config.node(*id).name) : boost::json::value();
    };
    services.push_back(boost::json::object{{"name", config.services[s].name},
                                           {"up", end.up},
                                           {"before", node(end.before)},
                                           {"active", node(end.active)},
                                           {"down_ms", to_ms(end.down)},
                                           {"at_risk_s", to_seconds(end.at_risk)},
                                           {"why", end.why}});
  }
  boost::json::array assumptions;
  for (const auto& text : run.assumptions) assumptions.emplace_back(text);
  return {{"faults", std::move(faults)},
          {"timing", name(run.when)},
          {"grade", name(grade_of(run))},
          {"services", std::move(services)},
          {"assumptions", std::move(assumptions)}};
}

boost::json::object counts_json(const Counts& counts) {
  return {{"runs", counts.runs},
          {"both", counts.both},
          {"no_service", counts.no_service},
          {"assumed", counts.assumed},
          {"served", counts.served}};
}

}  // namespace

Grade grade_of(const Run& run) {
  if (run.both) return Grade::kBoth;
  if (std::any_of(run.services.begin(), run.services.end(), [](const ServiceEnd& s) { return !s.up; }))
    return Grade::kNoService;
  return run.assumptions.empty() ? Grade::kServed : Grade::kAssumed;
}

Counts count(const std::vector<Run>& runs) {
  Counts out;
  for (const Run& run : runs) {
    ++out.runs;
    switch (grade_of(run)) {
      case Grade::kBoth:
        ++out.both;
        break;
      case Grade::kNoService:
        ++out.no_service;
        break;
      case Grade::kAssumed:
        ++out.assumed;
        break;
      case Grade::kServed:
        ++out.served;
        break;
    }
  }
  return out;
}

std::vector<const Run*> notable_pairs(const Exploration& all) {
  std::map<std::vector<uint32_t>, const Run*> worst;
  for (const Run& run : all.pairs) {
    const Run*& known = worst[run.faults];
    if (known == nullptr || grade_of(run) < grade_of(*known)) known = &run;
  }
  std::vector<const Run*> out;
  for (const auto& [faults, run] : worst) {
    const Grade alone = std::min(grade_of(all.singles.at(faults[0])), grade_of(all.singles.at(faults[1])));
    if (grade_of(*run) < alone) out.push_back(run);
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const Run* a, const Run* b) { return grade_of(*a) < grade_of(*b); });
  return out;
}

std::string faults_text(const Exploration& all, const Run& run) {
  const std::string& first = all.faults[run.faults[0]].text;
  if (run.faults.size() == 1) return first;
  const std::string both = first + " + " + all.faults[run.faults[1]].text;
  std::string timings;
  size_t count = 0;
  for (const Run& other : all.pairs) {
    if (other.faults != run.faults || grade_of(other) > grade_of(run)) continue;
    ++count;
    const char* text = other.when == When::kTogether      ? "at once"
                       : other.when == When::kSecondLater ? "in this order"
                                                          : "in the other order";
    timings += (timings.empty() ? "" : ", ") + std::string(text);
  }
  return count == 3 ? both : both + " (only " + timings + ")";
}

std::string summary_text(const Exploration& all) {
  const auto line = [](const char* what, const Counts& c) {
    return fmt::format(
        "{} {}: {} served, {} served by an assumption, {} without a service, {} with two active nodes\n",
        c.runs, what, c.served, c.assumed, c.no_service, c.both);
  };
  std::string out = line("single faults", count(all.singles));
  if (!all.pairs.empty()) out += line("runs of two faults", count(all.pairs));
  return out;
}

std::string report_text(const Config& config, const Exploration& all) {
  std::string out = singles_text(config, all);
  std::vector<const Run*> runs;
  for (const Run& run : all.singles) runs.push_back(&run);
  const auto pairs = notable_pairs(all);
  runs.insert(runs.end(), pairs.begin(), pairs.end());
  for (const Grade grade : {Grade::kBoth, Grade::kNoService, Grade::kAssumed})
    add_section(config, all, runs, grade, out);
  return out + "\n" + summary_text(all);
}

std::string report_json(const Config& config, const Exploration& all) {
  boost::json::array singles;
  boost::json::array pairs;
  for (const Run& run : all.singles) singles.push_back(run_json(config, all, run));
  for (const Run& run : all.pairs) pairs.push_back(run_json(config, all, run));
  return boost::json::serialize(
      boost::json::object{{"cluster", config.cluster},
                          {"singles", std::move(singles)},
                          {"pairs", std::move(pairs)},
                          {"counts", boost::json::object{{"singles", counts_json(count(all.singles))},
                                                         {"pairs", counts_json(count(all.pairs))}}}});
}

}  // namespace clusterd::whatif
