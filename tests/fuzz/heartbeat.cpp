// The heartbeat behind the seal: what the peer, or whoever has the cluster's secret, can send.
#include "core/heartbeat.hpp"

#include <algorithm>

#include "targets.hpp"

namespace clusterd::fuzz {

void fuzz_heartbeat(Bytes input) {
  const auto heartbeat = decode(input);
  if (!heartbeat) return;
  require(heartbeat->from.at() < kNodes, "the sender is a node of the cluster");
  require(heartbeat->hosts.size() <= kMaxHosts, "no more hosts than allowed");
  require(heartbeat->services.size() <= kMaxServices, "no more services than allowed");
  require(heartbeat->lineage.size() <= kMaxLineage, "no longer lineage than allowed");
  require(heartbeat->answer.reason.size() <= 120, "no longer reason than allowed");
  for (const ServiceReport& service : heartbeat->services)
    require(std::string_view(name(service.role)) != "unknown", "every role has a name");
  const auto again = encode(*heartbeat);
  require(std::equal(again.begin(), again.end(), input.begin(), input.end()), "one heartbeat, one encoding");
}

}  // namespace clusterd::fuzz
