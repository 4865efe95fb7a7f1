#include "ctl/findings.hpp"

#include <algorithm>

#include "ctl/json_view.hpp"

namespace clusterd::ctl {

namespace {

const char* name(Level level) {
  switch (level) {
    case Level::kOk:
      return "ok";
    case Level::kWarning:
      return "warning";
    case Level::kError:
      return "error";
  }
  return "?";
}

}  // namespace

std::vector<Finding> findings_from_json(const std::string& json, const std::string& node) {
  const auto value = parse_or_null(json);
  std::vector<Finding> findings;
  View(&value)["findings"].each([&](View entry) {
    const std::string level = entry["level"].text("error");
    findings.push_back({level == "ok"        ? Level::kOk
                        : level == "warning" ? Level::kWarning
                                             : Level::kError,
                        printable(entry["topic"].text()), printable(entry["text"].text()),
                        printable(entry["remedy"].text()), node});
  });
  return findings;
}

std::string findings_to_json(const std::vector<Finding>& findings) {
  boost::json::array array;
  for (const Finding& finding : findings) {
    array.push_back(boost::json::object{{"level", name(finding.level)},
                                        {"topic", finding.topic},
                                        {"text", finding.text},
                                        {"remedy", finding.remedy},
                                        {"node", finding.node}});
  }
  return boost::json::serialize(boost::json::object{{"findings", std::move(array)}}) + "\n";
}

void add_findings_of_peer(std::vector<Finding>& findings, const std::vector<Finding>& peers) {
  const size_t own = findings.size();
  for (const Finding& finding : peers) {
    const auto says_the_same = [&](const Finding& other) {
      return other.topic == finding.topic && other.text == finding.text;
    };
    const auto end = findings.begin() + static_cast<std::ptrdiff_t>(own);
    if (finding.topic == "likeness" && std::any_of(findings.begin(), end, says_the_same)) continue;
    findings.push_back(finding);
  }
}

std::string render_findings(const std::vector<Finding>& findings, const Look& look) {
  std::string out;
  size_t errors = 0;
  size_t warnings = 0;
  for (const Finding& finding : findings) {
    Cell mark{"ok   ", Style::kGood};
    if (finding.level == Level::kWarning) mark = {"WARN ", Style::kWarn};
    if (finding.level == Level::kError) mark = {"ERROR", Style::kBad};
    errors += finding.level == Level::kError ? 1 : 0;
    warnings += finding.level == Level::kWarning ? 1 : 0;
    out += styled(mark.text, mark.style, look) + "  ";
    if (!finding.node.empty()) out += finding.node + ": ";
    out += finding.topic + ": " + finding.text + "\n";
    if (finding.level != Level::kOk && !finding.remedy.empty()) out += "       → " + finding.remedy + "\n";
  }
  out += "\n" + std::to_string(errors) + " errors, " + std::to_string(warnings) + " warnings\n";
  return out;
}

std::vector<std::string> differing_lines(const std::vector<std::string>& ours,
                                         const std::vector<std::string>& theirs) {
  std::vector<std::string> lines;
  const auto has = [](const std::vector<std::string>& all, const std::string& line) {
    return std::find(all.begin(), all.end(), line) != all.end();
  };
  for (const std::string& line : ours) {
    if (!has(theirs, line)) lines.push_back("- " + line);
  }
  for (const std::string& line : theirs) {
    if (!has(ours, line)) lines.push_back("+ " + line);
  }
  return lines;
}

}  // namespace clusterd::ctl
