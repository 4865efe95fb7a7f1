#include "setup/propose.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "config/draft.hpp"

namespace clusterd::setup {

namespace {

const MachineNic* nic_of(const Machine& machine, const std::string& name) {
  const auto at = std::find_if(machine.nics.begin(), machine.nics.end(),
                               [&](const MachineNic& nic) { return nic.name == name; });
  return at == machine.nics.end() ? nullptr : &*at;
}

std::string nics_text(const Machine& machine) {
  Lines names;
  for (const MachineNic& nic : machine.nics) {
    Lines addresses;
    for (const Prefix& address : nic.addresses) addresses.push_back(address.text());
    names.push_back(addresses.empty() ? nic.name
                                      : fmt::format("{} ({})", nic.name, fmt::join(addresses, " ")));
  }
  return names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "));
}

// The NIC towards the router first: clients come that way.
std::vector<EndSketch> all_links(const Machine& machine) {
  std::vector<const MachineNic*> with_address;
  for (const MachineNic& nic : machine.nics) {
    if (!nic.addresses.empty()) with_address.push_back(&nic);
  }
  std::stable_sort(with_address.begin(), with_address.end(),
                   [](const MachineNic* a, const MachineNic* b) { return a->routes_out && !b->routes_out; });
  std::vector<EndSketch> ends;
  for (const MachineNic* nic : with_address) {
    if (ends.size() == kMaxLinks) break;
    const std::string link = ends.empty()       ? "service"
                             : ends.size() == 1 ? "heartbeat"
                                                : fmt::format("heartbeat{}", ends.size());
    ends.push_back({link, nic->name, nic->addresses[0].text()});
  }
  return ends;
}

tl::expected<std::vector<EndSketch>, Trouble> wished_links(const Machine& machine, const Wishes& wishes) {
  std::vector<EndSketch> ends = wishes.links;
  for (EndSketch& end : ends) {
    const MachineNic* nic = nic_of(machine, end.nic);
    if (nic == nullptr)
      return tl::unexpected(
          Trouble{fmt::format("this machine has no NIC {}; it has {}", end.nic, nics_text(machine)),
                  fmt::format("--link {}=NIC with one of these", end.link)});
    if (nic->addresses.empty())
      return tl::unexpected(Trouble{fmt::format("{} has no address", end.nic),
                                    "give it one in the system's own network configuration, then try again"});
    if (end.address.empty()) {
      end.address = nic->addresses[0].text();
    } else if (std::none_of(nic->addresses.begin(), nic->addresses.end(),
                            [&](const Prefix& prefix) { return prefix.text() == end.address; })) {
      return tl::unexpected(
          Trouble{fmt::format("{} does not have {}; it is {}", end.nic, end.address, nics_text(machine)),
                  "an address that the NIC has: clusterd does not set a node's own addresses"});
    }
  }
  return ends;
}

// The router, and name servers on a network of ours: they fail apart from the nodes, and not with the
// provider.
Lines hosts_of(const Machine& machine, const std::vector<EndSketch>& ends) {
  Lines hosts;
  const auto near = [&](const IpAddress& address) {
    return std::any_of(ends.begin(), ends.end(), [&](const EndSketch& end) {
      const auto own = Prefix::parse(end.address);
      return own && own->contains(address) && own->address != address;
    });
  };
  for (const auto* list : {&machine.routers, &machine.resolvers}) {
    for (const IpAddress& address : *list) {
      if (near(address) && std::find(hosts.begin(), hosts.end(), address.text()) == hosts.end() &&
          hosts.size() < kMaxHosts)
        hosts.push_back(address.text());
    }
  }
  return hosts;
}

Lines comments_of(const Machine& machine, const Sketch& sketch) {
  Lines lines = {"The cluster: the same file on both nodes. docs/configuration.md explains every key;",
                 "`clusterctl check` says what is wrong with it."};
  if (sketch.reference_hosts.empty())
    lines.push_back("No router or name server was found on these networks: add a reference host.");
  if (sketch.nodes[0].ends.size() == 1)
    lines.push_back("There is only one link: a second one over another NIC makes a cut cable harmless.");
  Lines spare;
  for (const MachineNic& nic : machine.nics) {
    if (nic.addresses.empty()) spare.push_back(nic.name);
  }
  if (!spare.empty())
    lines.push_back(fmt::format("Without an address, and so unused: {}.", fmt::join(spare, ", ")));
  return lines;
}

}  // namespace

bool is_for_guests(const std::string& nic) {
  static constexpr std::string_view kBeginnings[] = {
      "lo",  "docker", "virbr", "veth", "vnet", "tun", "tap",    "wg",   "cni",   "flannel", "cali", "lxc",
      "lxd", "podman", "br-",   "cd-",  "sit",  "gre", "ip6tnl", "tunl", "dummy", "ifb",     "vmnet"};
  return std::any_of(std::begin(kBeginnings), std::end(kBeginnings), [&](std::string_view beginning) {
    return nic.compare(0, beginning.size(), beginning) == 0;
  });
}

tl::expected<Sketch, Trouble> propose(const Machine& machine, const Wishes& wishes) {
  Sketch sketch;
  sketch.cluster = wishes.cluster.empty() ? "cluster" : wishes.cluster;
  if (!config::is_name(machine.name, ".-_", 63) || machine.name == "localhost")
    return tl::unexpected(Trouble{fmt::format("this machine is called \"{}\"", comment_text(machine.name)),
                                  "give it a name of its own: hostnamectl set-hostname NAME"});
  NodeSketch node;
  node.name = machine.name;
  if (wishes.links.empty()) {
    node.ends = all_links(machine);
  } else {
    auto ends = wished_links(machine, wishes);
    if (!ends) return tl::unexpected(ends.error());
    node.ends = std::move(*ends);
  }
  if (node.ends.empty())
    return tl::unexpected(
        Trouble{fmt::format("no NIC of this machine has an address (NICs: {})", nics_text(machine)),
                "give them addresses in the system's own network configuration, then try again"});
  if (node.end("service") == nullptr)
    return tl::unexpected(Trouble{"no link is called service: it carries the services' addresses",
                                  fmt::format("--link service={}", node.ends[0].nic)});
  sketch.reference_hosts =
      wishes.reference_hosts.empty() ? hosts_of(machine, node.ends) : wishes.reference_hosts;
  sketch.nodes.push_back(std::move(node));
  sketch.comments = comments_of(machine, sketch);
  return sketch;
}

}  // namespace clusterd::setup
