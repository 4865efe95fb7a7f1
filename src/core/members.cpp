#include "core/members.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/canary.hpp"
#include "base/check.hpp"
#include "base/mark.hpp"
#include "core/timing.hpp"

namespace clusterd {

using Outcome = UnitReport::Outcome;

Members::Members(const Config& config, ServiceId id) : config_(&config), id_(id) {
  outcome_.assign(service().units.size(), Outcome::kStopped);
  check_failures_.assign(service().checks.size(), 0);
  check_good_.assign(service().checks.size(), true);
}

void Members::log(Actions& out, Severity severity, const std::string& text) const {
  out.log.push_back({severity, fmt::format("{}: {}", service().name, text)});
}

bool Members::unit_runs(size_t unit) const { return outcome_.at(unit) == Outcome::kStarted; }

bool Members::hot_ready() const {
  for (size_t i = 0; i < outcome_.size(); ++i) {
    if (!unit_runs(i)) return false;
  }
  return true;
}

// ---- up ----

void Members::start(Instant now, Actions& out) {
  // A restart that is under way ends in kUp by itself.
  if (state_ == State::kUp || state_ == State::kStarting) return;
  restarting_ = false;
  killing_ = false;
  nowhere_ = false;
  trouble_.clear();
  state_ = State::kStarting;
  at_ = 0;
  out.add_addresses.push_back(id_);
  limit_ = now + kAddressLimit;
  addresses_up_ = false;
}

void Members::keep_hot(Instant now, Actions& out) {
  CLUSTERD_CHECK(service().hot && state_ == State::kDown, "only a hot standby is kept hot");
  for (size_t i = 0; i < outcome_.size(); ++i) {
    if (unit_runs(i)) continue;
    out.start_units.push_back({id_, UnitId(i)});
  }
  limit_ = now + std::chrono::seconds(30);  // then what does not run is tried once more
}

void Members::on(Instant now, const AddressReport& event, Actions& out) {
  if (state_ != State::kStarting && state_ != State::kUp) return;
  if (!event.ok) {
    mark(Mark::kAddressAddFailed);
    addresses_up_ = false;
    return failed(now, "its addresses could not be added: " + event.detail, out);
  }
  if (addresses_up_) return;
  addresses_up_ = true;
  if (!restarting_) start_unit(now, 0, out);
}

void Members::on(Instant /*now*/, const AddressLost& event, Actions& out) {
  if (state_ != State::kStarting && state_ != State::kUp) return;
  mark(Mark::kAddressPutBack);
  log(out, Severity::kWarning, "an address was removed by somebody else and is put back: " + event.detail);
  out.add_addresses.push_back(id_);
}

void Members::start_unit(Instant now, size_t unit, Actions& out) {
  // A hot service's units already run: nothing to wait for.
  while (unit < outcome_.size() && service().hot && unit_runs(unit)) ++unit;
  at_ = unit;
  if (unit == outcome_.size()) return started_all(now, out);
  out.start_units.push_back({id_, UnitId(unit)});
  limit_ = now + service().units.at(unit).start_timeout;
}

void Members::started_all(Instant now, Actions& out) {
  state_ = State::kUp;
  limit_ = kNever;
  std::fill(check_failures_.begin(), check_failures_.end(), 0U);
  checks_count_from_ = now;
  if (!check_good_.empty()) out.start_checks.push_back(id_);
}

// ---- down ----

void Members::stop(Instant now, Actions& out) {
  if (state_ == State::kDown || state_ == State::kStopping) return;
  if (restarting_) mark(Mark::kStopDuringRestart);
  restarting_ = false;
  trouble_.clear();
  take_back_starts(out);
  if (!check_good_.empty()) out.stop_checks.push_back(id_);
  state_ = State::kStopping;
  if (service().hot || outcome_.empty()) return stopped_all(out);
  stop_unit(now, outcome_.size() - 1, false, out);
}

// What this step has ordered already would be done after its stops (core/actions.hpp), and run for good.
// Units of a hot service are not stopped.
void Members::take_back_starts(Actions& out) const {
  const auto ours = [this](const StartUnit& start) { return start.service == id_; };
  if (!service().hot && std::erase_if(out.start_units, ours) > 0) mark(Mark::kStartTakenBack);
  std::erase(out.add_addresses, id_);
  std::erase(out.start_checks, id_);
}

void Members::stop_unit(Instant now, size_t unit, bool kill, Actions& out) {
  at_ = unit;
  killing_ = kill;
  out.stop_units.push_back({id_, UnitId(unit), kill});
  limit_ = now + (kill ? kKillLimit : service().units.at(unit).stop_timeout);
}

void Members::stopped_all(Actions& out) {
  state_ = State::kDown;
  limit_ = kNever;
  addresses_up_ = false;
  out.shut_gates.push_back(id_);
  out.remove_addresses.push_back(id_);
}

void Members::stop_did_not_work(Instant now, const std::string& detail, Actions& out) {
  if (sabotaged(Canary::kStopUnverified)) return stopped_all(out);
  const auto& unit = service().units.at(at_);
  if (!killing_) {
    mark(Mark::kKillEscalated);
    log(out, Severity::kWarning, fmt::format("{} did not stop ({}): it is killed", unit.name, detail));
    return stop_unit(now, at_, true, out);
  }
  mark(Mark::kKillFailed);
  state_ = State::kStopFailed;
  limit_ = kNever;
  trouble_ = fmt::format("{} could not be stopped: {}", unit.name, detail);
  out.shut_gates.push_back(id_);
  log(out, Severity::kError, trouble_);
}

// ---- failures ----

unsigned Members::restarts(Instant now) const {
  return static_cast<unsigned>(std::count_if(restart_times_.begin(), restart_times_.end(),
                                             [&](Instant at) { return now - at < service().budget.within; }));
}

void Members::forgive() {
  restart_times_.clear();
  nowhere_ = false;
  if (state_ == State::kStartFailed || state_ == State::kStopFailed) mark(Mark::kForgivenAfterFailure);
  if (state_ == State::kStartFailed) state_ = State::kUnknown;
  if (state_ == State::kStopFailed) state_ = State::kUnknown;
}

void Members::give_up(Actions& out) {
  state_ = State::kStartFailed;
  limit_ = kNever;
  if (!check_good_.empty()) out.stop_checks.push_back(id_);
}

void Members::failed(Instant now, const std::string& what, Actions& out, UnitReport::Again again) {
  log(out, Severity::kWarning, what);
  trouble_ = what;
  if (again != UnitReport::Again::kHere) {
    nowhere_ = again == UnitReport::Again::kNowhere;
    mark(nowhere_ ? Mark::kNoUseAnywhere : Mark::kNoUseHere);
    trouble_ += nowhere_ ? " (trying again is no use on either node)" : " (trying again is no use here)";
    restarting_ = false;
    return give_up(out);
  }
  while (!restart_times_.empty() && now - restart_times_.front() >= service().budget.within) {
    restart_times_.pop_front();
  }
  if (restart_times_.size() >= service().budget.restarts) {
    mark(Mark::kBudgetUsedUp);
    trouble_ = fmt::format("{} ({} restarts within {:.0f} s did not help)", what, restart_times_.size(),
                           to_seconds(service().budget.within));
    return give_up(out);
  }
  mark(Mark::kRestartWithinBudget);
  restart_times_.push_back(now);
  restart_from(now, std::min(at_, outcome_.empty() ? size_t{0} : outcome_.size() - 1), out);
}

// Stops the failed unit and all that were started after it, then starts them again.
void Members::restart_from(Instant now, size_t unit, Actions& out) {
  state_ = State::kStarting;
  if (!check_good_.empty()) out.stop_checks.push_back(id_);
  if (!addresses_up_) {
    out.add_addresses.push_back(id_);
    if (!restarting_) limit_ = now + kAddressLimit;  // else the stops under way come to their end first
    return;
  }
  if (outcome_.empty()) return started_all(now, out);
  log(out, Severity::kNotice,
      fmt::format("restarts {} ({} of {} within the budget)", service().units.at(unit).name,
                  restart_times_.size(), service().budget.restarts));
  restarting_ = true;
  restart_to_ = unit;
  stop_unit(now, outcome_.size() - 1, false, out);
}

void Members::on(Instant now, const UnitReport& event, Actions& out) {
  const size_t unit = event.unit.at();
  const std::string& unit_name = service().units.at(unit).name;
  outcome_.at(unit) = event.outcome;
  const bool awaited = unit == at_;
  if (!awaited) mark(Mark::kUnitReportUnawaited);
  switch (event.outcome) {
    case Outcome::kStarted:
      if (state_ == State::kStarting && !restarting_ && awaited && addresses_up_) {
        start_unit(now, unit + 1, out);
      }
      return;
    case Outcome::kStopped:
      if (state_ == State::kStarting && restarting_ && awaited) {
        if (unit > restart_to_) return stop_unit(now, unit - 1, false, out);
        restarting_ = false;
        if (addresses_up_) return start_unit(now, unit, out);
        limit_ = now + kAddressLimit;
        return;
      }
      // What refused to end has ended after all, and that was verified.
      if (state_ == State::kStopFailed && awaited) {
        mark(Mark::kLateStopAfterFailure);
        state_ = State::kStopping;
      }
      if (state_ != State::kStopping || !awaited) return;
      if (unit == 0) return stopped_all(out);
      return stop_unit(now, unit - 1, false, out);
    case Outcome::kStartFailed:
      if (state_ == State::kStarting && awaited) {
        mark(Mark::kUnitDidNotStart);
        failed(now, fmt::format("{} did not start: {}", unit_name, event.detail), out, event.again);
      } else if (state_ == State::kDown && service().hot) {
        mark(Mark::kHotUnitDidNotStart);
        log(out, Severity::kWarning,
            fmt::format("{} does not start on this standby: {}", unit_name, event.detail));
      }
      return;
    case Outcome::kStopFailed:
      if (restarting_ && awaited && killing_) {
        mark(Mark::kRestartStopFailed);
        restarting_ = false;
        return stop_did_not_work(now, event.detail, out);
      }
      if ((state_ == State::kStopping || restarting_) && awaited) stop_did_not_work(now, event.detail, out);
      return;
    case Outcome::kCrashed:
      if (state_ == State::kUp || state_ == State::kStarting) {
        mark(Mark::kUnitCrashed);
        at_ = unit;
        failed(now, fmt::format("{} crashed: {}", unit_name, event.detail), out, event.again);
      } else if (state_ == State::kDown && service().hot) {
        mark(Mark::kHotUnitCrashed);
        log(out, Severity::kWarning, fmt::format("{} crashed on this standby: {}", unit_name, event.detail));
        keep_hot(now, out);
      }
      return;
  }
}

void Members::on(Instant now, const CheckReport& event, Actions& out) {
  const size_t i = event.check.at();
  const CheckConfig& check = service().checks.at(i);
  if (state_ != State::kUp) return;
  if (event.ok) {
    if (!check_good_.at(i)) {
      mark(Mark::kCheckGoodAgain);
      log(out, Severity::kInfo, fmt::format("check {} is good again", check.text));
    }
    check_good_.at(i) = true;
    check_failures_.at(i) = 0;
    return;
  }
  if (now - checks_count_from_ < check.grace) return mark(Mark::kCheckInGrace);
  check_good_.at(i) = false;
  if (++check_failures_.at(i) < check.failures) return;
  mark(Mark::kCheckFailed);
  check_failures_.at(i) = 0;
  at_ = 0;
  failed(now, fmt::format("check {} failed {} times in a row: {}", check.text, check.failures, event.detail),
         out);
}

void Members::tick(Instant now, Actions& out) {
  if (now < limit_) return;
  limit_ = kNever;
  // Only these three states have time limits.
  if (state_ == State::kDown) return keep_hot(now, out);
  if (state_ == State::kStopping) {
    mark(Mark::kStopTimedOut);
    return stop_did_not_work(now, "time limit", out);
  }
  CLUSTERD_CHECK(state_ == State::kStarting, "only a start or a stop under way has a time limit");
  if (restarting_) {
    if (killing_) restarting_ = false;
    return stop_did_not_work(now, "time limit", out);
  }
  if (!addresses_up_) {
    mark(Mark::kAddressTimedOut);
    return failed(now, "its addresses were not added in time", out);
  }
  mark(Mark::kUnitStartTimedOut);
  failed(now,
         fmt::format("{} did not start within {:.0f} s", service().units.at(at_).name,
                     to_seconds(service().units.at(at_).start_timeout)),
         out);
}

Instant Members::next_deadline() const { return limit_; }

}  // namespace clusterd
