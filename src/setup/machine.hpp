// What is known of one machine: what `clusterctl init` looks at, and what a joining node tells of itself.
#pragma once

#include <string>
#include <vector>

#include "base/address.hpp"

namespace clusterd::setup {

struct MachineNic {
  std::string name;
  std::vector<Prefix> addresses;  // usable as a node's own: neither link-local nor loopback; IPv4 first
  bool routes_out = false;        // the default route leads through it
};

struct Machine {
  std::string name;                // the host's, without its domain
  std::vector<MachineNic> nics;    // that could carry a link; in the kernel's order
  std::vector<IpAddress> routers;  // of the default routes
  std::vector<IpAddress> resolvers;
};

inline constexpr size_t kMaxNics = 64;
inline constexpr size_t kMaxAddressesPerNic = 32;

// Whether a NIC of this name is made by software for guests, containers, tunnels or clusterd itself, and so
// is no place for a link.
[[nodiscard]] bool is_for_guests(const std::string& nic);

}  // namespace clusterd::setup
