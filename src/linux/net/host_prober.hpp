// Probes of reference hosts: does the host answer, and to which of the probes.
//
// An answer is evidence that counts from when its probe was *sent* (S1), so each answer is matched to exactly
// one probe, and a probe is answered once:
//   ICMP  echo request with own identifier, sequence and a random token; all three must come back, from the
//         host's address. IPv4 and IPv6.
//   ARP   request from the node's MAC on the host's link, IPv4 only. It has no room for a token: which probe
//         an answer belongs to is said by core/unnumbered_probes.hpp, rather an older one than a younger one.
//         Prefer ICMP where the host answers it.
//   TCP   connect to the port. A connection and a refusal (RST) are both answers: the host lives, whatever
//         became of its service. At most `kTcpInFlight` attempts per host, each bounded by a second; when the
//         room is used up, the oldest is given up if it has had its fair time, otherwise the new probe is
//         skipped and counted.
// A host in a link's network is probed from the node's own address on that link and through its NIC, so that
// the answer says something about that link. Other hosts are probed by ordinary routing (ARP: not at all).
//
// One socket per family, with a BPF filter, receives all ICMP answers. Nothing blocks; what the kernel does
// not take is counted. Sockets that cannot be opened (NIC missing) are tried again with the next probe.
// Sockets belong to the network namespace of the thread that opens them.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "linux/event_loop.hpp"
#include "ports/ports.hpp"

namespace clusterd {

struct ProberStats {
  uint64_t sent = 0;
  uint64_t send_errors = 0;
  uint64_t skipped = 0;   // TCP: too many attempts under way; ARP: the lost ones would be mistaken
  uint64_t answered = 0;  // events delivered
  uint64_t ignored = 0;   // wrong token or address, unknown or old sequence, answered before
};

class HostProber : public Prober {
 public:
  HostProber(EventLoop& loop, const Config& config, EventSink sink);
  ~HostProber() override;
  HostProber(const HostProber&) = delete;
  HostProber& operator=(const HostProber&) = delete;

  void probe(const SendProbe& order) override;

  [[nodiscard]] std::vector<ProberStats> stats() const;  // per HostId
  [[nodiscard]] uint64_t strangers() const;              // answers that belong to no host

  static constexpr size_t kTcpInFlight = 8;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace clusterd
