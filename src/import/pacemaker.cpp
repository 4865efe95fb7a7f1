#include "import/pacemaker.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace clusterd::imports {

namespace {

using setup::Lines;
using setup::ServiceSketch;

// Which resources move together: those of a group, and those that colocations bind, in the order of the file.
class Clusters {
 public:
  explicit Clusters(const Pacemaker& source) {
    for (size_t i = 0; i < source.primitives.size(); ++i) parent_.push_back(i);
    const auto index = [&](const std::string& id) -> std::optional<size_t> {
      for (size_t i = 0; i < source.primitives.size(); ++i)
        if (source.primitives[i].id == id) return i;
      for (const auto& [group, members] : source.groups)
        for (const std::string& member : members)
          for (size_t i = 0; group == id && i < source.primitives.size(); ++i)
            if (source.primitives[i].id == member) return i;
      return std::nullopt;
    };
    for (const auto& [group, members] : source.groups) {
      const auto first = members.empty() ? std::nullopt : index(members[0]);
      for (const std::string& member : members) {
        if (const auto other = index(member); first && other) join(*first, *other);
      }
    }
    for (const auto& [one, two] : source.together) {
      const auto first = index(one);
      const auto other = index(two);
      if (first && other) join(*first, *other);
    }
  }
  [[nodiscard]] size_t root(size_t i) const {
    while (parent_[i] != i) i = parent_[i];
    return i;
  }

