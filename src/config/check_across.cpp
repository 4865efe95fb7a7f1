// What only all files together can show: the same thing claimed twice.
#include <fmt/format.h>

#include <map>

#include "config/draft.hpp"

namespace clusterd::config {

namespace {

void check_addresses(const ClusterDraft& cluster, const std::vector<ServiceDraft>& services,
                     Problems& problems) {
  struct Owner {
    std::string text;
    Place place;
  };
  std::map<IpAddress, Owner> owners;
  for (size_t l = 0; l < cluster.config.links.size(); ++l)
    for (size_t n = 0; n < kNodes; ++n)
      owners.emplace(cluster.config.links[l].ends.at(n).address.address,
                     Owner{fmt::format("{}'s own address on the link {}", cluster.config.nodes.at(n).name,
                                       cluster.config.links[l].name),
                           cluster.link_places[l].at(n)});
  for (size_t h = 0; h < cluster.config.hosts.size(); ++h)
    owners.emplace(cluster.config.hosts[h].address, Owner{"a reference host", cluster.host_places[h]});
  for (const ServiceDraft& service : services) {
    for (size_t i = 0; i < service.config.addresses.size(); ++i) {
      const IpAddress& address = service.config.addresses[i].address;
      const auto [at, fresh] = owners.emplace(
          address,
          Owner{fmt::format("an address of the service {}", service.config.name), service.addresses[i]});
      if (fresh) continue;
      problems.error(
          service.addresses[i],
          fmt::format("{} is already {} ({})", address.text(), at->second.text, at->second.place.brief()),
          "give the service an address that nothing else has");
    }
  }
}

void check_macs(const std::vector<ServiceDraft>& services, Problems& problems) {
  std::map<MacAddress, const ServiceDraft*> owners;
  const ServiceDraft* redundant = nullptr;
  for (const ServiceDraft& service : services) {
    if (service.config.mac == MacMode::kNone) continue;
    const auto [at, fresh] = owners.emplace(service.config.mac_address, &service);
    if (!fresh)
      problems.error(
          service.mac,
          fmt::format("the services {} and {} have the same MAC address {}", at->second->config.name,
                      service.config.name, service.config.mac_address.text()),
          "give each its own mac_address, or none: one is then derived from the names");
    if (service.config.mac != MacMode::kRedundant) continue;
    if (redundant != nullptr)
      problems.error(
          service.mac,
          fmt::format("the services {} and {} both want the redundant NIC, which has one MAC address only",
                      redundant->config.name, service.config.name),
          "write mac = \"virtual\" for one of them, or put the addresses of both into one service");
    redundant = &service;
  }
}

void check_units(const std::vector<ServiceDraft>& services, Problems& problems) {
  std::map<std::string, std::string> owners;
  for (const ServiceDraft& service : services) {
    for (size_t i = 0; i < service.config.units.size(); ++i) {
      const UnitConfig& unit = service.config.units[i];
      if (unit.kind != UnitConfig::Kind::kSystemd) continue;
      const auto [at, fresh] = owners.emplace(unit.name, service.config.name);
      if (!fresh)
        problems.error(
            service.units[i],
            fmt::format("the unit {} also belongs to the service {}", unit.name, at->second),
            "one service's stop would stop the other: keep the unit in one of them, or merge the services");
    }
  }
}

}  // namespace

void check_across(ClusterDraft& cluster, const std::vector<ServiceDraft>& services, Problems& problems) {
  if (services.size() > kMaxServices)
    problems.error(
        services[kMaxServices].place,
        fmt::format("there are {} services; at most {} are allowed", services.size(), kMaxServices),
        "merge or remove some");
  check_addresses(cluster, services, problems);
  check_macs(services, problems);
  check_units(services, problems);
  check_mirror_paths(services, problems);
  check_fencing(cluster, services, problems);
  check_always(cluster, services, problems);
  for (const ServiceDraft& service : services) cluster.config.services.push_back(service.config);
  if (cluster.services_known) check_relations(cluster.config.services, services, problems);
}

}  // namespace clusterd::config
