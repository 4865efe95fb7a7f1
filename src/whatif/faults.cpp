#include "whatif/faults.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace clusterd::whatif {

namespace {

using Kind = Fault::Kind;

void add_node_faults(const Config& config, std::vector<Fault>& out) {
  const auto each_node = [&](Kind kind, const char* what) {
    for (size_t n = 0; n < kNodes; ++n) {
      Fault fault;
      fault.kind = kind;
      fault.node = NodeId(n);
      fault.text = fmt::format("{}{}", config.nodes.at(n).name, what);
      out.push_back(fault);
    }
  };
  each_node(Kind::kPower, " loses its power");
  each_node(Kind::kDaemonKilled, ": clusterd is killed");
  each_node(Kind::kDaemonFrozen, ": clusterd stands still");
}

// One fault per NIC, however many links use it.
void add_nics(const Config& config, std::vector<Fault>& out) {
  for (size_t n = 0; n < kNodes; ++n) {
    std::vector<std::string> nics;
    for (const LinkConfig& link : config.links) nics.push_back(link.ends.at(n).nic);
    if (const auto& spare = config.nodes.at(n).redundant_nic) nics.push_back(*spare);
    for (size_t i = 0; i < nics.size(); ++i) {
      if (std::find(nics.begin(), nics.begin() + static_cast<std::ptrdiff_t>(i), nics[i]) !=
          nics.begin() + static_cast<std::ptrdiff_t>(i)) {
        continue;
      }
      Fault fault;
      fault.kind = Kind::kNic;
      fault.node = NodeId(n);
      fault.nic = nics[i];
      fault.text = fmt::format("{}: NIC {} or its cable", config.nodes.at(n).name, nics[i]);
      out.push_back(fault);
    }
  }
}

void add_networks(const Config& config, std::vector<Fault>& out) {
  for (size_t i = 0; i < config.links.size(); ++i) {
    Fault fault;
    fault.link = LinkId(i);
    fault.kind = Kind::kSwitch;
    fault.text = fmt::format("the switch of link {}", config.links[i].name);
    out.push_back(fault);
    fault.kind = Kind::kPath;
    fault.text = fmt::format("the path between the nodes on link {}", config.links[i].name);
    out.push_back(fault);
  }
  for (size_t i = 0; i < config.hosts.size(); ++i) {
    Fault fault;
    fault.kind = Kind::kHost;
    fault.host = HostId(i);
    fault.text = fmt::format("reference host {}", config.hosts[i].text);
    out.push_back(fault);
  }
}

void add_services(const Config& config, std::vector<Fault>& out) {
  for (size_t s = 0; s < config.services.size(); ++s) {
    const ServiceConfig& service = config.services[s];
    if (service.units.empty()) continue;
    Fault fault;
    fault.service = ServiceId(s);
    fault.kind = Kind::kUnitCrash;
    for (size_t u = 0; u < service.units.size(); ++u) {
      fault.unit = UnitId(u);
      fault.text = fmt::format("{}: {} crashes", service.name, service.units[u].name);
      out.push_back(fault);
    }
    fault.kind = Kind::kServiceBroken;
    fault.unit = UnitId(0);
    for (size_t n = 0; n < kNodes; ++n) {
      fault.node = NodeId(n);
      fault.text = fmt::format("{} does not run on {}", service.name, config.nodes.at(n).name);
      out.push_back(fault);
    }
  }
}

// What is plugged into the link's switch: the spare NICs, too, if they take over from NICs on it.
std::vector<std::string> nics_on(const Config& config, NodeId node, LinkId link) {
  std::vector<std::string> out{config.link(link).ends.at(node.at()).nic};
  const auto& spare = config.node(node).redundant_nic;
  const bool spares =
      std::any_of(config.services.begin(), config.services.end(),
                  [link](const ServiceConfig& s) { return s.mac == MacMode::kRedundant && s.link == link; });
  if (spare && spares) out.push_back(*spare);
  return out;
}

bool runs(const sim::World& world, NodeId node, ServiceId service) {
  const auto& units = world.machine(node).kernel.units;
  return world.machine(node).powered && service.at() < units.size() && !units.at(service.at()).empty();
}

void crash(sim::World& world, NodeId node, ServiceId service, UnitId unit) {
  if (!runs(world, node, service)) return;
  if (world.machine(node).kernel.units.at(service.at()).at(unit.at())) world.crash_unit(node, service, unit);
}

}  // namespace

std::vector<Fault> faults_of(const Config& config) {
  std::vector<Fault> out;
  add_node_faults(config, out);
  add_nics(config, out);
  add_networks(config, out);
  add_services(config, out);
  return out;
}

void strike(sim::World& world, const Config& config, const Fault& fault) {
  switch (fault.kind) {
    case Kind::kPower:
      if (world.machine(fault.node).powered) world.power_off(fault.node);
      return;
    case Kind::kDaemonKilled:
      if (world.machine(fault.node).node) world.kill_daemon(fault.node);
      return;
    case Kind::kDaemonFrozen:
      if (world.machine(fault.node).node) world.freeze(fault.node);
      return;
    case Kind::kNic:
      return world.set_nic(fault.node, fault.nic, false);
    case Kind::kSwitch:
      for (size_t n = 0; n < kNodes; ++n) {
        for (const auto& nic : nics_on(config, NodeId(n), fault.link)) world.set_nic(NodeId(n), nic, false);
      }
      return;
    case Kind::kPath:
      return world.set_link(fault.link, false);
    case Kind::kHost:
      return world.set_host(fault.host, std::nullopt, false);
    case Kind::kUnitCrash:
      for (size_t n = 0; n < kNodes; ++n) {
        if (world.role(NodeId(n), fault.service) == Role::kActive)
          crash(world, NodeId(n), fault.service, fault.unit);
      }
      return;
    case Kind::kServiceBroken:
      world.set_behaviour(fault.node, fault.service, sim::Behaviour::kFailsToStart);
      return crash(world, fault.node, fault.service, UnitId(0));
  }
}

bool moves_hosts(const Config& config, const Fault& fault) {
  if (config.hosts.empty()) return false;
  return fault.kind == Kind::kHost || fault.kind == Kind::kNic || fault.kind == Kind::kSwitch;
}

}  // namespace clusterd::whatif
