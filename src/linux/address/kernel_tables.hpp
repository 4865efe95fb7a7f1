// Links, addresses, rules and routes of the kernel as plain values, and the requests that change them.
//
// Requests that find their work done already (address exists, rule is gone) succeed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "linux/address/netlink.hpp"

namespace clusterd {

// The longest prefix that such an address can have.
[[nodiscard]] inline uint8_t address_bits(const IpAddress& address) { return address.is_v4() ? 32 : 128; }

struct LinkInfo {
  int index = 0;
  std::string name;
  MacAddress mac;
  std::optional<MacAddress> permanent_mac;
  uint32_t flags = 0;     // IFF_…
  uint8_t operstate = 0;  // IF_OPER_…
  int parent = 0;         // of a macvlan: its NIC
  std::string kind;       // "macvlan", "veth", "" for hardware
  std::string alias;

  [[nodiscard]] bool up() const;       // administratively
  [[nodiscard]] bool carrier() const;  // and running
};

struct AddressInfo {
  int ifindex = 0;
  IpAddress address;
  uint8_t length = 0;
};

// "From this address look into this table."
struct RuleInfo {
  IpAddress source;
  uint32_t priority = 0;
  uint32_t table = 0;
  bool no_default = false;  // suppress_prefixlength 0: this table's default route does not count
  auto operator<=>(const RuleInfo&) const = default;
};

struct RouteInfo {
  Prefix destination;
  uint32_t table = 0;
  int ifindex = 0;
  std::optional<IpAddress> gateway;
  uint32_t metric = 0;
  auto operator<=>(const RouteInfo&) const = default;
};

// rtm_protocol and FRA_PROTOCOL of everything that clusterd makes (/etc/iproute2/rt_protos: free).
inline constexpr uint8_t kOwnProtocol = 205;
inline constexpr uint32_t kMainTable = 254;

// From the bodies of RTM_NEWLINK etc.; nothing if they are malformed or of a kind that does not concern us.
[[nodiscard]] std::optional<LinkInfo> parse_link(ByteView body);
[[nodiscard]] std::optional<AddressInfo> parse_address(ByteView body);
[[nodiscard]] std::optional<RuleInfo> parse_own_rule(ByteView body);
[[nodiscard]] std::optional<RouteInfo> parse_route(ByteView body);  // unicast, one next hop

class KernelTables {
 public:
  [[nodiscard]] NetlinkResult<std::optional<LinkInfo>> link(const std::string& name);
  [[nodiscard]] NetlinkResult<std::vector<LinkInfo>> links();
  [[nodiscard]] NetlinkResult<std::vector<AddressInfo>> addresses();
  [[nodiscard]] NetlinkResult<std::vector<RuleInfo>> own_rules();
  [[nodiscard]] NetlinkResult<std::vector<RouteInfo>> routes(bool ipv6, uint32_t table);

  NetlinkResult<void> create_macvlan(const std::string& name, int parent, const MacAddress& mac);
  NetlinkResult<void> delete_link(int index);
  NetlinkResult<void> set_up(int index, bool up);
  NetlinkResult<void> set_mac(int index, const MacAddress& mac);
  NetlinkResult<void> set_alias(int index, const std::string& alias);
  NetlinkResult<void> set_no_link_local(int index);  // the kernel makes no fe80:: address of its own
  NetlinkResult<void> add_address(int index, const Prefix& address);  // usable at once (nodad), no route
  NetlinkResult<void> remove_address(const AddressInfo& address);
  NetlinkResult<void> add_rule(const RuleInfo& rule);
  NetlinkResult<void> remove_rule(const RuleInfo& rule);
  NetlinkResult<void> replace_route(const RouteInfo& route);
  NetlinkResult<void> remove_route(const RouteInfo& route);

 private:
  NetlinkSocket socket_;
};

}  // namespace clusterd
