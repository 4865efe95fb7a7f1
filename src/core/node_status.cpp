// What is shown of a node: logs, notices, decisions and the status picture.
#include <fmt/format.h>

#include <algorithm>

#include "core/node_impl.hpp"

namespace clusterd {

void Node::Impl::log(Actions& out, Severity severity, std::string text) const {
  out.log.push_back({severity, std::move(text)});
}

void Node::Impl::notice(Actions& out, Severity severity, std::string kind, std::string text) const {
  out.notices.push_back({0, std::move(kind), severity, std::nullopt, std::move(text)});
}

// One sentence each, as in docs/safety.md.
std::string Node::Impl::guarantee() const {
  if (fence_mode())
    return "a silent peer is switched off before anything is taken over; without a confirmed fence nothing "
           "is";
  if (config_.hosts.empty())
    return "nothing is taken over by itself: a silent peer needs you (`clusterctl start --force`)";
  std::string out =
      "at most one node answers for an address; a silent peer is relieved after the window while "
      "all counted reference hosts answer";
  if (stop_limit_ == Duration::zero()) return out;
  const bool fence = config_.peer_fence() != nullptr;
  if (fence || config_.watchdog) {
    out += fmt::format("; with effects = \"node\" only after {}{}{}", fence ? "a confirmed fence" : "",
                       fence && config_.watchdog ? " or " : "",
                       config_.watchdog ? fmt::format("{:.1f} s, when its watchdog must have reset it",
                                                      to_seconds(effects_bound_))
                                        : "");
  } else {
    out += "; with effects = \"node\" never by itself: there is neither a watchdog nor a fence";
  }
  return out;
}

std::string Node::Impl::fence_text() const {
  if (config_.peer_fence() == nullptr) return "";
  switch (fencing_.state()) {
    case Fencing::State::kIdle:
      return "ready";
    case Fencing::State::kDelayed:
      return "waits for its delay";
    case Fencing::State::kUnderWay:
      return fmt::format("switches {} off", peer_name());
    case Fencing::State::kConfirmed:
      return fmt::format("{} is off", peer_name());
    case Fencing::State::kFailed:
      return fmt::format("failed ({} times): {}", fencing_.attempts(), fencing_.detail());
  }
  return "";
}

void Node::Impl::make_status() {
  Status& status = status_;
  status.self = config_.self;
  NodeStatus& here = status.nodes.at(config_.self.at());
  here.heard = true;
  here.locked = state_.locked;
  here.lock_reason = state_.lock_reason;
  here.leaving = leaving_;
  here.last_heard = now_;
  NodeStatus& there = status.nodes.at(config_.peer().at());
  there.heard = peer_heard();
  there.last_heard = peer_.last_receipt();
  there.clock_skew = clock_skew_;
  const Heartbeat* peer = peer_.latest();
  if (peer != nullptr) {
    there.locked = peer->locked;
    there.leaving = peer->leaving;
  }
  status.links.resize(config_.links.size());
  for (size_t i = 0; i < status.links.size(); ++i) {
    status.links.at(i) = {static_cast<bool>(link_up_.at(i)), peer_.last_receipt_on(LinkId(i))};
  }
  const auto counted = hosts_.announce(now_);
  status.hosts.resize(config_.hosts.size());
  for (size_t i = 0; i < status.hosts.size(); ++i) {
    HostStatus& host = status.hosts.at(i);
    host.here = counted.at(i);
    host.renews_lease = hosts_.in_active_set(HostId(i));
    host.must_answer = hosts_.in_standby_set(HostId(i));
    host.answers = host.here.answers;
    host.relays = host.here.relays;
    host.last_answer = hosts_.last_answer(HostId(i));
    if (peer != nullptr && i < peer->hosts.size()) host.at_peer = peer->hosts.at(i);
  }
  const Surroundings s = surroundings();
  status.services.clear();
  for (const auto& service : services_) status.services.push_back(service.status(s));
  for (size_t i = 0; i < services_.size(); ++i)
    status.services.at(i).lacks_at_peer = peer_heard() && ((peer_lacks_ >> i) & 1U) != 0;
  status.config_differs = !config_agrees();
  status.always_stuck = always_stuck_;
  status.moves_stopped = moves_stopped_;
  status.lease = lease_;
  status.lateness = lateness_;
  status.mode = !config_.hosts.empty() ? "reference" : fence_mode() ? "fence" : "manual";
  const bool forced =
      std::any_of(services_.begin(), services_.end(), [](const auto& m) { return m.forced(); });
  if (forced) status.mode = "manual (forced by an administrator)";
  status.guarantee = guarantee();
  status.fence = fence_text();
  if (config_.watchdog) {
    status.watchdog = watchdog_armed_ ? "armed: " + watchdog_detail_ : "not armed: " + watchdog_detail_;
    here.watchdog = watchdog_armed_;
    there.watchdog = state_.peer_watchdog;
  }
  status.last_decision = last_decision_;
}

}  // namespace clusterd
