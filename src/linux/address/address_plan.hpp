// What a service's addresses look like in the kernel of this node: computed from the configuration alone.
//
// With mac = virtual and redundant the addresses are /32 (/128) on the service's own device, with three rules
// each:
//
//   7410: from ADDRESS lookup T suppress_prefixlength 0      the service's network, and networks behind a
//   gateway on it 7411: from ADDRESS lookup main suppress_prefixlength 0   networks on other NICs (VPNs,
//   heartbeat link) 7412: from ADDRESS lookup T                              the default route, through the
//   service's device
//
// T holds the service's network and copies of the main table's routes through the service NIC, with the
// service's device instead. So replies leave with the service's MAC, and switches keep learning where it is.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config.hpp"
#include "linux/address/kernel_tables.hpp"

namespace clusterd {

struct AddressPlan {
  ServiceId service;
  std::string service_name;
  MacMode mode = MacMode::kVirtual;
  std::string nic;                // the service NIC
  std::string device;             // carries the addresses: macvlan, spare NIC, or the service NIC
  std::string macvlan;            // the name it has, or would have with mac = virtual
  std::string spare;              // the node's redundant NIC, empty if none
  MacAddress mac;                 // of `device`; with mac = none the NIC's own, and this is unused
  std::vector<Prefix> addresses;  // as they stand on the device
  std::vector<Prefix> networks;   // reached directly through the device (own table only)
  uint32_t table = 0;             // 0 = none
  bool ipv6 = false, ipv4 = false;

  [[nodiscard]] std::vector<RuleInfo> rules() const;
  [[nodiscard]] bool has(const IpAddress& address) const;
};

// One per service, by ServiceId.
[[nodiscard]] std::vector<AddressPlan> make_address_plans(const Config& config);

}  // namespace clusterd
