#include "linux/units/shutdown_guard.hpp"

#include <utility>

namespace clusterd {

namespace {
constexpr Duration kTryAgain = std::chrono::seconds(60);
}

ShutdownGuard::ShutdownGuard(EventLoop& loop, std::function<void(GoOn)> hand_over,
                             std::function<void(std::string)> say)
    : loop_(loop),
      hand_over_(std::move(hand_over)),
      say_(std::move(say)),
      alive_(std::make_shared<bool>(true)),
      bus_(loop) {
  bus_.on_shutdown([this](bool begins) { told(begins); });
  take();
}

ShutdownGuard::~ShutdownGuard() { *alive_ = false; }

void ShutdownGuard::take() {
  bus_.delay_shutdown("clusterd", "Services are handed over first", [this, alive = alive_](Result<Fd> lock) {
    if (*alive) taken(std::move(lock));
  });
}

void ShutdownGuard::taken(Result<Fd> lock) {
  if (lock) {
    lock_ = std::move(*lock);
    complained_ = false;
    return;
  }
  if (!std::exchange(complained_, true)) {
    say_("logind does not let a shutdown wait for clusterd (" + lock.error().message +
         "): services are handed over while the system already stops");
  }
  again_ = loop_.at(EventLoop::now() + kTryAgain, [this] { take(); });
}

void ShutdownGuard::told(bool begins) {
  if (!begins) {
    say_("the shutdown was cancelled: restart clusterd to let this node take part again");
    take();
    return;
  }
  if (lock_.get() < 0) return;
  say_("the system goes down: it waits until the services have been handed over");
  hand_over_([this, alive = alive_] {
    if (*alive) lock_.reset();
  });
}

}  // namespace clusterd
