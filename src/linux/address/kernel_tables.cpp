#include "linux/address/kernel_tables.hpp"

#include <net/if.h>
// <net/if.h> comes before the kernel's headers, which otherwise define its flags a second time.
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace clusterd {

namespace {

template <class T>
std::optional<T> head(ByteView body) {
  if (body.size() < sizeof(T)) return std::nullopt;
  T out{};
  std::memcpy(&out, body.data(), sizeof(T));
  return out;
}

template <class T>
NetlinkAttributes tail(ByteView body) {
  return NetlinkAttributes(body.subspan(std::min(body.size(), (sizeof(T) + 3) & ~size_t{3})));
}

uint8_t family_of(const IpAddress& address) { return address.is_v4() ? AF_INET : AF_INET6; }

NetlinkResult<void> allow(NetlinkResult<void> outcome, std::initializer_list<int> harmless) {
  if (outcome) return outcome;
  for (const int number : harmless)
    if (outcome.error().number == number) return {};
  return outcome;
}

ifinfomsg link_header(int index) {
  ifinfomsg out{};
  out.ifi_index = index;
  return out;
}

NetlinkMessage rule_message(uint16_t type, uint16_t flags, const RuleInfo& rule) {
  fib_rule_hdr header{};
  header.family = family_of(rule.source);
  header.src_len = address_bits(rule.source);
  header.action = FR_ACT_TO_TBL;
  header.table = rule.table < 256 ? static_cast<uint8_t>(rule.table) : uint8_t{RT_TABLE_UNSPEC};
  NetlinkMessage message(type, flags, header);
  message.put_address(FRA_SRC, rule.source);
  message.put_u32(FRA_TABLE, rule.table);
  message.put_u32(FRA_PRIORITY, rule.priority);
  message.put_u8(FRA_PROTOCOL, kOwnProtocol);
  if (rule.no_default) message.put_u32(FRA_SUPPRESS_PREFIXLEN, 0);
  return message;
}

NetlinkMessage route_message(uint16_t type, uint16_t flags, const RouteInfo& route) {
  rtmsg header{};
  header.rtm_family = family_of(route.destination.address);
  header.rtm_dst_len = route.destination.length;
  header.rtm_table = route.table < 256 ? static_cast<uint8_t>(route.table) : uint8_t{RT_TABLE_UNSPEC};
  header.rtm_protocol = kOwnProtocol;
  header.rtm_scope = route.gateway || !route.destination.address.is_v4() ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
  header.rtm_type = RTN_UNICAST;
  // IPv6 compares "onlink" with the main table, where the gateway is behind another NIC, and refuses; there
  // the gateway's own route in the same table serves.
  if (route.gateway && route.destination.address.is_v4()) header.rtm_flags = RTNH_F_ONLINK;
  NetlinkMessage message(type, flags, header);
  if (route.destination.length > 0) message.put_address(RTA_DST, route.destination.address);
  message.put_u32(RTA_TABLE, route.table);
  message.put_u32(RTA_OIF, static_cast<uint32_t>(route.ifindex));
  if (route.gateway) message.put_address(RTA_GATEWAY, *route.gateway);
  if (route.metric != 0) message.put_u32(RTA_PRIORITY, route.metric);
  return message;
}

}  // namespace

bool LinkInfo::up() const { return (flags & IFF_UP) != 0; }

bool LinkInfo::carrier() const {
  // IFF_LOWER_UP is 1 << 16; <net/if.h> does not know it. Drivers that keep no operstate say "unknown".
  constexpr uint32_t kLowerUp = 1U << 16U;
  constexpr uint8_t kUnknown = 0, kUp = 6;
  return up() && (flags & kLowerUp) != 0 && (operstate == kUp || operstate == kUnknown);
}

std::optional<LinkInfo> parse_link(ByteView body) {
  const auto header = head<ifinfomsg>(body);
  // The bridge code reports its ports with its own family; they are not changes of the NIC itself.
  if (!header || header->ifi_family != AF_UNSPEC) return std::nullopt;
  const auto attributes = tail<ifinfomsg>(body);
  LinkInfo out;
  out.index = header->ifi_index;
  out.flags = header->ifi_flags;
  out.name = attributes.text(IFLA_IFNAME);
  out.mac = attributes.mac(IFLA_ADDRESS).value_or(MacAddress{});
  out.permanent_mac = attributes.mac(IFLA_PERM_ADDRESS);
  out.operstate = attributes.u8(IFLA_OPERSTATE).value_or(0);
  out.parent = static_cast<int>(attributes.u32(IFLA_LINK).value_or(0));
  out.alias = attributes.text(IFLA_IFALIAS);
  if (const auto info = attributes.find(IFLA_LINKINFO))
    out.kind = NetlinkAttributes(*info).text(IFLA_INFO_KIND);
  if (out.name.empty()) return std::nullopt;
  return out;
}

std::optional<AddressInfo> parse_address(ByteView body) {
  const auto header = head<ifaddrmsg>(body);
  if (!header) return std::nullopt;
  const auto attributes = tail<ifaddrmsg>(body);
  auto address = attributes.address(IFA_LOCAL, header->ifa_family);
  if (!address) address = attributes.address(IFA_ADDRESS, header->ifa_family);
  if (!address || header->ifa_prefixlen > address_bits(*address)) return std::nullopt;
  return AddressInfo{static_cast<int>(header->ifa_index), *address, header->ifa_prefixlen};
}

std::optional<RuleInfo> parse_own_rule(ByteView body) {
  const auto header = head<fib_rule_hdr>(body);
  if (!header) return std::nullopt;
  const auto attributes = tail<fib_rule_hdr>(body);
  if (attributes.u8(FRA_PROTOCOL).value_or(0) != kOwnProtocol) return std::nullopt;
  const auto source = attributes.address(FRA_SRC, header->family);
  if (!source) return std::nullopt;
  RuleInfo out;
  out.source = *source;
  out.priority = attributes.u32(FRA_PRIORITY).value_or(0);
  out.table = attributes.u32(FRA_TABLE).value_or(header->table);
  out.no_default = attributes.u32(FRA_SUPPRESS_PREFIXLEN).value_or(~0U) == 0;
  return out;
}

std::optional<RouteInfo> parse_route(ByteView body) {
  const auto header = head<rtmsg>(body);
  if (!header || header->rtm_type != RTN_UNICAST || (header->rtm_flags & RTM_F_CLONED) != 0)
    return std::nullopt;
  if (header->rtm_family != AF_INET && header->rtm_family != AF_INET6) return std::nullopt;
  const auto attributes = tail<rtmsg>(body);
  RouteInfo out;
  out.destination.address.family =
      header->rtm_family == AF_INET ? IpAddress::Family::kV4 : IpAddress::Family::kV6;
  if (const auto to = attributes.address(RTA_DST, header->rtm_family)) out.destination.address = *to;
  out.destination.length = header->rtm_dst_len;
  out.table = attributes.u32(RTA_TABLE).value_or(header->rtm_table);
  out.ifindex = static_cast<int>(attributes.u32(RTA_OIF).value_or(0));
  out.gateway = attributes.address(RTA_GATEWAY, header->rtm_family);
  out.metric = attributes.u32(RTA_PRIORITY).value_or(0);
  return out;
}

NetlinkResult<std::optional<LinkInfo>> KernelTables::link(const std::string& name) {
  NetlinkMessage message(RTM_GETLINK, 0, link_header(0));
  message.put_text(IFLA_IFNAME, name);
  std::optional<LinkInfo> found;
  const auto outcome =
      socket_.get(std::move(message), [&found](uint16_t, ByteView body) { found = parse_link(body); });
  if (outcome) return found;
  if (outcome.error().number == ENODEV) return std::optional<LinkInfo>();
  return tl::unexpected(outcome.error());
}

NetlinkResult<std::vector<LinkInfo>> KernelTables::links() {
  std::vector<LinkInfo> out;
  const auto outcome =
      socket_.dump(NetlinkMessage(RTM_GETLINK, 0, link_header(0)), [&out](uint16_t, ByteView body) {
        if (auto link = parse_link(body)) out.push_back(std::move(*link));
      });
  if (!outcome) return tl::unexpected(outcome.error());
  return out;
}

NetlinkResult<std::vector<AddressInfo>> KernelTables::addresses() {
  std::vector<AddressInfo> out;
  const auto outcome =
      socket_.dump(NetlinkMessage(RTM_GETADDR, 0, ifaddrmsg{}), [&out](uint16_t, ByteView body) {
        if (auto address = parse_address(body)) out.push_back(*address);
      });
  if (!outcome) return tl::unexpected(outcome.error());
  return out;
}

NetlinkResult<std::vector<RuleInfo>> KernelTables::own_rules() {
  std::vector<RuleInfo> out;
  for (const uint8_t family : {uint8_t{AF_INET}, uint8_t{AF_INET6}}) {
    fib_rule_hdr header{};
    header.family = family;
    const auto outcome =
        socket_.dump(NetlinkMessage(RTM_GETRULE, 0, header), [&out](uint16_t, ByteView body) {
          if (auto rule = parse_own_rule(body)) out.push_back(*rule);
        });
    if (!outcome && outcome.error().number != EAFNOSUPPORT && outcome.error().number != EOPNOTSUPP)
      return tl::unexpected(outcome.error());
  }
  return out;
}

NetlinkResult<std::vector<RouteInfo>> KernelTables::routes(bool ipv6, uint32_t table) {
  rtmsg header{};
  header.rtm_family = ipv6 ? AF_INET6 : AF_INET;
  NetlinkMessage message(RTM_GETROUTE, 0, header);
  message.put_u32(RTA_TABLE, table);
  std::vector<RouteInfo> out;
  const auto outcome = socket_.dump(std::move(message), [&out, table](uint16_t, ByteView body) {
    if (auto route = parse_route(body); route && route->table == table) out.push_back(*route);
  });
  // A table that was never written to does not exist.
  if (!outcome && outcome.error().number != ENOENT) return tl::unexpected(outcome.error());
  return out;
}

NetlinkResult<void> KernelTables::create_macvlan(const std::string& name, int parent, const MacAddress& mac) {
  NetlinkMessage message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, link_header(0));
  message.put_text(IFLA_IFNAME, name);
  message.put(IFLA_ADDRESS, mac.bytes.data(), mac.bytes.size());
  message.put_u32(IFLA_LINK, static_cast<uint32_t>(parent));
  const size_t info = message.open(IFLA_LINKINFO);
  message.put_text(IFLA_INFO_KIND, "macvlan");
  const size_t data = message.open(IFLA_INFO_DATA);
  message.put_u32(IFLA_MACVLAN_MODE, MACVLAN_MODE_BRIDGE);
  message.close(data);
  message.close(info);
  return socket_.request(std::move(message));
}

