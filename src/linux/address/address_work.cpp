#include "linux/address/address_work.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <set>

#include "linux/address/sysctl.hpp"

namespace clusterd {

namespace {

// A host with more gatewayed routes on its service NIC is a router; the service then uses its default route.
constexpr size_t kMostCopiedRoutes = 128;
constexpr const char* kMark = "clusterd ";

tl::unexpected<Error> refuse(const std::string& what, const NetlinkError& error) {
  Code code = Code::kRefused;
  if (error.number == ENODEV || error.number == ENETDOWN || error.number == ETIMEDOUT) code = Code::kRetry;
  if (error.number == EPERM) code = Code::kConfig;
  return fail(code, fmt::format("{}: {}", what, error.text));
}

void warn(const std::string& text) { std::fprintf(stderr, "<4>addresses: %s\n", text.c_str()); }

// Whether IPv6 needs to be told that the gateway is reached directly.
bool needs_own_route(const AddressPlan& plan, const IpAddress& gateway) {
  if (gateway.is_v4()) return false;
  const bool link_local = gateway.bytes[0] == 0xfe && (gateway.bytes[1] & 0xc0) == 0x80;
  return !link_local &&
         std::ranges::none_of(plan.networks, [&](const Prefix& n) { return n.contains(gateway); });
}

bool is_default(const RouteInfo& route) { return route.destination.length == 0; }

}  // namespace

std::string SpareMark::text() const {
  return fmt::format("{}{} was {}{}{}", kMark, service, own_mac.text(), former_alias.empty() ? "" : "|",
                     former_alias);
}

std::optional<SpareMark> SpareMark::parse(const std::string& alias) {
  const std::string mark = kMark;
  const size_t was = alias.find(" was ");
  if (!alias.starts_with(mark) || was == std::string::npos || was < mark.size()) return std::nullopt;
  constexpr size_t kMacText = 17;
  const auto mac = MacAddress::parse(alias.substr(was + 5, kMacText));
  if (!mac) return std::nullopt;
  SpareMark out{alias.substr(mark.size(), was - mark.size()), *mac, ""};
  const size_t rest = was + 5 + kMacText;
  if (alias.size() > rest && alias.at(rest) == '|') out.former_alias = alias.substr(rest + 1);
  return out;
}

Result<LinkInfo> AddressWork::require(const std::string& name) {
  auto link = kernel_.link(name);
  if (!link) return refuse(name, link.error());
  if (!*link) return fail(Code::kRetry, fmt::format("{} is missing", name));
  return std::move(**link);
}

Result<LinkInfo> AddressWork::ensure_macvlan(const AddressPlan& plan) {
  auto parent = require(plan.nic);
  if (!parent) return parent;
  reaper_.wait();
  auto found = kernel_.link(plan.device);
  if (!found) return refuse(plan.device, found.error());
  if (*found) {
    const LinkInfo& link = **found;
    if (link.kind != "macvlan") {
      return fail(Code::kConfig, fmt::format("{} exists and is not clusterd's: rename it", plan.device));
    }
    if (link.parent == parent->index && link.mac == plan.mac) return link;
    if (auto done = kernel_.delete_link(link.index); !done)
      return refuse("removing an old " + plan.device, done.error());
  }
  if (auto done = kernel_.create_macvlan(plan.device, parent->index, plan.mac); !done) {
    const char* remedy =
        done.error().number == EBUSY
            ? " (a port of a bridge or bond can carry none: name the bridge as nic, or use mac = \"none\")"
            : "";
    return refuse(fmt::format("macvlan {} on {}{}", plan.device, plan.nic, remedy), done.error());
  }
  auto link = require(plan.device);
  if (!link) return link;
  if (auto done = kernel_.set_no_link_local(link->index); !done) warn(plan.device + ": " + done.error().text);
  (void)kernel_.set_alias(link->index, kMark + plan.service_name);  // sweep() knows it by that
  return link;
}

Result<LinkInfo> AddressWork::ensure_spare(const AddressPlan& plan,
                                           const std::function<Result<void>()>& attach_gate) {
  if (plan.spare.empty()) {
    return fail(Code::kConfig,
                "mac = \"redundant\" needs 'redundant = { nic = … }' in the node's table of cluster.toml");
  }
  auto link = require(plan.spare);
  if (!link) return link;
  const auto mark = SpareMark::parse(link->alias);
  if (mark && mark->service != plan.service_name) {
    return fail(Code::kRefused,
                fmt::format("{} already carries the service {}: a spare NIC carries one at a time",
                            plan.spare, mark->service));
  }
  if (auto done = attach_gate(); !done) return tl::unexpected(done.error());
  if (!mark) {
    const SpareMark own{plan.service_name, link->permanent_mac.value_or(link->mac), link->alias};
    if (auto done = kernel_.set_alias(link->index, own.text()); !done)
      return refuse(plan.spare, done.error());
  }
  if (link->mac != plan.mac) {
    if (auto done = kernel_.set_mac(link->index, plan.mac); !done) {
      // Some drivers change the MAC only while the NIC is down.
      (void)kernel_.set_up(link->index, false);
      done = kernel_.set_mac(link->index, plan.mac);
      if (!done)
        return refuse(fmt::format("{} does not take the MAC {}", plan.spare, plan.mac.text()), done.error());
    }
  }
  if (auto done = kernel_.set_no_link_local(link->index); !done) warn(plan.spare + ": " + done.error().text);
  return require(plan.spare);
}

Result<LinkInfo> AddressWork::bring_up(const AddressPlan& plan,
                                       const std::function<Result<void>()>& attach_gate) {
  Result<LinkInfo> link;
  switch (plan.mode) {
    case MacMode::kNone:
      link = require(plan.nic);
      break;
    case MacMode::kVirtual:
      link = ensure_macvlan(plan);
      break;
    case MacMode::kRedundant:
      link = ensure_spare(plan, attach_gate);
      break;
  }
  if (!link) return link;
  if (plan.mode != MacMode::kRedundant)
    if (auto done = attach_gate(); !done) return tl::unexpected(done.error());
  if (plan.mode != MacMode::kNone) {
    std::string problems = prepare_device(plan.device, plan.ipv6);
    problems += prepare_arp(plan.nic);
    if (!problems.empty())
      warn(fmt::format("{}: cannot set {}: neighbours may see the wrong MAC", plan.service_name, problems));
    if (!link->up())
      if (auto done = kernel_.set_up(link->index, true); !done) return refuse(plan.device, done.error());
  }
  if (auto done = put_addresses(plan, link->index); !done) return tl::unexpected(done.error());
  if (plan.table != 0) {
    // Routes first: a rule without its table would send answers the wrong way.
    if (auto done = put_routes(plan, link->index); !done) return tl::unexpected(done.error());
    if (auto done = put_rules(plan); !done) return tl::unexpected(done.error());
  }
  return link;
}

Result<void> AddressWork::put_addresses(const AddressPlan& plan, int ifindex) {
  for (const Prefix& address : plan.addresses) {
    if (auto done = kernel_.add_address(ifindex, address); !done) {
      const char* remedy =
          done.error().number == EACCES && !address.address.is_v4() ? " (is IPv6 disabled on the NIC?)" : "";
      return refuse(fmt::format("{} on {}{}", address.text(), plan.device, remedy), done.error());
    }
  }
  return {};
}

std::vector<RouteInfo> AddressWork::wanted_routes(const AddressPlan& plan, int ifindex) {
  std::vector<RouteInfo> out;
  for (const Prefix& network : plan.networks) out.push_back({network, plan.table, ifindex, std::nullopt, 0});
  const auto parent = kernel_.link(plan.nic);
  if (!parent || !*parent) return out;
  for (const bool ipv6 : {false, true}) {
    if (ipv6 ? !plan.ipv6 : !plan.ipv4) continue;
    const auto routes = kernel_.routes(ipv6, kMainTable);
    if (!routes) continue;
    std::set<Prefix> seen;
    std::vector<RouteInfo> sorted = *routes;
    std::ranges::sort(sorted, {}, &RouteInfo::metric);  // the preferred one of each destination
    for (const RouteInfo& route : sorted) {
      if (!route.gateway || route.ifindex != (*parent)->index || seen.size() >= kMostCopiedRoutes) continue;
      if (!seen.insert(route.destination).second) continue;
      if (needs_own_route(plan, *route.gateway))
        out.push_back({{*route.gateway, 128}, plan.table, ifindex, std::nullopt, 0});
      out.push_back({route.destination, plan.table, ifindex, route.gateway, 0});
    }
  }
  return out;
}

Result<void> AddressWork::put_routes(const AddressPlan& plan, int ifindex) {
  for (const RouteInfo& route : wanted_routes(plan, ifindex)) {
    auto done = kernel_.replace_route(route);
    if (done) continue;
    const std::string what = fmt::format("route to {} through {}", route.destination.text(), plan.device);
    if (!route.gateway) return refuse(what, done.error());
    warn(what + ": " + done.error().text);
  }
  return {};
}

Result<void> AddressWork::put_rules(const AddressPlan& plan) {
  const auto present = kernel_.own_rules();
  const std::vector<RuleInfo> wanted = plan.rules();
  for (const RuleInfo& rule : wanted) {
    if (present && std::ranges::find(*present, rule) != present->end()) continue;
    if (auto done = kernel_.add_rule(rule); !done)
      return refuse("rule for " + rule.source.text(), done.error());
  }
  if (!present) return {};
  for (const RuleInfo& rule : *present)  // of an older configuration
    if (plan.has(rule.source) && std::ranges::find(wanted, rule) == wanted.end())
      (void)kernel_.remove_rule(rule);
  return {};
}

void AddressWork::sync_routes(const AddressPlan& plan) {
  if (plan.table == 0) return;
  const auto device = kernel_.link(plan.device);
  if (!device || !*device || !(*device)->up()) return;
  const std::vector<RouteInfo> wanted = wanted_routes(plan, (*device)->index);
  for (const bool ipv6 : {false, true}) {
    if (ipv6 ? !plan.ipv6 : !plan.ipv4) continue;
    const auto present = kernel_.routes(ipv6, plan.table);
    if (!present) continue;
    const auto same = [](const RouteInfo& a, const RouteInfo& b) {
      return a.destination == b.destination && a.ifindex == b.ifindex && a.gateway == b.gateway;
    };
    bool any_gateway = false;
    for (const RouteInfo& route : wanted) {
      if (route.destination.address.is_v4() == ipv6) continue;
      any_gateway |= route.gateway.has_value();
      const auto found = std::ranges::find_if(*present, [&](const RouteInfo& r) { return same(r, route); });
      if (found == present->end()) (void)kernel_.replace_route(route);
    }
    for (const RouteInfo& route : *present) {
      const bool gone = std::ranges::none_of(wanted, [&](const RouteInfo& r) { return same(r, route); });
      const bool replaced =
          std::ranges::any_of(wanted, [&](const RouteInfo& r) { return r.destination == route.destination; });
      if (!gone || (is_default(route) && !any_gateway)) continue;
      // For IPv4 replace_route has taken the place of the old route already; IPv6 keeps both.
      if (!replaced || ipv6) (void)kernel_.remove_route(route);
    }
  }
}

Result<void> AddressWork::release_spare(const AddressPlan& plan) {
  auto found = kernel_.link(plan.spare);
  if (!found || !*found) return {};  // a NIC that is gone carries nothing
  const LinkInfo& link = **found;
  const auto mark = SpareMark::parse(link.alias);
  const bool ours = mark && mark->service == plan.service_name;
  const bool unmarked =
      !mark && plan.mode == MacMode::kRedundant && link.mac == plan.mac && link.permanent_mac;
  if (!ours && !unmarked) return {};
  if (auto done = kernel_.set_up(link.index, false); !done) return refuse(plan.spare, done.error());
  const MacAddress own = ours ? mark->own_mac : *link.permanent_mac;
  if (auto done = kernel_.set_mac(link.index, own); !done) {
    return refuse(fmt::format("{} does not take its own MAC {} back", plan.spare, own.text()), done.error());
  }
  if (ours)
    if (auto done = kernel_.set_alias(link.index, mark->former_alias); !done)
      return refuse(plan.spare, done.error());
  return {};
}

Result<void> AddressWork::take_down(const AddressPlan& plan) {
  Result<void> outcome;
  const auto note = [&outcome](const std::string& what, const NetlinkResult<void>& done) {
    if (!done && outcome) outcome = refuse(what, done.error());
  };
  const auto addresses = kernel_.addresses();
  const auto links = kernel_.links();
  if (!addresses || !links) return refuse("listing addresses", addresses ? links.error() : addresses.error());
  for (const LinkInfo& link : *links) {
    const bool own = link.name == plan.nic || link.name == plan.spare || link.name == plan.macvlan;
    for (const AddressInfo& address : *addresses) {
      if (address.ifindex != link.index || !plan.has(address.address)) continue;
      if (own)
        note(address.address.text(), kernel_.remove_address(address));
      else
        warn(
            fmt::format("{} stands on {}, where clusterd did not put it", address.address.text(), link.name));
    }
  }
  if (const auto rules = kernel_.own_rules()) {
    for (const RuleInfo& rule : *rules)
      if (plan.has(rule.source)) note("rule", kernel_.remove_rule(rule));
  }
  for (const LinkInfo& link : *links)
    if (link.name == plan.macvlan && link.kind == "macvlan") reaper_.remove(link.index);
  if (!plan.spare.empty()) {
    auto released = release_spare(plan);
    if (!released && outcome) outcome = released;
  }
  return outcome;
}

std::vector<std::string> AddressWork::missing(const AddressPlan& plan) {
  std::vector<std::string> out;
  const auto found = kernel_.link(plan.device);
  if (!found) return out;  // the kernel did not answer: nothing is known
  if (!*found) return {plan.device + " is gone"};
  const LinkInfo& link = **found;
  if (plan.mode != MacMode::kNone) {
    if (!link.up()) out.push_back(plan.device + " was taken down");
    if (link.mac != plan.mac)
      out.push_back(fmt::format("{} has another MAC ({})", plan.device, link.mac.text()));
  }
  if (const auto addresses = kernel_.addresses()) {
    for (const Prefix& wanted : plan.addresses) {
      const bool there = std::ranges::any_of(*addresses, [&](const AddressInfo& address) {
        return address.ifindex == link.index && address.address == wanted.address;
      });
      if (!there) out.push_back(fmt::format("{} was removed from {}", wanted.address.text(), plan.device));
    }
  }
  if (const auto rules = kernel_.own_rules()) {
    for (const RuleInfo& wanted : plan.rules())
      if (std::ranges::find(*rules, wanted) == rules->end())
        out.push_back("a routing rule of " + wanted.source.text() + " was removed");
  }
  return out;
}

void AddressWork::sweep(const std::vector<AddressPlan>& plans) {
  if (const auto links = kernel_.links()) {
    for (const LinkInfo& link : *links) {
      if (link.kind != "macvlan" || !link.alias.starts_with(kMark)) continue;
      const bool known =
          std::ranges::any_of(plans, [&](const AddressPlan& p) { return p.macvlan == link.name; });
      if (!known) (void)kernel_.delete_link(link.index);
    }
  }
  if (const auto rules = kernel_.own_rules()) {
    for (const RuleInfo& rule : *rules) {
      const bool known = std::ranges::any_of(plans, [&](const AddressPlan& p) { return p.has(rule.source); });
      if (!known) (void)kernel_.remove_rule(rule);
    }
  }
}

}  // namespace clusterd
