// The administrator's orders. An order that concerns the other node travels there in the heartbeat as a
// `Request`, sealed like the rest, until that node has answered it.
#include <fmt/format.h>

#include <algorithm>

#include "base/mark.hpp"
#include "core/node_impl.hpp"

namespace clusterd {

namespace {
constexpr Duration kMoveLimit = std::chrono::minutes(6);
constexpr Duration kRequestLimit = std::chrono::seconds(5);
constexpr size_t kMaxReason = 120;
}  // namespace

void Node::Impl::reply(Actions& out, uint64_t command, bool ok, std::string text) const {
  out.replies.push_back({command, ok, std::move(text), false});
}

void Node::Impl::obey(const Command& command, Actions& out) {
  if (command.service && command.service->at() >= services_.size()) {
    mark(Mark::kOrderUnknownService);
    return reply(out, command.id, false, "there is no such service");
  }
  switch (command.kind) {
    case Command::Kind::kMove: {
      const std::string refusal = order_move(command);
      if (!refusal.empty()) {
        mark(Mark::kMoveRefused);
        return reply(out, command.id, false, refusal);
      }
      return;  // answered by review_waiting
    }
    case Command::Kind::kStandby:
      return order_standby(command, out);
    case Command::Kind::kOnline:
      return order_online(command, out);
    case Command::Kind::kStartForce:
      return order_force(command, out);
    case Command::Kind::kResync:
    case Command::Kind::kMirrorRun:
    case Command::Kind::kMirrorConfirm:
    case Command::Kind::kMirrorScrub:
    case Command::Kind::kMirrorPause:
    case Command::Kind::kMirrorResume:
    case Command::Kind::kMirrorReceive:
    case Command::Kind::kAcceptDiverged:
      return order_mirror(command, out);
    case Command::Kind::kStopServices: {
      order_stop_services();
      waiting_.push_back({command.id, command.kind, std::nullopt, 0, 0, true, now_ + kMoveLimit});
      return;
    }
    case Command::Kind::kPrepareRestart:
      return order_restart(command, out);
    case Command::Kind::kHoldBack:
    case Command::Kind::kHoldBackNoMore:
      return order_hold_back(command, out);
    case Command::Kind::kAlwaysStuck:
      return order_always_stuck(command, out);
  }
}

// Where the service is decides who acts: the active node hands over, the other one asks it to.
std::string Node::Impl::order_move(const Command& command) {
  if (!command.service) return "which service?";
  ServiceMachine& service = services_.at(command.service->at());
  const std::string& title = config_.service(*command.service).name;
  const bool here = service.holds();
  const NodeId target = command.node.value_or(here ? config_.peer() : config_.self);
  if (target == config_.self && here)
    return fmt::format("{} is {} on {} already", title, name(service.role()), self_name());
  if (here) {
    std::string refusal = service.order_move(surroundings());
    if (refusal.empty())
      waiting_.push_back({command.id, command.kind, command.service, 0, 0, true, now_ + kMoveLimit});
    return refusal;
  }
  if (!peer_heard())
    return fmt::format("{} is not active here, and {} is not heard (`clusterctl start --force`?)", title,
                       peer_name());
  if (target == config_.peer())
    return fmt::format("{} is not active on {}: there is nothing to hand over", title, self_name());
  if (state_.locked)
    return fmt::format("{} carries the standby lock: `clusterctl online {}` first", self_name(), self_name());
  Actions none;
  if (!forward(Request::Kind::kMove, command, none)) return "another order is under way: try again";
  return "";
}

void Node::Impl::order_standby(const Command& command, Actions& out) {
  if (command.node.value_or(config_.self) != config_.self) {
    if (!peer_heard()) {
      mark(Mark::kPeerNotHeardForOrder);
      return reply(out, command.id, false, fmt::format("{} is not heard", peer_name()));
    }
    if (!forward(Request::Kind::kStandby, command, out))
      reply(out, command.id, false, "another order is under way: try again");
    return;
  }
  for (size_t i = 0; i < services_.size(); ++i) {
    if (!services_.at(i).holds()) continue;
    const std::string refusal = services_.at(i).why_no_move(surroundings());
    if (!refusal.empty()) {
      mark(Mark::kStandbyRefused);
      return reply(out, command.id, false,
                   fmt::format("{} cannot be moved away: {}", config_.services.at(i).name, refusal));
    }
  }
  lock("an administrator put it aside", out);
  if (command.id != 0)
    waiting_.push_back({command.id, command.kind, std::nullopt, 0, 0, true, now_ + kMoveLimit});
}

void Node::Impl::order_online(const Command& command, Actions& out) {
  if (command.node.value_or(config_.self) != config_.self) {
    state_.peer_faulty = false;
    if (!peer_heard()) {
      mark(Mark::kPeerNotHeardForOrder);
      return reply(out, command.id, false, fmt::format("{} is not heard: release it there", peer_name()));
    }
    if (!forward(Request::Kind::kOnline, command, out))
      reply(out, command.id, false, "another order is under way: try again");
    return;
  }
  unlock(out);
  if (command.id != 0) reply(out, command.id, true, fmt::format("{} may serve again", self_name()));
}

void Node::Impl::lock(const std::string& reason, Actions& out) {
  if (state_.locked) return;
  state_.locked = true;
  state_.lock_reason = reason;
  say_it_now_ = true;
  notice(out, Severity::kWarning, "node-locked",
         fmt::format("{} carries the standby lock ({}): it takes nothing over until `clusterctl online {}`",
                     self_name(), reason, self_name()));
}

void Node::Impl::unlock(Actions& out) {
  if (state_.locked)
    notice(out, Severity::kNotice, "node-online",
           fmt::format("{} is released from its standby lock", self_name()));
  state_.locked = false;
  state_.lock_reason.clear();
  state_.takeovers.clear();
  state_.peer_faulty = false;
  if (leaving_) mark(Mark::kShutdownCalledOff);
  leaving_ = false;
  if (spare_lost_) mark(Mark::kSpareForgiven);
  spare_lost_ = false;
  for (auto& service : services_) service.forgive();
  say_it_now_ = true;
}

void Node::Impl::order_force(const Command& command, Actions& out) {
  const Surroundings s = surroundings();
  std::string refused;
  unsigned accepted = 0;
  for (size_t i = 0; i < services_.size(); ++i) {
    if (command.service && command.service->at() != i) continue;
    const std::string refusal = services_.at(i).order_force(s);
    if (refusal.empty()) {
      ++accepted;
      if (command.service)
        waiting_.push_back(
            {command.id, command.kind, command.service, 0, 0, true, now_ + std::chrono::seconds(60)});
    } else {
      mark(Mark::kForceRefused);
      refused += (refused.empty() ? "" : "; ") + refusal;
    }
  }
  if (command.service && accepted > 0) return;
  reply(out, command.id, accepted > 0,
        accepted > 0 ? fmt::format("{} services are started", accepted) : refused);
}

void Node::Impl::order_mirror(const Command& command, Actions& out) {
  if (!command.service) return reply(out, command.id, false, "which service?");
  ServiceMachine& service = services_.at(command.service->at());
  const std::string& title = config_.service(*command.service).name;
  if (command.kind == Command::Kind::kMirrorReceive) {
    const std::string refusal = service.may_receive(command.text, command.epoch, surroundings());
    reply(out, command.id, refusal.empty(), refusal);
    out.replies.back().permits_only = true;
    return;
  }
  if (command.kind == Command::Kind::kAcceptDiverged) {
    if (!service.stored().diverged)
      return reply(out, command.id, false, fmt::format("{} is not diverged here", title));
    mark(Mark::kDivergenceAccepted);
    service.accept_diverged();
    return reply(out, command.id, true, fmt::format("the divergence of {} is noted as seen", title));
  }
  if (service.role() != Role::kActive) {
    mark(Mark::kMirrorOrderRefused);
    return reply(out, command.id, false,
                 fmt::format("{} is {} on {}: mirrors run on the active node", title, name(service.role()),
                             self_name()));
  }
  if (command.kind == Command::Kind::kResync) {
    service.mirrors().resync_now(now_);
    return reply(out, command.id, true, fmt::format("{} is compared and copied to {}", title, peer_name()));
  }
  if (command.kind == Command::Kind::kMirrorConfirm) {
    const bool ok = service.confirm_mirror(command.text, now_);
    return reply(
        out, command.id, ok,
        ok ? "confirmed: it goes on" : fmt::format("{} has no halted mirror {}", title, command.text));
  }
  if (command.kind == Command::Kind::kMirrorScrub) {
    const std::string refusal = service.mirrors().scrub(command.text, out);
    return reply(out, command.id, refusal.empty(),
                 refusal.empty() ? "contents are compared: see `clusterctl mirror status`" : refusal);
  }
  if (command.kind == Command::Kind::kMirrorPause) {
    const std::string refusal = service.mirrors().pause(command.text, out);
    return reply(out, command.id, refusal.empty(),
                 refusal.empty()
                     ? fmt::format("nothing is carried over until `clusterctl mirror resume {}`", title)
                     : refusal);
  }
  if (command.kind == Command::Kind::kMirrorResume) {
    const std::string refusal = service.mirrors().resume(command.text, now_);
    return reply(out, command.id, refusal.empty(), refusal.empty() ? "it goes on" : refusal);
  }
  const bool ok = service.mirrors().run_now(now_);
  reply(out, command.id, ok, ok ? "the mirrors run now" : fmt::format("{} has no mirrors", title));
}

// The services see it at their next review: they hand over, or stop where nobody takes over.
void Node::Impl::order_stop_services() {
  leaving_ = true;
  say_it_now_ = true;
}

void Node::Impl::order_restart(const Command& command, Actions& out) {
  if (restart_command_) {
    mark(Mark::kRestartTwice);
    return reply(out, command.id, false, "a restart is under way already");
  }
  restart_command_ = command.id;
  promise_wanted_ = true;
  promise_sequence_ = 0;
  promise_asked_ = now_;
  say_it_now_ = true;
}

// While the configuration of one node is exchanged, the nodes may not hear each other although both are well,
// and neither knows it of the other (docs/decisions/0012).
void Node::Impl::order_hold_back(const Command& command, Actions& out) {
  const bool hold = command.kind == Command::Kind::kHoldBack;
  if (hold != holds_back_) {
    mark(hold ? Mark::kHoldsBack : Mark::kHoldsBackNoMore);
    log(out, Severity::kNotice,
        hold ? "a new configuration is on its way: nothing is taken over from a silent peer until both nodes "
               "have it"
             : "both nodes have settled on a configuration: takeovers are possible again");
  }
  holds_back_ = hold;
  reply(out, command.id, true, hold ? "takes nothing over" : "takes over as ever");
}

// Not a decision of this node: clusterd-config says what it cannot do by itself, so that it is told as every
// other trouble is. Said again and again; told once.
void Node::Impl::order_always_stuck(const Command& command, Actions& out) {
  if (command.text != always_stuck_) {
    mark(command.text.empty() ? Mark::kAlwaysGoesOn : Mark::kAlwaysStuck);
    if (command.text.empty())
      log(out, Severity::kNotice, "the always mirror: nothing waits for a decision any more");
    else
      notice(out, Severity::kWarning, "always-stuck", command.text);
  }
  always_stuck_ = command.text;
  reply(out, command.id, true, "noted");
}

// ---- requests ----

bool Node::Impl::forward(Request::Kind kind, const Command& command, Actions& /*out*/) {
  const bool busy = std::any_of(waiting_.begin(), waiting_.end(),
                                [](const Waiting& w) { return w.request != 0 && !w.accepted; });
  mark(busy ? Mark::kForwardBusy : Mark::kOrderForwarded);
  if (busy) return false;
  request_.kind = kind;
  ++request_.id;
  request_.service = static_cast<uint16_t>(command.service ? command.service->at() : 0);
  waiting_.push_back(
      {command.id, command.kind, command.service, request_.id, sequence_ + 1, false, now_ + kRequestLimit});
  say_it_now_ = true;
  return true;
}

void Node::Impl::obey_request(const Heartbeat& heartbeat, Actions& out) {
  const Request& request = heartbeat.request;
  if (request.kind == Request::Kind::kNone || request.id <= answered_request_) return;
  answered_request_ = request.id;
  answer_.id = request.id;
  answer_is_new_ = true;
  std::string refusal;
  Command command;
  command.id = 0;
  Actions inner;
  switch (request.kind) {
    case Request::Kind::kMove:
      refusal = request.service < services_.size() ? services_.at(request.service).order_move(surroundings())
                                                   : "there is no such service";
      break;
    case Request::Kind::kStandby:
      order_standby(command, inner);
      for (const auto& answer : inner.replies) refusal = answer.text;
      inner.replies.clear();
      break;
    case Request::Kind::kOnline:
      unlock(inner);
      break;
    case Request::Kind::kResync:
      if (request.service < services_.size()) services_.at(request.service).mirrors().resync_now(now_);
      break;
    case Request::Kind::kStopServices:
      order_stop_services();
      break;
    case Request::Kind::kNone:
      break;
  }
  for (auto& line : inner.notices) out.notices.push_back(std::move(line));
  mark(refusal.empty() ? Mark::kRequestObeyed : Mark::kRequestRefused);
  answer_.outcome = refusal.empty() ? RequestAnswer::Outcome::kAccepted : RequestAnswer::Outcome::kRefused;
  answer_.reason = refusal.substr(0, kMaxReason);
  say_it_now_ = true;
}

// A request that has been answered, or that nobody waits for any more, is not said any longer: the peer's
// next daemon would take it for a new one.
void Node::Impl::take_back(uint64_t request) {
  if (request != 0 && request_.id == request) request_.kind = Request::Kind::kNone;
}

// The daemon that had accepted them is gone, and its next one does not remember: what does not come soon,
// does not come at all.
void Node::Impl::shorten_forwarded_moves() {
  for (Waiting& w : waiting_) {
    if (w.request != 0 && w.accepted) w.limit = std::min(w.limit, now_ + kRequestLimit);
  }
}

// Answers orders whose effect has been seen, or will not come.
void Node::Impl::review_waiting(Actions& out) {
  const auto done = [&](Waiting& w) {
    const RequestAnswer* answer = peer_.known() ? &peer_.latest()->answer : nullptr;
    // An answer to the same number that an earlier daemon of this node gave is not the answer to this one.
    const bool says_so =
        answer != nullptr && answer->id == w.request && answer->outcome != RequestAnswer::Outcome::kNone;
    const bool answered = says_so && peer_.acked_sequence() >= w.sequence;
    if (says_so && !answered && w.request != 0) mark(Mark::kStaleAnswer);
    if (w.request != 0 && !w.accepted && answered) {
      take_back(w.request);
      if (answer->outcome == RequestAnswer::Outcome::kRefused) {
        mark(Mark::kRequestRefusedByPeer);
        reply(out, w.command, false, fmt::format("{} refuses: {}", peer_name(), answer->reason));
        return true;
      }
      w.accepted = true;
      w.limit = now_ + kMoveLimit;
      if (w.kind == Command::Kind::kOnline || w.kind == Command::Kind::kStandby) {
        reply(out, w.command, true, fmt::format("accepted by {}", peer_name()));
        return true;
      }
    }
    if (now_ >= w.limit) {
      mark(Mark::kOrderTimedOut);
      take_back(w.request);
      reply(out, w.command, false, "it did not come to an end in time; see `clusterctl why`");
      return true;
    }
    if (!w.accepted) return false;
    if (w.service) {
      const ServiceMachine& service = services_.at(w.service->at());
      const bool towards_here = w.request != 0 || w.kind == Command::Kind::kStartForce;
      if (towards_here && service.role() == Role::kActive) {
        reply(out, w.command, true,
              fmt::format("{} is active on {}", config_.service(*w.service).name, self_name()));
        return true;
      }
      const bool peer_active = peer_.known() && config_agrees() &&
                               w.service->at() < peer_.latest()->services.size() &&
                               peer_.latest()->services.at(w.service->at()).role == Role::kActive;
      if (!towards_here && !service.holds() && peer_active) {
        reply(out, w.command, true,
              fmt::format("{} is active on {}", config_.service(*w.service).name, peer_name()));
        return true;
      }
      // It went away and came back: the handover was broken off.
      if (!towards_here && service.role() == Role::kActive && !service.move_pending()) {
        mark(Mark::kMoveBrokenOff);
        reply(out, w.command, false, "the handover was broken off; see `clusterctl why`");
        return true;
      }
      return false;
    }
    const bool none_held =
        std::none_of(services_.begin(), services_.end(), [](const auto& s) { return s.holds(); });
    if (!none_held) return false;
    reply(out, w.command, true, fmt::format("{} holds no service any more", self_name()));
    return true;
  };
  std::erase_if(waiting_, done);
}

}  // namespace clusterd
