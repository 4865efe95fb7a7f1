// The port Addresses on Linux: rtnetlink, ARP and ND, directly and without child processes (but for hooks).
//
// How a service's addresses are carried (address_plan.hpp computes it, address_work.hpp does it)
// - virtual:   a macvlan "cd-SERVICE" (mode bridge, so that macvlans of containers on the same NIC reach it)
// with the
//              service's MAC on the service NIC; absent on the standby.
// - redundant: the node's spare NIC takes the service's MAC and addresses and comes up; on the standby it is
// down
//              with its own MAC. One service at a time. Its own MAC is kept in the NIC's alias, where a
//              successor finds it after a crash.
// - none:      the addresses go on the service NIC.
// In the first two the addresses are /32 (/128), and replies to whatever network leave through the same
// device by policy rules and a routing table of the service, so that switches keep learning its MAC.
//
// Everything is idempotent and leaves what is right untouched: a restarted daemon's `add` changes nothing,
// and `remove` also clears what a crashed predecessor left. The gate is attached before the first address is
// added.
//
// NicChanged: `up` means that the NIC is up and has carrier. A spare NIC is down on purpose and shows its
// carrier only when up: while administratively down it counts as up if it is present ("carrier unknown while
// down").
//
// The object belongs to the network namespace in which it was made; calls must come from a thread in that
// namespace (sysctls and the gate depend on it).
#pragma once

#include <memory>

#include "core/config.hpp"
#include "linux/event_loop.hpp"
#include "ports/ports.hpp"

namespace clusterd {

class LinuxAddresses final : public Addresses {
 public:
  LinuxAddresses(EventLoop& loop, const Config& config, Gate& gate, EventSink sink);
  ~LinuxAddresses() override;  // addresses and devices stay as they are
  LinuxAddresses(const LinuxAddresses&) = delete;
  LinuxAddresses& operator=(const LinuxAddresses&) = delete;

  void add(ServiceId service) override;
  void remove(ServiceId service) override;
  void announce(ServiceId service) override;
  void probe(const ProbeAddress& order) override;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace clusterd
