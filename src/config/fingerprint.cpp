// The canonical form of everything that both nodes must share, and its hash (S12).
//
// Built from the validated values, never from the files' text: formatting, comments, the order of keys and
// whether a default was written out make no difference. Left out is what may well differ between two healthy
// nodes: which of them is `self`, the path of the secret (the secret itself is proved by every sealed
// datagram), [notify], [hooks] and [ssh], the watchdog's device file, and the values of what fence agents are
// told, which may be passwords: the lines are shown to people. Of resource agents' parameters only those
// values are left out whose names sound like passwords.
#include <fmt/format.h>

#include <string_view>

#include "config/draft.hpp"
#include "config/passwords.hpp"
#include "config/scalar.hpp"

namespace clusterd::config {

namespace {

// Free text in quotes, so that no value can imitate another line.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

std::string quoted(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (const std::string& text : texts) out += (out.size() > 1 ? ", " : "") + quoted(text);
  return out + "]";
}

class Lines {
 public:
  Lines(std::vector<std::string>& out, std::string prefix) : out_(out), prefix_(std::move(prefix)) {}
  void add(std::string_view key, std::string_view value) {
    out_.push_back(fmt::format("{}{} = {}", prefix_, key, value));
  }
  void add(std::string_view key, Duration value) { add(key, duration_text(value)); }

