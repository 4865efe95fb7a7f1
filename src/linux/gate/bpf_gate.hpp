// The lease gate (safety rule S3): a BPF program in the kernel that lets a service's packets pass only before
// a deadline. It needs no living daemon to fall shut.
//
// What is gated, unless now < deadline of the service (see gate.bpf.c for every case)
// - out: whatever speaks *as* the service: its source address, its ARP sender address, NAs for it;
// - in: whatever speaks *to* the service: its destination address, ARP requests and NSs for it.
// A node that is a client of the service at the other node, or probes for its address, always passes.
//
// How
// - tc clsact, ingress and egress, priority 1, own handle; foreign filters are neither touched nor skipped: a
//   packet that passes the gate goes on to the next filter. Something that occupies priority 1 with another
//   kind of filter is reported, because a filter in front of the gate could let packets slip by it. So could
//   TCX programs on kernels from 6.6 on, and programs that send with PACKET_QDISC_BYPASS.
// - on every NIC that the configuration names for this node, and on the service's macvlan: an address is
// never
//   only on one NIC (a kernel answers ARP for any of its addresses on any NIC).
// - three maps (addresses, deadlines, names of the slots) and counters, pinned under `pin_dir` on a bpffs.
// The
//   filters and the maps outlive the daemon; the next daemon finds the deadlines as they are, and replaces
//   the program in one atomic step. Slots belong to service *names*, so a changed configuration cannot give
//   one service the deadline of another.
// - frames of other VLANs than that of the NIC are other networks, and not looked at.
//
// Threading: one thread. `attach` and `open` act in the network namespace of the calling thread. `set`,
// `shut` and `deadline` are one memory access. `open` loads a program (some milliseconds).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.hpp"
#include "base/time.hpp"
#include "core/config.hpp"
#include "ports/ports.hpp"

namespace clusterd {

class BpfGate final : public Gate {
 public:
  // Loads the program, reusing the maps under `pin_dir`. Services that it has not seen before are shut,
  // others keep their deadline; what the configuration does not name any more is forgotten. Mounts a bpffs on
  // /sys/fs/bpf when `pin_dir` lies there and nothing is mounted.
  static Result<std::unique_ptr<BpfGate>> open(const Config& config, const std::string& pin_dir);
  ~BpfGate() override;  // the filters, maps and deadlines stay
  BpfGate(const BpfGate&) = delete;
  BpfGate& operator=(const BpfGate&) = delete;

  // kRetry: the NIC is missing. Idempotent and without a gap where the gate is attached already.
  Result<void> attach(ServiceId service) override;
  void set(ServiceId service, Instant deadline) override;
  void shut(ServiceId service) override;

  [[nodiscard]] Instant deadline(ServiceId service) const;
  struct Counts {
    uint64_t passed = 0, dropped = 0;  // packets since the maps were made
  };
  [[nodiscard]] Counts counts(ServiceId service) const;

  // Whether the gate can be used on this host: loads it, and lets packets run against it in a network
  // namespace of its own. The error says in plain words why not. Takes some ten milliseconds: not for the
  // reactor's thread.
  static Result<void> self_test();

  // For removing the software: takes the gate from all NICs of this network namespace and removes the pinned
  // maps.
  static Result<void> remove_all(const std::string& pin_dir);

 private:
  class Impl;
  explicit BpfGate(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace clusterd
