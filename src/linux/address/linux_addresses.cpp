#include "linux/address/linux_addresses.hpp"

#include <fmt/format.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "linux/address/address_work.hpp"
#include "linux/address/announce.hpp"
#include "linux/address/hooks.hpp"
#include "linux/address/lan_probe.hpp"
#include "linux/address/sysctl.hpp"

namespace clusterd {

namespace {

std::vector<unsigned> monitored_groups() {
  return {RTNLGRP_LINK,      RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_RULE,
          RTNLGRP_IPV6_RULE, RTNLGRP_IPV4_ROUTE,  RTNLGRP_IPV6_ROUTE,  RTNLGRP_TC};
}

std::vector<IpAddress> plain(const std::vector<Prefix>& prefixes) {
  std::vector<IpAddress> out;
  for (const Prefix& prefix : prefixes) out.push_back(prefix.address);
  return out;
}

std::vector<IpAddress> all_addresses(const Config& config) {
  std::vector<IpAddress> out;
  for (const ServiceConfig& service : config.services)
    for (const Prefix& prefix : service.addresses) out.push_back(prefix.address);
  return out;
}

std::string joined(const std::vector<std::string>& parts) {
  std::string out;
  for (const std::string& part : parts) out += (out.empty() ? "" : "; ") + part;
  return out;
}

}  // namespace

class LinuxAddresses::Impl {
 public:
  Impl(EventLoop& loop, const Config& config, Gate& gate, EventSink sink)
      : gate_(gate),
        sink_(std::move(sink)),
        plans_(make_address_plans(config)),
        services_(plans_.size()),
        announcer_(loop),
        probe_(
            loop, all_addresses(config), [this](const MacAddress& mac) { return is_own(mac); },
            [this](const LanAnswer& a) {
              sink_(AddressAnswered{a.service, a.address, a.mac, a.sent});
            }),
        hooks_(loop, config),
        monitor_(
            loop, monitored_groups(), [this](uint16_t type, ByteView body) { changed(type, body); },
            [this] { read_links(); }, [this] { settle(); }) {
    for (const LinkConfig& link : config.links) nics_[link.ends.at(config.self.at()).nic] = {};
    if (const auto& spare = config.node(config.self).redundant_nic) {
      spare_ = *spare;
      nics_[spare_] = {};
    }
    work_.sweep(plans_);
    // After the constructor, so that the reactor's first event is not ours.
    start_ = loop.at(EventLoop::now(), [this] {
      read_links();
      settle();
    });
  }

  void add(ServiceId id) {
    const AddressPlan& plan = plans_.at(id.at());
    State& state = services_.at(id.at());
    const bool fresh = !state.held;
    state.held = true;
    const auto link = work_.bring_up(plan, [this, id] { return gate_.attach(id); });
    state.lost_told = !link.has_value();
    state.standing = link.has_value();
    if (!link) {
      sink_(AddressReport{id, false, link.error().message});
      return;
    }
    state.ifindex = link->index;
    state.mac = plan.mode == MacMode::kNone ? link->mac : plan.mac;
    links_[link->index] = *link;
    announcer_.start(id, state.ifindex, state.mac, plain(plan.addresses));
    if (fresh) hooks_.run(true, id, plan.device);
    sink_(AddressReport{id, true, plan.device});
  }

  void remove(ServiceId id) {
    const AddressPlan& plan = plans_.at(id.at());
    State& state = services_.at(id.at());
    announcer_.stop(id);
    if (state.held) hooks_.run(false, id, plan.device);
    state = State{};
    if (auto done = work_.take_down(plan); !done) {
      std::fprintf(stderr, "<3>addresses: removing %s: %s\n", plan.service_name.c_str(),
                   done.error().message.c_str());
    }
  }

  void announce(ServiceId id) {
    const State& state = services_.at(id.at());
    if (state.standing) announcer_.start(id, state.ifindex, state.mac, plain(plans_.at(id.at()).addresses));
  }

