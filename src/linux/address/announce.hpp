// Tells the neighbours where a service's addresses are: gratuitous ARP (request and reply) and unsolicited
// NA.
//
// A burst of five rounds (at once, then after 50 ms, 200 ms, 1 s and 3 s, because any of them may be lost and
// a switch port may still be learning), then one round every 30 s as long as the service is active here.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "base/address.hpp"
#include "base/ids.hpp"
#include "linux/event_loop.hpp"

namespace clusterd {

class Announcer {
 public:
  explicit Announcer(EventLoop& loop);
  ~Announcer();
  Announcer(const Announcer&) = delete;
  Announcer& operator=(const Announcer&) = delete;

  // The first round leaves before this returns. A running burst of the service starts again.
  void start(ServiceId service, int ifindex, const MacAddress& mac, std::vector<IpAddress> addresses);
  void stop(ServiceId service);

 private:
  struct Campaign {
    int ifindex = 0;
    MacAddress mac;
    std::vector<IpAddress> addresses;
    size_t round = 0;
    std::unique_ptr<Timer> timer;
  };
  void send_round(ServiceId service);

  EventLoop& loop_;
  int fd_ = -1;
  std::map<ServiceId, Campaign> campaigns_;
};

}  // namespace clusterd
