// clusterctl check, keygen, config-lines: what can be said with and without the daemon.
#include <fmt/format.h>
#include <net/if.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <set>

#include "config/load.hpp"
#include "config/report.hpp"
#include "core/timing.hpp"
#include "ctl/check_units.hpp"
#include "ctl/client.hpp"
#include "ctl/exit_codes.hpp"
#include "ctl/findings.hpp"
#include "ctl/json_view.hpp"
#include "ctl/keygen.hpp"
#include "ctl/shell.hpp"
#include "ctl/verbs.hpp"
#include "ctl/whatif_start.hpp"
#include "linux/event_loop.hpp"
#include "linux/fence/fence_agent.hpp"
#include "linux/gate/bpf_gate.hpp"
#include "linux/host/look.hpp"
#include "linux/net/secret.hpp"

namespace clusterd::ctl {

namespace {

struct CheckFlags {
  bool json = false, local = false, deep = false;
};

class Checker {
 public:
  Checker(const Globals& globals, const CheckFlags& flags) : globals_(globals), flags_(flags) {}

  int run() {
    const std::string self = globals_.own_name();
    std::vector<ConfigProblem> warnings;
    auto config = load_config(globals_.config_dir, self, &warnings);
    for (const ConfigProblem& problem : warnings)
      add(Level::kWarning, "configuration", place(problem), problem.remedy);
    if (!config) {
      for (const ConfigProblem& problem : config.error())
        add(Level::kError, "configuration", place(problem), problem.remedy);
    } else {
      ok("configuration",
         fmt::format("{}: {} links, {} reference hosts, {} services; this node is {}", globals_.config_dir,
                     config->links.size(), config->hosts.size(), config->services.size(), self));
      if (!flags_.json && !flags_.local) report_ = timing_report(*config);
      check_timing(*config);
      check_secret(*config);
      check_nics(*config);
      check_tools(*config);
      const auto units = check_units(*config);
      findings_.insert(findings_.end(), units.begin(), units.end());
      check_fence(*config);
    }
    check_gate();
    check_daemon();
    if (config && !flags_.local) check_peer(*config);
    if (config && flags_.deep) check_faults(*config);
    return finish(config.has_value());
  }

 private:
  void add(Level level, std::string topic, std::string text, std::string remedy) {
    findings_.push_back({level, std::move(topic), std::move(text), std::move(remedy), ""});
  }
  void ok(std::string topic, std::string text) { add(Level::kOk, std::move(topic), std::move(text), ""); }

  static std::string place(const ConfigProblem& problem) {
    if (problem.line == 0) return problem.file + ": " + problem.text;
    return fmt::format("{}:{}:{}: {}", problem.file, problem.line, problem.column, problem.text);
  }

  void check_timing(const Config& config) {
    const Timing& t = config.timing;
    const Duration least = smallest_safe_window(t.lease, t.gate_latency, t.clock_error);
    add(window_is_safe(t) ? Level::kOk : Level::kError, "timing",
        fmt::format("window {:.0f} ms, needed {:.1f} ms for lease {:.0f} ms and gate latency {:.0f} ms",
                    to_ms(t.window), to_ms(least), to_ms(t.lease), to_ms(t.gate_latency)),
        "make window longer or lease shorter in [timing]");
  }

  void check_secret(const Config& config) {
    const auto secret = read_secret(config.secret_file);
    if (secret) {
      ok("secret", config.secret_file + " is there and private");
    } else {
      add(Level::kError, "secret", secret.error().message,
          "clusterctl keygen, then copy the file to the other node");
    }
  }

  void check_nics(const Config& config) {
    const size_t self = config.self.at();
    for (const LinkConfig& link : config.links) {
      const LinkEnd& end = link.ends.at(self);
      if (::if_nametoindex(end.nic.c_str()) == 0) {
        add(Level::kError, "NIC", fmt::format("{} of link {} does not exist", end.nic, link.name),
            "`ip link` lists what is there; correct the name in cluster.toml");
      } else if (!has_address(end.nic, end.address.address)) {
        add(Level::kError, "NIC", fmt::format("{} does not have {}", end.nic, end.address.text()),
            "give it the address in the system's own network configuration, or correct cluster.toml");
      } else {
        ok("NIC", fmt::format("{} has {} (link {})", end.nic, end.address.text(), link.name));
      }
    }
    if (const auto& spare = config.nodes.at(self).redundant_nic;
        spare && ::if_nametoindex(spare->c_str()) == 0) {
      add(Level::kError, "NIC", *spare + " (redundant) does not exist", "`ip link` lists what is there");
    }
  }

