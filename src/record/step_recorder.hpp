// The seam between the reactor and the flight recorder.
#pragma once

#include "core/actions.hpp"
#include "core/events.hpp"

namespace clusterd {

// Keeps what was given to the core and what came of it, for `clusterctl replay`. `event` comes before the
// step, so that it is there if the daemon does not survive it; `outcome` after the actions were performed.
// Reports nothing, and is never waited for: what cannot be kept is lost.
class StepRecorder {
 public:
  virtual ~StepRecorder() = default;
  virtual void event(Instant now, const Event& event) = 0;
  virtual void outcome(const Actions& actions) = 0;
};

}  // namespace clusterd
