#include "linux/host/look.hpp"

#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <sstream>

#include "config/draft.hpp"

namespace clusterd {

namespace {

constexpr size_t kMaxText = 256 * 1024;
constexpr unsigned kUp = 0x1, kGateway = 0x2;  // RTF_UP, RTF_GATEWAY

std::string text_of(const char* file) {
  std::ifstream stream(file, std::ios::binary);
  std::string text(kMaxText, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(std::max<std::streamsize>(stream.gcount(), 0)));
  return text;
}

std::optional<uint32_t> hex_of(std::string_view text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

unsigned ones(const uint8_t* bytes, size_t count) {
  unsigned length = 0;
  for (size_t i = 0; i < count; ++i) length += static_cast<unsigned>(std::popcount(bytes[i]));
  return length;
}

std::optional<Prefix> prefix_of(const ifaddrs& entry) {
  if (entry.ifa_addr == nullptr || entry.ifa_netmask == nullptr) return std::nullopt;
  Prefix prefix;
  if (entry.ifa_addr->sa_family == AF_INET) {
    sockaddr_in address{}, mask{};
    std::memcpy(&address, entry.ifa_addr, sizeof address);
    std::memcpy(&mask, entry.ifa_netmask, sizeof mask);
    std::memcpy(prefix.address.bytes.data(), &address.sin_addr, 4);
    prefix.length = static_cast<uint8_t>(ones(reinterpret_cast<const uint8_t*>(&mask.sin_addr), 4));
  } else if (entry.ifa_addr->sa_family == AF_INET6) {
    sockaddr_in6 address{}, mask{};
    std::memcpy(&address, entry.ifa_addr, sizeof address);
    std::memcpy(&mask, entry.ifa_netmask, sizeof mask);
    prefix.address.family = IpAddress::Family::kV6;
    std::memcpy(prefix.address.bytes.data(), &address.sin6_addr, 16);
    prefix.length = static_cast<uint8_t>(ones(mask.sin6_addr.s6_addr, 16));
  } else {
    return std::nullopt;
  }
  const bool single = prefix.length == prefix.address.size() * 8;  // no network that a peer could be in
  if (single || config::unusable(prefix) || config::is_loopback(prefix.address)) return std::nullopt;
  return prefix;
}

setup::MachineNic* nic_in(setup::Machine& machine, const std::string& name) {
  for (setup::MachineNic& nic : machine.nics)
    if (nic.name == name) return &nic;
  if (machine.nics.size() >= setup::kMaxNics) return nullptr;
  return &machine.nics.emplace_back(setup::MachineNic{name, {}, false});
}

Result<void> read_nics(setup::Machine& machine) {
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0)
    return fail(Code::kRetry, fmt::format("the kernel does not list its NICs: {}", std::strerror(errno)));
  for (const ifaddrs* entry = all; entry != nullptr; entry = entry->ifa_next) {
    const std::string name = entry->ifa_name;
    if ((entry->ifa_flags & IFF_LOOPBACK) != 0 || setup::is_for_guests(name)) continue;
    setup::MachineNic* nic = nic_in(machine, name.substr(0, name.find(':')));
    const auto prefix = prefix_of(*entry);
    if (nic == nullptr || !prefix || nic->addresses.size() >= setup::kMaxAddressesPerNic) continue;
    nic->addresses.push_back(*prefix);
  }
  ::freeifaddrs(all);
  for (setup::MachineNic& nic : machine.nics)
    std::stable_partition(nic.addresses.begin(), nic.addresses.end(),
                          [](const Prefix& prefix) { return prefix.address.is_v4(); });
  return {};
}

}  // namespace

bool has_address(const std::string& nic, const IpAddress& address) {
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) return true;  // not known is not missing
  bool found = false;
  for (const ifaddrs* entry = all; entry != nullptr && !found; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || nic != entry->ifa_name) continue;
    if (address.is_v4() && entry->ifa_addr->sa_family == AF_INET) {
      sockaddr_in v4{};
      std::memcpy(&v4, entry->ifa_addr, sizeof v4);
      found = std::memcmp(&v4.sin_addr, address.bytes.data(), 4) == 0;
    } else if (!address.is_v4() && entry->ifa_addr->sa_family == AF_INET6) {
      sockaddr_in6 v6{};
      std::memcpy(&v6, entry->ifa_addr, sizeof v6);
      found = std::memcmp(&v6.sin6_addr, address.bytes.data(), 16) == 0;
    }
  }
  ::freeifaddrs(all);
  return found;
}

