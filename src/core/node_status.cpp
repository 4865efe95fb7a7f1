// What is shown of a node: logs, notices, decisions and the status picture.
#include <algorithm>

#include "core/node_impl.hpp"

namespace clusterd {

void Node::Impl::log(Actions& out, Severity severity, std::string text) const {
  out.log.push_back({severity, std::move(text)});
}

void Node::Impl::notice(Actions& out, Severity severity, std::string kind, std::string text) const {
  out.notices.push_back({0, std::move(kind), severity, std::nullopt, std::move(text)});
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
  status.config_differs = !config_agrees();
  status.moves_stopped = moves_stopped_;
  status.lease = lease_;
  status.lateness = lateness_;
  status.mode = config_.hosts.empty() ? "manual" : "reference hosts";
  const bool forced =
      std::any_of(services_.begin(), services_.end(), [](const auto& m) { return m.forced(); });
  if (forced) status.mode = "manual (forced by an administrator)";
  status.last_decision = last_decision_;
}

}  // namespace clusterd
