// What happens when one configuration takes the place of another: `clusterctl plan`, and what has to be
// cleared away once the new one runs. Pure.
//
// Every change is taken by a clean restart of the daemon, in which services, addresses and gates stay. So
// whatever a plan does not name goes on as if nothing had happened.
#pragma once

#include <string>
#include <vector>

#include "core/config.hpp"

namespace clusterd::versions {

enum class Effect : uint8_t {
  kNothing,       // only settings: nothing that runs is touched
  kAddresses,     // addresses come, go or change their device
  kUnits,         // units start or stop; the others go on
  kUnitRestarts,  // a unit is stopped and started again
  kBegins,        // a new service
  kEnds,          // a service is no longer there: stopped in order on the node where it runs
};
[[nodiscard]] const char* name(Effect effect);

struct Step {
  Effect effect = Effect::kNothing;
  std::string text;  // "192.168.1.21/24 is added"
  bool operator==(const Step&) const = default;
};

// What a node may have of its own, and no hash covers: the text of that step.
inline constexpr const char* kPrivateSettings = "notifications, hooks, ssh, devices or passwords";

struct ServicePlan {
  std::string service;
  std::vector<Step> steps;  // never empty
  [[nodiscard]] Effect worst() const;
};

struct Plan {
  std::vector<ServicePlan> services;   // those that change, sorted by name
  std::vector<Step> cluster;           // what concerns no service alone
  std::vector<std::string> untouched;  // the services that stay as they are
  // How the nodes hear each other or when one may take over is about to change: then the nodes hold back from
  // takeovers until both have the new configuration (docs/decisions/0012).
  bool arbitration = false;
  // Not to be done by a version at all; empty: none.
  std::string refused;

  [[nodiscard]] bool restarts() const { return !services.empty() || !cluster.empty(); }
};

[[nodiscard]] Plan plan(const Config& old, const Config& now);

// Units of `old` that run by definitions that `now` does not have, in the order in which they are stopped.
struct OldUnit {
  ServiceId service;  // in `old`
  UnitId unit;
  bool operator==(const OldUnit&) const = default;
};
[[nodiscard]] std::vector<OldUnit> old_units(const Config& old, const Config& now);

}  // namespace clusterd::versions