 private:
  void join(size_t one, size_t two) {
    const size_t a = root(one);
    const size_t b = root(two);
    parent_[std::max(a, b)] = std::min(a, b);
  }
  std::vector<size_t> parent_;
};

std::string parameter(const Primitive& primitive, const std::string& name) {
  const auto at = primitive.parameters.find(name);
  return at == primitive.parameters.end() ? "" : at->second;
}

struct Agent {
  std::string_view agent, unit;
};
// Agents whose work the distribution's own unit does.
constexpr Agent kAgents[] = {
    {"apache", "apache2.service"}, {"nginx", "nginx.service"},     {"pgsql", "postgresql.service"},
    {"mysql", "mariadb.service"},  {"mariadb", "mariadb.service"}, {"nfsserver", "nfs-server.service"},
    {"named", "named.service"},    {"postfix", "postfix.service"}, {"dovecot", "dovecot.service"},
    {"squid", "squid.service"},    {"tomcat", "tomcat10.service"}, {"dhcpd", "isc-dhcp-server.service"}};

void add_address(const Primitive& primitive, ServiceSketch& service, std::string& nic) {
  const std::string length = parameter(primitive, "cidr_netmask");
  service.addresses.push_back(parameter(primitive, "ip") + (number_of(length, 128) ? "/" + length : ""));
  if (const std::string name = parameter(primitive, "nic"); !name.empty())
    nic = name.substr(0, name.find(':'));
}

void add_unit(ServiceSketch& service, const std::string& unit) { service.units.push_back({unit}); }

// Any other agent is a unit as it is: Pacemaker and clusterd speak to it in the same way.
void add_ocf(const Primitive& primitive, ServiceSketch& service, Finder& finder) {
  setup::UnitSketch unit{.name = setup::name_from(primitive.id, "._-", 60, "agent"), .ocf = primitive.agent};
  for (const auto& [name, value] : primitive.parameters) {
    if (!name.empty() && setup::name_from(name, "_", 64, "") == name)
      unit.parameters.emplace_back(name, value);
    else
      finder.left(primitive.line, fmt::format("{}: the parameter {:.60}", primitive.id, name), "");
  }
  service.units.push_back(std::move(unit));
}

void add_agent(const Primitive& primitive, const std::string& type, ServiceSketch& service, Finder& finder) {
  const auto known =
      std::find_if(std::begin(kAgents), std::end(kAgents), [&](const Agent& a) { return a.agent == type; });
  const std::string what = fmt::format("{}: the agent {}", primitive.id, primitive.agent);
  if (type == "Filesystem") {
    finder.left(primitive.line, what + " (shared or replicated storage)",
                fmt::format("a mirror: [[mirror]] paths = [\"{}/\"]", parameter(primitive, "directory")));
  } else if (type == "drbd" || type == "LVM" || type == "LVM-activate" || type == "ZFS" ||
             type == "iSCSITarget") {
    finder.left(primitive.line, what + " (storage)", "a mirror of the folders that the service needs");
  } else if (type == "MailTo") {
    finder.left(primitive.line, what, "[notify] mail = \"…\"");
  } else if (known != std::end(kAgents)) {
    add_unit(service, std::string(known->unit));
    finder.left(
        primitive.line, what + fmt::format(" is replaced by the unit {}", known->unit),
        "check the name; what the agent's parameters say belongs into the program's own configuration");
  } else if (primitive.agent.starts_with("ocf:")) {
    add_ocf(primitive, service, finder);
  } else {
    finder.left(
        primitive.line, what,
        fmt::format("a systemd unit, or {{ name = \"{}\", start = \"…\", stop = \"…\", status = \"…\" }}",
                    primitive.id));
  }
}

void add_member(const Primitive& primitive, ServiceSketch& service, std::string& nic, Finder& finder) {
  const size_t colon = primitive.agent.find(':');
  const std::string standard = primitive.agent.substr(0, colon);
  const size_t last = primitive.agent.rfind(':');
  const std::string type = last == std::string::npos ? primitive.agent : primitive.agent.substr(last + 1);
  if (type == "IPaddr2" || type == "IPaddr" || type == "IPv6addr") {
    add_address(primitive, service, nic);
  } else if (standard == "systemd" || standard == "service" || standard == "lsb") {
    const std::string unit = type.find(".service") == std::string::npos ? type + ".service" : type;
    if (is_unit_name(unit)) add_unit(service, unit);
    if (standard == "lsb")
      finder.left(primitive.line,
                  fmt::format("{}: the LSB script {} is taken for the unit {}", primitive.id, type, unit),
                  "correct the name if it is another one");
  } else {
    add_agent(primitive, type, service, finder);
  }
}

void place(const Pacemaker& source, const Lines& ids, ServiceSketch& service, Finder& finder) {
  long best = 0;
  for (const Pacemaker::Place& place : source.places) {
    if (std::find(ids.begin(), ids.end(), place.resource) == ids.end()) continue;
    if (place.score > best) {
      best = place.score;
      service.prefer = node_name(place.node);
    } else if (place.score < 0) {
      finder.left(0, fmt::format("{} is kept away from {}", place.resource, place.node),
                  "nothing keeps a service from a node for good: both have to be able to run it");
    }
  }
  service.failback = !service.prefer.empty() && source.stickiness < best ? "auto" : "manual";
}

void add_once(Lines& names, const std::string& name) {
  if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
}

using ServiceOf = std::map<std::string, size_t>;  // by the id of a resource or group

// Whether `later` waits for `earlier`, directly or through others.
bool comes_after(const std::vector<ServiceSketch>& services, const ServiceSketch& later,
                 const std::string& earlier) {
  Lines reached = later.after;
  for (size_t i = 0; i < reached.size(); ++i) {
    if (reached[i] == earlier) return true;
    for (const ServiceSketch& one : services) {
      if (one.name != reached[i]) continue;
      for (const std::string& name : one.after) add_once(reached, name);
    }
  }
  return false;
}

// What Pacemaker says of two resources is a relation of their services; within one service there is none.
void relate(const Pacemaker& source, const ServiceOf& service_of, std::vector<ServiceSketch>& services,
            Finder& finder) {
  const auto find = [&](const std::string& id) {
    const auto at = service_of.find(id);  // pcs calls the clone of NAME "NAME-clone"
    return at != service_of.end() || !id.ends_with("-clone") ? at
                                                             : service_of.find(id.substr(0, id.size() - 6));
  };
  const auto both = [&](const Pacemaker::Relation& relation, const auto& take) {
    const auto one = find(relation.one);
    const auto two = find(relation.two);
    if (one == service_of.end() || two == service_of.end())
      finder.left(relation.line,
                  fmt::format("{} and {}: one of them became no service", relation.one, relation.two),
                  "after or apart_from in the service that stands for it");
    else
      take(one->second, two->second);
  };
  for (const auto& relation : source.apart) {
    both(relation, [&](size_t one, size_t two) {
      if (one == two)
        finder.left(relation.line, fmt::format("{} apart from {}", relation.one, relation.two),
                    "both are members of one service: a colocation or a group binds them");
      else
        add_once(services[one].apart_from, services[two].name);
    });
  }
  for (const auto& relation : source.orders) {
    both(relation, [&](size_t one, size_t two) {
      if (one == two) return;  // its members have an order of their own, that of the file
      if (services[two].hot)
        finder.left(relation.line, fmt::format("{} before {}", relation.one, relation.two),
                    "with hot = true its units run on both nodes, whatever they are to run after");
      else if (comes_after(services, services[one], services[two].name))
        finder.left(relation.line, fmt::format("{} before {}", relation.one, relation.two),
                    "the orders of these services lead in a circle: remove one of them");
      else
        add_once(services[two].after, services[one].name);
    });
  }
}

}  // namespace

