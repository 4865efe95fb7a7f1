#include "linux/address/address_plan.hpp"

#include <algorithm>
#include <set>

#include "linux/address/device_name.hpp"

namespace clusterd {

namespace {

constexpr uint32_t kFirstPriority = 7410;
// Tables are numbered by the service's name, so that a changed configuration or a restart finds them again.
constexpr uint32_t kFirstTable = 7'410'000;
constexpr uint32_t kTables = 1U << 20U;

Prefix network_of(const Prefix& prefix) {
  Prefix out = prefix;
  for (size_t i = 0; i < prefix.address.size(); ++i) {
    const int keep = std::clamp(static_cast<int>(prefix.length) - static_cast<int>(8 * i), 0, 8);
    out.address.bytes.at(i) =
        static_cast<uint8_t>(out.address.bytes.at(i) & (0xff00U >> static_cast<unsigned>(keep)));
  }
  return out;
}

void place_address(const Prefix& prefix, const Prefix& own, AddressPlan& plan) {
  const uint8_t host = address_bits(prefix.address);
  const bool within_own = own.address.family == prefix.address.family && own.contains(prefix.address);
  if (plan.mode == MacMode::kNone) {
    // As /32 it depends on no other address of the network, which may be removed; a network of its own needs
    // its route.
    plan.addresses.push_back({prefix.address, within_own ? host : prefix.length});
    return;
  }
  plan.addresses.push_back({prefix.address, host});
  if (prefix.length == host && !within_own) return;
  const Prefix network = network_of(prefix.length < host ? prefix : Prefix{prefix.address, own.length});
  if (std::ranges::find(plan.networks, network) == plan.networks.end()) plan.networks.push_back(network);
}

}  // namespace

std::vector<RuleInfo> AddressPlan::rules() const {
  std::vector<RuleInfo> out;
  if (table == 0) return out;
  for (const Prefix& prefix : addresses) {
    out.push_back({prefix.address, kFirstPriority, table, true});
    out.push_back({prefix.address, kFirstPriority + 1, kMainTable, true});
    out.push_back({prefix.address, kFirstPriority + 2, table, false});
  }
  return out;
}

bool AddressPlan::has(const IpAddress& address) const {
  return std::ranges::any_of(addresses, [&](const Prefix& prefix) { return prefix.address == address; });
}

std::vector<AddressPlan> make_address_plans(const Config& config) {
  std::vector<AddressPlan> plans;
  std::set<uint32_t> tables;
  for (size_t i = 0; i < config.services.size(); ++i) {
    const ServiceConfig& service = config.services.at(i);
    const LinkEnd& end = config.link(service.link).ends.at(config.self.at());
    AddressPlan plan;
    plan.service = ServiceId(i);
    plan.service_name = service.name;
    plan.mode = service.mac;
    plan.nic = end.nic;
    plan.macvlan = service_device_name(service.name);
    plan.spare = config.node(config.self).redundant_nic.value_or("");
    plan.mac = service.mac_address;
    plan.device = plan.nic;
    if (plan.mode == MacMode::kVirtual) plan.device = plan.macvlan;
    if (plan.mode == MacMode::kRedundant) plan.device = plan.spare;
    for (const Prefix& prefix : service.addresses) {
      (prefix.address.is_v4() ? plan.ipv4 : plan.ipv6) = true;
      place_address(prefix, end.address, plan);
    }
    if (plan.mode != MacMode::kNone) {
      uint32_t offset = stable_hash(service.name) % kTables;
      while (!tables.insert(kFirstTable + offset).second) offset = (offset + 1) % kTables;
      plan.table = kFirstTable + offset;
    }
    plans.push_back(std::move(plan));
  }
  return plans;
}

}  // namespace clusterd
