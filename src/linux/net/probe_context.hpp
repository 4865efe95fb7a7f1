// What the three kinds of probes share. Internal to src/linux/net.
#pragma once

#include <utility>
#include <vector>

#include "linux/event_loop.hpp"
#include "linux/net/host_prober.hpp"
#include "ports/ports.hpp"

namespace clusterd::net {

struct ProbeContext {
  EventLoop& loop;
  const Config& config;
  EventSink sink;
  std::vector<ProberStats> stats;
  uint64_t strangers = 0;

  [[nodiscard]] ProberStats& of(HostId host) { return stats.at(host.at()); }
  void count_sent(HostId host, bool sent) { ++(sent ? of(host).sent : of(host).send_errors); }
  void answered(HostId host, Instant sent) {
    ++of(host).answered;
    sink(Event(ProbeAnswered{host, sent}));
  }
  // The node's own end of the host's link; null for a host that is reached by ordinary routing.
  [[nodiscard]] const LinkEnd* own_end(HostId host) const {
    const auto& link = config.host(host).link;
    return link ? &config.link(*link).ends.at(config.self.at()) : nullptr;
  }
};

}  // namespace clusterd::net
