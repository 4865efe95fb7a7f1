#include "core/fencing.hpp"

#include "base/canary.hpp"
#include "base/mark.hpp"

namespace clusterd {

namespace {

// `off`, `status` again and again for as long, of which the last one may take as long itself; and a little.
Duration answer_limit(const FenceConfig& config) { return 3 * config.timeout + std::chrono::seconds(10); }

}  // namespace

bool Fencing::review(Instant now, const FenceConfig& config, bool wanted, std::optional<FenceOrder>& order,
                     NodeId peer) {
  const State before = state_;
  if (state_ == State::kUnderWay && now >= next_) {
    mark(Mark::kFenceUnanswered);
    state_ = State::kFailed;
    detail_ = "the agent did not answer in time";
    next_ = now + kRetry;
    return true;
  }
  // An order that was given cannot be taken back: its answer is awaited.
  if (!wanted && (state_ == State::kDelayed || state_ == State::kFailed)) {
    if (state_ == State::kDelayed) mark(Mark::kFenceNotNeeded);
    state_ = State::kIdle;
    next_ = kNever;
  }
  if (!wanted) return state_ != before;
  if (state_ == State::kIdle || state_ == State::kConfirmed) {
    if (state_ == State::kConfirmed) mark(Mark::kFenceConfirmationOld);
    state_ = State::kDelayed;
    attempts_ = 0;
    next_ = now + config.delay;
  }
  if ((state_ == State::kDelayed || state_ == State::kFailed) && now >= next_) {
    if (attempts_ > 0) mark(Mark::kFenceTriedAgain);
    ++attempts_;
    order = FenceOrder{++order_, peer};
    ordered_at_ = now;
    state_ = State::kUnderWay;
    next_ = now + answer_limit(config);
    return true;
  }
  return state_ != before;
}

bool Fencing::on(Instant now, const FenceReport& report) {
  if (state_ != State::kUnderWay || report.order != order_) {
    mark(Mark::kFenceReportUnawaited);
    return false;
  }
  const bool verified = report.power == FenceReport::Power::kOff || sabotaged(Canary::kFenceUnverified);
  if (report.off_done && verified) {
    mark(Mark::kFenceConfirmed);
    state_ = State::kConfirmed;
    confirmed_at_ = now;
    next_ = kNever;
  } else {
    mark(report.off_done ? Mark::kFenceNotVerified : Mark::kFenceFailed);
    state_ = State::kFailed;
    next_ = now + kRetry;
  }
  detail_ = report.detail;
  return true;
}

void Fencing::gave_up() {
  if (state_ != State::kConfirmed) return;
  state_ = State::kIdle;
  next_ = kNever;
}

Instant Fencing::next_deadline() const { return next_; }

}  // namespace clusterd
