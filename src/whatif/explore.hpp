// Runs faults, alone and in pairs, through the production core in the simulated world, and says what becomes
// of the services.
//
// A pair is tried in three ways, since it matters: both at once, and each of them a while after the other
// (long enough for reference hosts that are gone to stop counting). Time is measured in steps of a tenth of a
// heartbeat, 1 to 10 ms. What a run cannot know is left out: how long real units take to start and to stop.
//
// A run begins with the cluster as it is prepared once: its copies are made by fork(), so runs cost only what
// happens in them, and use all processors. The caller must have one thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "whatif/faults.hpp"

namespace clusterd::whatif {

// Where everything is before the first fault.
struct Start {
  std::vector<std::optional<NodeId>> active;  // per service; nobody: where the nodes put it by themselves
  std::vector<bool> relays;                   // per host: heartbeats come through it
};
// As far as the configuration alone tells: services where they are preferred; hosts relay that are asked by
// ICMP on the network of a link.
[[nodiscard]] Start start_of(const Config& config);

struct ServiceEnd {
  bool up = false;               // clients reach it
  std::optional<NodeId> active;  // the node that serves, or would if clients reached it
  std::optional<NodeId> before;  // … before the first fault
  Duration down{};               // while it was not reached, up to the end of the run
  Duration at_risk{};  // age of the files at worst, where the service was taken over without a flush
  std::string why;     // it is not up
};

enum class When : uint8_t { kAlone, kTogether, kFirstLater, kSecondLater };

struct Run {
  std::vector<uint32_t> faults;  // one or two, of faults_of()
  When when = When::kAlone;
  std::vector<ServiceEnd> services;
  bool both = false;                     // two nodes answered at once
  std::vector<std::string> assumptions;  // on which "not both" rests
};

struct Exploration {
  std::vector<Fault> faults;
  std::vector<Run> singles;  // in the order of the faults
  std::vector<Run> pairs;    // sorted by their faults, then by timing
};

// `most`: 1 or 2 faults. kRefused: the cluster does not come up in the simulation at all.
[[nodiscard]] Result<Exploration> explore(const Config& config, const Start& start, unsigned most);

}  // namespace clusterd::whatif
