#include "linux/fence/linux_fence.hpp"

#include <utility>

#include "base/check.hpp"

namespace clusterd {

LinuxFence::LinuxFence(EventLoop& loop, const Config& config, EventSink sink)
    : loop_(loop), config_(config), sink_(std::move(sink)) {}

void LinuxFence::run(const FenceOrder& order) {
  CLUSTERD_CHECK(order.node.at() < kNodes && config_.fences.at(order.node.at()),
                 "a fence that is configured");
  order_ = order;
  off_done_ = false;
  timer_.reset();
  child_ = run_agent(loop_, *config_.fences.at(order.node.at()), "off",
                     [this](const AgentAnswer& answer) { off_ended(answer); });
}

void LinuxFence::off_ended(const AgentAnswer& answer) {
  off_done_ = answer.done;
  if (!off_done_) return report(FenceReport::Power::kUnknown, answer.text);
  limit_ = EventLoop::now() + config_.fences.at(order_.node.at())->timeout;
  ask();
}

void LinuxFence::ask() {
  child_ = run_agent(loop_, *config_.fences.at(order_.node.at()), "status",
                     [this](const AgentAnswer& answer) { status_ended(answer); });
}

// Some devices take a moment to switch, or to notice that they have.
void LinuxFence::status_ended(const AgentAnswer& answer) {
  if (answer.off) return report(FenceReport::Power::kOff, answer.text);
  if (EventLoop::now() + kAskAgain < limit_) {
    timer_ = loop_.at(EventLoop::now() + kAskAgain, [this] { ask(); });
    return;
  }
  report(answer.done ? FenceReport::Power::kOn : FenceReport::Power::kUnknown, answer.text);
}

void LinuxFence::report(FenceReport::Power power, const std::string& detail) {
  sink_(FenceReport{order_.order, off_done_, power, detail});
}

}  // namespace clusterd
