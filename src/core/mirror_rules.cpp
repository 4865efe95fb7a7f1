#include "core/mirror_rules.hpp"

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
  // Of an earlier epoch of this node: it may not go on beside the resync.
  if (busy()) out.cancel_mirrors.push_back(id_);
  active_ = true;
  epoch_ = epoch;
  flush_ = Flush::kNone;
  for (Mirror& mirror : mirrors_) {
    mirror.synced = false;
    mirror.running = false;
    mirror.failures = 0;
    mirror.due = now;
  }
}

void MirrorRules::end(Actions& out) {
  if (active_ && busy()) {
    mark(Mark::kMirrorsCancelled);
    out.cancel_mirrors.push_back(id_);
  }
  active_ = false;
  flush_ = Flush::kNone;
  for (Mirror& mirror : mirrors_) mirror.running = false;
}

void MirrorRules::peer_was_away() {
  for (size_t i = 0; i < mirrors_.size(); ++i) {
    if (to_peer(i)) mirrors_.at(i).synced = false;
  }
}

void MirrorRules::review(Instant now, bool peer_receives, Actions& out) {
  if (!active_ || flush_ != Flush::kNone) return;
  for (size_t i = 0; i < mirrors_.size(); ++i) {
    Mirror& mirror = mirrors_.at(i);
    if (mirror.running || mirror.halted) continue;
    if (to_peer(i) && !peer_receives) {
      mark(Mark::kPeerDoesNotReceive);
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
  mirror.kind = kind;
  mirror.started = now;
  mirror.due = now + service().mirrors.at(index).every;
  out.mirror_orders.push_back({id_, MirrorId(index), kind, epoch_, std::exchange(mirror.confirmed, false)});
}

void MirrorRules::on(Instant now, const MirrorReport& report, Actions& /*out*/) {
  Mirror& mirror = mirrors_.at(report.mirror.at());
  // A report of an earlier tenure, or of a run that was cancelled, says nothing about this one.
  if (!active_ || report.epoch != epoch_ || !mirror.running || report.kind != mirror.kind) {
    return mark(Mark::kMirrorReportStale);
  }
  mirror.detail = report.detail;
  if (report.outcome == Outcome::kProgress) return;
  mirror.running = false;
  mirror.last = report;
  Finished finished{report, service().mirrors.at(report.mirror.at()).name, false};
  switch (report.outcome) {
    case Outcome::kDone:
      mirror.failures = 0;
      mirror.last_success = mirror.started;
      mirror.synced = mirror.synced || report.kind != Kind::kRun;
      break;
    case Outcome::kFailed: {
      mark(Mark::kMirrorRetry);
      finished.first_failure = mirror.failures == 0;
      const Duration every = service().mirrors.at(report.mirror.at()).every;
      const Duration wait = kFirstRetry * (1LL << std::min(mirror.failures, 8U));
      mirror.due = now + std::min(wait, std::max(every, kFirstRetry));
      ++mirror.failures;
      break;
    }
    case Outcome::kHalted:
      mirror.halted = true;
      break;
    case Outcome::kProgress:
      break;
  }
  finished_.push_back(std::move(finished));
  if (flush_ == Flush::kRunning) {
    if (report.outcome != Outcome::kDone) {
      flush_ = Flush::kFailed;
      flush_trouble_ = report.detail;
    } else {
      finish_flush();
    }
  }
}

void MirrorRules::flush(Instant now, Actions& out) {
  if (busy()) out.cancel_mirrors.push_back(id_);
  active_ = true;  // again, after a failure had ended it
  flush_ = Flush::kRunning;
  for (size_t i = 0; i < mirrors_.size(); ++i) {
    mirrors_.at(i).running = false;
    if (to_peer(i)) order(now, i, Kind::kFlush, out);
  }
  finish_flush();
}

void MirrorRules::finish_flush() {
  if (!busy()) flush_ = Flush::kDone;
}

bool MirrorRules::run_now(Instant now) {
  for (Mirror& mirror : mirrors_) mirror.due = now;
  return !mirrors_.empty();
}

void MirrorRules::resync_now(Instant now) {
  peer_was_away();
  for (Mirror& mirror : mirrors_) {
    mirror.due = now;
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

Instant MirrorRules::next_deadline() const {
  Instant next = kNever;
  if (!active_ || flush_ != Flush::kNone) return next;
  for (const Mirror& mirror : mirrors_) {
    if (!mirror.running && !mirror.halted) next = std::min(next, mirror.due);
  }
  return next;
}

std::vector<MirrorStatus> MirrorRules::status() const {
  std::vector<MirrorStatus> out;
  for (const Mirror& mirror : mirrors_) {
    MirrorStatus say;
    using State = MirrorStatus::State;
    say.state = mirror.halted             ? State::kHalted
                : mirror.running          ? State::kRunning
                : mirror.failures > 0     ? State::kFailed
                : mirror.last.has_value() ? State::kIdle
                                          : State::kNotYet;
    say.last_success = mirror.last_success;
    say.next_run = active_ ? mirror.due : kNever;
    say.synced = mirror.synced;
    say.detail = mirror.detail;
    say.last = mirror.last;
    out.push_back(std::move(say));
  }
  return out;
}

std::vector<MirrorRules::Finished> MirrorRules::take_finished() { return std::exchange(finished_, {}); }

}  // namespace clusterd
