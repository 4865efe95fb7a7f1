// Heartbeats over the network: one UDP socket per link, and echo requests that reference hosts send on (S2a).
//
// Direct: a socket per link, bound to the node's own address there and to its NIC. A datagram counts only if
// it comes from the peer's address and port on that link and opens (seal.hpp).
//
// Relayed: an ICMP echo request goes to the reference host with the *peer's* address as its source and the
// sealed heartbeat as its payload; the host's echo reply takes it to the peer, which reads it on a packet
// socket per link, before its own packet filter (where conntrack would call it invalid). A classic BPF filter
// drops everything else in the kernel. Only hosts whose address lies in a link's network relay, whatever kind
// of probe they get, and only with `relay = "auto"`.
//
// Sending never blocks: what the kernel does not take at once is counted and forgotten, the next heartbeat
// follows soon. A NIC may be missing or down at any time: its sockets are tried again once per second, in
// silence, and opened anew when the NIC comes back with another index.
//
// One thread (the loop's). Sockets belong to the network namespace of the thread that opens them.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "linux/event_loop.hpp"
#include "linux/net/seal.hpp"
#include "linux/net/secret.hpp"
#include "ports/ports.hpp"

namespace clusterd {

// What became of the datagrams of one path. `received` is the sum of `delivered` and all that follow it.
struct PathStats {
  uint64_t sent = 0;
  uint64_t send_errors = 0;  // the kernel refused: no NIC, no route, no room
  uint64_t received = 0;
  uint64_t delivered = 0;
  uint64_t foreign = 0;    // not ours: source address, magic, version
  uint64_t malformed = 0;  // truncated or oversized
  uint64_t wrong_cluster = 0;
  uint64_t wrong_key = 0;    // does not open: secret differs, or changed on the way
  uint64_t replayed = 0;     // seen before, too old, or of an earlier life of the peer
  uint64_t unproven = 0;     // peer's boot id has not yet answered this node's question: a sign of life
  uint64_t undecodable = 0;  // opened, but no heartbeat that encode() could have written

  PathStats& operator+=(const PathStats& other);
  bool operator==(const PathStats&) const = default;
};

struct TransportStats {
  std::vector<PathStats> links;   // per LinkId
  std::vector<PathStats> relays;  // per HostId
  PathStats strangers;            // relayed, but from no reference host
  [[nodiscard]] PathStats total() const;
};

class UdpTransport : public Transport {
 public:
  UdpTransport(EventLoop& loop, const Config& config, const Secret& secret, BootId boot, EventSink sink);
  ~UdpTransport() override;
  UdpTransport(const UdpTransport&) = delete;
  UdpTransport& operator=(const UdpTransport&) = delete;

  void send(const SendHeartbeat& order) override;

  [[nodiscard]] TransportStats stats() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace clusterd