  void probe(const ProbeAddress& order) {
    const AddressPlan& plan = plans_.at(order.service.at());
    const LinkInfo* nic = link_named(plan.nic);
    if (nic == nullptr) return;  // nobody can be asked
    probe_.probe(order.service, order.sent, nic->index, nic->mac, plain(plan.addresses));
  }

 private:
  struct State {
    bool held = false;       // add() was called, and remove() was not
    bool standing = false;   // the last add() succeeded
    bool lost_told = false;  // the core knows of the loss; add() comes next
    int ifindex = 0;
    MacAddress mac;
  };
  struct NicState {
    bool told = false;
    bool up = false;
    std::string detail;
    int gated_index = 0;
  };

  const LinkInfo* link_named(const std::string& name) {
    const auto found =
        std::ranges::find_if(links_, [&](const auto& entry) { return entry.second.name == name; });
    if (found != links_.end()) return &found->second;
    const auto fresh = work_.kernel().link(name);  // before the monitor's first report
    if (!fresh || !*fresh) return nullptr;
    return &(links_[(*fresh)->index] = **fresh);
  }

  bool is_own(const MacAddress& mac) const {
    return std::ranges::any_of(links_, [&](const auto& entry) { return entry.second.mac == mac; });
  }

  void read_links() {
    auto links = work_.kernel().links();
    if (!links) return;
    links_.clear();
    for (LinkInfo& link : *links) {
      const int index = link.index;
      links_[index] = std::move(link);
    }
    links_changed_ = check_services_ = check_routes_ = true;
    check_gate_ = true;
  }

  void changed(uint16_t type, ByteView body) {
    switch (type) {
      case RTM_NEWLINK:
      case RTM_DELLINK:
        link_changed(type == RTM_NEWLINK, body);
        break;
      case RTM_DELADDR:
        if (const auto address = parse_address(body)) check_services_ |= held_anywhere(address->address);
        break;
      case RTM_DELRULE:
        if (const auto rule = parse_own_rule(body)) check_services_ |= held_anywhere(rule->source);
        break;
      case RTM_NEWROUTE:
      case RTM_DELROUTE:
        if (const auto route = parse_route(body)) route_changed(type == RTM_DELROUTE, *route);
        break;
      case RTM_DELQDISC:
      case RTM_DELTFILTER:
        filter_removed(body);
        break;
      default:
        break;
    }
  }

  void link_changed(bool present, ByteView body) {
    auto link = parse_link(body);
    if (!link) return;
    const bool relevant = concerns(link->name);
    if (present) {
      const int index = link->index;
      links_[index] = std::move(*link);
    } else {
      links_.erase(link->index);
    }
    if (relevant) links_changed_ = check_services_ = true;
  }

  // tc objects vanish all the time on hosts with containers; only those on our NICs matter.
  void filter_removed(ByteView body) {
    tcmsg header{};
    if (body.size() < sizeof(header)) return;
    std::memcpy(&header, body.data(), sizeof(header));
    const auto link = links_.find(header.tcm_ifindex);
    if (link != links_.end()) check_gate_ |= concerns(link->second.name);
  }

  bool concerns(const std::string& name) const {
    return nics_.contains(name) ||
           std::ranges::any_of(plans_, [&](const AddressPlan& plan) { return plan.device == name; });
  }

  void route_changed(bool removed, const RouteInfo& route) {
    if (route.table == kMainTable) {
      check_routes_ |= route.gateway.has_value();
      return;
    }
    if (!removed) return;
    check_routes_ |=
        std::ranges::any_of(plans_, [&](const AddressPlan& plan) { return plan.table == route.table; });
  }

  bool held_anywhere(const IpAddress& address) const {
    return std::ranges::any_of(plans_, [&](const AddressPlan& plan) {
      return services_.at(plan.service.at()).held && plan.has(address);
    });
  }

