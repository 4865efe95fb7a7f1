#include "daemon/fallback_gate.hpp"

#include <algorithm>

namespace clusterd {

FallbackGate::FallbackGate(EventLoop& loop, size_t services) : loop_(loop), slots_(services) {}
FallbackGate::~FallbackGate() = default;

Result<void> FallbackGate::attach(ServiceId /*service*/) { return {}; }

void FallbackGate::set(ServiceId service, Instant deadline) {
  Slot& slot = slots_.at(service.at());
  slot.deadline = deadline;
  if (slot.taken_away && addresses_ != nullptr) {
    slot.taken_away = false;
    addresses_->add(service);
  }
  arm();
}

void FallbackGate::shut(ServiceId service) {
  Slot& slot = slots_.at(service.at());
  if (slot.deadline == kLongAgo) return;
  slot.deadline = kLongAgo;
  take_away(service.at());
}

void FallbackGate::take_away(size_t index) {
  if (addresses_ == nullptr) return;
  slots_[index].taken_away = true;
  addresses_->remove(ServiceId(index));
}

// The timer stays as it is while deadlines only move away: it then finds nothing to do, and is set anew.
void FallbackGate::arm() {
  Instant earliest = kNever;
  for (const Slot& slot : slots_) {
    if (slot.deadline != kLongAgo && !slot.taken_away) earliest = std::min(earliest, slot.deadline);
  }
  if (earliest == kNever || (timer_ && armed_ <= earliest)) return;
  armed_ = earliest;
  timer_ = loop_.at(earliest, [this] { expire(); });
}

void FallbackGate::expire() {
  timer_.reset();
  const Instant now = EventLoop::now();
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].deadline != kLongAgo && !slots_[i].taken_away && slots_[i].deadline <= now) take_away(i);
  }
  arm();
}

}  // namespace clusterd
