// What the three kinds of probes share. Internal to src/linux/net.
#pragma once

#include <utility>
#include <vector>

#include "linux/event_loop.hpp"
#include "linux/net/host_prober.hpp"
#include "linux/net/socket.hpp"
#include "ports/ports.hpp"

namespace clusterd::net {

struct ProbeContext {
  EventLoop& loop;
  const Config& config;
  EventSink sink;
  std::vector<ProberStats> stats;
  std::vector<unsigned> nics;  // last known index, per LinkId
  uint64_t strangers = 0;

  [[nodiscard]] ProberStats& of(HostId host) { return stats.at(host.at()); }
  void count_sent(HostId host, bool sent) { ++(sent ? of(host).sent : of(host).send_errors); }
  void answered(HostId host, Instant sent) {
    ++of(host).answered;
    sink(Event(ProbeAnswered{host, sent}));
  }
  // The index of the NIC of the host's link, of which there must be one; 0 = missing.
  [[nodiscard]] unsigned nic_of(HostId host, const Socket& socket) {
    unsigned& index = nics.at(config.host(host).link->at());
    index = nic_index(socket, own_end(host)->nic, index);
    return index;
  }
  // The node's own end of the host's link; null for a host that is reached by ordinary routing.
  [[nodiscard]] const LinkEnd* own_end(HostId host) const {
    const auto& link = config.host(host).link;
    return link ? &config.link(*link).ends.at(config.self.at()) : nullptr;
  }
};

}  // namespace clusterd::net
