// The members of a service that are started and stopped.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "config/draft.hpp"
#include "config/scalar.hpp"
#include "config/unit_kinds.hpp"

namespace clusterd::config {

namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

constexpr std::array<std::string_view, 8> kUnitTypes{".service", ".socket", ".mount",     ".target",
                                                     ".timer",   ".path",   ".automount", ".swap"};

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() > end.size() && text.substr(text.size() - end.size()) == end;
}

// systemd's own rule for names of units.
bool is_unit_name(std::string_view name) {
  if (name.size() > 255) return false;
  const std::string_view also = ":_.\\@-";
  if (!is_name(name, also, 255) && !(name.front() == '-' && is_name(name.substr(1), also, 254))) return false;
  return std::any_of(kUnitTypes.begin(), kUnitTypes.end(),
                     [name](std::string_view t) { return ends_with(name, t); });
}

// The keys that say what kind of unit it is, and what goes with each of them.
constexpr std::array<std::string_view, 4> kCommandKeys{"start", "stop", "status", "pid_file"};
constexpr std::array<std::string_view, 4> kKindKeys{"ocf", "lsb", "mount", "run"};

// Takes the keys that only units of another kind have.
void forbid_others(Section& section, std::string_view kind, Problems& problems) {
  const auto forbid = [&](std::string_view key) {
    if (key == kind || !section.find(key)) return;
    problems.error(
        section.place(key), fmt::format("{} has both {} and {}", section.name(), kind, key),
        "remove one of them: run is a program that stays in the foreground and is ended by SIGTERM; "
        "start, stop and status are commands; ocf, lsb and mount have their own");
  };
  for (const std::string_view key : kKindKeys) forbid(key);
  for (const std::string_view key : kCommandKeys) forbid(key);
}

void take(Section& section, std::string_view key, std::string& target) {
  if (const auto text = section.text(key)) target = text->value;
}

std::optional<UnitConfig> read_unit_table(const Value& table, Place& place, Problems& problems) {
  Section section(table, "a unit", problems);
  UnitConfig unit;
  const size_t before = problems.count();
  const auto name = section.required_text("name", "smbd.service");
  if (name) {
    unit.name = name->value;
    place = name->place;
  }
  section.duration("start_timeout", unit.start_timeout, milliseconds(100), hours(1));
  section.duration("stop_timeout", unit.stop_timeout, milliseconds(100), hours(1));
  const bool command = std::any_of(kCommandKeys.begin(), kCommandKeys.end(),
                                   [&](std::string_view key) { return section.has(key); });
  if (section.has("ocf")) {
    read_ocf(section, unit, problems);
    forbid_others(section, "ocf", problems);
  } else if (section.has("lsb")) {
    read_lsb(section, unit, problems);
    forbid_others(section, "lsb", problems);
  } else if (section.has("mount")) {
    read_mount(section, unit, problems);
    forbid_others(section, "mount", problems);
  } else if (section.has("run")) {
    unit.kind = UnitConfig::Kind::kRun;
    take(section, "run", unit.start);
    forbid_others(section, "run", problems);
  } else if (command) {
    unit.kind = UnitConfig::Kind::kCommand;
    if (const auto text = section.required_text("start", "/usr/local/sbin/thing start"))
      unit.start = text->value;
    if (const auto text = section.required_text("stop", "/usr/local/sbin/thing stop"))
      unit.stop = text->value;
    take(section, "status", unit.status);
    if (!section.has("status") && !section.has("pid_file"))
      problems.error(
          table.place,
          "a unit of commands has neither status nor pid_file, so nobody could tell that it has stopped",
          "add status = \"COMMAND\" (exit code 0 = it runs) or pid_file = \"/run/….pid\"");
    if (const auto text = section.text("pid_file")) {
      unit.pid_file = text->value;
      if (!is_plain_path(text->value) || text->value.back() == '/')
        problems.error(text->place,
                       fmt::format("pid_file is no absolute path of a file: \"{:.80}\"", text->value),
                       "write pid_file = \"/run/thing.pid\"");
    }
  } else {
    for (const std::string_view key : kKindKeys) (void)section.find(key);
    for (const std::string_view key : kCommandKeys) (void)section.find(key);
    if (name) (void)check_unit_name(*name, problems);
  }
  if (name && unit.kind != UnitConfig::Kind::kSystemd && !is_name(name->value, "._-", 64))
    problems.error(
        name->place,
        fmt::format("{} cannot be called \"{:.80}\"",
                    unit.kind == UnitConfig::Kind::kOcf ? "an agent\'s unit" : "a unit of commands",
                    name->value),
        "use letters, digits, \".\", \"_\" and \"-\", at most 64");
  section.finish();
  if (problems.count() != before) return std::nullopt;
  return unit;
}

}  // namespace

bool check_unit_name(const Text& name, Problems& problems) {
  if (is_unit_name(name.value)) return true;
  const bool only_type_missing = is_name(name.value, ":_\\@-", 200);
  problems.error(
      name.place, fmt::format("\"{:.80}\" is no name of a systemd unit", name.value),
      only_type_missing
          ? fmt::format("write \"{}.service\"", name.value)
          : "write it as `systemctl` shows it, as in \"smbd.service\"; a unit of your own commands is "
            "{ name = \"…\", start = \"…\", stop = \"…\", status = \"…\" }");
  return false;
}

void read_units(const Value& units, ServiceDraft& draft, Problems& problems) {
  for (const Value& item : units.items) {
    std::optional<UnitConfig> unit;
    Place place = item.place;
    if (item.kind == Value::Kind::kString) {
      if (!check_unit_name({item.text, item.place}, problems)) continue;
      unit.emplace();
      unit->name = item.text;
    } else if (item.kind == Value::Kind::kTable) {
      unit = read_unit_table(item, place, problems);
    } else {
      problems.error(
          item.place, fmt::format("a unit must be a text or a table, but is {}", name(item.kind)),
          "write \"smbd.service\" or { name = \"…\", start = \"…\", stop = \"…\", status = \"…\" }");
    }
    if (!unit) continue;
    const auto& known = draft.config.units;
    if (std::any_of(known.begin(), known.end(), [&](const UnitConfig& u) { return u.name == unit->name; })) {
      problems.error(place, fmt::format("the unit {} is listed twice", unit->name), "remove one of them");
      continue;
    }
    draft.config.units.push_back(std::move(*unit));
    draft.units.push_back(place);
  }
}

}  // namespace clusterd::config
