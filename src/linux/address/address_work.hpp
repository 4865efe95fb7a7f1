// Brings a service's addresses into the kernel, takes them away, and compares. Every call is idempotent,
// works from what the kernel has and not from what was done before, and changes nothing that is right
// already.
//
// The spare NIC's own MAC is kept in its alias, "clusterd SERVICE was 52:54:00:12:34:56|former alias", as
// long as it carries a service: a successor finds it after a crash.
//
// Threading: one thread, in the network namespace in which the object was made.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "linux/address/address_plan.hpp"
#include "linux/address/kernel_tables.hpp"
#include "linux/address/link_reaper.hpp"

namespace clusterd {

class AddressWork {
 public:
  // `attach_gate` is called when the device exists, before it has an address or is up.
  // Returns the link that carries the addresses.
  Result<LinkInfo> bring_up(const AddressPlan& plan, const std::function<Result<void>()>& attach_gate);
  // Also clears what the service may have left with another mode (mac = …). A macvlan vanishes shortly after
  // the return (link_reaper.hpp); its addresses are gone by then.
  Result<void> take_down(const AddressPlan& plan);
  // What of bring_up's work is not there (any more), in words; empty = all is well.
  [[nodiscard]] std::vector<std::string> missing(const AddressPlan& plan);
  // Brings the service's table up to date with the main table. A default route that vanished from the main
  // table (the NIC failed) is kept: the service's device may still reach the gateway.
  void sync_routes(const AddressPlan& plan);
  // Removes macvlans and rules of services that the configuration does not name any more.
  void sweep(const std::vector<AddressPlan>& plans);

  [[nodiscard]] KernelTables& kernel() { return kernel_; }

 private:
  Result<LinkInfo> require(const std::string& name);
  Result<LinkInfo> ensure_macvlan(const AddressPlan& plan);
  Result<LinkInfo> ensure_spare(const AddressPlan& plan, const std::function<Result<void>()>& attach_gate);
  Result<void> put_addresses(const AddressPlan& plan, int ifindex);
  Result<void> put_routes(const AddressPlan& plan, int ifindex);
  Result<void> put_rules(const AddressPlan& plan);
  Result<void> release_spare(const AddressPlan& plan);
  [[nodiscard]] std::vector<RouteInfo> wanted_routes(const AddressPlan& plan, int ifindex);

  KernelTables kernel_;
  LinkReaper reaper_;
};

// What a spare NIC's alias says; nothing if it is not ours.
struct SpareMark {
  std::string service;
  MacAddress own_mac;
  std::string former_alias;
  [[nodiscard]] std::string text() const;
  [[nodiscard]] static std::optional<SpareMark> parse(const std::string& alias);
};

}  // namespace clusterd