NetlinkResult<void> KernelTables::delete_link(int index) {
  return allow(socket_.request(NetlinkMessage(RTM_DELLINK, 0, link_header(index))), {ENODEV});
}

NetlinkResult<void> KernelTables::set_up(int index, bool up) {
  ifinfomsg header = link_header(index);
  header.ifi_change = IFF_UP;
  if (up) header.ifi_flags = IFF_UP;
  return socket_.request(NetlinkMessage(RTM_NEWLINK, 0, header));
}

NetlinkResult<void> KernelTables::set_mac(int index, const MacAddress& mac) {
  NetlinkMessage message(RTM_NEWLINK, 0, link_header(index));
  message.put(IFLA_ADDRESS, mac.bytes.data(), mac.bytes.size());
  return socket_.request(std::move(message));
}

NetlinkResult<void> KernelTables::set_alias(int index, const std::string& alias) {
  NetlinkMessage message(RTM_NEWLINK, 0, link_header(index));
  message.put(IFLA_IFALIAS, alias.data(), alias.size());
  return socket_.request(std::move(message));
}

NetlinkResult<void> KernelTables::set_no_link_local(int index) {
  NetlinkMessage message(RTM_NEWLINK, 0, link_header(index));
  const size_t families = message.open(IFLA_AF_SPEC);
  const size_t inet6 = message.open(AF_INET6);
  message.put_u8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
  message.close(inet6);
  message.close(families);
  return allow(socket_.request(std::move(message)), {EAFNOSUPPORT});
}

