#include "ctl/render.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "ctl/json_view.hpp"
#include "ctl/scrub_view.hpp"
#include "ctl/standby_view.hpp"

namespace clusterd::ctl {

namespace {

std::string ms_text(View age) {
  const auto ms = age.number();
  if (!ms) return "never";
  if (*ms < 1000) return fmt::format("{:.0f} ms", *ms);
  return span_text(*ms / 1000);
}

// "2026-11-22T18:01:03.123Z" → "2026-11-22 18:01:03"
std::string time_text(View time) {
  std::string text = clean(time, "?");
  if (text.size() < 19) return text;
  text[10] = ' ';
  return text.substr(0, 19);
}

std::string header_lines(View status, const Look& look) {
  const View timing = status["timing"];
  const auto ms = [&](const char* key) { return fmt::format("{:g} ms", timing[key].number().value_or(0)); };
  const std::string first =
      fmt::format("cluster {} seen by {}", clean(status["cluster"], "?"), clean(status["node"], "?"));
  std::string second =
      fmt::format("profile {}: heartbeat {}, lease {}, window {}", clean(timing["profile"], "?"),
                  ms("heartbeat_ms"), ms("lease_ms"), ms("window_ms"));
  std::string third =
      "decided by: " + clean(status["mode"], "?") + "   gate: " + clean(status["gate"]["kind"], "?");
  const auto lease = status["lease_remaining_ms"].number();
  third += lease ? fmt::format("   lease: {:.0f} ms left", *lease) : "   lease: none";
  third += fmt::format("   clusterd {}", clean(status["version"], "?"));
  std::string out = styled(cut(first, look.width), Style::kBold, look) + "\n" + cut(second, look.width) +
                    "\n" + cut(third, look.width) + "\n";
  if (const std::string guarantee = clean(status["guarantee"]); !guarantee.empty())
    out += "guarantee: " + guarantee + "\n";
  std::vector<std::string> last;
  if (status["watchdog"].known()) last.push_back("watchdog " + clean(status["watchdog"]));
  if (status["fence"].known()) last.push_back("fence of the peer: " + clean(status["fence"]));
  if (!last.empty()) out += cut(join(last, "   "), look.width) + "\n";
  return out;
}

std::string node_table(View status, const Look& look) {
  Table table({"NODE", "STATE", "HEARD", "CLOCK", "NOTES"});
  status["nodes"].members([&](const std::string& name, View node) {
    const bool self = node["self"].yes();
    const bool heard = node["heard"].yes();
    const Cell state = self    ? Cell{"this node", Style::kGood}
                       : heard ? Cell{"heard", Style::kGood}
                               : Cell{"NOT HEARD", Style::kBad};
    const double skew = node["clock_skew_ms"].number().value_or(0);
    const Style clock = std::abs(skew) > 2000 ? Style::kWarn : Style::kPlain;
    std::vector<std::string> notes;
    if (node["locked"].yes()) {
      const std::string why = clean(node["lock_reason"]);
      notes.push_back("STANDBY LOCK" + (why.empty() ? "" : ": " + why));
    }
    if (node["leaving"].yes()) notes.emplace_back("is shutting down");
    table.row({{printable(name), Style::kBold},
               state,
               {self ? "-" : ms_text(node["last_heard_ms"])},
               {self || !heard ? "-" : fmt::format("{:+.0f} ms", skew), clock},
               {join(notes, ", "), Style::kBad}});
  });
  return table.text(look);
}

std::string link_table(View status, const Look& look) {
  const std::string here = status["node"].text("?");
  const std::string there = status["peer"].text("?");
  const auto end = [](View link, const std::string& node) {
    return clean(link["ends"][node]["nic"], "?") + " " + clean(link["ends"][node]["address"]);
  };
  Table table({"LINK", "STATE", "HEARD", printable(here), printable(there)});
  status["links"].each([&](View link) {
    const bool up = link["up"].yes();
    table.row({{clean(link["name"], "?"), Style::kBold},
               up ? Cell{"up", Style::kGood} : Cell{"DOWN", Style::kBad},
               {ms_text(link["last_heard_ms"])},
               {end(link, here)},
               {end(link, there)}});
  });
  return table.empty() ? "" : "\n" + table.text(look);
}

std::string counted_text(View counted) {
  if (!counted.known()) return "?";
  if (counted["leaving"].yes()) return "leaving";
  const bool stay = counted["to_stay"].yes();
  const bool take = counted["to_take_over"].yes();
  if (stay && take) return "yes";
  if (take) return "to take over";
  return stay ? "to stay" : "no";
}

std::string host_table(View status, const Look& look) {
  const std::string here = status["node"].text("?");
  const std::string there = status["peer"].text("?");
  Table table(
      {"REFERENCE HOST", "ANSWERS", "RELAYS", "COUNTED BY " + printable(here), "BY " + printable(there)});
  status["hosts"].each([&](View host) {
    const bool answers = host["answers"].yes();
    const bool relays = host["relays"].yes();
    table.row({{clean(host["host"], "?"), Style::kBold},
               answers ? Cell{"yes", Style::kGood}
                       : Cell{"NO, last " + ms_text(host["last_answer_ms"]), Style::kBad},
               relays ? Cell{"yes", Style::kGood} : Cell{"not relaying", Style::kWarn},
               {counted_text(host["counted"][here])},
               {counted_text(host["counted"][there])}});
  });
  return table.empty() ? "" : "\n" + table.text(look);
}

Cell role_cell(View status, View service, const std::string& node) {
  if (!service["roles"][node].known()) return {"unknown", Style::kWarn};
  const std::string role = clean(service["roles"][node]);
  if (service["blocked"][node].yes()) return {role + " BLOCKED", Style::kBad};
  if (role == "active") return {"ACTIVE", Style::kGood};
  if (role == "failed" || role == "suspended")
    return {role == "failed" ? "FAILED" : "SUSPENDED", Style::kBad};
  if (role == "standby") {
    const std::string guarded = service["guarded"][node].yes() ? ", guarded" : "";
    if (!service["ready"][node].yes()) return {"standby, NOT ready" + guarded, Style::kWarn};
    if (only_for_moves(status, service, node)) return {"standby, for moves only" + guarded, Style::kWarn};
    if (unprepared(service, node)) return {"standby, NOT prepared" + guarded, Style::kWarn};
    return {"standby, ready" + guarded};
  }
  return {role, Style::kWarn};
}

// What is wrong with the members, in a few words: good ones are not mentioned.
std::string member_notes(View service) {
  std::vector<std::string> notes;
  service["units"].each([&](View unit) {
    const std::string state = unit["state"].text();
    if (state != "started" && state != "stopped" && state != "unknown") {
      notes.push_back(clean(unit["name"]) + " " + printable(state));
    }
  });
  if (service["active_on"].known()) {
    service["checks"].each([&](View check) {
      if (!check["ok"].yes() && service["gate"]["open"].yes())
        notes.push_back("check " + clean(check["check"]) + " fails");
    });
  }
  if (const uint64_t restarts = service["restarts"].count())
    notes.push_back(fmt::format("{} restarts", restarts));
  if (service["effects"].text() == "node") notes.emplace_back("effects: node");
  notes.push_back(clean(service["detail"]));
  return join(notes, ", ");
}

std::string service_table(View status, const Look& look) {
  const std::string here = status["node"].text("?");
  const std::string there = status["peer"].text("?");
  Table table({"SERVICE", printable(here), printable(there), "EPOCH", "ADDRESS", "NOTES"});
  status["services"].each([&](View service) {
    std::vector<std::string> addresses;
    service["addresses"].each([&](View address) { addresses.push_back(clean(address)); });
    std::string shown = addresses.empty() ? "-" : addresses.front();
    if (addresses.size() > 1) shown += fmt::format(" +{}", addresses.size() - 1);
    table.row({{clean(service["name"], "?"), Style::kBold},
               role_cell(status, service, here),
               role_cell(status, service, there),
               {std::to_string(service["epoch"].count())},
               {shown},
               {member_notes(service), service["wants_human"].yes() ? Style::kBad : Style::kPlain}});
  });
  return table.empty() ? "\nno services are configured\n" : "\n" + table.text(look);
}

Cell mirror_state(View mirror) {
  const std::string state = clean(mirror["state"], "?");
  if (state == "halted" || state == "failed") return {state == "halted" ? "HALTED" : "FAILED", Style::kBad};
  const bool complete = state == "idle" || state == "receiving";
  if (complete && mirror["synced"].yes()) return {"in sync", Style::kGood};
  if (complete) return {"incomplete", Style::kWarn};
  if (state == "following") return {state, Style::kGood};
  if (state == "paused") return {state, Style::kWarn};
  return {state};
}

// Of a live mirror what has changed and is not on the peer yet, of a scheduled one how old its last run is.
std::string mirror_lag(View mirror) {
  const View behind = mirror["behind"];
  if (behind.known() && clean(mirror["state"]) == "following") {
    const double files = behind["files"].number().value_or(0);
    if (files == 0) return "none";
    return fmt::format("{:.0f} {}, {}", files, files == 1 ? "file" : "files",
                       span_text(behind["age_s"].number().value_or(0)));
  }
  const auto lag = mirror["lag_s"].number();
  return lag ? span_text(*lag) : "-";
}

// What is not as it should be with the guard of this node.
std::string guard_note(View guard) {
  const std::string state = guard["state"].text(), detail = clean(guard["detail"]);
  if (state == "failed") return "; NOT guarded here: " + detail;
  return state == "set" && !detail.empty() ? "; not guarded from " + detail : "";
}

std::string mirror_table(View status, const Look& look) {
  Table table({"MIRROR", "TO", "STATE", "LAG", "NEXT RUN", "NOTES"});
  status["services"].each([&](View service) {
    service["mirrors"].each([&](View mirror) {
      const auto next = mirror["next_run_s"].number();
      std::vector<std::string> paths;
      mirror["paths"].each([&](View path) { paths.push_back(clean(path)); });
      const std::string detail = clean(mirror["detail"]);
      const std::string note = (detail.empty() ? join(paths, " ") : detail) + scrub_note(mirror["scrub"]);
      table.row({{clean(service["name"], "?") + "/" + clean(mirror["name"], "?"), Style::kBold},
                 {mirror["state"].text() == "receiving" ? "here" : clean(mirror["to"], "peer")},
                 mirror_state(mirror),
                 {mirror_lag(mirror)},
                 {next ? "in " + span_text(*next) : "-"},
                 {note + guard_note(mirror["guard"])}});
    });
  });
  return table.empty() ? "" : table.text(look);
}

std::string decision_text(View decision, const Look& look) {
  std::string head = time_text(decision["time"]) + "  ";
  if (decision["service"].known()) head += clean(decision["service"]) + ": ";
  std::string out = styled(head + clean(decision["what"]), Style::kBold, look) + "\n";
  bool first = true;
  decision["evidence"].each([&](View sentence) {
    out += (first ? "    because  " : "             ") + clean(sentence) + "\n";
    first = false;
  });
  return out;
}

void node_alarms(View status, std::vector<std::string>& found) {
  status["nodes"].members([&](const std::string& name, View node) {
    if (!node["locked"].yes()) return;
    const std::string why = clean(node["lock_reason"]);
    found.push_back(printable(name) + " carries the standby lock" + (why.empty() ? "" : " (" + why + ")") +
                    " and takes nothing over → when it is well again: clusterctl online " + printable(name));
  });
  if (status["config_differs"].yes()) {
    found.push_back("the nodes' configurations differ, so nothing is taken over → clusterctl check");
  }
  if (const std::string stuck = clean(status["always_stuck"]); !stuck.empty()) {
    found.push_back("the always mirror: " + stuck + " → clusterctl always");
  }
  if (status["moves_stopped"].yes()) {
    found.push_back(
        "too many takeovers within an hour: automatic moves are stopped → clusterctl why; then clusterctl "
        "online");
  }
}

// What the target of a live mirror refuses (its disk is full, it does not know an owner): the detail then
// begins with how many files wait. The table has no room for all of it.
bool has_files_that_wait(View mirror) {
  const std::string state = mirror["state"].text(), detail = clean(mirror["detail"]);
  return (state == "following" || state == "failed") && mirror["mode"].text() == "live" && !detail.empty() &&
         detail.front() >= '1' && detail.front() <= '9';
}

void service_alarms(View status, std::vector<std::string>& found) {
  status["services"].each([&](View service) {
    const std::string name = clean(service["name"], "?");
    const std::string detail = clean(service["detail"]);
    if (service["diverged"].yes()) {
      found.push_back(
          name +
          ": both nodes were active with different files; all versions are kept → clusterctl diverged");
    } else if (service["wants_human"].yes()) {
      found.push_back(name + " needs you" + (detail.empty() ? "" : ": " + detail) + " → clusterctl why " +
                      name);
    }
    service["blocked"].members([&](const std::string& node, View blocked) {
      if (blocked.yes()) {
        found.push_back(name + " failed on " + printable(node) + " and is kept from it → clusterctl why " +
                        name + "; then clusterctl online " + printable(node));
      }
    });
    service["mirrors"].each([&](View mirror) {
      const std::string full = name + " " + clean(mirror["name"]);
      if (mirror["state"].text() == "paused") {
        found.push_back("mirror " + full +
                        " is paused, and the standby falls behind → clusterctl mirror resume " + full);
      }
      if (has_files_that_wait(mirror)) found.push_back("mirror " + full + ": " + clean(mirror["detail"]));
      if (mirror["state"].text() != "halted") return;
      found.push_back("mirror " + full + " halted: " + clean(mirror["detail"]) +
                      " → when this is right: clusterctl mirror confirm " + full);
    });
  });
}

}  // namespace

std::string size_text(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::size(kUnits); ++unit) value /= 1024;
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string span_text(double seconds) {
  if (seconds < 1) return fmt::format("{:.0f} ms", seconds * 1000);
  if (seconds < 10) return fmt::format("{:.1f} s", seconds);
  if (seconds < 120) return fmt::format("{:.0f} s", seconds);
  if (seconds < 7200) return fmt::format("{:.0f} min", seconds / 60);
  if (seconds < 172800) return fmt::format("{:.0f} h", seconds / 3600);
  return fmt::format("{:.0f} d", seconds / 86400);
}

std::vector<std::string> alarms(const std::string& json) {
  const auto value = parse_or_null(json);
  std::vector<std::string> found;
  node_alarms(View(&value), found);
  service_alarms(View(&value), found);
  return found;
}

std::string render_status(const std::string& json, const Look& look) {
  const auto value = parse_or_null(json);
  const View status(&value);
  std::string out = header_lines(status, look);
  for (const std::string& alarm : alarms(json)) out += styled("!! " + alarm, Style::kBad, look) + "\n";
  out += standby_lines(status, look);
  out += "\n" + node_table(status, look) + link_table(status, look) + host_table(status, look) +
         service_table(status, look);
  if (const std::string mirrors = mirror_table(status, look); !mirrors.empty()) out += "\n" + mirrors;
  if (const View decision = status["last_decision"]; decision.known()) {
    const auto age = decision["age_s"].number();
    out += "\nlast decision" + (age ? " (" + span_text(*age) + " ago)" : "") + "\n" +
           decision_text(decision, look);
  }
  return out;
}

std::string render_mirrors(const std::string& json, const Look& look) {
  const auto value = parse_or_null(json);
  const std::string table = mirror_table(View(&value), look);
  return table.empty() ? "no mirrors are configured\n" : table;
}

std::string render_decisions(const std::string& json, const Look& look) {
  const auto value = parse_or_null(json);
  std::string out;
  View(&value)["decisions"].each([&](View decision) { out += decision_text(decision, look); });
  return out.empty() ? "nothing was decided since clusterd was started\n" : out;
}

std::string render_events(const std::string& json, const Look& look, unsigned long long& last) {
  const auto value = parse_or_null(json);
  std::string out;
  View(&value)["events"].each([&](View event) {
    const std::string severity = event["severity"].text();
    const Style style = severity == "error"     ? Style::kBad
                        : severity == "warning" ? Style::kWarn
                                                : Style::kPlain;
    out += fmt::format("{}  #{:<4} {:<8} ", time_text(event["time"]), event["sequence"].count(),
                       printable(severity));
    if (event["service"].known()) out += clean(event["service"]) + ": ";
    out += styled(clean(event["kind"]) + ": " + clean(event["text"]), style, look) + "\n";
  });
  last = std::max<unsigned long long>(last, View(&value)["last"].count());
  return out;
}

}  // namespace clusterd::ctl
