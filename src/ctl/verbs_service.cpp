// clusterctl service: add, remove, list. They change the files of this node, and put them in force on both.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <thread>

#include "config/draft.hpp"
#include "ctl/client.hpp"
#include "ctl/exit_codes.hpp"
#include "ctl/folder.hpp"
#include "ctl/json_view.hpp"
#include "ctl/pairing.hpp"
#include "ctl/shell.hpp"
#include "ctl/table.hpp"
#include "ctl/verbs_apply.hpp"
#include "setup/sketch.hpp"

namespace clusterd::ctl {

namespace {

struct AddFlags {
  setup::ServiceSketch service;
  std::vector<std::string> units, mirrors, checks, parameters;
  std::string every, run, ocf;
  bool live = false, force = false, apply = true;
};

// "smbd" and "smbd.service": the unit.
std::string unit_name(const std::string& text) {
  return text.find('.') == std::string::npos ? text + ".service" : text;
}

// "Dummy", "heartbeat:Dummy" and "ocf:heartbeat:Dummy": the agent.
std::string agent_name(const std::string& text) {
  const auto colons = std::count(text.begin(), text.end(), ':');
  return (colons == 0 ? "ocf:heartbeat:" : colons == 1 ? "ocf:" : "") + text;
}

constexpr const char* kChecks =
    "tcp:445, tcp:ADDRESS:PORT, https://www.example.org/health, dns:NAME, process:NAME, unit:UNIT or "
    "command:/path";

std::optional<setup::CheckSketch> check_from(const std::string& text) {
  using setup::CheckSketch;
  static const std::map<std::string, std::string CheckSketch::*> kKinds = {
      {"tcp", &CheckSketch::tcp},
      {"dns", &CheckSketch::dns},
      {"process", &CheckSketch::process},
      {"unit", &CheckSketch::unit},
      {"command", &CheckSketch::command}};
  CheckSketch check;
  if (text.starts_with("http://") || text.starts_with("https://")) {
    check.http = text;
    return check;
  }
  const size_t colon = text.find(':');
  const auto kind = colon == std::string::npos ? kKinds.end() : kKinds.find(text.substr(0, colon));
  if (kind == kKinds.end()) return std::nullopt;
  check.*kind->second = text.substr(colon + 1);
  return check;
}

// What the loader cannot see: whether the units and folders are there. An empty text: all is well.
std::string not_there(const setup::ServiceSketch& service, bool force) {
  for (const setup::UnitSketch& unit : service.units) {
    if (force || !unit.systemd() || !program_exists("systemctl")) continue;
    const Ran ran = run_program({"systemctl", "cat", "--", unit.name}, true);
    if (ran.code == 1)
      return fmt::format(
          "systemd knows no unit {} here\n  install it on both nodes first, or look for its name:  systemctl "
          "list-unit-files\n  to write it all the same:  --force",
          unit.name);
  }
  for (const setup::MirrorSketch& mirror : service.mirrors) {
    for (const std::string& path : mirror.paths) {
      std::error_code error;
      const bool folder = std::filesystem::is_directory(path, error);
      if (folder && path.back() != '/') return fmt::format("{} is a folder: write --mirror {}/", path, path);
      if (!force && !std::filesystem::exists(path, error))
        return fmt::format("{} does not exist here\n  make it, or write it all the same:  --force", path);
    }
  }
  return "";
}

// A unit that is enabled would also be started at boot, where the service is not.
void disable_at_boot(const setup::ServiceSketch& service) {
  if (service.hot || !program_exists("systemctl")) return;
  for (const setup::UnitSketch& unit : service.units) {
    if (!unit.systemd()) continue;
    if (!unit_file_state(unit.name).starts_with("enabled")) continue;
    const bool done = run_program({"systemctl", "disable", "--", unit.name}, true).code == 0;
    std::printf("%s is %s started at boot%s\n", unit.name.c_str(), done ? "no longer" : "still",
                done ? ": clusterd starts it where it belongs" : "; systemctl disable it");
  }
}

std::string addresses_of(const ServiceConfig& service) {
  std::string out;
  for (const Prefix& prefix : service.addresses) out += (out.empty() ? "" : " ") + prefix.text();
  return out;
}

// Whether this node's clusterd-config can put a change in force. One of a daemon that has only just started,
// as after a pairing, is waited for, before any file is changed: it takes what it finds then as the first
// version.
bool keeper_is_ready(const Globals& globals) {
  const bool runs =
      program_exists("systemctl") && run_program({"systemctl", "is-active", "clusterd"}, true).code == 0;
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(runs ? 10 : 0);
  while (true) {
    const auto answer = ask_keeper(globals, keep::asked("ask"), true);
    const auto word = answer ? keep::word_from(*answer) : fail(Code::kRetry, "no answer");
    if (word && word->record.current() != nullptr) return true;
    if (std::chrono::steady_clock::now() >= patience) return answer.has_value();
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
}

// On both nodes, or on none; without a daemon that could, this node's takes it when it starts.
int put_in_force(const Globals& globals, bool wanted, bool keeper) {
  if (!wanted) {
    std::puts("not in force yet:  clusterctl plan  shows what it does,  clusterctl apply  does it");
    return kExitOk;
  }
  if (!keeper) {
    std::puts("clusterd takes it when it starts:  systemctl restart clusterd");
    return kExitOk;
  }
  ApplyFlags flags;
  flags.trial = "10s";  // a service more or less does not change how the nodes hear each other
  const int code = apply(globals, flags, "apply");
  if (code != kExitOk)
    std::fputs("the file stays as it is; once that is repaired:  clusterctl apply\n", stderr);
  return code;
}

tl::expected<ConfigTexts, int> folder_or_complaint(const Globals& globals) {
  auto files = read_folder(globals.config_dir);
  if (!files) return tl::unexpected(complain(files.error(), kExitFailed));
  if (!files->contains("cluster.toml"))
    return tl::unexpected(
        complain(globals.config_dir + "/cluster.toml does not exist: begin with `clusterctl init --write`",
                 kExitFailed));
  return std::move(*files);
}

// The sketch's links, so that an address needs no length.
void settle(setup::ServiceSketch& service, const Config& config) {
  setup::Sketch sketch;
  for (size_t n = 0; n < kNodes; ++n) {
    setup::NodeSketch node{config.nodes.at(n).name, {}, "", {}};
    for (const LinkConfig& link : config.links)
      node.ends.push_back({link.name, link.ends.at(n).nic, link.ends.at(n).address.text()});
    sketch.nodes.push_back(std::move(node));
  }
  sketch.services.push_back(service);
  setup::settle(sketch);
  service = sketch.services[0];
}

// An address that no link's network holds: the loader takes it, since routers can be told of it; mostly it is
// a slip.
std::string far_from_links(const setup::ServiceSketch& service, const Config& config) {
  std::string networks;
  for (const LinkConfig& link : config.links)
    networks += (networks.empty() ? "" : ", ") + link.name + " " + link.ends[0].address.text();
  for (const std::string& text : service.addresses) {
    const auto prefix = Prefix::parse(text);
    const auto address = prefix ? std::optional(prefix->address) : IpAddress::parse(text);
    if (!address) continue;  // the loader says so
    const bool near = std::any_of(config.links.begin(), config.links.end(), [&](const LinkConfig& link) {
      return link.ends[0].address.contains(*address);
    });
    if (!near)
      return fmt::format(
          "{} is in the network of no link ({})\n  give the service an address that its clients reach there; "
          "if "
          "routers know the way to this one:  --force, with the length of its network",
          text, networks);
  }
  return "";
}

int complain_of(const std::vector<ConfigProblem>& problems, const std::string& first) {
  std::string all = first;
  for (const ConfigProblem& problem : problems) all += "\n" + describe(problem);
  return complain(all, kExitConfig);
}

bool assemble(AddFlags& flags) {
  setup::ServiceSketch& service = flags.service;
  for (const std::string& unit : flags.units) service.units.push_back({unit_name(unit)});
  if (!flags.run.empty()) service.units.push_back({service.name, flags.run});
  if (!flags.ocf.empty()) service.units.push_back({.name = service.name, .ocf = agent_name(flags.ocf)});
  for (const std::string& text : flags.parameters) {
    const size_t equals = text.find('=');
    const std::string name = text.substr(0, equals);
    if (flags.ocf.empty() || equals == std::string::npos || setup::name_from(name, "_", 64, "") != name) {
      complain(
          fmt::format("--parameter {}: write it as --ocf AGENT --parameter NAME=VALUE; the agent's manual "
                      "page lists the names",
                      setup::comment_text(name)),
          kExitUsage);
      return false;
    }
    service.units.back().parameters.emplace_back(name, text.substr(equals + 1));
  }
  for (const std::string& text : flags.checks) {
    const auto check = check_from(text);
    if (!check) {
      complain(fmt::format("--check {}: write it as --check tcp:445; it can be {}", setup::comment_text(text),
                           kChecks),
               kExitUsage);
      return false;
    }
    service.checks.push_back(*check);
  }
  if (!flags.mirrors.empty()) {
    setup::MirrorSketch mirror;
    mirror.paths = flags.mirrors;
    mirror.every = flags.every;
    if (flags.live) mirror.mode = "live";
    mirror.comments = {
        "Copied to the standby; a folder ends with \"/\". docs/mirror.md says what is kept when."};
    service.mirrors.push_back(std::move(mirror));
  }
  service.comments = {service.name +
                      ": what stands here moves together. docs/configuration.md explains every key."};
  return true;
}

int add(const Globals& globals, AddFlags flags) {
  if (const int refused = refuse_others("service add"); refused != kExitOk) return refused;
  if (!assemble(flags)) return kExitUsage;
  auto files = folder_or_complaint(globals);
  if (!files) return files.error();
  const std::string self = globals.own_name();
  const auto before = judge(*files, globals.config_dir, self);
  if (!before) {
    return complain_of(
        before.error(),
        files->at("cluster.toml").find("[node.") != std::string::npos && before.error().size() == 1
            ? "the configuration has an error; is the other node still missing? `clusterctl pair`"
            : "the configuration has errors already");
  }
  const std::string name = "services/" + flags.service.name + ".toml";
  if (files->contains(name) && !flags.force)
    return complain(fmt::format("{}/{} exists, and was not changed; edit it, or write it anew with --force",
                                globals.config_dir, name),
                    kExitFailed);
  if (const std::string why = far_from_links(flags.service, *before); !why.empty() && !flags.force)
    return complain(why, kExitFailed);
  settle(flags.service, *before);
  (*files)[name] = setup::written(flags.service);
  std::vector<ConfigProblem> warnings;
  const auto config = judge(*files, globals.config_dir, self, &warnings);
  if (!config) return complain_of(config.error(), "not written:");
  for (const ConfigProblem& warning : warnings) {
    if (warning.file.ends_with("/" + name)) std::printf("warning: %s\n", describe(warning).c_str());
  }
  if (const std::string why = not_there(flags.service, flags.force); !why.empty())
    return complain(why, kExitFailed);
  const bool keeper = keeper_is_ready(globals);
  auto staged = Staged::stage(globals.config_dir, {{name, files->at(name)}});
  if (!staged) return complain(staged.error(), kExitFailed);
  if (auto kept = staged->keep(); !kept) return complain(kept.error(), kExitFailed);
  std::printf("wrote %s/%s\n", globals.config_dir.c_str(), name.c_str());
  disable_at_boot(flags.service);
  std::fflush(stdout);
  return put_in_force(globals, flags.apply, keeper);
}

// Where the daemon says that the service runs; empty if nowhere, or if there is no daemon.
std::string active_on(const Globals& globals, const std::string& name) {
  const auto answer = Client(globals.run_dir).get("/v1/status");
  if (!answer || answer->status != 200) return "";
  const auto value = parse_or_null(answer->body);
  std::string node;
  View(&value)["services"].each([&](View service) {
    if (service["name"].text() == name) node = printable(service["active_on"].text());
  });
  return node;
}

int remove(const Globals& globals, const std::string& name, bool stop, bool wanted) {
  if (const int refused = refuse_others("service remove"); refused != kExitOk) return refused;
  auto files = folder_or_complaint(globals);
  if (!files) return files.error();
  const std::string file = "services/" + name + ".toml";
  if (!files->contains(file))
    return complain(fmt::format("there is no service \"{}\"; `clusterctl service list` shows them",
                                setup::comment_text(name)),
                    kExitFailed);
  if (const std::string node = active_on(globals, name); !node.empty() && !stop)
    return complain(
        fmt::format("{} is active on {}, and its clients would lose it\n  to stop it, too:  clusterctl "
                    "service remove {} --stop",
                    name, node, name),
        kExitFailed);
  const bool keeper = keeper_is_ready(globals);
  const std::string path = globals.config_dir + "/" + file;
  if (std::rename(path.c_str(), (path + ".bak").c_str()) != 0)
    return complain(path + " cannot be renamed", kExitFailed);
  std::printf("%s is %s.bak now, which nothing reads\n", path.c_str(), path.c_str());
  files->erase(file);
  const auto config = judge(*files, globals.config_dir, globals.own_name());
  if (!config) return complain_of(config.error(), "removed; the rest has errors:");
  std::fflush(stdout);
  return put_in_force(globals, wanted, keeper);
}

int list(const Globals& globals) {
  const auto config = load_config(globals.config_dir, kAnyNode);
  if (!config) return complain_of(config.error(), "the configuration has errors:");
  Table table({"SERVICE", "PREFERS", "ADDRESSES", "UNITS", "CHECKS", "MIRRORS"});
  for (const ServiceConfig& service : config->services) {
    std::string units, checks, mirrors;
    for (const UnitConfig& unit : service.units) units += (units.empty() ? "" : " ") + unit.name;
    for (const CheckConfig& check : service.checks) checks += (checks.empty() ? "" : ", ") + check.text;
    for (const MirrorConfig& mirror : service.mirrors)
      for (const std::string& path : mirror.paths) mirrors += (mirrors.empty() ? "" : " ") + path;
    table.row({{service.name},
               {service.prefer ? config->node(*service.prefer).name : "-"},
               {addresses_of(service)},
               {units},
               {checks},
               {mirrors}});
  }
  std::fputs(table.empty() ? "no service yet: clusterctl service add\n" : table.text(terminal_look()).c_str(),
             stdout);
  return kExitOk;
}

void add_adding(CLI::App& service, Globals& globals, Chosen& chosen) {
  auto flags = std::make_shared<AddFlags>();
  CLI::App* verb =
      service.add_subcommand("add", "Write services/NAME.toml, checked, and put it in force on both nodes");
  verb->add_option("name", flags->service.name, "Letters, digits, \"_\" and \"-\"")->required();
  verb->add_option("--address", flags->service.addresses,
                   "What clients connect to; the length of its network may be left out");
  verb->add_option("--unit", flags->units, "systemd units, in the order of their start");
  CLI::Option* run =
      verb->add_option("--run", flags->run, "Instead of a unit: a program that stays in the foreground");
  verb->add_option("--ocf", flags->ocf, "Instead of a unit: an OCF resource agent, as heartbeat:pgsql")
      ->excludes(run);
  verb->add_option("--parameter", flags->parameters, "NAME=VALUE for that agent; may be given several times");
  verb->add_option("--mirror", flags->mirrors,
                   "Folders (with \"/\" at the end) and files that are copied to the standby");
  verb->add_option("--every", flags->every, "How often they are (default: 5min)");
  verb->add_option(
      "--alike", flags->service.alike,
      "Folders (with \"/\" at the end) and files that are not copied, and shall be alike on both nodes");
  verb->add_flag("--live", flags->live, "Copy each change at once, instead of every so often");
  verb->add_option("--check", flags->checks, kChecks);
  verb->add_option("--prefer", flags->service.prefer, "The node where it should be, if it can choose");
  verb->add_option("--link", flags->service.link, "The link that carries the addresses (default: service)");
  verb->add_option("--mac", flags->service.mac, "How the MAC moves: virtual, redundant or none");
  verb->add_option("--failback", flags->service.failback, "manual or auto");
  verb->add_flag("--hot", flags->service.hot, "The units run on both nodes; only the addresses move");
  verb->add_flag("--force", flags->force,
                 "Also over a file that is there, and for units and folders that are not");
  verb->add_flag("!--no-apply", flags->apply,
                 "Only write the file; `clusterctl apply` puts it in force later");
  verb->footer(
      "Example: clusterctl service add samba --address 192.168.1.20 --unit smbd --mirror /srv/samba/ --check "
      "tcp:445");
  verb->callback([&, flags] { chosen = [&, flags] { return add(globals, *flags); }; });
}

}  // namespace

void add_service_verbs(CLI::App& app, Globals& globals, Chosen& chosen) {
  CLI::App* service = app.add_subcommand("service", "Services in the configuration: add, remove, list");
  service->require_subcommand(1);
  add_adding(*service, globals, chosen);

  auto name = std::make_shared<std::string>();
  auto stop = std::make_shared<bool>(false);
  auto wanted = std::make_shared<bool>(true);
  CLI::App* verb =
      service->add_subcommand("remove", "Put services/NAME.toml aside, and do without the service");
  verb->add_option("name", *name, "Service")->required();
  verb->add_flag("--stop", *stop, "Also if it is active: stop it where it runs");
  verb->add_flag("!--no-apply", *wanted,
                 "Only put the file aside; `clusterctl apply` puts that in force later");
  verb->footer("Example: clusterctl service remove samba --stop");
  verb->callback([&, name, stop, wanted] {
    chosen = [&, name, stop, wanted] { return remove(globals, *name, *stop, *wanted); };
  });

  verb = service->add_subcommand("list", "The services of the configuration, with what belongs to them");
  verb->footer("Example: clusterctl service list");
  verb->callback([&] { chosen = [&] { return list(globals); }; });
}

}  // namespace clusterd::ctl
