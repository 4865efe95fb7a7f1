// The port Fence: switches the peer off with its agent, then asks for its status until that says "off" or the
// agent's timeout has passed once more. It concludes nothing: the core does.
//
// Event loop's thread only.
#pragma once

#include <memory>

#include "core/config.hpp"
#include "linux/event_loop.hpp"
#include "linux/fence/fence_agent.hpp"
#include "ports/ports.hpp"

namespace clusterd {

class LinuxFence final : public Fence {
 public:
  LinuxFence(EventLoop& loop, const Config& config, EventSink sink);
  void run(const FenceOrder& order) override;

 private:
  void off_ended(const AgentAnswer& answer);
  void ask();
  void status_ended(const AgentAnswer& answer);
  void report(FenceReport::Power power, const std::string& detail);

  static constexpr Duration kAskAgain = std::chrono::seconds(1);

  EventLoop& loop_;
  const Config& config_;
  EventSink sink_;
  FenceOrder order_;
  bool off_done_ = false;
  Instant limit_ = kNever;
  std::unique_ptr<ChildProcess> child_;
  std::unique_ptr<Timer> timer_;
};

}  // namespace clusterd
