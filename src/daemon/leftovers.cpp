#include "daemon/leftovers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "linux/address/address_work.hpp"

namespace clusterd {

namespace {

constexpr Duration kKillLimit = std::chrono::seconds(10);

bool has_unit(const Config& config, const std::string& service, const std::string& unit) {
  return std::ranges::any_of(config.services, [&](const ServiceConfig& one) {
    return one.name == service &&
           std::ranges::any_of(one.units, [&](const UnitConfig& u) { return u.name == unit; });
  });
}

bool wants(const Config& config, const IpAddress& address) {
  return std::ranges::any_of(config.services, [&](const ServiceConfig& service) {
    return std::ranges::any_of(service.addresses, [&](const Prefix& p) { return p.address == address; });
  });
}

}  // namespace

Leftovers::Leftovers(EventLoop& loop, Config former, const Config& now, const std::string& run_dir, Log& log)
    : loop_(loop), former_(std::move(former)), now_(now), log_(log) {
  for (const versions::OldUnit& unit : versions::old_units(former_, now_)) {
    const ServiceConfig& service = former_.service(unit.service);
    const bool comes_back = has_unit(now_, service.name, service.units.at(unit.unit.at()).name);
    (comes_back ? first_ : rest_).push_back(unit);
  }
  units_ = std::make_unique<LinuxUnits>(loop_, former_, run_dir, [this](const Event& event) {
    if (const auto* report = std::get_if<UnitReport>(&event)) stopped(*report);
  });
}

std::string Leftovers::name(const versions::OldUnit& unit) const {
  const ServiceConfig& service = former_.service(unit.service);
  return service.name + ": " + service.units.at(unit.unit.at()).name;
}

void Leftovers::clear_first() {
  clear_addresses();
  if (first_.empty()) return;
  stopping_ = first_;
  for (const versions::OldUnit& unit : first_) units_->stop({unit.service, unit.unit, false});
  const auto all_stopped = [this] { return stopping_.empty(); };
  if (!loop_.run_until(all_stopped, kFirstLimit)) {
    for (const versions::OldUnit& unit : stopping_) units_->stop({unit.service, unit.unit, true});
    (void)loop_.run_until(all_stopped, std::chrono::milliseconds(500));
  }
  for (const versions::OldUnit& unit : std::exchange(stopping_, {}))
    log_.line(Severity::kError, name(unit) + " does not end, and goes on as it was started before");
}

// A device that has no service any more goes with all that is on it; from others only the addresses.
void Leftovers::clear_addresses() {
  AddressWork work;
  const auto plans = make_address_plans(now_);
  for (const AddressPlan& old : make_address_plans(former_)) {
    const auto same = std::ranges::find_if(plans, [&](const AddressPlan& plan) {
      return plan.service_name == old.service_name && plan.device == old.device && plan.nic == old.nic &&
             plan.mode == old.mode;
    });
    if (same == plans.end()) {
      if (auto done = work.take_down(old); !done) log_.line(Severity::kError, done.error().message);
      continue;
    }
    const auto links = work.kernel().links();
    const auto addresses = work.kernel().addresses();
    if (!links || !addresses) continue;
    for (const LinkInfo& link : *links) {
      if (link.name != old.device) continue;
      for (const AddressInfo& address : *addresses) {
        if (address.ifindex != link.index || !old.has(address.address) || wants(now_, address.address))
          continue;
        if (auto done = work.kernel().remove_address(address); !done)
          log_.line(Severity::kError, fmt::format("{} cannot be removed from {}: {}", address.address.text(),
                                                  link.name, done.error().text));
      }
    }
  }
}

void Leftovers::clear_rest(std::function<void()> done) {
  done_ = std::move(done);
  std::ranges::reverse(rest_);  // the next one is at the end
  stop_next();
}

void Leftovers::stop_next() {
  limit_.reset();
  if (rest_.empty()) {
    // Not from inside a report of what `done` may destroy.
    limit_ = loop_.at(EventLoop::now(), [this] {
      if (const auto done = std::exchange(done_, nullptr)) done();
    });
    return;
  }
  const versions::OldUnit unit = rest_.back();
  stopping_ = {unit};
  killed_ = false;
  const UnitConfig& config = former_.service(unit.service).units.at(unit.unit.at());
  limit_ = loop_.at(EventLoop::now() + config.stop_timeout, [this] { kill_or_give_up(); });
  units_->stop({unit.service, unit.unit, false});
}

void Leftovers::kill_or_give_up() {
  const versions::OldUnit unit = stopping_.front();
  if (!killed_) {
    killed_ = true;
    limit_ = loop_.at(EventLoop::now() + kKillLimit, [this] { kill_or_give_up(); });
    units_->stop({unit.service, unit.unit, true});
    return;
  }
  log_.line(Severity::kError,
            name(unit) + " cannot be stopped, and belongs to no service any more: stop it by hand");
  stopping_.clear();
  rest_.pop_back();
  stop_next();
}

void Leftovers::stopped(const UnitReport& report) {
  const auto found = std::ranges::find_if(stopping_, [&](const versions::OldUnit& unit) {
    return unit.service == report.service && unit.unit == report.unit;
  });
  if (found == stopping_.end()) return;
  const bool failed = report.outcome == UnitReport::Outcome::kStopFailed;
  if (failed && (!done_ || !killed_)) return;  // a limit is running
  if (!failed)
    log_.line(Severity::kNotice, name(*found) + " has stopped: the new configuration has it no more");
  stopping_.erase(found);
  if (!done_) return;
  rest_.pop_back();
  stop_next();
}

}  // namespace clusterd
