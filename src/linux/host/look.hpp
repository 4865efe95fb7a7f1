// What this machine is: its name, NICs, addresses, routers and name servers, as the kernel and /etc say.
#pragma once

#include "base/result.hpp"
#include "setup/machine.hpp"

namespace clusterd {

[[nodiscard]] Result<setup::Machine> look_at_machine();
// Whether a NIC carries an address; true also where the kernel does not say.
[[nodiscard]] bool has_address(const std::string& nic, const IpAddress& address);

// The parts that read text, for tests. All take any bytes.
// /proc/net/route: the gateways of IPv4 default routes, with their NICs.
struct DefaultRoute {
  std::string nic;
  IpAddress router;
};
[[nodiscard]] std::vector<DefaultRoute> default_routes_v4(const std::string& proc_net_route);
[[nodiscard]] std::vector<DefaultRoute> default_routes_v6(const std::string& proc_net_ipv6_route);
// resolv.conf: the addresses of its name servers, without loopback ones.
[[nodiscard]] std::vector<IpAddress> resolvers_in(const std::string& resolv_conf);

}  // namespace clusterd
