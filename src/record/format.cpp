#include "record/format.hpp"

#include <fmt/format.h>

#include <array>

#include "base/archive.hpp"
#include "core_hash.hpp"

namespace clusterd::record {

namespace {

// The members of Actions, in their order.
constexpr std::array kMembers = {"persist",
                                 "persist_version",
                                 "shut_gates",
                                 "stop_receivers",
                                 "lift_guards",
                                 "cancel_mirrors",
                                 "stop_checks",
                                 "stop_units",
                                 "remove_addresses",
                                 "heartbeats",
                                 "probes",
                                 "address_probes",
                                 "set_gates",
                                 "watchdog",
                                 "fence",
                                 "add_addresses",
                                 "announce",
                                 "start_units",
                                 "start_checks",
                                 "mirror_orders",
                                 "set_guards",
                                 "log",
                                 "decisions",
                                 "notices",
                                 "replies",
                                 "exit"};
static_assert(kMembers.size() == boost::pfr::tuple_size_v<Actions>,
              "a member was added to Actions: add its name here, in its place");
static_assert(kMembers.size() <= 32);

template <class T>
bool is_there(const T& member) {
  if constexpr (std::is_arithmetic_v<T>) {
    return member != 0;
  } else if constexpr (archive::IsOptional<T>::value) {
    return member.has_value();
  } else {
    return !member.empty();
  }
}

const char* name(Severity severity) {
  switch (severity) {
    case Severity::kDebug:
      return "debug";
    case Severity::kInfo:
      return "info";
    case Severity::kNotice:
      return "notice";
    case Severity::kWarning:
      return "warning";
    case Severity::kError:
      return "error";
  }
  return "?";
}

std::vector<std::string> told_by(const Actions& actions) {
  std::vector<std::string> out;
  for (const auto& line : actions.log) out.push_back(fmt::format("{}: {}", name(line.severity), line.text));
  for (const auto& decision : actions.decisions) {
    std::string text = "decides: " + decision.what;
    for (size_t i = 0; i < decision.evidence.size(); ++i)
      text += (i == 0 ? ", because " : "; ") + decision.evidence[i];
    out.push_back(std::move(text));
  }
  for (const auto& notice : actions.notices)
    out.push_back(fmt::format("notice {} {}: {}", notice.sequence, notice.kind, notice.text));
  for (const auto& reply : actions.replies)
    out.push_back(fmt::format("answers {}: {}{}", reply.command, reply.ok ? "" : "refused: ", reply.text));
  if (out.size() > kMaxTold) out.resize(kMaxTold);
  return out;
}

std::string index_text(size_t index) { return std::to_string(index + 1); }

template <class Received>
std::string path_text(const Received& e) {
  if (e.link) return "on link " + index_text(e.link->at());
  return e.relay ? "off host " + index_text(e.relay->at()) : "on no path";
}

struct EventText {
  std::string operator()(const Started& e) const {
    return fmt::format("started, {}", e.host_rebooted ? "the machine has booted" : "the daemon only");
  }
  std::string operator()(const Tick& /*e*/) const { return "tick"; }
  std::string operator()(const HeartbeatReceived& e) const {
    return fmt::format("heartbeat {} {}", e.heartbeat.sequence, path_text(e));
  }
  std::string operator()(const SignOfLife& e) const { return fmt::format("a sign of life {}", path_text(e)); }
  std::string operator()(const ProbeAnswered& e) const {
    return fmt::format("host {} answers", index_text(e.host.at()));
  }
  std::string operator()(const NicChanged& e) const {
    return fmt::format("NIC {} {} {}", e.nic, e.up ? "up" : "down", e.detail);
  }
  std::string operator()(const AddressAnswered& e) const {
    return fmt::format("{} answers for {} of service {}", e.mac.text(), e.address.text(),
                       index_text(e.service.at()));
  }
  std::string operator()(const AddressReport& e) const {
    return fmt::format("addresses of service {} {} {}", index_text(e.service.at()), e.ok ? "added" : "failed",
                       e.detail);
  }
  std::string operator()(const AddressLost& e) const {
    return fmt::format("address of service {} lost: {}", index_text(e.service.at()), e.detail);
  }
  std::string operator()(const UnitReport& e) const {
    constexpr std::array kOutcomes = {"started", "failed to start", "stopped", "failed to stop", "crashed"};
    return fmt::format("unit {} of service {} {} {}", index_text(e.unit.at()), index_text(e.service.at()),
                       kOutcomes.at(static_cast<size_t>(e.outcome)), e.detail);
  }
  std::string operator()(const CheckReport& e) const {
    return fmt::format("check {} of service {} {} {}", index_text(e.check.at()), index_text(e.service.at()),
                       e.ok ? "good" : "bad", e.detail);
  }
  std::string operator()(const MirrorReport& e) const {
    constexpr std::array kOutcomes = {"goes on", "done", "failed", "halted"};
    return fmt::format("mirror {} of service {} {} {}", index_text(e.mirror.at()), index_text(e.service.at()),
                       kOutcomes.at(static_cast<size_t>(e.outcome)), e.detail);
  }
  std::string operator()(const Persisted& e) const {
    return fmt::format("state {} {} {}", e.version, e.ok ? "is on disk" : "was refused by the disk",
                       e.detail);
  }
  std::string operator()(const Command& e) const {
    constexpr std::array kKinds = {"move",
                                   "standby",
                                   "online",
                                   "start-force",
                                   "resync",
                                   "mirror-run",
                                   "mirror-confirm",
                                   "mirror-receive",
                                   "accept-diverged",
                                   "stop-services",
                                   "prepare-restart",
                                   "hold-back",
                                   "hold-back-no-more",
                                   "mirror-scrub",
                                   "mirror-pause",
                                   "mirror-resume",
                                   "always-stuck"};
    const auto kind = static_cast<size_t>(e.kind);
    return fmt::format("order {}: {} {}", e.id, kind < kKinds.size() ? kKinds.at(kind) : "?", e.text);
  }
  std::string operator()(const WatchdogReport& e) const {
    return fmt::format("watchdog {} {}", e.armed ? "armed" : "not armed, or not petted", e.detail);
  }
  std::string operator()(const FenceReport& e) const {
    constexpr std::array kPower = {"status unknown", "status on", "status off"};
    return fmt::format("fence {}: off {}, {} {}", e.order, e.off_done ? "done" : "failed",
                       kPower.at(static_cast<size_t>(e.power)), e.detail);
  }
  std::string operator()(const LackReport& e) const {
    return fmt::format("service {} {}", index_text(e.service.at()),
                       e.lacks.empty() ? "lacks nothing" : "lacks: " + e.lacks);
  }
  std::string operator()(const GuardReport& e) const {
    constexpr std::array kOutcomes = {"is set", "waits for", "failed:"};
    return fmt::format("guard of mirror {} of service {} {} {}", index_text(e.mirror.at()),
                       index_text(e.service.at()), kOutcomes.at(static_cast<size_t>(e.outcome)), e.detail);
  }
  template <class Other>
  std::string operator()(const Other& /*e*/) const {
    return "event";
  }
};

}  // namespace

const char* core_hash() { return CLUSTERD_CORE_HASH; }

uint64_t event_layout() { return shape_of<Event>() ^ (shape_of<PersistedState>() << 1U); }

Outcome outcome_of(const Actions& actions) {
  Outcome out;
  uint32_t bit = 1;
  boost::pfr::for_each_field(actions, [&](const auto& member) {
    if (is_there(member)) out.kinds |= bit;
    bit <<= 1U;
  });
  if (out.kinds == 0) return out;
  Hasher hasher;
  hasher(actions);
  const uint64_t hash = hasher.value();
  out.digest = static_cast<uint32_t>(hash ^ (hash >> 32U));
  out.told = told_by(actions);
  return out;
}

std::string kinds_text(uint32_t kinds) {
  std::string out;
  for (size_t i = 0; i < kMembers.size(); ++i) {
    if (((kinds >> i) & 1U) != 0) out += (out.empty() ? "" : ", ") + std::string(kMembers.at(i));
  }
  return out.empty() ? "nothing" : out;
}

std::string event_text(const Event& event) {
  std::string text = std::visit(EventText(), event);
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

}  // namespace clusterd::record