std::vector<DefaultRoute> default_routes_v4(const std::string& proc_net_route) {
  std::vector<DefaultRoute> routes;
  std::istringstream lines(proc_net_route);
  std::string line;
  std::getline(lines, line);  // the heading
  while (std::getline(lines, line) && routes.size() < 64) {
    std::istringstream words(line);
    std::string nic, destination, gateway, flags, unused, mask;
    words >> nic >> destination >> gateway >> flags >> unused >> unused >> unused >> mask;
    const auto router = hex_of(gateway);
    const auto bits = hex_of(flags);
    if (destination != "00000000" || mask != "00000000" || !router || !bits || (*bits & kUp) == 0 ||
        (*bits & kGateway) == 0)
      continue;
    DefaultRoute route{nic, {}};
    std::memcpy(route.router.bytes.data(), &*router, 4);  // printed as the word that it is in memory
    routes.push_back(route);
  }
  return routes;
}

std::vector<DefaultRoute> default_routes_v6(const std::string& proc_net_ipv6_route) {
  std::vector<DefaultRoute> routes;
  std::istringstream lines(proc_net_ipv6_route);
  std::string line;
  while (std::getline(lines, line) && routes.size() < 64) {
    std::istringstream words(line);
    std::string destination, length, source, source_length, gateway, metric, references, uses, flags, nic;
    words >> destination >> length >> source >> source_length >> gateway >> metric >> references >> uses >>
        flags >> nic;
    const auto bits = hex_of(flags);
    if (length != "00" || gateway.size() != 32 || !bits || (*bits & kGateway) == 0) continue;
    DefaultRoute route{nic, {}};
    route.router.family = IpAddress::Family::kV6;
    bool good = true;
    for (size_t i = 0; i < 16; ++i) {
      const auto byte = hex_of(std::string_view(gateway).substr(2 * i, 2));
      good = good && byte;
      if (byte) route.router.bytes.at(i) = static_cast<uint8_t>(*byte);
    }
    if (good) routes.push_back(route);
  }
  return routes;
}

std::vector<IpAddress> resolvers_in(const std::string& resolv_conf) {
  std::vector<IpAddress> resolvers;
  std::istringstream lines(resolv_conf);
  for (std::string line; std::getline(lines, line) && resolvers.size() < 8;) {
    std::istringstream words(line);
    std::string key, value;
    words >> key >> value;
    const auto address = IpAddress::parse(value);
    if (key == "nameserver" && address && !config::is_loopback(*address) && !config::unusable(*address))
      resolvers.push_back(*address);
  }
  return resolvers;
}

Result<setup::Machine> look_at_machine() {
  setup::Machine machine;
  char name[256] = {};
  if (::gethostname(name, sizeof name - 1) == 0) machine.name = name;
  machine.name = machine.name.substr(0, machine.name.find('.'));
  if (auto read = read_nics(machine); !read) return tl::unexpected(read.error());
  auto routes = default_routes_v4(text_of("/proc/net/route"));
  const auto more = default_routes_v6(text_of("/proc/net/ipv6_route"));
  routes.insert(routes.end(), more.begin(), more.end());
  for (const DefaultRoute& route : routes) {
    for (setup::MachineNic& nic : machine.nics) nic.routes_out = nic.routes_out || nic.name == route.nic;
    // A link-local router cannot be asked without its NIC; it is no reference host.
    if (!config::unusable(route.router) && machine.routers.size() < 8)
      machine.routers.push_back(route.router);
  }
  machine.resolvers = resolvers_in(text_of("/etc/resolv.conf"));
  return machine;
}

}  // namespace clusterd
