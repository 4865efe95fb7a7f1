// Probes by ARP (IPv4) and neighbour solicitation (IPv6). Internal to src/linux/net; host_prober.hpp
// describes the rules.
//
// The first probes go to everybody (broadcast, solicited-node multicast). Once the host's MAC is known, ARP
// goes to it alone, as long as it answers: so that fast probing does not disturb the whole LAN.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <vector>

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
  struct Waiting {
    std::deque<Instant> sent;       // unanswered, oldest first
    std::optional<MacAddress> mac;  // IPv4: where the last answer came from
    size_t in_vain = 0;             // probes since the last answer
  };

  [[nodiscard]] bool is_ready(LinkId link, IpAddress::Family family);
  [[nodiscard]] bool open(LinkId link, Port& port, IpAddress::Family family);
  [[nodiscard]] bool send_arp(HostId host, const Port& port);
  [[nodiscard]] bool send_solicitation(HostId host, const Port& port);
  void read(LinkId link, IpAddress::Family family);
  void take_arp(LinkId link, std::span<const uint8_t> bytes);
  void take_advertisement(LinkId link, std::span<const uint8_t> bytes, int hop_limit);
  void answered(HostId host);
  [[nodiscard]] std::optional<HostId> find(LinkId link, const IpAddress& address) const;
  [[nodiscard]] const LinkEnd& own_end(LinkId link) const;
  [[nodiscard]] Port& port(LinkId link, IpAddress::Family family) {
    return ports_.at(link.at() * 2 + (family == IpAddress::Family::kV6 ? 1 : 0));
  }

  ProbeContext& context_;
  std::vector<Port> ports_;       // per LinkId and family
  std::vector<Waiting> waiting_;  // per HostId
  Batch batch_;
};

}  // namespace clusterd::net
