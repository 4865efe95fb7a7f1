// Probes by ARP. Internal to src/linux/net; host_prober.hpp describes the rules.
//
// The first requests go to everybody. Once the host's MAC is known, they go to it alone, as long as it
// answers: so that fast probing does not disturb the whole LAN. The kernel notes when an answer arrives, so
// that one that has waited for a daemon that stood still is not taken for the answer to a later request.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "core/unnumbered_probes.hpp"
#include "linux/net/probe_context.hpp"
#include "linux/net/socket.hpp"

namespace clusterd::net {

class NeighbourProber {
 public:
  explicit NeighbourProber(ProbeContext& context);
  void probe(const SendProbe& order);

 private:
  struct Port {  // one socket per link that has such hosts
    Socket socket;
    std::unique_ptr<Watch> watch;
    unsigned index = 0;
  };
  struct Host {
    UnnumberedProbes probes;
    std::optional<MacAddress> mac;  // where the last answer came from
  };

  [[nodiscard]] bool is_ready(LinkId link);
  [[nodiscard]] bool open(LinkId link, Port& port);
  [[nodiscard]] bool send(HostId host, const Port& port, AskedAs as);
  void read(LinkId link);
  void take(LinkId link, std::span<const uint8_t> bytes, Instant received);
  [[nodiscard]] std::optional<HostId> find(LinkId link, const IpAddress& address) const;
  [[nodiscard]] const LinkEnd& own_end(LinkId link) const;

  ProbeContext& context_;
  std::vector<Port> ports_;  // per LinkId
  std::vector<Host> hosts_;  // per HostId
  Batch batch_;
};

}  // namespace clusterd::net