std::optional<long> score_of(std::string_view text) {
  bool negative = false;
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) {
    negative = text.front() == '-';
    text.remove_prefix(1);
  }
  const std::string word = lowered(text);
  const auto value =
      word == "infinity" || word == "inf" ? std::optional<long>(kInfinity) : number_of(text, kInfinity);
  if (!value) return std::nullopt;
  return negative ? -*value : *value;
}

void translate(const Pacemaker& source, Imported& out, Finder& finder) {
  finder.in(source.file);
  out.sketch.cluster = setup::name_from(source.cluster, "._-", 60, "cluster");
  for (const std::string& name : source.nodes) static_cast<void>(add_node(out.sketch, name));
  const Clusters clusters(source);
  std::string nic;
  ServiceOf service_of;
  for (size_t root = 0; root < source.primitives.size(); ++root) {
    if (clusters.root(root) != root) continue;
    ServiceSketch service;
    Lines ids;
    for (size_t i = root; i < source.primitives.size(); ++i) {
      if (clusters.root(i) != root) continue;
      ids.push_back(source.primitives[i].id);
      const bool fence = source.primitives[i].agent.substr(0, 8) == "stonith:";
      if (fence) {
        finder.left(source.primitives[i].line, fmt::format("{}: STONITH", source.primitives[i].id),
                    "mostly nothing: lease and gate silence a node that is cut off; otherwise [fence.NODE]");
      } else {
        add_member(source.primitives[i], service, nic, finder);
      }
    }
    std::string name = ids[0];
    for (const auto& [group, members] : source.groups) {
      if (members.empty() || std::find(ids.begin(), ids.end(), members[0]) == ids.end()) continue;
      name = group;
      ids.push_back(group);
      break;
    }
    if (service.addresses.empty() && service.units.empty()) continue;  // told above
    if (out.sketch.services.size() >= kMaxServices) {
      finder.left(source.primitives[root].line, fmt::format("{}: there are too many services", name), "");
      continue;
    }
    service.hot = std::any_of(ids.begin(), ids.end(), [&](const std::string& id) {
      return std::find(source.clones.begin(), source.clones.end(), id) != source.clones.end();
    });
    service.name = free_name(out.sketch, name);
    service.comments = {"From the Pacemaker resources " + fmt::format("{}", fmt::join(ids, ", ")) + "."};
    place(source, ids, service, finder);
    for (const std::string& id : ids) service_of.emplace(id, out.sketch.services.size());
    out.sketch.services.push_back(std::move(service));
  }
  relate(source, service_of, out.sketch.services, finder);
  for (setup::NodeSketch& node : out.sketch.nodes) node.ends.push_back({"service", nic, ""});
  finder.left(0, "Pacemaker's configuration has no addresses of the nodes: they are in corosync.conf",
              "give them with --node, best on two networks");
  finder.left(0, "quorum and reference hosts", "give the router and the name server with --reference-host");
}

}  // namespace clusterd::imports
