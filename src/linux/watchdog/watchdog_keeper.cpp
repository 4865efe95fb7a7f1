#include "linux/watchdog/watchdog_keeper.hpp"

#include <fmt/format.h>

#include <utility>

#include "core/timing.hpp"

namespace clusterd {

WatchdogKeeper::WatchdogKeeper(EventLoop& loop, const WatchdogConfig& config, EventSink sink)
    : loop_(loop), config_(config), sink_(std::make_shared<EventSink>(std::move(sink))) {}

WatchdogKeeper::~WatchdogKeeper() { *sink_ = nullptr; }

void WatchdogKeeper::tend(WatchdogOrder order) {
  thread_.run([this, order, ordered = EventLoop::now()] {
    switch (order) {
      case WatchdogOrder::kArm:
        arm();
        return;
      case WatchdogOrder::kPet:
        pet(ordered);
        return;
      case WatchdogOrder::kDisarm:
        if (dog_) dog_->close_magic();
        dog_.reset();
        return;
    }
  });
}

void WatchdogKeeper::arm() {
  if (!dog_) {
    auto opened = LinuxWatchdog::open({config_.device, config_.timeout, config_.fake});
    if (!opened) return report(false, opened.error().message);
    if ((*opened)->timeout() > config_.timeout) {
      const auto seconds = std::chrono::duration_cast<std::chrono::seconds>((*opened)->timeout()).count();
      (*opened)->close_magic();
      return report(false, fmt::format("{}: its driver has no shorter timeout than {} s: write timeout = "
                                       "\"{}s\" in [watchdog] on both nodes",
                                       config_.device, seconds, seconds));
    }
    dog_ = std::move(*opened);
  } else if (auto petted = dog_->pet(); !petted) {
    return report(false, petted.error().message);
  }
  report(true,
         fmt::format("{} ({}), {:.0f} s{}", config_.device, dog_->identity(), to_seconds(dog_->timeout()),
                     dog_->reset_last_boot() ? "; it was it that reset this machine" : ""));
}

void WatchdogKeeper::pet(Instant ordered) {
  if (!dog_) return;
  const Duration late = EventLoop::now() - ordered;
  if (late >= kPetLate)
    return report(false,
                  fmt::format("the watchdog was not petted: its driver came {:.0f} ms late", to_ms(late)));
  if (auto petted = dog_->pet(); !petted) report(false, petted.error().message);
}

void WatchdogKeeper::report(bool armed, std::string detail) {
  loop_.post([sink = sink_, armed, detail = std::move(detail)] {
    if (*sink) (*sink)(WatchdogReport{armed, detail});
  });
}

}  // namespace clusterd
