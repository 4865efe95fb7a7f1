// Sketches as TOML that a person can go on with.
#include <fmt/format.h>

#include "setup/sketch.hpp"

namespace clusterd::setup {

namespace {

// The length of the UTF-8 character at the beginning of `text`, or 0 if it is none. Overlong forms and
// surrogates are none.
size_t character(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const size_t length = first < 0x80   ? 1
                        : first < 0xc2 ? 0
                        : first < 0xe0 ? 2
                        : first < 0xf0 ? 3
                        : first < 0xf5 ? 4
                                       : 0;
  if (length == 0 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0U) != 0x80U) return 0;
  }
  if ((first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) > 0x9f)) return 0;
  if ((first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) > 0x8f)) return 0;
  return length;
}

// What is neither a control character nor broken, and "?" for the rest.
std::string clean(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t length = character(text);
    const auto first = static_cast<unsigned char>(text[0]);
    const bool control = length == 1
                             ? first < 0x20 || first == 0x7f
                             : length == 2 && first == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0;
    if (length == 0 || control) {
      out += first == '\t' ? ' ' : '?';
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

std::string list(const Lines& texts) {
  std::string out = "[";
  for (const std::string& text : texts) out += (out.size() > 1 ? ", " : "") + toml_text(text);
  return out + "]";
}

void comment(std::string& out, const Lines& lines) {
  for (const std::string& line : lines) out += line.empty() ? "#\n" : "# " + comment_text(line) + "\n";
}

void key(std::string& out, const char* name, const std::string& value, size_t width = 0) {
  if (!value.empty()) out += fmt::format("{:<{}} = {}\n", name, width, toml_text(value));
}

std::string inline_table(const std::vector<std::pair<std::string, std::string>>& pairs) {
  std::string out;
  for (const auto& [name, value] : pairs) {
    if (!value.empty()) out += (out.empty() ? "" : ", ") + name + " = " + value;
  }
  return "{ " + out + " }";
}

std::string maybe(const std::string& text) { return text.empty() ? "" : toml_text(text); }

std::string unit(const UnitSketch& unit) {
  if (unit.systemd() && unit.start_timeout.empty() && unit.stop_timeout.empty()) return toml_text(unit.name);
  std::vector<std::pair<std::string, std::string>> parameters;
  for (const auto& [name, value] : unit.parameters) parameters.emplace_back(name, toml_text(value));
  return inline_table({{"name", maybe(unit.name)},
                       {"run", maybe(unit.run)},
                       {"start", maybe(unit.start)},
                       {"stop", maybe(unit.stop)},
                       {"status", maybe(unit.status)},
                       {"pid_file", maybe(unit.pid_file)},
                       {"start_timeout", maybe(unit.start_timeout)},
                       {"stop_timeout", maybe(unit.stop_timeout)},
                       {"ocf", maybe(unit.ocf)},
                       {"parameters", parameters.empty() ? "" : inline_table(parameters)}});
}

std::string check(const CheckSketch& check) {
  return inline_table({{"tcp", maybe(check.tcp)},
                       {"command", maybe(check.command)},
                       {"http", maybe(check.http)},
                       {"dns", maybe(check.dns)},
                       {"process", maybe(check.process)},
                       {"unit", maybe(check.unit)},
                       {"every", maybe(check.every)},
                       {"timeout", maybe(check.timeout)},
                       {"failures", check.failures > 0 ? std::to_string(check.failures) : ""}});
}

// One entry per line: easier to read, and to change.
template <class Entry>
void entries(std::string& out, const char* name, const std::vector<Entry>& all,
             std::string (*text)(const Entry&)) {
  if (all.empty()) return;
  if (all.size() == 1) {
    out += fmt::format("{:<9} = [{}]\n", name, text(all[0]));
    return;
  }
  out += fmt::format("{:<9} = [\n", name);
  for (const Entry& entry : all) out += "  " + text(entry) + ",\n";
  out += "]\n";
}

void mirror(std::string& out, const MirrorSketch& mirror) {
  out += "\n";
  comment(out, mirror.comments);
  out += "[[mirror]]\n";
  key(out, "name", mirror.name, 7);
  out += fmt::format("{:<7} = {}\n", "paths", list(mirror.paths));
  if (!mirror.exclude.empty()) out += fmt::format("{:<7} = {}\n", "exclude", list(mirror.exclude));
  key(out, "mode", mirror.mode, 7);
  key(out, "every", mirror.every, 7);
}

std::string cluster_file(const Sketch& sketch) {
  std::string out;
  comment(out, sketch.comments);
  out += "\n[cluster]\n";
  key(out, "name", sketch.cluster, 15);
  out +=
      "# Hosts that both nodes normally reach. They tell a node that is cut off from one whose peer is dead; "
      "without\n"
      "# any, no node takes over by itself. More than one is better: another switch, the name server.\n";
  out += fmt::format("{:<15} = {}\n", "reference_hosts", list(sketch.reference_hosts));
  out +=
      "# \"steady\" takes over after 700 ms, \"fast\" after 200 ms; how long is worth waiting depends on the "
      "network.\n";
  key(out, "profile", sketch.profile.empty() ? "steady" : sketch.profile, 15);
  if (sketch.port > 0) out += fmt::format("{:<15} = {}\n", "port", sketch.port);
  if (!sketch.notify_command.empty() || !sketch.notify_mail.empty()) {
    out += "\n[notify]\n";
    key(out, "command", sketch.notify_command);
    key(out, "mail", sketch.notify_mail);
  } else {
    out += "\n# [notify]\n# mail = \"root\"    # each event that needs a human\n";
  }
  if (!sketch.hook_up.empty() || !sketch.hook_down.empty()) {
    out += "\n[hooks]\n";
    key(out, "up", sketch.hook_up, 4);
    key(out, "down", sketch.hook_down, 4);
  }
  if (!sketch.ssh_identity.empty() || !sketch.ssh_known_hosts.empty()) {
    out += "\n# How mirrors reach the other node.\n[ssh]\n";
    key(out, "identity", sketch.ssh_identity, 11);
    key(out, "known_hosts", sketch.ssh_known_hosts, 11);
  }
  out +=
      "\n# One table per node, named as `hostname` prints it. Each key but \"redundant\" is a link: a "
      "heartbeat path.\n"
      "# The link \"service\" carries the services' addresses.\n";
  for (const NodeSketch& node : sketch.nodes) out += written(node) + "\n";
  while (out.size() > 1 && out[out.size() - 2] == '\n') out.pop_back();
  return out;
}

}  // namespace

std::string toml_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : clean(text)) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

