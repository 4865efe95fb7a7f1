// Probes by TCP connect. Internal to src/linux/net; host_prober.hpp describes the rules.
#pragma once

#include <list>
#include <memory>
#include <vector>

#include "linux/net/probe_context.hpp"
#include "linux/net/socket.hpp"

namespace clusterd::net {

class TcpProber {
 public:
  explicit TcpProber(ProbeContext& context);
  void probe(const SendProbe& order);

 private:
  struct Attempt {
    Socket socket;
    std::unique_ptr<Watch> watch;  // after the socket: it ends first
    std::unique_ptr<Timer> limit;
    Instant sent{};
    Instant began{};
    bool refused = false;  // at once: only by a host in this very kernel
  };
  using Attempts = std::list<Attempt>;

  [[nodiscard]] bool make_room(HostId host);
  [[nodiscard]] bool connect_to(HostId host, Attempt& attempt);
  void finish(HostId host, Attempts::iterator attempt);

  ProbeContext& context_;
  std::vector<Attempts> attempts_;  // per HostId, oldest first
};

}  // namespace clusterd::net
