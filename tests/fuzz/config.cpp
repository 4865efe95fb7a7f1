// /etc/cluster.d: what the administrator, or a broken disk, may have written. The input is cluster.toml and,
// after a line "%%", services/web.toml; either may be missing, and is then a good one.
#include <filesystem>

#include "config/load.hpp"
#include "config/report.hpp"
#include "core/timing.hpp"
#include "scratch.hpp"
#include "targets.hpp"

namespace clusterd::fuzz {

namespace {

constexpr std::string_view kCluster = R"([cluster]
name = "office"
reference_hosts = ["192.168.1.1", "tcp://10.9.9.9:53"]
[node.serv1]
service = { nic = "eth0", address = "192.168.1.11/24" }
heartbeat = { nic = "eth1", address = "192.168.111.1/24" }
redundant = { nic = "eth2" }
[node.serv2]
service = { nic = "eth0", address = "192.168.1.12/24" }
heartbeat = { nic = "eth1", address = "192.168.111.2/24" }
redundant = { nic = "eth2" }
)";
constexpr std::string_view kWeb = R"(addresses = ["192.168.1.20/24"]
units = ["nginx.service"]
)";
constexpr std::string_view kSeparator = "%%\n";

void check(const Config& config) {
  require(config.self.valid() && config.self.at() < kNodes, "this node is one of the nodes");
  require(window_is_safe(config.timing), "no timing is accepted that breaks the inequality of S2");
  require(config.links.size() <= kMaxLinks && !config.links.empty(), "links within bounds");
  require(config.hosts.size() <= kMaxHosts && config.services.size() <= kMaxServices, "tables within bounds");
  require(config.timing.heartbeat > Duration::zero() && config.timing.lease > Duration::zero(),
          "time passes");
  for (const HostConfig& host : config.hosts)
    require(!host.link || host.link->at() < config.links.size(), "a host's link is one of the links");
  for (const ServiceConfig& service : config.services) {
    require(service.link.at() < config.links.size(), "a service's link is one of the links");
    require(!service.prefer || service.prefer->at() < kNodes, "the preferred node is one of the nodes");
    require(service.mirrors.size() <= kMaxMirrorsPerService, "mirrors within bounds");
    for (const MirrorConfig& mirror : service.mirrors) {
      require(!mirror.paths.empty() && mirror.every > Duration::zero(), "a mirror mirrors something");
      for (const std::string& path : mirror.paths) require(path.starts_with('/'), "paths are absolute");
    }
  }
  require(!timing_report(config).empty(), "`check` has something to say");
  require(!config.hashed_lines.empty(), "the nodes have something to compare");
}

}  // namespace

void fuzz_config(Bytes input) {
  static const Scratch scratch;
  static const bool made = std::filesystem::create_directory(scratch.path() + "/services");
  require(made, "a folder for services");
  const std::string_view text = text_of(input);
  const size_t at = text.find(kSeparator);
  const std::string_view cluster = text.substr(0, at);
  const std::string_view web =
      at == std::string_view::npos ? std::string_view{} : text.substr(at + kSeparator.size());
  scratch.write("cluster.toml", cluster.empty() ? kCluster : cluster);
  scratch.write("services/web.toml", web.empty() ? kWeb : web);
  std::vector<ConfigProblem> warnings;
  const auto config = load_config(scratch.path(), "serv1", &warnings);
  if (config) return check(*config);
  require(!config.error().empty(), "a refusal has a cause");
  for (const ConfigProblem& problem : config.error()) {
    require(!problem.file.empty() && !problem.text.empty() && !problem.remedy.empty(),
            "a problem has a place, a cause and a remedy");
  }
}

}  // namespace clusterd::fuzz
