// The site's own ifup and ifdown, so that NetworkManager, ifupdown or networkd may take part.
//
// Run by /bin/sh, with the environment of the daemon and
//   CLUSTERD_ACTION     up | down
//   CLUSTERD_SERVICE    name of the service
//   CLUSTERD_NIC        the NIC or macvlan that carries the addresses
//   CLUSTERD_ADDRESSES  as configured, with their prefix lengths, separated by spaces
//   CLUSTERD_MAC        the service's MAC, empty with mac = "none"
//
// "up" runs when the addresses stand, "down" when they are about to be removed. Nobody waits for a hook: the
// addresses are added and removed in any case. One hook of a service runs at a time, the latest order
// follows; one that fails or exceeds hooks.timeout is logged.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "core/config.hpp"
#include "linux/event_loop.hpp"
#include "linux/units/process.hpp"

namespace clusterd {

class Hooks {
 public:
  Hooks(EventLoop& loop, const Config& config);

  void run(bool up, ServiceId service, const std::string& device);

 private:
  struct Order {
    bool up = false;
    std::string device;
  };
  struct Slot {
    std::unique_ptr<ChildProcess> child;
    std::optional<Order> next;
  };
  void start(ServiceId service, const Order& order);

  EventLoop& loop_;
  const Config config_;
  std::map<ServiceId, Slot> slots_;
};

}  // namespace clusterd
