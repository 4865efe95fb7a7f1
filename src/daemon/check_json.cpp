// What the running daemon can say for `clusterctl check`: findings that need its view of the world.
#include <fmt/format.h>

#include <boost/json.hpp>
#include <cmath>

#include "daemon/json_text.hpp"
#include "daemon/likeness.hpp"
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
  if (!status.always_stuck.empty())
    findings.warning("always mirror", status.always_stuck, "clusterctl always shows both sides of each");
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

void check_effects(Findings& findings, const Config& config, const Status& status) {
  if (config.watchdog) {
    if (status.nodes.at(config.self.at()).watchdog) {
      findings.ok("watchdog", status.watchdog);
    } else {
      findings.error("watchdog", status.watchdog,
                     "load the hardware's driver or softdog, and see that no other program has the device");
    }
  }
  if (status.fence.starts_with("failed"))
    findings.error("fence", status.fence, "clusterctl check asks the agent for its status; `why` says more");
  const bool ended = config.watchdog || config.peer_fence() != nullptr;
  for (const ServiceConfig& service : config.services) {
    if (service.effects == Effects::kAddress || ended) continue;
    findings.warning("effects",
                     service.name + ": never taken over by itself after silence: neither watchdog nor fence",
                     "add [watchdog] or [fence.NODE] to cluster.toml");
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

// Of this node; the peer is asked for its own.
void check_guards(Findings& findings, const Config& config, const Status& status) {
  for (size_t i = 0; i < config.services.size() && i < status.services.size(); ++i) {
    const auto& mirrors = config.services[i].mirrors;
    for (size_t m = 0; m < mirrors.size() && m < status.services[i].mirrors.size(); ++m) {
      const auto& guard = status.services[i].mirrors[m].guard;
      if (!guard) continue;
      const std::string mirror = fmt::format("mirror {} of {}", mirrors[m].name, config.services[i].name);
      if (guard->state == MirrorGuard::State::kFailed) {
        findings.warning("guard", fmt::format("{} is not guarded here: {}", mirror, guard->detail),
                         "what is changed here now will be overwritten; `journalctl -x` says more");
      } else if (guard->state == MirrorGuard::State::kSet && !guard->detail.empty()) {
        findings.warning(
            "guard",
            fmt::format("{} is guarded, but not from who was there before: {}", mirror, guard->detail),
            "end the program, or let it leave the folder");
      } else if (guard->state == MirrorGuard::State::kSet) {
        findings.ok("guard", mirror + " is guarded: its folders are read-only here");
      } else if (guard->state == MirrorGuard::State::kAwaited) {
        findings.ok("guard", fmt::format("{} will be guarded{}", mirror,
                                         guard->detail.empty() ? "" : ": " + guard->detail));
      } else {
        findings.ok("guard", mirror + " is not guarded here now: this node serves it, or is about to");
      }
    }
  }
}

const char* remedy_for(alike::What what) {
  if (what == alike::What::kUser)
    return "give it the same number on both nodes (usermod -u, then chown its files), or write ids = "
           "\"name\" "
           "in the live mirror";
  if (what == alike::What::kGroup)
    return "give it the same number on both nodes (groupmod -g, then chgrp its files), or write ids = "
           "\"name\" in the live mirror";
  return "install the same package on both nodes, or copy the file";
}

void check_likeness(Findings& findings, const Config& config, const Status& status,
                    const DaemonFacts& facts) {
  const std::string& there = config.node(config.peer()).name;
  for (const auto& [service, likeness] : facts.likeness) {
    if (!likeness.compared) {
      if (status.nodes.at(config.peer().at()).heard)
        findings.warning("likeness",
                         fmt::format("{}: not compared with {} yet: {}", service, there, likeness.why),
                         "it is tried again by itself; clusterd has to be of the same version on both nodes");
      continue;
    }
    for (const alike::Difference& one : likeness.differences)
      findings.warning("likeness", fmt::format("{}: {}", service, text_of(config, one)),
                       remedy_for(one.what));
    if (likeness.differ > likeness.differences.size())
      findings.warning(
          "likeness",
          fmt::format("{}: and {} more differences", service, likeness.differ - likeness.differences.size()),
          "install the same packages on both nodes, or copy the files");
    if (likeness.differ == 0)
      findings.ok("likeness", fmt::format("{}: what it needs is alike on both nodes ({} compared)", service,
                                          likeness.same));
  }
}

}  // namespace

std::string check_json(const Config& config, const Status& status, const DaemonFacts& facts) {
  Findings findings;
  check_peer(findings, config, status);
  check_links(findings, config, status);
  check_hosts(findings, config, status);
  check_host(findings, facts);
  check_effects(findings, config, status);
  check_services(findings, config, status);
  check_guards(findings, config, status);
  check_likeness(findings, config, status, facts);
  return std::move(findings).text();
}

}  // namespace clusterd