std::string comment_text(std::string_view text) {
  std::string out = clean(text);
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

std::string written(const NodeSketch& node) {
  std::string out;
  comment(out, node.comments);
  // A name with a point needs quotes: bare, it would be a table within a table.
  const bool bare = !node.name.empty() && name_from(node.name, "_-", 63, "") == node.name;
  out += fmt::format("[node.{}]\n", bare ? node.name : toml_text(node.name));
  size_t width = node.redundant_nic.empty() ? 7 : 9;
  for (const EndSketch& end : node.ends) width = std::max(width, end.link.size());
  for (const EndSketch& end : node.ends)
    out += fmt::format("{:<{}} = {}\n", end.link, width,
                       inline_table({{"nic", toml_text(end.nic)}, {"address", toml_text(end.address)}}));
  if (!node.redundant_nic.empty())
    out += fmt::format("{:<{}} = {}\n", "redundant", width,
                       inline_table({{"nic", toml_text(node.redundant_nic)}}));
  return out;
}

std::string written(const ServiceSketch& service) {
  std::string out;
  comment(out, service.comments);
  if (!out.empty()) out += "\n";
  key(out, "prefer", service.prefer, 9);
  if (!service.addresses.empty()) out += fmt::format("{:<9} = {}\n", "addresses", list(service.addresses));
  key(out, "link", service.link, 9);
  key(out, "mac", service.mac, 9);
  key(out, "mac_address", service.mac_address, 9);
  entries(out, "units", service.units, unit);
  entries(out, "checks", service.checks, check);
  if (service.hot) out += "hot       = true\n";
  if (!service.apart_from.empty()) out += fmt::format("{:<9} = {}\n", "apart_from", list(service.apart_from));
  if (!service.after.empty()) out += fmt::format("{:<9} = {}\n", "after", list(service.after));
  if (!service.alike.empty()) out += fmt::format("{:<9} = {}\n", "alike", list(service.alike));
  key(out, "failback", service.failback, 9);
  key(out, "failback_after", service.failback_after, 9);
  for (const MirrorSketch& one : service.mirrors) mirror(out, one);
  return out;
}

ConfigTexts written(const Sketch& sketch) {
  ConfigTexts texts;
  texts["cluster.toml"] = cluster_file(sketch);
  for (const ServiceSketch& service : sketch.services)
    texts["services/" + service.name + ".toml"] = written(service);
  return texts;
}

}  // namespace clusterd::setup
