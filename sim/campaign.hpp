// One seed of a random campaign: a cluster is drawn, the nemesis does its work for a while, everything is
// healed, and the cluster has to be whole again within a stated time.
#pragma once

#include <cstdint>
#include <string>

#include "base/time.hpp"

namespace clusterd::sim {

struct CampaignOptions {
  std::string profile = "any";                // steady, fast, realtime, or drawn by the seed
  Duration length = std::chrono::minutes(8);  // of the faults
  bool effects = false;                       // services with effects = "node", watchdogs and fences
  bool relations = false;                     // two to four services with relations to each other
  bool scheduled = false;                     // no live mirrors: as seeds were before there were any
  bool arp = true;         // some hosts answer by ARP; false: as seeds were before there were any
  bool scenes = true;      // false, or with `scheduled`: as seeds were before there were any
  bool verbose = false;    // print what the nodes say
  std::string trace_file;  // empty: none
};

// After the last fault: how long the cluster has to be whole again. What takes longest is a reference host
// that has left the counted sets, a stop that runs into its time limit, and the pause after a handover that
// failed.
inline constexpr Duration kHealingLimit = std::chrono::seconds(120);

struct Outcome {
  std::string finding;  // empty: all is well
  uint64_t hash = 0;    // of the run's trace
  size_t excused = 0;   // accusations that a broken assumption explains
  unsigned faults = 0;
  unsigned takeovers = 0;
  Duration simulated{};
};

[[nodiscard]] Outcome run_seed(uint64_t seed, const CampaignOptions& options);

}  // namespace clusterd::sim
