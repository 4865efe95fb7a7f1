// What stands in for the kernel's gate under --without-gate: the service's addresses are taken away when its
// deadline passes, and come back when the lease is renewed.
//
// It is weaker than the gate: it needs a living daemon, so a frozen or killed one keeps its addresses. That
// is why the flag exists for hosts without BPF only, is warned of loudly, makes the window longer, and enters
// the configuration hash so that both nodes must agree on it.
//
// Threading: the event loop's thread.
#pragma once

#include <memory>
#include <vector>

#include "core/config.hpp"
#include "linux/event_loop.hpp"
#include "ports/ports.hpp"

namespace clusterd {

class FallbackGate final : public Gate {
 public:
  FallbackGate(EventLoop& loop, size_t services);
  ~FallbackGate() override;
  FallbackGate(const FallbackGate&) = delete;
  FallbackGate& operator=(const FallbackGate&) = delete;

  // The addresses' constructor needs a gate, so they come later. Before, nothing is taken away.
  void use(Addresses& addresses) { addresses_ = &addresses; }

  Result<void> attach(ServiceId service) override;
  void set(ServiceId service, Instant deadline) override;
  void shut(ServiceId service) override;

 private:
  struct Slot {
    Instant deadline = kLongAgo;
    bool taken_away = false;
  };
  void take_away(size_t index);
  void arm();
  void expire();

  EventLoop& loop_;
  Addresses* addresses_ = nullptr;
  std::vector<Slot> slots_;
  std::unique_ptr<Timer> timer_;
  Instant armed_ = kNever;
};

}  // namespace clusterd