  void need(const std::string& program, const std::string& package, const std::string& why) {
    if (program_exists(program)) {
      ok("tools", program + " is there");
    } else {
      add(Level::kError, "tools", program + " is missing: " + why, "apt install " + package);
    }
  }

  static bool any_by_rsync(const Config& config) {
    return std::any_of(config.services.begin(), config.services.end(), [](const ServiceConfig& service) {
      return std::any_of(service.mirrors.begin(), service.mirrors.end(),
                         [](const MirrorConfig& mirror) { return !mirror.live; });
    });
  }

  void check_tools(const Config& config) {
    if (any_by_rsync(config)) {
      need("rsync", "rsync", "mirrors with via = \"rsync\" need it");
      need("ssh", "openssh-client", "mirrors with via = \"rsync\" need it");
    }
    if (!config.notify.mail.empty())
      need("sendmail", "postfix (or another mail server)", "notify.mail needs it");
  }

  // The agent that would switch the peer off is asked for the peer's status, which changes nothing.
  void check_fence(const Config& config) {
    const FenceConfig* fence = config.peer_fence();
    if (fence == nullptr) return;
    const std::string topic = "fence of " + config.node(config.peer()).name;
    struct stat facts {};
    const std::string file = globals_.config_dir + "/cluster.toml";
    if (::stat(file.c_str(), &facts) == 0 && (facts.st_mode & S_IROTH) != 0)
      add(Level::kWarning, topic, file + " may be read by everybody, and may hold the device's password",
          "chmod o-r " + file);
    if (::access(fence->agent.c_str(), X_OK) != 0)
      return add(Level::kError, topic, fence->agent + " is not installed",
                 "apt install fence-agents, or correct agent in cluster.toml");
    EventLoop loop;
    std::optional<AgentAnswer> answer;
    const auto child = run_agent(loop, *fence, "status", [&](const AgentAnswer& a) { answer = a; });
    loop.run_until([&] { return answer.has_value(); }, fence->timeout + std::chrono::seconds(5));
    if (answer && (answer->done || answer->off))
      return ok(topic, fmt::format("{} answers: {}", fence->agent, answer->text));
    add(Level::kError, topic,
        fmt::format("{} does not answer: {}", fence->agent, answer ? printable(answer->text) : "time limit"),
        "correct its parameters in cluster.toml; `" + fence->agent + " -o metadata` explains them");
  }

  void check_gate() {
    if (const auto usable = BpfGate::self_test(); usable) {
      ok("gate", "the kernel's lease gate works here");
    } else {
      add(Level::kError, "gate", usable.error().message,
          "a frozen daemon would not fall silent; see docs/safety.md, S3");
    }
  }

  void check_daemon() {
    const auto answer = Client(globals_.run_dir).get("/v1/check");
    if (!answer) {
      add(Level::kWarning, "daemon",
          "it was not asked: " + answer.error().substr(0, answer.error().find('\n')),
          "systemctl start clusterd");
      return;
    }
    if (answer->status == kForbidden) {
      add(Level::kWarning, "daemon", "it was not asked: this user may not", "sudo clusterctl check");
      return;
    }
    const auto seen = findings_from_json(answer->body, "");
    findings_.insert(findings_.end(), seen.begin(), seen.end());
  }

