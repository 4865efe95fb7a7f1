// Everything of a cluster that can break, as its configuration names it.
#pragma once

#include <string>
#include <vector>

#include "core/config.hpp"
#include "sim/world.hpp"

namespace clusterd::whatif {

struct Fault {
  enum class Kind : uint8_t {
    kPower,         // of a node
    kDaemonKilled,  // and not started again
    kDaemonFrozen,  // and not thawed
    kNic,           // of a node, or its cable: no carrier
    kSwitch,        // of a link: no carrier on either node
    kPath,          // between the nodes on one link only: both still reach everything else there
    kHost,          // a reference host
    kUnitCrash,     // once, wherever it runs then
    kServiceBroken  // on a node: its units end, and do not start there any more
  } kind = Kind::kPower;
  NodeId node;
  LinkId link;
  HostId host;
  ServiceId service;
  UnitId unit;
  std::string nic;
  std::string text;  // "serv1 loses its power"
};

// In the order of the configuration.
[[nodiscard]] std::vector<Fault> faults_of(const Config& config);

// Lets it happen now. What is already so stays so.
void strike(sim::World& world, const Config& config, const Fault& fault);

// Whether the reference hosts look different after it: then the counted sets may change a minute later.
[[nodiscard]] bool moves_hosts(const Config& config, const Fault& fault);

}  // namespace clusterd::whatif
