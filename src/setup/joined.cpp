#include <fmt/format.h>

#include <algorithm>

#include "config/draft.hpp"
#include "config/value.hpp"
#include "setup/propose.hpp"

namespace clusterd::setup {

namespace {

using config::Entry;
using config::Value;

struct OwnEnd {
  std::string link, nic;
  Prefix address;
  int line = 0;
};

std::string text_in(const Value& table, std::string_view key) {
  const Value* value = table.find(key);
  return value != nullptr && value->kind == Value::Kind::kString ? value->text : "";
}

std::vector<OwnEnd> ends_in(const Value& node) {
  std::vector<OwnEnd> ends;
  for (const Entry& entry : node.entries) {
    if (entry.key == "redundant" || entry.value.kind != Value::Kind::kTable) continue;
    const auto address = Prefix::parse(text_in(entry.value, "address"));
    if (address) ends.push_back({entry.key, text_in(entry.value, "nic"), *address, entry.place.line});
  }
  return ends;
}

struct Match {
  std::string nic;
  Prefix address;
};

// An address of the machine in the same network: on the NIC of the same name, if there are several.
std::optional<Match> match(const OwnEnd& end, const Machine& machine) {
  std::optional<Match> found;
  for (const MachineNic& nic : machine.nics) {
    for (const Prefix& address : nic.addresses) {
      if (address.length != end.address.length || !end.address.contains(address.address)) continue;
      if (!found || (nic.name == end.nic && found->nic != end.nic)) found = Match{nic.name, address};
    }
  }
  return found;
}

// A network that holds the own address, or is held by it, with another length: a mistake that looks like
// none.
std::string nearly(const OwnEnd& end, const Machine& machine) {
  for (const MachineNic& nic : machine.nics) {
    for (const Prefix& address : nic.addresses) {
      if (address.address.family == end.address.address.family && address.length != end.address.length &&
          (end.address.contains(address.address) || address.contains(end.address.address)))
        return fmt::format("; its {} has {}, which is of another length than {}", nic.name, address.text(),
                           end.address.text());
    }
  }
  return "";
}

std::string addresses_text(const Machine& machine) {
  Lines texts;
  for (const MachineNic& nic : machine.nics) {
    for (const Prefix& address : nic.addresses) texts.push_back(nic.name + " " + address.text());
  }
  return texts.empty() ? "no address at all" : fmt::format("{}", fmt::join(texts, ", "));
}

std::string without_lines(const std::string& text, const std::vector<int>& lines, const std::string& why) {
  std::string out;
  int number = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size() - 1);
    ++number;
    if (std::find(lines.begin(), lines.end(), number) != lines.end()) out += "# " + why + ": ";
    out += text.substr(at, end - at + 1);
    at = end + 1;
  }
  return out;
}

// Both nodes are known: the machine has to be the one that the file describes.
tl::expected<Joined, Trouble> returned(const std::string& text, const Value& node, const Machine& machine) {
  for (const OwnEnd& end : ends_in(node)) {
    const bool there = std::any_of(machine.nics.begin(), machine.nics.end(), [&](const MachineNic& nic) {
      return nic.name == end.nic &&
             std::find(nic.addresses.begin(), nic.addresses.end(), end.address) != nic.addresses.end();
    });
    if (!there)
      return tl::unexpected(Trouble{
          fmt::format("cluster.toml says that {} has {} on {} (link {}), but it has {}", machine.name,
                      end.address.text(), end.nic, end.link, addresses_text(machine)),
          fmt::format("give {} that address, or correct [node.{}] here", machine.name, machine.name)});
  }
  return Joined{text,
                {fmt::format("{} was a node already: it gets the configuration as it is", machine.name)}};
}

}  // namespace

tl::expected<Joined, Trouble> joined(const std::string& cluster_toml, const std::string& self,
                                     const Machine& machine) {
  const auto tree = config::parse_toml(cluster_toml, "cluster.toml");
  if (!tree)
    return tl::unexpected(Trouble{fmt::format("cluster.toml:{}: {}", tree.error().line, tree.error().text),
                                  tree.error().remedy});
  const Value* nodes = tree->find("node");
  const Value* own = nodes == nullptr ? nullptr : nodes->find(self);
  if (own == nullptr || own->kind != Value::Kind::kTable)
    return tl::unexpected(Trouble{fmt::format("cluster.toml has no [node.{}]", self),
                                  "make it with `clusterctl init --write`, or correct the name"});
  if (machine.name == self)
    return tl::unexpected(Trouble{fmt::format("both nodes are called {}", self),
                                  "give the new one another name: hostnamectl set-hostname NAME"});
  if (const Value* known = nodes->find(machine.name); known != nullptr && known->kind == Value::Kind::kTable)
    return returned(cluster_toml, *known, machine);
  if (nodes->entries.size() != 1)
    return tl::unexpected(
        Trouble{fmt::format("the cluster has two nodes already, and {} is neither", machine.name),
                "to replace a node, give the new machine the old one's name; or remove the old [node.…]"});
  NodeSketch node;
  node.name = machine.name;
  Joined result;
  std::vector<int> lonely;
  for (const OwnEnd& end : ends_in(*own)) {
    const auto found = match(end, machine);
    if (found && found->address.address == end.address.address)
      return tl::unexpected(
          Trouble{fmt::format("both nodes have the address {} (link {})", end.address.text(), end.link),
                  fmt::format("give {} another one", machine.name)});
    if (found) {
      node.ends.push_back({end.link, found->nic, found->address.text()});
    } else if (end.link == "service") {
      return tl::unexpected(Trouble{
          fmt::format("{} has no address in the network of the link service ({} on {} here){}. It has {}",
                      machine.name, end.address.text(), end.nic, nearly(end, machine),
                      addresses_text(machine)),
          fmt::format("give {} an address there, or choose another NIC here: clusterctl init --write --force "
                      "--link service=NIC",
                      machine.name)});
    } else {
      lonely.push_back(end.line);
      result.notes.push_back(fmt::format("the link {} is left out: {} has no address in the network of {}{}",
                                         end.link, machine.name, end.address.text(), nearly(end, machine)));
    }
  }
  result.cluster_toml = without_lines(cluster_toml, lonely, machine.name + " has no address there");
  if (!result.cluster_toml.empty() && result.cluster_toml.back() != '\n') result.cluster_toml += '\n';
  result.cluster_toml += "\n" + written(node);
  return result;
}

}  // namespace clusterd::setup