  // The peer looks at itself, over ssh; and its configuration is compared line by line.
  void check_peer(const Config& config) {
    const std::string peer = config.node(config.peer()).name;
    const Ran ran = run_on_peer(config, {"check", "--local", "--json"}, true);
    const auto seen = findings_from_json(ran.output, peer);
    if (seen.empty()) {
      const bool unreachable = ran.code == 255;
      // Nothing else needs ssh then.
      if (unreachable && !any_by_rsync(config)) {
        return ok(
            "peer",
            fmt::format("{} was not asked to check itself, for lack of ssh: run `clusterctl check` there",
                        peer));
      }
      add(Level::kWarning, "peer",
          fmt::format(
              "{} could not be asked to check itself: {}", peer,
              unreachable ? "ssh does not get there without a password" : "it has no clusterctl in its PATH"),
          unreachable
              ? "exchange ssh keys between the nodes ([ssh] in cluster.toml); mirrors need them anyway"
              : "install the same version of clusterd there");
      return;
    }
    add_findings_of_peer(findings_, seen);
    const Ran lines = run_on_peer(config, {"config-lines"}, true);
    if (lines.code != 0) return;
    std::vector<std::string> theirs;
    for (size_t at = 0; at < lines.output.size();) {
      const size_t end = std::min(lines.output.find('\n', at), lines.output.size());
      theirs.push_back(lines.output.substr(at, end - at));
      at = end + 1;
    }
    for (const std::string& line : differing_lines(config.hashed_lines, theirs)) {
      add(Level::kError, "configuration differs", printable(line),
          "- is ours, + is that of " + peer + "; make them the same");
    }
  }

  // Every fault and every pair of them, in the simulated world.
  void check_faults(const Config& config) {
    std::fflush(stdout);
    const auto all = whatif::explore(config, live_start(config, globals_), 2);
    if (!all) {
      add(Level::kError, "what if", all.error().message, "clusterctl whatif");
      return;
    }
    const auto found = whatif_findings(config, *all);
    findings_.insert(findings_.end(), found.begin(), found.end());
  }

  int finish(bool configured) {
    const bool errors = std::any_of(findings_.begin(), findings_.end(),
                                    [](const Finding& finding) { return finding.level == Level::kError; });
    if (flags_.json) {
      std::fputs(findings_to_json(findings_).c_str(), stdout);
    } else {
      if (!report_.empty()) std::printf("%s\n", report_.c_str());
      std::fputs(render_findings(findings_, terminal_look()).c_str(), stdout);
    }
    if (!configured) return kExitConfig;
    return errors ? kExitHuman : kExitOk;
  }

  const Globals& globals_;
  const CheckFlags flags_;
  std::vector<Finding> findings_;
  std::string report_;
};

int print_config_lines(const Globals& globals) {
  const auto config = load_config(globals.config_dir, globals.own_name());
  if (!config) return complain("the configuration has errors; see clusterctl check", kExitConfig);
  for (const std::string& line : config->hashed_lines) std::printf("%s\n", line.c_str());
  return kExitOk;
}

}  // namespace

void add_check_verbs(CLI::App& app, Globals& globals, Chosen& chosen) {
  auto flags = std::make_shared<CheckFlags>();
  CLI::App* check =
      app.add_subcommand("check", "Whether all is in order: configuration, timing, gate, tools, peer");
  check->add_flag("--json", flags->json, "As JSON");
  check->add_flag("--local", flags->local, "Do not ask the peer over ssh");
  check->add_flag("--deep", flags->deep,
                  "Also simulate every fault and every pair of faults (clusterctl whatif)");
  check->footer("Example: clusterctl check\n         clusterctl check --deep");
  check->callback([&, flags] { chosen = [&, flags] { return Checker(globals, *flags).run(); }; });

  auto file = std::make_shared<std::string>();
  CLI::App* keygen =
      app.add_subcommand("keygen", "Write a new secret for the cluster (never over an old one)");
  keygen->add_option("--out", *file, "File (default: CONFIG_DIR/secret.key)");
  keygen->footer("Example: clusterctl keygen && scp -p /etc/cluster.d/secret.key serv2:/etc/cluster.d/");
  keygen->callback([&, file] {
    chosen = [&, file] {
      const std::string path = file->empty() ? globals.config_dir + "/secret.key" : *file;
      if (const auto written = write_new_secret(path); !written)
        return complain(written.error(), kExitFailed);
      std::printf("wrote %s; copy it to the other node, with its mode 0600\n", path.c_str());
      return kExitOk;
    };
  });

  CLI::App* lines =
      app.add_subcommand("config-lines", "The settings that both nodes must share, one per line");
  lines->footer("Example: clusterctl config-lines | grep web");
  lines->callback([&] { chosen = [&] { return print_config_lines(globals); }; });
}

}  // namespace clusterd::ctl
