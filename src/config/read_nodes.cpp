// [node.NAME]: exactly two nodes, each with an end of every link.
#include <fmt/format.h>

#include <map>

#include "config/draft.hpp"

namespace clusterd::config {

namespace {

struct NodeDraft {
  std::string name;
  Place place;
  std::map<std::string, std::pair<LinkEnd, Place>> links;  // by name: every node then has them in one order
  std::optional<std::string> redundant_nic;
  bool complete = true;  // every link was understood as far as its name
};

std::optional<std::string> read_nic(Section& section, Problems& problems) {
  const auto nic = section.required_text("nic", "eth0");
  if (!nic) return std::nullopt;
  // The kernel's own rule: at most 15 bytes, no "/", no blank, no ":".
  if (is_name(nic->value, "._-@", 15)) return nic->value;
  problems.error(nic->place,
                 fmt::format("nic in {} is no name of a NIC: \"{:.40}\"", section.name(), nic->value),
                 "write it as `ip link` shows it, as in nic = \"eth0\"");
  return std::nullopt;
}

std::optional<Prefix> read_own_address(Section& section, Problems& problems) {
  const auto text = section.required_text("address", "192.168.1.11/24");
  if (!text) return std::nullopt;
  const auto prefix = Prefix::parse(text->value);
  if (!prefix) {
    problems.error(text->place,
                   fmt::format("address in {} is no address with the length of its network: \"{:.60}\"",
                               section.name(), text->value),
                   "write it as in address = \"192.168.1.11/24\" or \"fd00::11/64\"");
    return std::nullopt;
  }
  if (const auto why = unusable(*prefix)) {
    problems.error(text->place, fmt::format("address in {}: {} {}", section.name(), prefix->text(), *why),
                   "use the node's own address on that NIC, as `ip address` shows it");
    return std::nullopt;
  }
  if (is_loopback(prefix->address))
    problems.warning(text->place,
                     fmt::format("address in {}: {} is a loopback address", section.name(), prefix->text()),
                     "two servers cannot reach each other there; use the NIC's address");
  return prefix;
}

NodeDraft read_node(const Entry& entry, Problems& problems) {
  NodeDraft node{entry.key, entry.place, {}, std::nullopt, true};
  Section section(entry.value, fmt::format("[node.{}]", entry.key), problems);
  for (const Entry& item : entry.value.entries) {
    const Value* table = section.table(item.key);
    if (table == nullptr) {
      node.complete = false;
      continue;
    }
    Section end(*table, fmt::format("[node.{}] {}", entry.key, item.key), problems);
    if (item.key == "redundant") {
      node.redundant_nic = read_nic(end, problems);
    } else if (!is_name(item.key, "_-", 32)) {
      problems.error(item.place, fmt::format("a link cannot be called \"{:.60}\"", item.key),
                     "use letters, digits, \"_\" and \"-\", at most 32, beginning with a letter or digit");
      node.complete = false;
      continue;
    } else {
      const auto nic = read_nic(end, problems);
      const auto address = read_own_address(end, problems);
      node.links[item.key] = {LinkEnd{nic.value_or(""), address.value_or(Prefix{})}, table->place};
    }
    end.finish();
  }
  return node;
}

void check_nics(const NodeDraft& node, Problems& problems) {
  std::map<std::string, std::string> users;
  for (const auto& [link, end] : node.links) {
    if (end.first.nic.empty()) continue;
    const auto [at, fresh] = users.emplace(end.first.nic, link);
    if (!fresh)
      problems.warning(end.second,
                       fmt::format("[node.{}]: the links {} and {} both use {}, and fail together", node.name,
                                   at->second, link, end.first.nic),
                       "give each link a NIC of its own, or drop one of the links");
  }
  if (node.redundant_nic && users.contains(*node.redundant_nic))
    problems.error(node.place,
                   fmt::format("[node.{}]: the redundant NIC {} also carries the link {}", node.name,
                               *node.redundant_nic, users.at(*node.redundant_nic)),
                   "the redundant NIC must be a spare one, down until it is needed");
}

void check_link(const std::string& name, const LinkConfig& link, const std::array<Place, kNodes>& places,
                const std::array<NodeDraft, kNodes>& nodes, Problems& problems) {
  const Prefix& a = link.ends[0].address;
  const Prefix& b = link.ends[1].address;
  if (a.length == 0 || b.length == 0) return;  // already reported
  if (a.address == b.address) {
    problems.error(places[1],
                   fmt::format("link {}: {} and {} have the same address {}", name, nodes[0].name,
                               nodes[1].name, a.address.text()),
                   fmt::format("give each node its own address (the other one is at {})", places[0].brief()));
  } else if (a.length != b.length || !a.contains(b.address)) {
    problems.error(
        places[1],
        fmt::format("link {}: {} of {} and {} of {} are not in the same network", name, a.text(),
                    nodes[0].name, b.text(), nodes[1].name),
        fmt::format("both ends of a link need addresses of one network with the same length (the other "
                    "end is at {})",
                    places[0].brief()));
  }
}

// Nodes and links in the order of their names: every node numbers them alike, whatever the files look like.
void join(const std::array<NodeDraft, kNodes>& nodes, ClusterDraft& draft, Problems& problems) {
  bool complete = nodes[0].complete && nodes[1].complete;
  const bool comparable = complete;
  for (size_t n = 0; n < kNodes; ++n) {
    draft.config.nodes.at(n) = {nodes.at(n).name, nodes.at(n).redundant_nic};
    check_nics(nodes.at(n), problems);
    const NodeDraft& other = nodes.at(1 - n);
    for (const auto& [name, end] : other.links) {
      if (!comparable || nodes.at(n).links.contains(name)) continue;
      complete = false;
      problems.error(
          nodes.at(n).place,
          fmt::format("[node.{}] lacks the link {}, which [node.{}] has", nodes.at(n).name, name, other.name),
          fmt::format("add {} = {{ nic = \"…\", address = \"…\" }}, or remove it at {}", name,
                      end.second.brief()));
    }
  }
  for (const auto& [name, end] : nodes[0].links) {
    const auto other = nodes[1].links.find(name);
    if (other == nodes[1].links.end()) continue;
    const std::array<Place, kNodes> places{end.second, other->second.second};
    LinkConfig link{name, {end.first, other->second.first}};
    check_link(name, link, places, nodes, problems);
    draft.config.links.push_back(std::move(link));
    draft.link_places.push_back(places);
  }
  if (comparable && nodes[0].links.empty() && nodes[1].links.empty()) {
    complete = false;
    problems.error(nodes[0].place, "the nodes have no link",
                   "add at least service = { nic = \"eth0\", address = \"192.168.1.11/24\" } to both");
  } else if (draft.config.links.size() == 1) {
    problems.warning(
        nodes[0].place,
        fmt::format("there is only one link ({}): a single cable or switch cuts the nodes apart",
                    draft.config.links[0].name),
        "add a second link over another NIC, as in heartbeat = { nic = \"eth1\", address = \"…\" }");
  }
  if (draft.config.links.size() > kMaxLinks) {
    complete = false;
    problems.error(
        nodes[0].place,
        fmt::format("there are {} links; at most {} are allowed", draft.config.links.size(), kMaxLinks),
        "remove some");
  }
  draft.nodes_known = complete;
}

void check_networks(const ClusterDraft& draft, Problems& problems) {
  const auto& links = draft.config.links;
  for (size_t i = 0; i < links.size(); ++i) {
    for (size_t j = i + 1; j < links.size(); ++j) {
      const Prefix& a = links[i].ends[0].address;
      const Prefix& b = links[j].ends[0].address;
      if (a.length > 0 && b.length > 0 && (a.contains(b.address) || b.contains(a.address)))
        problems.warning(draft.link_places[j][0],
                         fmt::format("the links {} and {} are in the same network ({} and {})", links[i].name,
                                     links[j].name, a.text(), b.text()),
                         "give each link its own network, or the kernel may send both over one NIC");
    }
  }
}

}  // namespace

void read_nodes(const Value& nodes, ClusterDraft& draft, Problems& problems) {
  const size_t before = problems.count();
  std::vector<NodeDraft> read;
  for (const Entry& entry : nodes.entries) {
    if (entry.value.kind != Value::Kind::kTable) {
      problems.error(entry.place, fmt::format("\"{:.60}\" in [node] is no node", entry.key),
                     "write one table [node.NAME] per node");
      continue;
    }
    if (!is_name(entry.key, ".-_", 63)) {
      problems.error(entry.place, fmt::format("a node cannot be called \"{:.80}\"", entry.key),
                     "use the host name: letters, digits, \".\", \"_\" and \"-\", at most 63");
      continue;
    }
    read.push_back(read_node(entry, problems));
  }
  if (read.size() != kNodes && read.size() != nodes.entries.size()) return;  // said above
  if (read.size() != kNodes) {
    std::vector<std::string> names;
    for (const NodeDraft& node : read) names.push_back(node.name);
    problems.error(read.size() > kNodes ? read[kNodes].place : nodes.place,
                   read.empty() ? "there is no node"
                                : fmt::format("there {} {} node{}: {}", read.size() == 1 ? "is" : "are",
                                              read.size(), read.size() == 1 ? "" : "s", listed(names)),
                   "exactly two [node.NAME] tables are needed");
    return;
  }
  join({std::move(read[0]), std::move(read[1])}, draft, problems);
  check_networks(draft, problems);
  draft.networks_known = problems.count() == before;
}

}  // namespace clusterd::config
