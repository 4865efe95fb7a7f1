// What the running daemon can say for `clusterctl check`: findings that need its view of the world.
#include <fmt/format.h>

#include <boost/json.hpp>
#include <cmath>

#include "daemon/json_text.hpp"
#include "daemon/status_json.hpp"

namespace clusterd {

namespace json = boost::json;

namespace {

class Findings {
 public:
  void ok(std::string_view topic, std::string text) { add("ok", topic, std::move(text), ""); }
  void warning(std::string_view topic, std::string text, std::string remedy) {
    add("warning", topic, std::move(text), std::move(remedy));
  }
  void error(std::string_view topic, std::string text, std::string remedy) {
    add("error", topic, std::move(text), std::move(remedy));
  }
  [[nodiscard]] std::string text() && {
    return json_text(json::object{{"findings", std::move(findings_)}}) + "\n";
  }

 private:
  void add(std::string_view level, std::string_view topic, std::string text, std::string remedy) {
    findings_.push_back(json::object{
        {"level", level}, {"topic", topic}, {"text", std::move(text)}, {"remedy", std::move(remedy)}});
  }
  json::array findings_;
};

void check_peer(Findings& findings, const Config& config, const Status& status) {
  const std::string& peer = config.node(config.peer()).name;
  const NodeStatus& state = status.nodes.at(config.peer().at());
  if (!state.heard) {
    findings.error("peer", fmt::format("{} is not heard on any link", peer),
                   "is clusterd running there, with the same secret? Do the cables and addresses match?");
    return;
  }
  findings.ok("peer", fmt::format("{} is heard", peer));
  const double skew = to_ms(state.clock_skew);
  if (std::abs(skew) > 2000) {
    findings.warning("clock", fmt::format("the clock of {} differs by {:.1f} s", peer, skew / 1000),
                     "run a time service (chrony or systemd-timesyncd) on both nodes");
  } else {
    findings.ok("clock", fmt::format("the clock of {} differs by {:.0f} ms", peer, skew));
  }
  if (status.config_differs) {
    findings.error("configuration",
                   fmt::format("{} has a different configuration; the nodes refuse to arbitrate", peer),
                   "make /etc/cluster.d the same on both nodes and restart clusterd where it was changed");
  } else {
    findings.ok("configuration", fmt::format("{} has the same configuration", peer));
  }
}

void check_links(Findings& findings, const Config& config, const Status& status) {
  for (size_t i = 0; i < config.links.size() && i < status.links.size(); ++i) {
    const LinkConfig& link = config.links[i];
    const std::string& nic = link.ends.at(config.self.at()).nic;
    if (status.links[i].up) {
      findings.ok("link", fmt::format("{} ({}): heartbeats arrive", link.name, nic));
    } else {
      findings.warning("link", fmt::format("{} ({}): no heartbeats", link.name, nic),
                       "look at the cable, the switch, the NIC at both ends, and UDP port " +
                           std::to_string(config.port) + " in the packet filters");
    }
  }
}

void check_hosts(Findings& findings, const Config& config, const Status& status) {
  if (config.hosts.empty()) {
    findings.warning("reference hosts", "none: nothing can tell a dead peer from a cut cable",
                     "name routers or switches that both nodes reach in reference_hosts");
  }
  for (size_t i = 0; i < config.hosts.size() && i < status.hosts.size(); ++i) {
    const std::string& host = config.hosts[i].text;
    const HostStatus& state = status.hosts[i];
    if (!state.answers) {
      findings.warning("reference hosts", host + " does not answer",
                       "is it on, and does it answer these probes?");
    } else if (config.relay && config.hosts[i].kind == ProbeKind::kIcmp && !state.relays) {
      findings.warning(
          "reference hosts", host + " answers, but relays no heartbeats",
          "its filters or a source guard refuse them; that both nodes hear each other while both see it "
          "is then assumed, not proved");
    } else {
      findings.ok("reference hosts", host + (state.relays ? " answers and relays" : " answers"));
    }
  }
}

void check_host(Findings& findings, const DaemonFacts& facts) {
  if (facts.has_gate) {
    findings.ok("gate", facts.gate_detail);
  } else {
    findings.warning("gate", "the daemon runs without the kernel's gate: " + facts.gate_detail,
                     "use a kernel with BPF and start clusterd without --without-gate");
  }
  if (facts.realtime) {
    findings.ok("scheduling", "the daemon has real-time priority");
  } else {
    findings.warning("scheduling", "the daemon runs with ordinary priority and may be late under load",
                     "start it by its unit, with CAP_SYS_NICE and without --no-realtime");
  }
  if (!facts.memory_locked) {
    findings.warning("memory", "the daemon's memory is not locked and may be swapped out",
                     "LimitMEMLOCK=infinity in its unit, or CAP_IPC_LOCK");
  }
  const double late = to_ms(facts.worst_lateness);
  if (late > 20) {
    findings.warning("lateness",
                     fmt::format("the daemon's loop was late by up to {:.0f} ms in the last minutes", late),
                     "the machine (or its host) is overloaded, or the profile is too fast for it");
  } else {
    findings.ok("lateness",
                fmt::format("the daemon's loop was never late by more than {:.0f} ms", std::max(late, 2.0)));
  }
}

void check_services(Findings& findings, const Config& config, const Status& status) {
  for (size_t i = 0; i < config.services.size() && i < status.services.size(); ++i) {
    const ServiceStatus& state = status.services[i];
    const std::string& service = config.services[i].name;
    if (state.diverged) {
      findings.error("service", service + ": the nodes' files have diverged",
                     "clusterctl diverged, then clusterctl diverged accept " + service);
    }
    if (state.wants_human) {
      findings.error("service", service + ": " + (state.detail.empty() ? "needs a human" : state.detail),
                     "clusterctl why " + service);
    }
  }
}

}  // namespace

std::string check_json(const Config& config, const Status& status, const DaemonFacts& facts) {
  Findings findings;
  check_peer(findings, config, status);
  check_links(findings, config, status);
  check_hosts(findings, config, status);
  check_host(findings, facts);
  check_services(findings, config, status);
  return std::move(findings).text();
}

}  // namespace clusterd