  // All that came in was noted; now look at the kernel's present state once.
  void settle() {
    if (std::exchange(links_changed_, false)) tell_nics();
    if (std::exchange(check_gate_, false)) attach_gates();
    if (std::exchange(check_services_, false)) {
      check_routes_ = true;
      for (const AddressPlan& plan : plans_) check_service(plan);
    }
    if (std::exchange(check_routes_, false)) {
      for (const AddressPlan& plan : plans_)
        if (services_.at(plan.service.at()).standing) work_.sync_routes(plan);
    }
  }

  void tell_nics() {
    for (auto& [name, nic] : nics_) {
      const auto found =
          std::ranges::find_if(links_, [&n = name](const auto& entry) { return entry.second.name == n; });
      bool up = false;
      std::string detail;
      if (found == links_.end()) {
        detail = "missing";
        nic.gated_index = 0;
      } else {
        const LinkInfo& link = found->second;
        const bool resting = name == spare_ && !link.up();
        up = link.carrier() || resting;
        detail = resting ? "down, carrier unknown" : up ? "" : !link.up() ? "down" : "no carrier";
        if (nic.gated_index != link.index) {
          appeared(name);
          nic.gated_index = link.index;
        }
      }
      if (nic.told && nic.up == up && nic.detail == detail) continue;
      nic.told = true;
      nic.up = up;
      nic.detail = detail;
      sink_(NicChanged{name, up, detail});
    }
  }

  // A NIC of the configuration is there for the first time, or again.
  void appeared(const std::string& name) {
    if (const std::string problems = prepare_arp(name); !problems.empty()) {
      std::fprintf(stderr, "<4>addresses: cannot set %s: neighbours may see a wrong MAC\n", problems.c_str());
    }
    check_gate_ = true;
    for (const AddressPlan& plan : plans_)
      if (plan.nic == name || plan.device == name) services_.at(plan.service.at()).lost_told = false;
  }

  // Every service's gate, long before an address comes, and again when somebody took a filter off.
  void attach_gates() {
    for (const AddressPlan& plan : plans_) {
      const auto done = gate_.attach(plan.service);
      if (done || done.error().code == Code::kRetry) continue;
      std::fprintf(stderr, "<3>addresses: %s: %s\n", plan.service_name.c_str(), done.error().message.c_str());
    }
  }

  void check_service(const AddressPlan& plan) {
    State& state = services_.at(plan.service.at());
    if (!state.held || state.lost_told) return;
    const std::vector<std::string> missing = work_.missing(plan);
    if (missing.empty()) return;
    state.lost_told = true;
    sink_(AddressLost{plan.service, joined(missing)});
  }

  Gate& gate_;
  EventSink sink_;
  const std::vector<AddressPlan> plans_;  // by ServiceId
  std::vector<State> services_;           // by ServiceId
  std::map<std::string, NicState> nics_;
  std::string spare_;
  std::map<int, LinkInfo> links_;  // every link of the host
  AddressWork work_;
  Announcer announcer_;
  LanProbe probe_;
  Hooks hooks_;
  NetlinkMonitor monitor_;
  std::unique_ptr<Timer> start_;
  bool links_changed_ = false, check_services_ = false, check_routes_ = false, check_gate_ = false;
};

LinuxAddresses::LinuxAddresses(EventLoop& loop, const Config& config, Gate& gate, EventSink sink)
    : impl_(std::make_unique<Impl>(loop, config, gate, std::move(sink))) {}
LinuxAddresses::~LinuxAddresses() = default;

void LinuxAddresses::add(ServiceId service) { impl_->add(service); }
void LinuxAddresses::remove(ServiceId service) { impl_->remove(service); }
void LinuxAddresses::announce(ServiceId service) { impl_->announce(service); }
void LinuxAddresses::probe(const ProbeAddress& order) { impl_->probe(order); }

}  // namespace clusterd
