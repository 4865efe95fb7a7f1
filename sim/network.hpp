// The simulated networks: one per link, and the reference hosts on them.
//
// A message asks when it arrives: never (cut, lost), once, or twice (duplicated), each copy after its own
// delay. Corruption is loss here: the seal of a real datagram makes it so (tests/unit/net).
//
// A reference host is seen by each node or not, may answer late or not always, and relays heartbeats or not.
#pragma once

#include <array>
#include <vector>

#include "core/config.hpp"
#include "sim/random.hpp"

namespace clusterd::sim {

// The delays of the copies that arrive; empty: lost.
struct Copies {
  std::array<Duration, 2> delay{};
  size_t count = 0;
  [[nodiscard]] const Duration* begin() const { return delay.data(); }
  [[nodiscard]] const Duration* end() const { return delay.data() + count; }
};

// One direction of a path between the nodes, or between a node and a reference host.
struct Path {
  bool up = true;
  unsigned loss = 0;        // percent
  unsigned duplicates = 0;  // percent
  Duration delay{};         // on top of the ordinary one
  Duration jitter{};        // at random on top of that: reorders
  Instant clogged_until{};  // what is sent before arrives then, all at once
};

class Network {
 public:
  static constexpr Duration kHop = std::chrono::microseconds(150);

  Network(size_t links, size_t hosts);

  // Faults.
  Path& link(LinkId link, NodeId from) { return links_.at(link.at()).at(from.at()); }
  Path& host(HostId host, NodeId node) { return hosts_.at(host.at()).path.at(node.at()); }
  void set_relays(HostId host, bool relays) { hosts_.at(host.at()).relays = relays; }
  void set_relays(bool relays);
  // Whether it answers to an ARP request that names no address to answer to.
  void set_answers_nobody(HostId host, bool answers) { answers_nobody_.at(host.at()) = answers; }
  [[nodiscard]] bool answers_nobody(HostId host) const { return answers_nobody_.at(host.at()); }
  void set_one_way(NodeId from, bool cut) { cut_.at(from.at()) = cut; }  // on every link
  void heal();

  // When a message that is sent now arrives at the peer; at the host and back; at the peer off the host. The
  // NICs are the machines' affair.
  [[nodiscard]] Copies direct(NodeId from, LinkId link, Instant now, Random& random) const;
  [[nodiscard]] Copies probe(NodeId from, HostId host, Instant now, Random& random) const;
  [[nodiscard]] Copies relayed(NodeId from, HostId host, Instant now, Random& random) const;
  [[nodiscard]] bool link_up(NodeId from, LinkId link) const;
  [[nodiscard]] bool sees(NodeId node, HostId host) const {
    return hosts_.at(host.at()).path.at(node.at()).up;
  }
  [[nodiscard]] bool relays(HostId host) const { return hosts_.at(host.at()).relays; }

 private:
  struct Host {
    std::array<Path, kNodes> path;
    bool relays = true;
  };
  static Copies send(const Path& path, Duration base, Instant now, Random& random);

  std::vector<std::array<Path, kNodes>> links_;  // by sender
  std::vector<Host> hosts_;
  std::vector<bool> answers_nobody_;  // what they are; nothing to heal
  std::array<bool, kNodes> cut_{};
};

}  // namespace clusterd::sim
