// services/NAME.toml but for units and checks (read_units.cpp) and mirrors (read_mirrors.cpp).
#include <fmt/format.h>

#include <algorithm>

#include "config/draft.hpp"
#include "config/unit_kinds.hpp"

namespace clusterd::config {

namespace {

using std::chrono::hours;
using std::chrono::seconds;

void read_prefer(Section& section, const ClusterDraft& cluster, ServiceConfig& service, Problems& problems) {
  const auto text = section.text("prefer");
  if (!text || !cluster.nodes_known) return;
  std::vector<std::string> names;
  for (size_t n = 0; n < kNodes; ++n) {
    const std::string& name = cluster.config.nodes.at(n).name;
    if (name == text->value) service.prefer = NodeId(n);
    names.push_back(name);
  }
  if (service.prefer) return;
  const auto near = nearest(text->value, names);
  problems.error(
      text->place, fmt::format("prefer names \"{:.63}\", which is no node", text->value),
      near ? fmt::format("did you mean {}?", *near) : fmt::format("known nodes: {}", listed(names)));
}

// Sets service.link, or leaves it invalid with the problem reported.
void read_link(Section& section, const ClusterDraft& cluster, ServiceConfig& service, Problems& problems) {
  const auto text = section.text("link");
  if (!cluster.nodes_known || (section.has("link") && !text)) return;
  const std::string wanted = text ? text->value : "service";
  std::vector<std::string> names;
  for (size_t i = 0; i < cluster.config.links.size(); ++i) {
    names.push_back(cluster.config.links[i].name);
    if (names.back() == wanted) service.link = LinkId(i);
  }
  if (service.link.valid()) return;
  if (!text) {
    problems.error(section.place(), "there is no link called \"service\" to carry the service's addresses",
                   fmt::format("add link = \"{}\" (known links: {})", names.front(), listed(names)));
    return;
  }
  const auto near = nearest(wanted, names);
  problems.error(
      text->place, fmt::format("there is no link called \"{:.63}\"", wanted),
      near ? fmt::format("did you mean {}?", *near) : fmt::format("known links: {}", listed(names)));
}

void read_addresses(Section& section, const ClusterDraft& cluster, ServiceDraft& draft, Problems& problems) {
  for (const Text& text : section.texts("addresses", kMaxAddressesPerService)) {
    const auto prefix = Prefix::parse(text.value);
    if (!prefix) {
      problems.error(
          text.place, fmt::format("\"{:.80}\" is no address with the length of its network", text.value),
          IpAddress::parse(text.value) ? fmt::format("write \"{}/24\", or whatever the length is", text.value)
                                       : "write it as in \"192.168.1.20/24\" or \"fd00::20/64\"");
      continue;
    }
    const auto why = unusable(*prefix);
    if (why || is_loopback(prefix->address)) {
      problems.error(text.place, fmt::format("{} {}", prefix->text(), why.value_or("is a loopback address")),
                     "use a free address of the network in which the clients are");
      continue;
    }
    if (cluster.networks_known && draft.config.link.valid()) {
      const Prefix& network = cluster.config.link(draft.config.link).ends[0].address;
      if (network.address.family == prefix->address.family && !network.contains(prefix->address))
        problems.warning(
            text.place,
            fmt::format("{} is not in the network of the link {} ({})", prefix->text(),
                        cluster.config.link(draft.config.link).name, network.text()),
            "clients find it only if a router knows the way; else correct the address or the link");
    }
    draft.config.addresses.push_back(*prefix);
    draft.addresses.push_back(text.place);
  }
}

void read_mac(Section& section, const ClusterDraft& cluster, ServiceDraft& draft, Problems& problems) {
  ServiceConfig& service = draft.config;
  section.choice(
      "mac", service.mac,
      {{"virtual", MacMode::kVirtual}, {"redundant", MacMode::kRedundant}, {"none", MacMode::kNone}});
  draft.mac = section.has("mac_address") ? section.place("mac_address") : section.place("mac");
  if (service.mac == MacMode::kRedundant && cluster.nodes_known) {
    for (const NodeConfig& node : cluster.config.nodes) {
      if (node.redundant_nic) continue;
      problems.error(section.place("mac"),
                     fmt::format("mac = \"redundant\", but {} has no redundant NIC", node.name),
                     fmt::format("add redundant = {{ nic = \"…\" }} to [node.{}], or write mac = \"virtual\"",
                                 node.name));
    }
  }
  if (service.mac != MacMode::kNone)
    service.mac_address = MacAddress::derived(cluster.config.cluster, service.name);
  const auto text = section.text("mac_address");
  if (!text) return;
  const auto mac = MacAddress::parse(text->value);
  if (!mac || *mac == MacAddress{}) {
    problems.error(text->place, fmt::format("mac_address is no MAC address: \"{:.40}\"", text->value),
                   fmt::format("write six pairs of hex digits, as in mac_address = \"{}\", or remove the key",
                               MacAddress::derived(cluster.config.cluster, service.name).text()));
  } else if ((mac->bytes[0] & 1U) != 0) {
    problems.error(text->place, fmt::format("mac_address {} is a multicast address", mac->text()),
                   "use one whose first byte is even, as in \"02:…\"");
  } else if (service.mac == MacMode::kNone) {
    problems.error(text->place, "mac_address has no meaning with mac = \"none\"",
                   "remove mac_address, or write mac = \"virtual\"");
  } else {
    service.mac_address = *mac;
  }
}

// `instances` says why, `effects` says what follows: one instance at most is the same as effects that two
// nodes must not have at once (docs/decisions/0013).
void read_effects(Section& section, ServiceDraft& draft, Problems& problems) {
  ServiceConfig& service = draft.config;
  section.choice("effects", service.effects, {{"address", Effects::kAddress}, {"node", Effects::kNode}});
  draft.effects = section.has("effects") ? section.place("effects") : section.place("instances");
  Effects instances = service.effects;
  section.choice("instances", instances, {{"one", Effects::kNode}});
  if (instances != service.effects && section.has("effects"))
    problems.error(
        draft.effects,
        "effects = \"address\" lets the units of a silent node run on, instances = \"one\" does not",
        "remove effects: instances = \"one\" means effects = \"node\"");
  service.effects = instances;
  if (service.hot && service.effects == Effects::kNode)
    problems.error(draft.effects,
                   fmt::format("{} says that the units must never run on both nodes, hot = true lets them",
                               section.has("effects") ? "effects = \"node\"" : "instances = \"one\""),
                   "remove one of the two");
}

void read_failback(Section& section, ServiceConfig& service, Problems& problems) {
  section.choice("failback", service.failback, {{"manual", Failback::kManual}, {"auto", Failback::kAuto}});
  section.duration("failback_after", service.failback_after, seconds(1), hours(24 * 7));
  if (service.failback == Failback::kAuto && !section.has("prefer"))
    problems.error(section.place("failback"), "failback = \"auto\", but the service prefers no node",
                   "add prefer = \"NODE\", or write failback = \"manual\"");
  if (const Value* table = section.table("restarts")) {
    Section restarts(*table, "restarts", problems);
    restarts.number("max", service.budget.restarts, 0, 100);
    restarts.duration("within", service.budget.within, seconds(1), hours(24));
    restarts.finish();
  }
}

// Two nodes that mount a device at once destroy what is on it, and no gate prevents that.
void check_mounts(const ServiceDraft& draft, Problems& problems) {
  if (draft.config.effects == Effects::kNode) return;
  for (size_t i = 0; i < draft.config.units.size(); ++i) {
    const UnitConfig& unit = draft.config.units[i];
    if (unit.kind == UnitConfig::Kind::kMount && mounts_a_device(unit.mount))
      problems.error(
          draft.units[i],
          fmt::format("{} mounts {}, which both nodes could mount at once and destroy", unit.name,
                      unit.mount.what),
          "add effects = \"node\" to the service, with [watchdog] or [fence.NODE] in cluster.toml; a disk "
          "that each node has of its own belongs into /etc/fstab");
    const auto& told = unit.ocf.parameters;
    const auto device = told.find("device");
    if (unit.kind != UnitConfig::Kind::kOcf || unit.ocf.type != "Filesystem" || device == told.end())
      continue;
    const auto type = told.find("fstype"), options = told.find("options");
    const MountConfig mount{device->second, "", type == told.end() ? "" : type->second,
                            options == told.end() ? "" : options->second};
    if (mounts_a_device(mount))
      problems.warning(draft.units[i],
                       fmt::format("{} mounts {}, which both nodes could mount at once and destroy",
                                   unit.name, mount.what),
                       "add effects = \"node\" to the service, unless each node has the device of its own");
  }
}

void check_substance(const ServiceDraft& draft, Section& section, Problems& problems) {
  const ServiceConfig& service = draft.config;
  // A list whose entries are wrong was reported already; only an absent or empty one counts as none.
  const Value* list = section.find("addresses");
  const bool addresses = list != nullptr && !(list->kind == Value::Kind::kArray && list->items.empty());
  if (!addresses && !section.has("units") && !section.has("mirror")) {
    problems.error(draft.place,
                   "the service has no addresses, no units and no mirror: there is nothing to move",
                   "add addresses = [\"192.168.1.20/24\"] and units = [\"NAME.service\"]");
    return;
  }
  if (!addresses)
    problems.warning(
        draft.place,
        "the service has no address, so the gate cannot silence it: only stopping its units ends it",
        "add addresses, unless the service is used on its own node only");
  for (const CheckConfig& check : service.checks) {
    const bool tcp = check.kind == CheckConfig::Kind::kTcp;
    const bool asks = tcp || check.kind == CheckConfig::Kind::kHttp || check.kind == CheckConfig::Kind::kDns;
    if (!asks || check.address || addresses) continue;
    problems.error(section.place("checks"),
                   fmt::format("the check {} needs an address, and the service has none", check.text),
                   fmt::format("write {} = \"127.0.0.1:{}\", or give the service an address",
                               tcp ? "tcp" : "address", check.port));
  }
}

}  // namespace

void read_service(const Value& root, const std::string& name, const ClusterDraft& cluster,
                  ServiceDraft& draft, Problems& problems) {
  ServiceConfig& service = draft.config;
  service.name = name;
  draft.place = {root.place.file, 0, 0};
  if (!is_name(name, "_-", 32))
    problems.error(draft.place, fmt::format("a service cannot be called \"{:.80}\"", name),
                   "rename the file: letters, digits, \"_\" and \"-\", at most 32, then .toml");
  // A root table stands at 1:1; what is missing in the file is reported for the whole file.
  Value table = root;
  table.place = draft.place;
  Section section(table, "services/" + name + ".toml", problems);
  read_prefer(section, cluster, service, problems);
  draft.prefer = section.place("prefer");
  draft.with = section.texts("with", kMaxServices);
  draft.apart_from = section.texts("apart_from", kMaxServices);
  draft.after = section.texts("after", kMaxServices);
  read_link(section, cluster, service, problems);
  read_addresses(section, cluster, draft, problems);
  read_mac(section, cluster, draft, problems);
  if (const Value* units = section.list("units", kMaxUnitsPerService)) read_units(*units, draft, problems);
  if (const Value* checks = section.list("checks", kMaxChecksPerService))
    read_checks(*checks, draft, problems);
  section.flag("hot", service.hot);
  read_effects(section, draft, problems);
  check_mounts(draft, problems);
  read_failback(section, service, problems);
  if (const Value* mirrors = section.list("mirror", kMaxMirrorsPerService))
    read_mirrors(*mirrors, draft, problems);
  static_cast<void>(read_alike(section, draft, problems));
  check_substance(draft, section, problems);
  section.finish();
}

}  // namespace clusterd::config
