// clusterctl backups: what a resync overwrote or deleted on this node, or (--node) on the peer.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "config/load.hpp"
#include "ctl/exit_codes.hpp"
#include "ctl/render.hpp"
#include "ctl/shell.hpp"
#include "ctl/verbs.hpp"
#include "linux/mirror/backups.hpp"

namespace clusterd::ctl {

namespace {

struct BackupFlags {
  std::string verb, service, set, path, to, node;
  bool json = false;
};

int list(const Globals& globals, const BackupFlags& flags) {
  const auto sets = list_backups(globals.state_dir, flags.service);
  if (!sets) return complain(sets.error().message, kExitFailed);
  if (flags.json) {
    for (const BackupSet& set : *sets) std::printf("%s\n", to_json(set).c_str());
    return kExitOk;
  }
  if (sets->empty()) {
    std::printf("no backup sets on this node (on the other one: clusterctl backups list --node PEER)\n");
    return kExitOk;
  }
  Table table({"SERVICE", "SET", "FILES", "SIZE", "LOST", "STATE", "WHY"});
  for (const BackupSet& set : *sets) {
    const Cell state = !set.complete   ? Cell{"incomplete", Style::kWarn}
                       : set.confirmed ? Cell{"confirmed", Style::kDim}
                                       : Cell{"kept"};
    table.row({{printable(set.service), Style::kBold},
               {printable(set.name)},
               {std::to_string(set.files)},
               {size_text(set.bytes)},
               {std::to_string(set.lost), set.lost > 0 ? Style::kWarn : Style::kPlain},
               state,
               {printable(set.why)}});
  }
  std::printf("%s", table.text(terminal_look()).c_str());
  return kExitOk;
}

int show(const Globals& globals, const BackupFlags& flags) {
  const auto report = show_backup(globals.state_dir, flags.service, flags.set);
  if (!report) return complain(report.error().message, kExitFailed);
  if (flags.json) {
    std::printf("%s\n", to_json(*report).c_str());
    return kExitOk;
  }
  const BackupSet& set = report->set;
  std::printf("%s %s: %s, %s\n", printable(set.service).c_str(), printable(set.name).c_str(),
              printable(set.created).c_str(), printable(set.why).c_str());
  const Look look = terminal_look();
  if (!report->lost.empty()) {
    std::printf("\nhad not reached the peer before the takeover:\n");
    Table table({"CHANGE", "SIZE", "KEPT", "PATH"});
    for (const LostFile& file : report->lost) {
      table.row({{file.change}, {size_text(file.size)}, {file.kept ? "yes" : "no"}, {printable(file.path)}});
    }
    std::printf("%s", table.text(look).c_str());
  }
  std::printf("\nthe set holds %zu entries:\n", report->files.size());
  Table table({"TYPE", "SIZE", "PATH"});
  for (const BackupFile& file : report->files)
    table.row({{file.type}, {size_text(file.size)}, {printable(file.path)}});
  std::printf("%s", table.text(look).c_str());
  return kExitOk;
}

int restore(const Globals& globals, const BackupFlags& flags) {
  const auto done = restore_backup(globals.state_dir, {flags.service, flags.set, flags.path, flags.to});
  if (!done) return complain(done.error().message, kExitFailed);
  std::printf("restored %llu files%s\n", static_cast<unsigned long long>(done->files),
              flags.to.empty() ? "" : (" below " + flags.to).c_str());
  if (!done->kept_set.empty())
    std::printf("what they replaced is kept in the set %s\n", done->kept_set.c_str());
  return kExitOk;
}

int run_here(const Globals& globals, const BackupFlags& flags) {
  if (flags.verb == "list") return list(globals, flags);
  if (flags.verb == "show") return show(globals, flags);
  if (flags.verb == "restore") return restore(globals, flags);
  if (flags.verb == "confirm") {
    const auto done = confirm_backup(globals.state_dir, flags.service, flags.set);
    if (!done) return complain(done.error().message, kExitFailed);
    std::printf("confirmed: the set is removed when its time or room is up\n");
    return kExitOk;
  }
  const auto freed = purge_backups(globals.state_dir, flags.service, flags.set);
  if (!freed) return complain(freed.error().message, kExitFailed);
  std::printf("purged; %s set free\n", size_text(*freed).c_str());
  return kExitOk;
}

int run(const Globals& globals, const BackupFlags& flags) {
  const std::string self = globals.own_name();
  if (flags.node.empty() || flags.node == self) return run_here(globals, flags);
  const auto config = load_config(globals.config_dir, self);
  if (!config) return complain("the configuration has errors; see clusterctl check", kExitConfig);
  if (flags.node != config->node(config->peer()).name) {
    return complain(
        "there is no node \"" + flags.node + "\"; the other one is " + config->node(config->peer()).name,
        kExitUsage);
  }
  std::vector<std::string> arguments = {"backups", flags.verb};
  for (const std::string& argument : {flags.service, flags.set, flags.path}) {
    if (!argument.empty()) arguments.push_back(argument);
  }
  if (!flags.to.empty()) arguments.insert(arguments.end(), {"--to", flags.to});
  if (flags.json) arguments.emplace_back("--json");
  const Ran ran = run_on_peer(*config, arguments, false);
  if (ran.code == 255) {
    return complain(flags.node + " is not reachable by ssh\n  try it:  ssh " + config->ssh.user + "@" +
                        config->link(LinkId(0)).ends.at(config->peer().at()).address.address.text(),
                    kExitFailed);
  }
  return ran.code;
}

}  // namespace

void add_backup_verbs(CLI::App& app, Globals& globals, Chosen& chosen) {
  CLI::App* backups = app.add_subcommand(
      "backups", "Files that a resync overwrote or deleted: list, show, restore, confirm, purge");
  backups->require_subcommand(1);
  struct Verb {
    const char *name, *about, *example;
  };
  static constexpr Verb kVerbs[] = {
      {"list", "The backup sets of this node", "backups list web"},
      {"show", "What a set holds, and which files had not been mirrored",
       "backups show web 20261122T181500Z-e7-1"},
      {"restore", "Bring back a set, or one path of it",
       "backups restore web 20261122T181500Z-e7-1 /srv/web/a.txt --to /tmp"},
      {"confirm", "You let go of a set: it goes when its time or room is up",
       "backups confirm web 20261122T181500Z-e7-1"},
      {"purge", "Delete a set for good, now", "backups purge web 20261122T181500Z-e7-1"},
  };
  for (const Verb& verb : kVerbs) {
    auto flags = std::make_shared<BackupFlags>();
    flags->verb = verb.name;
    CLI::App* sub = backups->add_subcommand(verb.name, verb.about);
    sub->footer(std::string("Example: clusterctl ") + verb.example);
    const bool is_list = flags->verb == "list";
    auto* service =
        sub->add_option("service", flags->service, is_list ? "Service (default: all)" : "Service");
    if (!is_list) {
      service->required();
      sub->add_option("set", flags->set, "Name of the set")->required();
    }
    if (flags->verb == "restore") {
      sub->add_option("path", flags->path,
                      "File or folder of the set, as `show` prints it (default: everything)");
      sub->add_option("--to", flags->to, "Folder that takes the place of / (default: the original places)");
    }
    if (is_list || flags->verb == "show") sub->add_flag("--json", flags->json, "As JSON");
    sub->add_option("--node", flags->node, "Node whose sets are meant (over ssh; default: this one)");
    sub->callback([&, flags] { chosen = [&, flags] { return run(globals, *flags); }; });
  }
}

}  // namespace clusterd::ctl
