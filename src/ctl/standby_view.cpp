#include "ctl/standby_view.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace clusterd::ctl {

namespace {

constexpr std::string_view kBetween = "; ";

// What the standby has not, as far as both nodes have compared it, and how else it differs from the active
// node.
struct Unlike {
  std::vector<std::string> lacks, differs;
  uint64_t more = 0;  // of which nothing is said here
};
Unlike unlike(View service, const std::string& standby) {
  constexpr size_t kShown = 3;
  Unlike out;
  const View likeness = service["likeness"];
  uint64_t shown = 0;
  likeness["differences"].each([&](View difference) {
    bool lacking = false;
    difference["lacking"].each([&](View node) { lacking = lacking || node.text() == standby; });
    std::vector<std::string>& all = lacking ? out.lacks : out.differs;
    if (all.size() >= kShown) return;
    all.push_back(clean(difference["text"]));
    ++shown;
  });
  out.more = likeness["differ"].count() - std::min(shown, likeness["differ"].count());
  return out;
}

}  // namespace

bool only_for_moves(View status, View service, const std::string& node) {
  const View takes_over = service["takes_over"][node];
  return status["mode"].text() != "manual" && takes_over.known() && !takes_over.yes();
}

bool unprepared(View service, const std::string& node) {
  const View prepared = service["prepared"][node];
  return prepared.known() && !prepared.yes();
}

std::string standby_lines(View status, const Look& look) {
  std::string out;
  const std::string here = status["node"].text();
  const std::string there = status["peer"].text();
  const auto line = [&](const std::string& text) { out += styled("!  " + text, Style::kWarn, look) + "\n"; };
  status["services"].each([&](View service) {
    const std::string active = service["active_on"].text();
    if (active.empty()) return;
    const std::string name = clean(service["name"]);
    const std::string standby = active == here ? there : here;
    const bool ready = service["ready"][standby].yes();
    const Unlike is = unlike(service, standby);
    if (unprepared(service, standby) || !is.lacks.empty()) {
      std::string lacks = standby == here ? clean(service["lacks"]) : join(is.lacks, kBetween);
      if (lacks.empty()) lacks = join(is.lacks, kBetween);
      if (lacks.empty()) lacks = "`clusterctl status` on " + printable(standby) + " says why";
      line(name + ": its standby could not run it as it is: " + lacks);
    }
    if (!is.differs.empty()) {
      const std::string more = is.more > 0 ? fmt::format("; and {} more → clusterctl check", is.more) : "";
      line(fmt::format("{}: {} could take it over, but: {}{}", name, printable(standby),
                       join(is.differs, kBetween), more));
    }
    if (ready && !only_for_moves(status, service, standby)) return;
    line(name + (ready ? ": its standby could not take over by itself: no reference host counts there"
                       : " has no ready standby"));
  });
  return out;
}

}  // namespace clusterd::ctl
