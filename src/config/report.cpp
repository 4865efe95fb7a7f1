#include "config/report.hpp"

#include <fmt/format.h>

#include <cmath>

#include "config/scalar.hpp"
#include "core/timing.hpp"

namespace clusterd {

namespace {

double hundredths(double ms) { return std::round(ms * 100) / 100; }

void add_window(const Timing& t, std::string& out) {
  const double least =
      std::ceil(to_ms(smallest_safe_window(t.lease, t.gate_latency, t.clock_error)) * 100) / 100;
  const double strict = (1 + t.clock_error) * (to_ms(t.lease) / (1 - t.clock_error) + to_ms(t.gate_latency));
  const double spare = hundredths(to_ms(t.window) - least);
  const bool safe = window_is_safe(t);
  out += fmt::format(
      "Timing, profile {}: heartbeat every {:g} ms, lease L = {:g} ms, window W = {:g} ms, gate F = {:g} "
      "ms\n",
      t.profile, to_ms(t.heartbeat), to_ms(t.lease), to_ms(t.window), to_ms(t.gate_latency));
  out += fmt::format("Window (S2): W = {:g} ms {} 1.01·(L {:g} + F {:g}) + 2 = {:g} ms: {}\n",
                     to_ms(t.window), safe ? "≥" : "<", to_ms(t.lease), to_ms(t.gate_latency), least,
                     safe ? fmt::format("holds, {:g} ms to spare", spare)
                          : fmt::format("DOES NOT HOLD, {:g} ms short", -spare));
  out += fmt::format(
      "  The active node is silent at most L + F after its last evidence, the standby waits W after the last "
      "heartbeat.\n"
      "  With clocks that run wrong by up to {:g} % that takes {:g} ms; the rest is reserve.\n",
      t.clock_error * 100, hundredths(strict));
}

void add_hosts(const Config& config, std::string& out) {
  const size_t n = config.hosts.size();
  if (n == 0) {
    out +=
        "Reference hosts (S2): none. The active node keeps its lease only while its peer acknowledges "
        "heartbeats.\n";
    return;
  }
  out += fmt::format(
      "Reference hosts (S2): {}. Counted to stay active: any one of the set S_A; to take over: all of the "
      "set S_B.\n"
      "  S_A is a part of S_B at every instant, so with n hosts in S_B: 1 + n > n holds.\n"
      "  A host that is silent for {} leaves S_A first, then S_B; one that answers for {} enters S_B first, "
      "then S_A;\n"
      "  both only while the nodes acknowledge each other's heartbeats.\n",
      n, config::duration_text(config.timing.host_gone), config::duration_text(config.timing.host_back));
}

// What can be said without trying; `clusterctl status` shows what really works.
void add_relay(const Config& config, std::string& out) {
  if (config.hosts.empty()) return;
  if (!config.relay) {
    out +=
        "Relayed heartbeats (S2a): off. That two nodes which both see a reference host also hear each other "
        "is an "
        "assumption (T).\n";
    return;
  }
  out += "Relayed heartbeats (S2a): on.\n";
  for (const HostConfig& host : config.hosts) {
    if (host.link)
      out += fmt::format(
          "  {}: on the network of the link {}, tried all the time; `clusterctl status` shows whether it "
          "relays\n",
          host.text, config.link(*host.link).name);
    else
      out += fmt::format(
          "  {}: on no link's network, cannot relay; counts for assumption T only by assumption\n",
          host.text);
  }
}

// The bound of S13, and what it is made of.
void add_effects(const Config& config, std::string& out) {
  const Duration stop = effects_stop_limit(config.services);
  std::string names;
  for (const ServiceConfig& service : config.services)
    if (service.effects == Effects::kNode) names += (names.empty() ? "" : ", ") + service.name;
  if (names.empty()) return;
  out += fmt::format("Effects of the node (S13): {}.\n", names);
  if (config.watchdog) {
    const Duration bound = effects_bound(config.timing, stop, config.watchdog->timeout);
    const double rho = config.timing.clock_error;
    out += fmt::format(
        "  Watchdog: E = {:g}·((L + S + 0.5 s)/{:g} + 2·1.05·T) + 1 s = {:.1f} s, with S = {:g} s for the "
        "units "
        "to stop\n  and T = {:g} s. So long after its last sign of life a silent node is known to run none "
        "of "
        "them.\n",
        1 + rho, 1 - rho, to_seconds(bound), to_seconds(stop), to_seconds(config.watchdog->timeout));
  }
  for (size_t n = 0; n < kNodes; ++n) {
    if (const auto& fence = config.fences.at(n))
      out += fmt::format("  Fence of {}: {}, then its status, each within {}.\n", config.nodes.at(n).name,
                         fence->agent, config::duration_text(fence->timeout));
  }
  if (!config.watchdog && !config.fences[0] && !config.fences[1])
    out += "  Neither watchdog nor fence: never taken over by itself after silence.\n";
}

void add_mode(const Config& config, std::string& out) {
  if (config.hosts.empty() && config.fences[0] && config.fences[1])
    out +=
        "Third source of information: the fences. A silent peer is switched off before anything is taken "
        "over.\n";
  else if (config.hosts.empty())
    out +=
        "Third source of information: a human. No node takes over by itself; use `clusterctl start --force`, "
        "after "
        "making sure that the other node is off.\n";
  else
    out += fmt::format("Third source of information: reference hosts ({}).\n", config.hosts.size());
}

}  // namespace

std::string timing_report(const Config& config) {
  std::string out;
  add_window(config.timing, out);
  add_hosts(config, out);
  add_relay(config, out);
  add_mode(config, out);
  add_effects(config, out);
  return out;
}

}  // namespace clusterd
