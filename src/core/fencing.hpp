// The peer's end: what this node has ordered its fence agent to do, and what came of it.
//
// A fence is confirmed by facts alone: the agent's `off` succeeded, and its `status` then said "off". What
// failed, timed out or contradicts itself is no fence. It says nothing once a sign of life of the peer was
// heard after the order: the agent may have found the peer off, and not switched it off, just before somebody
// switched it on. And, where reference hosts decide, it ends some time after the confirmation: somebody may
// have switched the peer on again, and it may have become active by its own right since.
//
// Pure; whether the peer *may* be fenced is decided in node_fencing.cpp.
#pragma once

#include <string>

#include "core/actions.hpp"
#include "core/config.hpp"
#include "core/events.hpp"

namespace clusterd {

class Fencing {
 public:
  enum class State : uint8_t {
    kIdle,
    kDelayed,    // wanted; waits for the configured delay
    kUnderWay,   // ordered; the agent has not answered yet
    kConfirmed,  // the peer is off
    kFailed,     // tried again at `next_deadline`, for as long as it is wanted
  };

  // The peer may be fenced, and somebody waits for it (or neither). `order` is filled when the agent is to
  // run; true if the state has changed.
  bool review(Instant now, const FenceConfig& config, bool wanted, std::optional<FenceOrder>& order,
              NodeId peer);
  // True if it answers the order that is under way.
  bool on(Instant now, const FenceReport& report);
  void gave_up();  // the peer has been heard: what was confirmed says nothing any more

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] Instant ordered_at() const { return ordered_at_; }
  [[nodiscard]] Instant confirmed_at() const { return confirmed_at_; }
  [[nodiscard]] bool confirmed() const { return state_ == State::kConfirmed; }
  [[nodiscard]] const std::string& detail() const { return detail_; }
  [[nodiscard]] uint64_t attempts() const { return attempts_; }
  [[nodiscard]] Instant next_deadline() const;

  // Everything that a snapshot of the node must hold (core/node_snapshot.cpp).
  template <class Archive>
  void fields(Archive& archive) {
    archive(state_, next_, order_, attempts_, ordered_at_, confirmed_at_, detail_);
  }

  static constexpr Duration kRetry = std::chrono::seconds(30);

 private:
  State state_ = State::kIdle;
  Instant next_ = kNever;  // kDelayed: the order; kUnderWay: it is given up; kFailed: the next try
  uint64_t order_ = 0;     // number of the last order
  uint64_t attempts_ = 0;  // since it is wanted
  Instant ordered_at_ = kLongAgo, confirmed_at_ = kLongAgo;
  std::string detail_;
};

}  // namespace clusterd
