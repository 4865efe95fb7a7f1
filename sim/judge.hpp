// The judge: looks at kernels, disks and files, and does not ask the daemons.
//
// An accusation made while an assumption of docs/safety.md did not hold is kept apart: such a run shows what
// the assumption is for, and is not a fault of the program. Which assumption was broken, and until when, is
// told by those who break it (the nemesis through the world).
#pragma once

#include <array>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/config.hpp"

namespace clusterd::sim {

enum class Assumption : uint8_t {
  kClockRate,      // A1
  kHearOffHost,    // A2: T
  kDisk,           // A3
  kAdministrator,  // `start --force` was ordered although the peer lives
  kFence           // A6: a machine whose fence device says "off" is off
};
inline constexpr size_t kAssumptions = 5;
[[nodiscard]] const char* name(Assumption assumption);

struct Accusation {
  Instant at;
  std::string text;
  std::optional<Assumption> excuse;
};

class Judge {
 public:
  explicit Judge(const Config& config);

  // The assumption does not hold from `now` until `until` (kNever: for the rest of the run).
  void excuse(Assumption assumption, Instant until);
  std::function<void(Assumption, Instant)> on_excuse;  // of one that lasts longer than was known

  // Who answers for the service now, with the epoch on that node's disk.
  struct Answer {
    NodeId node;
    Epoch epoch;
  };
  void look(Instant now, ServiceId service, const std::vector<Answer>& answers);
  // On which machines units of a service with effects = "node" run now (S13).
  void look_at_units(Instant now, ServiceId service, size_t machines);
  // A state became durable on a node's disk; `forgotten` if its disk was wiped or rolled back before.
  void stored(Instant now, NodeId node, ServiceId service, Epoch epoch);
  void forgot(NodeId node);
  void logged(Instant now, const std::string& line);

  // Who answered at the highest epoch so far.
  [[nodiscard]] std::optional<Answer> newest(ServiceId service) const;

  void accuse(Instant now, const std::string& text);
  [[nodiscard]] const std::vector<Accusation>& accusations() const { return accusations_; }
  // The first that no broken assumption excuses.
  [[nodiscard]] const Accusation* unexcused() const;
  [[nodiscard]] size_t excused() const;
  [[nodiscard]] bool assumption_broken(Instant now) const;

 private:
  struct Service {
    Epoch newest;                     // that ever answered
    std::optional<NodeId> newest_at;  // the node that answered at it
    std::vector<Answer> last;
    size_t machines = 0;  // on which its units ran, as last seen
    std::array<Epoch, kNodes> stored{};
  };
  [[nodiscard]] std::optional<Assumption> broken(Instant now) const;

  const Config& config_;
  std::vector<Service> services_;
  std::array<Instant, kAssumptions> broken_until_;
  std::vector<Accusation> accusations_;
};

}  // namespace clusterd::sim