NetlinkResult<void> KernelTables::add_address(int index, const Prefix& address) {
  ifaddrmsg header{};
  header.ifa_family = family_of(address.address);
  header.ifa_prefixlen = address.length;
  header.ifa_index = static_cast<uint32_t>(index);
  header.ifa_scope = RT_SCOPE_UNIVERSE;
  const bool host = address.length == address_bits(address.address);
  uint32_t flags = host ? IFA_F_NOPREFIXROUTE : 0U;
  if (!address.address.is_v4()) flags |= IFA_F_NODAD;
  header.ifa_flags = static_cast<uint8_t>(flags & 0xffU);
  NetlinkMessage message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, header);
  message.put_address(IFA_LOCAL, address.address);
  message.put_address(IFA_ADDRESS, address.address);
  message.put_u32(IFA_FLAGS, flags);
  return allow(socket_.request(std::move(message)), {EEXIST});
}

NetlinkResult<void> KernelTables::remove_address(const AddressInfo& address) {
  ifaddrmsg header{};
  header.ifa_family = family_of(address.address);
  header.ifa_prefixlen = address.length;
  header.ifa_index = static_cast<uint32_t>(address.ifindex);
  NetlinkMessage message(RTM_DELADDR, 0, header);
  message.put_address(IFA_LOCAL, address.address);
  return allow(socket_.request(std::move(message)), {EADDRNOTAVAIL, ENODEV});
}

NetlinkResult<void> KernelTables::add_rule(const RuleInfo& rule) {
  return allow(socket_.request(rule_message(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, rule)), {EEXIST});
}

NetlinkResult<void> KernelTables::remove_rule(const RuleInfo& rule) {
  return allow(socket_.request(rule_message(RTM_DELRULE, 0, rule)), {ENOENT});
}

NetlinkResult<void> KernelTables::replace_route(const RouteInfo& route) {
  return socket_.request(route_message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route));
}

NetlinkResult<void> KernelTables::remove_route(const RouteInfo& route) {
  return allow(socket_.request(route_message(RTM_DELROUTE, 0, route)), {ESRCH, ENOENT});
}

}  // namespace clusterd
