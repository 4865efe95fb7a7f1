#include "core/mirror_rules.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/canary.hpp"
#include "base/mark.hpp"

namespace clusterd {

using Kind = MirrorReport::Kind;
using Outcome = MirrorReport::Outcome;

namespace {
constexpr Duration kFirstRetry = std::chrono::seconds(2);
}

MirrorRules::MirrorRules(const Config& config, ServiceId id)
    : config_(&config), id_(id), mirrors_(config.service(id).mirrors.size()) {}

void MirrorRules::restore_halts(const std::vector<std::string>& mirrors) {
  if (sabotaged(Canary::kHaltForgotten)) return;
  for (size_t i = 0; i < mirrors_.size(); ++i) {
    const auto& name = service().mirrors.at(i).name;
    if (std::find(mirrors.begin(), mirrors.end(), name) == mirrors.end()) continue;
    mark(Mark::kHaltRestored);
    mirrors_.at(i).halted = true;
    mirrors_.at(i).detail = "halted before the daemon was restarted";
  }
}

void MirrorRules::forget_halts() {
  for (Mirror& mirror : mirrors_) {
    if (mirror.halted) mark(Mark::kHaltsForgotten);
    mirror.halted = false;
  }
}

void MirrorRules::begin(Instant now, Epoch epoch, Actions& out) {
  cancel(out);  // of an earlier epoch of this node: it may not go on beside the resync
  active_ = true;
  epoch_ = epoch;
  flush_ = Flush::kNone;
  for (size_t i = 0; i < mirrors_.size(); ++i) {
    Mirror& mirror = mirrors_.at(i);
    mirror.synced = false;
    mirror.paused = false;
    mirror.failures = 0;
    mirror.due = now;
    mirror.lag = {};
    if (live(i)) take_note(i, out);
  }
}

void MirrorRules::end(Actions& out) {
  if (active_) cancel(out);
  active_ = false;
  flush_ = Flush::kNone;
}

void MirrorRules::cancel(Actions& out) {
  const auto goes_on = [](const Mirror& m) { return m.running || m.noting; };
  if (std::any_of(mirrors_.begin(), mirrors_.end(), goes_on)) {
    mark(Mark::kMirrorsCancelled);
    out.cancel_mirrors.push_back(id_);
    // What this step has ordered already would begin after that.
    std::erase_if(out.mirror_orders, [this](const MirrorOrder& order) { return order.service == id_; });
  }
  for (Mirror& mirror : mirrors_) mirror.running = mirror.noting = mirror.following = false;
}

void MirrorRules::peer_was_away() {
  for (size_t i = 0; i < mirrors_.size(); ++i) {
    // What follows may not have noticed yet that nobody is there: the resync connects anew.
    if (to_peer(i)) mirrors_.at(i).synced = mirrors_.at(i).following = false;
  }
}

void MirrorRules::review(Instant now, bool peer_receives, Actions& out) {
  if (!active_ || flush_ != Flush::kNone) return;
  for (size_t i = 0; i < mirrors_.size(); ++i) {
    Mirror& mirror = mirrors_.at(i);
    if (mirror.running || mirror.halted) continue;
    const bool nobody = to_peer(i) && !peer_receives;
    if (nobody) mark(Mark::kPeerDoesNotReceive);
    if (nobody || mirror.paused) {
      if (live(i) && !mirror.noting && now >= mirror.due) take_note(i, out);
      continue;
    }
    const bool resync = to_peer(i) && !mirror.synced;
    // A resync that has not failed yet is due at once, whatever the schedule says.
    if (now < mirror.due && !(resync && mirror.failures == 0)) continue;
    order(now, i, resync ? Kind::kResync : Kind::kRun, out);
  }
}

void MirrorRules::order(Instant now, size_t index, Kind kind, Actions& out) {
  Mirror& mirror = mirrors_.at(index);
  mirror.running = true;
  mirror.noting = live(index);
  mirror.kind = kind;
  mirror.started = now;
  mirror.due = now + service().mirrors.at(index).every;
  out.mirror_orders.push_back({id_, MirrorId(index), kind, epoch_, std::exchange(mirror.confirmed, false)});
}

void MirrorRules::take_note(size_t index, Actions& out) {
  mirrors_.at(index).noting = true;
  out.mirror_orders.push_back({id_, MirrorId(index), Kind::kFollow, epoch_, false});
}

// A report of an earlier tenure, or of a run that was cancelled, says nothing about this one. Of its own
// accord only a live mirror speaks, and never to say that it is done.
bool MirrorRules::concerns_this_tenure(const MirrorReport& report) const {
  const Mirror& mirror = mirrors_.at(report.mirror.at());
  if (!active_ || report.epoch != epoch_) return false;
  if (mirror.running) return report.kind == mirror.kind;
  return mirror.noting && report.outcome != Outcome::kDone;
}

void MirrorRules::on(Instant now, const MirrorReport& report, Actions& /*out*/) {
  Mirror& mirror = mirrors_.at(report.mirror.at());
  const MirrorConfig& config = service().mirrors.at(report.mirror.at());
  if (!concerns_this_tenure(report)) return mark(Mark::kMirrorReportStale);
  mirror.detail = report.detail;
  mirror.lag = report.lag;
  mirror.lag_at = now;
  take_scrub(report, mirror);
  if (report.outcome == Outcome::kProgress) return;
  Finished finished{report, config.name, false};
  switch (report.outcome) {
    case Outcome::kDone:
      mirror.failures = 0;
      mirror.last_success = mirror.started;
      mirror.synced = mirror.synced || report.kind != Kind::kRun;
      mirror.following = config.live;
      break;
    case Outcome::kFailed:
      failed(now, mirror, config, finished);
      break;
    case Outcome::kHalted:
      mirror.halted = true;
      mirror.following = false;
      break;
    case Outcome::kProgress:
      break;
  }
  const bool ordered = std::exchange(mirror.running, false);
  mirror.last = report;
  // The peer has everything, and ends the stream as soon as it takes over: nothing to tell anybody.
  const bool handed_over = flush_ == Flush::kDone && !ordered;
  if (!handed_over) finished_.push_back(std::move(finished));
  if (flush_ == Flush::kRunning && ordered) {
    if (report.outcome != Outcome::kDone) {
      flush_ = Flush::kFailed;
      flush_trouble_ = report.detail;
    } else {
      finish_flush();
    }
  }
}

// A report of failure may come from elsewhere than the source, and know of nothing.
void MirrorRules::take_scrub(const MirrorReport& report, Mirror& mirror) {
  if (report.outcome == Outcome::kFailed || report.outcome == Outcome::kHalted) {
    mirror.scrub.running = false;
    return;
  }
  mirror.scrub = report.scrub;
  if (report.outcome == Outcome::kProgress && report.scrub.ended)
    finished_.push_back({report, service().mirrors.at(report.mirror.at()).name, false});
}

void MirrorRules::failed(Instant now, Mirror& mirror, const MirrorConfig& config, Finished& finished) {
  mirror.noting = false;
  if (std::exchange(mirror.following, false) && !mirror.running) {
    // A stream that had been good: another link may be, so it is tried at once, though not twice within a
    // pause.
    mark(Mark::kMirrorStreamBroke);
    mirror.due = std::max(now, mirror.started + kFirstRetry);
    return;
  }
  mark(Mark::kMirrorRetry);
  finished.first_failure = mirror.failures == 0;
  const Duration wait = kFirstRetry * (1LL << std::min(mirror.failures, 8U));
  mirror.due = now + std::min(wait, std::max(config.every, kFirstRetry));
  ++mirror.failures;
}

void MirrorRules::flush(Instant now, Actions& out) {
  // What follows goes on: it is told to bring everything over, and that is less than to begin anew.
  bool runs = false;
  for (size_t i = 0; i < mirrors_.size(); ++i) runs = runs || (mirrors_.at(i).running && !live(i));
  if (runs) cancel(out);
  active_ = true;  // again, after a failure had ended it
  flush_ = Flush::kRunning;
  for (Mirror& mirror : mirrors_) mirror.running = mirror.paused = false;
  if (const auto halted = halted_to_peer(); halted && !sabotaged(Canary::kHaltedIsFlushed)) {
    mark(Mark::kHaltedNotFlushed);
    flush_ = Flush::kFailed;
    flush_trouble_ = fmt::format("mirror {} is halted", *halted);
    return;
  }
  for (size_t i = 0; i < mirrors_.size(); ++i) {
    if (to_peer(i)) order(now, i, Kind::kFlush, out);
  }
  finish_flush();
}

void MirrorRules::finish_flush() {
  if (!busy()) flush_ = Flush::kDone;
}

bool MirrorRules::run_now(Instant now) {
  for (Mirror& mirror : mirrors_) {
    mirror.due = now;
    mirror.paused = false;
  }
  return !mirrors_.empty();
}

void MirrorRules::resync_now(Instant now) {
  peer_was_away();
  for (Mirror& mirror : mirrors_) {
    mirror.due = now;
    mirror.paused = false;
    mirror.failures = 0;
  }
}

bool MirrorRules::confirm(const std::string& name, Instant now) {
  for (size_t i = 0; i < mirrors_.size(); ++i) {
    Mirror& mirror = mirrors_.at(i);
    if (service().mirrors.at(i).name != name || !mirror.halted) continue;
    mark(Mark::kHaltConfirmed);
    mirror.halted = false;
    mirror.confirmed = true;
    mirror.due = now;
    return true;
  }
  return false;
}

std::string MirrorRules::unknown(const std::string& name) const {
  const auto& all = service().mirrors;
  const bool known = std::any_of(all.begin(), all.end(),
                                 [&](const MirrorConfig& m) { return name.empty() || m.name == name; });
  return known ? "" : fmt::format("{} has no mirror {}", service().name, name);
}

std::string MirrorRules::pause(const std::string& name, Actions& out) {
  for (size_t i = 0; i < mirrors_.size(); ++i) {
    Mirror& mirror = mirrors_.at(i);
    if ((!name.empty() && service().mirrors.at(i).name != name) || std::exchange(mirror.paused, true))
      continue;
    mirror.detail.clear();
    if (!live(i)) continue;
    mirror.running = mirror.following = false;
    if (mirror.noting) out.mirror_orders.push_back({id_, MirrorId(i), Kind::kPause, epoch_, false});
  }
  return unknown(name);
}

std::string MirrorRules::resume(const std::string& name, Instant now) {
  bool any = false;
  for (size_t i = 0; i < mirrors_.size(); ++i) {
    Mirror& mirror = mirrors_.at(i);
    if (!name.empty() && service().mirrors.at(i).name != name) continue;
    if (!std::exchange(mirror.paused, false)) continue;
    any = true;
    mirror.due = now;
  }
  const std::string none = unknown(name);
  return any || !none.empty() ? none : fmt::format("no mirror of {} is paused", service().name);
}

std::string MirrorRules::scrub(const std::string& name, Actions& out) {
  std::vector<MirrorOrder> orders;  // given together or not at all: what is refused has not begun
  for (size_t i = 0; i < mirrors_.size(); ++i) {
    if (!name.empty() && service().mirrors.at(i).name != name) continue;
    if (!live(i)) continue;
    if (!mirrors_.at(i).following) {
      return fmt::format("mirror {} does not follow now: its contents cannot be compared",
                         service().mirrors.at(i).name);
    }
    orders.push_back({id_, MirrorId(i), Kind::kScrub, epoch_, false});
  }
  if (std::string none = unknown(name); !none.empty()) return none;
  if (orders.empty()) return "only live mirrors are scrubbed; rsync compares with --checksum";
  out.mirror_orders.insert(out.mirror_orders.end(), orders.begin(), orders.end());
  return "";
}

std::optional<std::string> MirrorRules::halted_to_peer() const {
  for (size_t i = 0; i < mirrors_.size(); ++i) {
    if (to_peer(i) && mirrors_.at(i).halted) return service().mirrors.at(i).name;
  }
  return std::nullopt;
}

bool MirrorRules::any_to_peer() const {
  for (size_t i = 0; i < mirrors_.size(); ++i) {
    if (to_peer(i)) return true;
  }
  return false;
}

bool MirrorRules::peer_synced() const {
  for (size_t i = 0; i < mirrors_.size(); ++i) {
    if (to_peer(i) && !mirrors_.at(i).synced) return false;
  }
  return true;
}

bool MirrorRules::busy() const {
  return std::any_of(mirrors_.begin(), mirrors_.end(), [](const Mirror& m) { return m.running; });
}

// What has been due for a while waits for something else, and must not hide what is due next.
Instant MirrorRules::next_deadline(Instant now) const {
  Instant next = kNever;
  if (!active_ || flush_ != Flush::kNone) return next;
  for (const Mirror& mirror : mirrors_) {
    const bool idle = !mirror.running && !mirror.halted && !mirror.paused;
    if (idle && mirror.due > now) next = std::min(next, mirror.due);
  }
  return next;
}

// A live mirror whose stream has broken is not idle until its next run.
bool MirrorRules::stands_failed(size_t index) const {
  const Mirror& mirror = mirrors_.at(index);
  return mirror.failures > 0 || (live(index) && mirror.last && mirror.last->outcome == Outcome::kFailed);
}

std::vector<MirrorStatus> MirrorRules::status() const {
  std::vector<MirrorStatus> out;
  for (size_t i = 0; i < mirrors_.size(); ++i) {
    const Mirror& mirror = mirrors_.at(i);
    MirrorStatus say;
    using State = MirrorStatus::State;
    say.state = mirror.halted             ? State::kHalted
                : mirror.paused           ? State::kPaused
                : mirror.following        ? State::kFollowing
                : mirror.running          ? State::kRunning
                : stands_failed(i)        ? State::kFailed
                : mirror.last.has_value() ? State::kIdle
                                          : State::kNotYet;
    say.last_success = mirror.last_success;
    say.next_run = active_ ? mirror.due : kNever;
    say.synced = mirror.synced;
    say.detail = mirror.detail;
    say.last = mirror.last;
    if (live(i) && active_) say.lag = mirror.lag;
    say.lag_at = mirror.lag_at;
    say.scrub = mirror.scrub;
    out.push_back(std::move(say));
  }
  return out;
}

std::vector<MirrorRules::Finished> MirrorRules::take_finished() { return std::exchange(finished_, {}); }

}  // namespace clusterd