 private:
  std::vector<std::string>& out_;
  std::string prefix_;
};

bool any_live(const Config& config) {
  for (const ServiceConfig& service : config.services)
    for (const MirrorConfig& mirror : service.mirrors)
      if (mirror.live) return true;
  return false;
}

void add_cluster(const Config& config, std::vector<std::string>& out) {
  Lines lines(out, "cluster.toml: ");
  lines.add("name", config.cluster);
  for (size_t i = 0; i < config.hosts.size(); ++i)
    lines.add(fmt::format("reference_hosts {}", i + 1), config.hosts[i].text);
  lines.add("relay", config.relay ? "auto" : "off");
  lines.add("rejoin", config.rejoin == Rejoin::kAuto ? "auto" : "manual");
  lines.add("max_takeovers_per_hour", std::to_string(config.max_takeovers_per_hour));
  lines.add("port", std::to_string(config.port));
  if (any_live(config)) lines.add("mirror port", std::to_string(config.mirror_port));
  const Timing& t = config.timing;
  lines.add("heartbeat", t.heartbeat);
  lines.add("lease", t.lease);
  lines.add("window", t.window);
  lines.add("gate_latency", t.gate_latency);
  lines.add("settle", t.settle);
  lines.add("host_gone", t.host_gone);
  lines.add("host_back", t.host_back);
  lines.add("probe", t.probe_slow);
  // Only where there are some, so that a cluster without an always mirror can be upgraded node by node.
  if (!config.always.paths.empty()) lines.add("always paths", quoted(config.always.paths));
  if (!config.always.exclude.empty()) lines.add("always exclude", quoted(config.always.exclude));
  if (config.watchdog) lines.add("watchdog timeout", config.watchdog->timeout);
  for (size_t n = 0; n < kNodes; ++n) {
    const auto& fence = config.fences.at(n);
    if (!fence) continue;
    std::vector<std::string> names;
    for (const auto& [name, value] : fence->parameters) names.push_back(name);
    lines.add(fmt::format("fence.{}", config.nodes.at(n).name),
              fmt::format("{} timeout {} delay {} parameters {}", quoted(fence->agent),
                          duration_text(fence->timeout), duration_text(fence->delay), quoted(names)));
  }
  for (size_t n = 0; n < kNodes; ++n) {
    const NodeConfig& node = config.nodes.at(n);
    for (const LinkConfig& link : config.links)
      lines.add(fmt::format("node.{}.{}", node.name, link.name),
                link.ends.at(n).nic + " " + link.ends.at(n).address.text());
    if (node.redundant_nic) lines.add(fmt::format("node.{}.redundant", node.name), *node.redundant_nic);
  }
}

std::string text_of(const OcfConfig& ocf) {
  std::string parameters;
  for (const auto& [name, value] : ocf.parameters)
    parameters += fmt::format(" {}={}", name, may_be_password(name) ? "(not shown)" : quoted(value));
  return fmt::format(" {} parameters{} monitor every {} timeout {} depth {}", ocf.text(),
                     parameters.empty() ? " none" : parameters, duration_text(ocf.monitor_every),
                     duration_text(ocf.monitor_timeout), ocf.monitor_depth);
}

std::string text_of(const UnitConfig& unit) {
  std::string out = quoted(unit.name);
  if (unit.kind == UnitConfig::Kind::kRun) out += " run " + quoted(unit.start);
  if (unit.kind == UnitConfig::Kind::kCommand)
    out += fmt::format(" start {} stop {} status {} pid_file {}", quoted(unit.start), quoted(unit.stop),
                       quoted(unit.status), quoted(unit.pid_file));
  if (unit.kind == UnitConfig::Kind::kOcf) out += text_of(unit.ocf);
  if (unit.kind == UnitConfig::Kind::kLsb) out += " lsb " + quoted(unit.script);
  if (unit.kind == UnitConfig::Kind::kMount)
    out += fmt::format(" mount {} where {} type {} options {}", quoted(unit.mount.what),
                       quoted(unit.mount.where), quoted(unit.mount.type), quoted(unit.mount.options));
  return out + fmt::format(" start_timeout {} stop_timeout {}", duration_text(unit.start_timeout),
                           duration_text(unit.stop_timeout));
}

std::string text_of(const CheckConfig& check) {
  std::string how;
  if (check.kind == CheckConfig::Kind::kHttp || check.kind == CheckConfig::Kind::kDns)
    how = fmt::format(" at {} port {}", check.address ? check.address->text() : "the service", check.port);
  if (check.kind == CheckConfig::Kind::kHttp)
    how += fmt::format(" status {}-{} body {} verify {}", check.status_least, check.status_most,
                       quoted(check.body), check.verify);
  if (check.kind == CheckConfig::Kind::kDns) how += " answer " + quoted(check.answer);
  return fmt::format("{}{} every {} timeout {} grace {} failures {}", quoted(check.text), how,
                     duration_text(check.every), duration_text(check.timeout), duration_text(check.grace),
                     check.failures);
}

void add_mirror(const MirrorConfig& mirror, Lines& lines) {
  const std::string key = "mirror " + mirror.name;
  lines.add(key + " paths", quoted(mirror.paths));
  lines.add(key + " exclude", quoted(mirror.exclude));
  // Only where it is so: a cluster without live mirrors can be upgraded node by node.
  if (mirror.live) lines.add(key + " mode", "live");
  if (mirror.guard) lines.add(key + " guard", "true");
  if (mirror.ids == Ids::kName) lines.add(key + " ids", "name");
  if (mirror.live && mirror.scrub_every > Duration::zero())
    lines.add(key + " scrub",
              fmt::format("every {} rate {}", duration_text(mirror.scrub_every), mirror.scrub_rate));
  lines.add(key + " every", mirror.every);
  lines.add(key + " options", fmt::format("delete {} whole_file {} compress {} bandwidth {}", mirror.remove,
                                          mirror.whole_file, mirror.compress, mirror.bandwidth));
  lines.add(key + " backups",
            fmt::format("keep {} max {}", duration_text(mirror.keep_backups), mirror.max_backups));
  lines.add(key + " to", mirror.to ? quoted(*mirror.to) : "the peer");
}

const char* text_of(MacMode mac) {
  switch (mac) {
    case MacMode::kVirtual:
      return "virtual";
    case MacMode::kRedundant:
      return "redundant";
    case MacMode::kNone:
      break;
  }
  return "none";
}

void add_service(const Config& config, const ServiceConfig& service, std::vector<std::string>& out) {
  Lines lines(out, "services/" + service.name + ".toml: ");
  lines.add("prefer", service.prefer ? config.node(*service.prefer).name : "no node");
  std::string addresses;
  for (const Prefix& address : service.addresses)
    addresses += (addresses.empty() ? "" : " ") + address.text();
  lines.add("addresses", addresses.empty() ? "none" : addresses);
  lines.add("link", config.link(service.link).name);
  lines.add("mac", text_of(service.mac));
  if (service.mac != MacMode::kNone) lines.add("mac_address", service.mac_address.text());
  for (size_t i = 0; i < service.units.size(); ++i)
    lines.add("unit " + std::to_string(i + 1), text_of(service.units[i]));
  for (size_t i = 0; i < service.checks.size(); ++i)
    lines.add("check " + std::to_string(i + 1), text_of(service.checks[i]));
  lines.add("hot", service.hot ? "true" : "false");
  lines.add("effects", service.effects == Effects::kNode ? "node" : "address");
  lines.add("failback", service.failback == Failback::kAuto ? "auto" : "manual");
  lines.add("failback_after", service.failback_after);
  lines.add("restarts",
            fmt::format("max {} within {}", service.budget.restarts, duration_text(service.budget.within)));
  const auto related = [&](const char* key, const std::vector<ServiceId>& others) {
    std::string names;
    for (const ServiceId id : others) names += (names.empty() ? "" : " ") + config.service(id).name;
    if (!names.empty()) lines.add(key, names);  // only where there are some, as for live mirrors
  };
  related("with", service.with);
  related("apart_from", service.apart_from);
  related("after", service.after);
  for (const MirrorConfig& mirror : service.mirrors) add_mirror(mirror, lines);
}

}  // namespace

void fingerprint(Config& config) {
  config.hashed_lines.clear();
  add_cluster(config, config.hashed_lines);
  for (const ServiceConfig& service : config.services) add_service(config, service, config.hashed_lines);
  // FNV-1a: it tells settings apart that differ by mistake; against attackers there is the seal.
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (const std::string& line : config.hashed_lines) {
    for (const char c : line + '\n') {
      hash ^= static_cast<uint8_t>(c);
      hash *= 0x100000001b3ULL;
    }
  }
  config.hash = hash;
}

}  // namespace clusterd::config
