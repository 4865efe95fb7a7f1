// The members of a service that are started and stopped, and the checks of whether they work.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "config/draft.hpp"
#include "config/scalar.hpp"

namespace clusterd::config {

namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

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

// Takes a text key that the unit's kind does not have.
void forbid(Section& section, std::string_view key, std::string_view beside, Problems& problems) {
  if (!section.find(key)) return;
  problems.error(
      section.place(key), fmt::format("{} has both {} and {}", section.name(), beside, key),
      fmt::format("remove one of them: run is a program that stays in the foreground and is ended by "
                  "SIGTERM; start, stop and status are commands"));
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
  const bool command =
      section.has("start") || section.has("stop") || section.has("status") || section.has("pid_file");
  if (section.has("run")) {
    unit.kind = UnitConfig::Kind::kRun;
    take(section, "run", unit.start);
    for (const char* key : {"start", "stop", "status", "pid_file"}) forbid(section, key, "run", problems);
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
    for (const char* key : {"run", "start", "stop", "status", "pid_file"}) (void)section.find(key);
    if (name) (void)check_unit_name(*name, problems);
  }
  if (name && unit.kind != UnitConfig::Kind::kSystemd && !is_name(name->value, "._-", 64))
    problems.error(name->place, fmt::format("a unit of commands cannot be called \"{:.80}\"", name->value),
                   "use letters, digits, \".\", \"_\" and \"-\", at most 64");
  section.finish();
  if (problems.count() != before) return std::nullopt;
  return unit;
}

// "445", "1.2.3.4:445" or "[fd00::1]:445"
bool parse_tcp(std::string_view text, CheckConfig& check) {
  std::string_view port = text;
  if (const size_t colon = text.rfind(':'); colon != std::string_view::npos) {
    port = text.substr(colon + 1);
    std::string_view address = text.substr(0, colon);
    if (address.size() > 2 && address.front() == '[' && address.back() == ']') {
      check.address = IpAddress::parse(address.substr(1, address.size() - 2));
      if (check.address && check.address->is_v4()) return false;
    } else {
      check.address = IpAddress::parse(address);
      if (check.address && !check.address->is_v4()) return false;
    }
    if (!check.address || unusable(*check.address)) return false;
  }
  const auto number = parse_port(port);
  check.port = number.value_or(0);
  return number.has_value();
}

std::optional<CheckConfig> read_check(const Value& table, Problems& problems) {
  Section section(table, "a check", problems);
  CheckConfig check;
  const size_t before = problems.count();
  const auto tcp = section.text("tcp");
  const auto command = section.text("command");
  if (section.has("tcp") == section.has("command")) {
    problems.error(
        table.place,
        section.has("tcp") ? "a check has both tcp and command" : "a check has neither tcp nor command",
        "write { tcp = \"445\" } or { command = \"/usr/local/bin/works\" }");
  } else if (tcp) {
    check.text = "tcp " + tcp->value;
    if (!parse_tcp(tcp->value, check))
      problems.error(tcp->place,
                     fmt::format("tcp = \"{:.60}\" is no port and no address with a port", tcp->value),
                     "write tcp = \"445\" for the service's own first address, or \"192.168.1.20:445\", or "
                     "\"[fd00::20]:445\"");
  } else if (command) {
    check.kind = CheckConfig::Kind::kCommand;
    check.command = command->value;
    check.text = "command " + command->value;
  }
  section.duration("every", check.every, milliseconds(100), hours(1));
  section.duration("timeout", check.timeout, milliseconds(50), minutes(10));
  section.duration("grace", check.grace, milliseconds(0), hours(1));
  section.number("failures", check.failures, 1, 1000);
  section.finish();
  if (problems.count() != before) return std::nullopt;
  return check;
}

}  // namespace

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

void read_checks(const Value& checks, ServiceDraft& draft, Problems& problems) {
  for (const Value& item : checks.items) {
    if (item.kind != Value::Kind::kTable) {
      problems.error(item.place, fmt::format("a check must be a table, but is {}", name(item.kind)),
                     "write { tcp = \"445\" } or { command = \"/usr/local/bin/works\" }");
      continue;
    }
    if (auto check = read_check(item, problems)) draft.config.checks.push_back(std::move(*check));
  }
}

}  // namespace clusterd::config
