// Probes by ICMP and ICMPv6 echo. Internal to src/linux/net; host_prober.hpp describes the rules.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "linux/net/probe_context.hpp"
#include "linux/net/socket.hpp"

namespace clusterd::net {

class EchoProber {
 public:
  explicit EchoProber(ProbeContext& context);
  void probe(const SendProbe& order);

 private:
  // A probe that may still be answered. A later one takes its place in the ring; then it is too old.
  struct Probe {
    uint64_t token = 0;
    Instant sent{};
    uint16_t sequence = 0;
    bool waits = false;
  };
  static constexpr size_t kRing = 256;  // 1.28 s of the fastest probes
  struct Host {
    std::array<Probe, kRing> probes;
    uint16_t sequence = 0;
  };
  struct Receiver {
    Socket socket;
    std::unique_ptr<Watch> watch;
  };

  [[nodiscard]] Receiver& receiver(IpAddress::Family family) {
    return receivers_[family == IpAddress::Family::kV6];
  }
  void open(IpAddress::Family family);
  void read(IpAddress::Family family);
  void take(IpAddress::Family family, const IpAddress& source, std::span<const uint8_t> bytes);

  ProbeContext& context_;
  uint16_t id_;
  std::vector<std::unique_ptr<Host>> hosts_;  // per HostId; only those with kIcmp
  std::array<Receiver, 2> receivers_;         // IPv4, IPv6; they also send
  Batch batch_;
};

}  // namespace clusterd::net
