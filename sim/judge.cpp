#include "sim/judge.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace clusterd::sim {

const char* name(Assumption assumption) {
  switch (assumption) {
    case Assumption::kClockRate:
      return "A1 (clock rate)";
    case Assumption::kHearOffHost:
      return "A2 (T: who sees a host hears the peer off it)";
    case Assumption::kDisk:
      return "A3 (disk)";
    case Assumption::kAdministrator:
      return "an administrator's word";
    case Assumption::kFence:
      return "A6 (a fence device that says off)";
  }
  return "?";
}

Judge::Judge(const Config& config) : config_(config), services_(config.services.size()) {
  broken_until_.fill(kLongAgo);
}

void Judge::excuse(Assumption assumption, Instant until) {
  Instant& mark = broken_until_.at(static_cast<size_t>(assumption));
  if (until <= mark) return;
  mark = until;
  if (on_excuse) on_excuse(assumption, until);
}

std::optional<Assumption> Judge::broken(Instant now) const {
  for (size_t i = 0; i < kAssumptions; ++i) {
    if (now < broken_until_.at(i)) return static_cast<Assumption>(i);
  }
  return std::nullopt;
}

bool Judge::assumption_broken(Instant now) const { return broken(now).has_value(); }

void Judge::accuse(Instant now, const std::string& text) {
  if (accusations_.size() < 100) accusations_.push_back({now, text, broken(now)});
}

const Accusation* Judge::unexcused() const {
  const auto at =
      std::find_if(accusations_.begin(), accusations_.end(), [](const auto& a) { return !a.excuse; });
  return at == accusations_.end() ? nullptr : &*at;
}

size_t Judge::excused() const {
  return static_cast<size_t>(std::count_if(accusations_.begin(), accusations_.end(),
                                           [](const auto& a) { return a.excuse.has_value(); }));
}

void Judge::look(Instant now, ServiceId id, const std::vector<Answer>& answers) {
  Service& service = services_.at(id.at());
  if (answers.size() > 1 && service.last.size() < 2) {
    accuse(now, fmt::format("S1: both nodes answer for {}", config_.service(id).name));
  }
  for (const Answer& answer : answers) {
    const bool was = std::any_of(service.last.begin(), service.last.end(), [&](const Answer& a) {
      return a.node == answer.node && a.epoch == answer.epoch;
    });
    if (was) continue;
    if (answer.epoch.value != 0 && answer.epoch == service.newest && service.newest_at != answer.node) {
      accuse(now, fmt::format("S4: {} has served at epoch {} on both nodes", config_.service(id).name,
                              answer.epoch.value));
    }
    if (answer.epoch > service.newest) {
      service.newest = answer.epoch;
      service.newest_at = answer.node;
    }
  }
  service.last = answers;
}

void Judge::look_at_units(Instant now, ServiceId id, size_t machines) {
  Service& service = services_.at(id.at());
  if (machines > 1 && service.machines < 2)
    accuse(now, fmt::format("S13: units of {} run on both machines", config_.service(id).name));
  service.machines = machines;
}

std::optional<Judge::Answer> Judge::newest(ServiceId id) const {
  const Service& service = services_.at(id.at());
  if (!service.newest_at) return std::nullopt;
  return Answer{*service.newest_at, service.newest};
}

void Judge::stored(Instant now, NodeId node, ServiceId id, Epoch epoch) {
  Epoch& last = services_.at(id.at()).stored.at(node.at());
  if (epoch < last) {
    accuse(now, fmt::format("S4: {} has stored epoch {} of {} after {}", config_.node(node).name, epoch.value,
                            config_.service(id).name, last.value));
  }
  last = epoch;
}

void Judge::forgot(NodeId node) {
  for (Service& service : services_) service.stored.at(node.at()) = Epoch{};
}

// What no log line may contain: numbers that mean "never" or nothing, and names of defects.
void Judge::logged(Instant now, const std::string& line) {
  for (const char* forbidden : {"nan", "922337", "-230584", "BUG", "e+1", " -1 ms"}) {
    if (line.find(forbidden) != std::string::npos) accuse(now, "a log line says: " + line);
  }
}

}  // namespace clusterd::sim
