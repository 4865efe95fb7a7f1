// Asks the LAN whether somebody has a service's address (ARP probe of RFC 5227; NS from the unspecified
// address) and listens for whoever claims it.
//
// Its sockets are open all the time (closing a packet socket waits for the kernel's grace period), with a
// filter that lets only claims of the services' addresses pass, so a quiet LAN never wakes the daemon.
//
// A claim counts when it comes from the probed NIC, within two seconds of the last probe, and not from a MAC
// of this node. `sent` of the answer is that of the last probe: claims are not numbered, and an earlier one
// would only make the claim look older.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "base/address.hpp"
#include "base/ids.hpp"
#include "base/time.hpp"
#include "linux/event_loop.hpp"

namespace clusterd {

struct LanAnswer {
  ServiceId service;
  IpAddress address;
  MacAddress mac;
  Instant sent;
};

class LanProbe {
 public:
  using OnAnswer = std::function<void(const LanAnswer&)>;
  using IsOwnMac = std::function<bool(const MacAddress&)>;
  LanProbe(EventLoop& loop, const std::vector<IpAddress>& addresses, IsOwnMac is_own_mac, OnAnswer on_answer);
  ~LanProbe();
  LanProbe(const LanProbe&) = delete;
  LanProbe& operator=(const LanProbe&) = delete;

  void probe(ServiceId service, Instant sent, int ifindex, const MacAddress& nic_mac,
             const std::vector<IpAddress>& addresses);

 private:
  struct Asked {
    Instant sent;
    int ifindex = 0;
    Instant asked_at;
  };
  void open_listener(int& fd, std::unique_ptr<Watch>& watch, const std::vector<IpAddress>& addresses,
                     bool ipv6);
  void receive(int fd);
  void hear_all_nodes(int ifindex);

  EventLoop& loop_;
  IsOwnMac is_own_mac_;
  OnAnswer on_answer_;
  int arp_fd_ = -1, ipv6_fd_ = -1;
  std::unique_ptr<Watch> arp_watch_, ipv6_watch_;
  std::map<IpAddress, std::pair<ServiceId, Asked>> asked_;
  std::vector<int> joined_;  // NICs on which advertisements to all nodes are received
};

}  // namespace clusterd
