// The verbs of clusterctl. Each prints to stdout, errors to stderr, and returns an exit code.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ctl/table.hpp"

namespace CLI {
class App;
}

namespace clusterd::ctl {

struct Globals {
  std::string config_dir = "/etc/cluster.d";
  std::string state_dir = "/var/lib/clusterd";
  std::string run_dir = "/run/clusterd";
  std::string node;  // empty = the host's name

  [[nodiscard]] std::string own_name() const;
};

// For this terminal: colours unless NO_COLOR is set or stdout is no terminal.
[[nodiscard]] Look terminal_look();

// "clusterctl: …" on stderr; returns `code`.
int complain(const std::string& text, int code);

// What the command line chose; run after parsing.
using Chosen = std::function<int()>;

// One function per family of verbs: adds them to `app`, and sets `chosen` when one of them was given.
void add_daemon_verbs(CLI::App& app, Globals& globals, Chosen& chosen);
void add_scrub_verb(CLI::App& mirror, Globals& globals, Chosen& chosen);
void add_check_verbs(CLI::App& app, Globals& globals, Chosen& chosen);
void add_backup_verbs(CLI::App& app, Globals& globals, Chosen& chosen);
void add_replay_verbs(CLI::App& app, Globals& globals, Chosen& chosen);
void add_whatif_verbs(CLI::App& app, Globals& globals, Chosen& chosen);
void add_setup_verbs(CLI::App& app, Globals& globals, Chosen& chosen);
void add_service_verbs(CLI::App& app, Globals& globals, Chosen& chosen);
void add_apply_verbs(CLI::App& app, Globals& globals, Chosen& chosen);
void add_version_verbs(CLI::App& app, Globals& globals, Chosen& chosen);
void add_always_verbs(CLI::App& app, Globals& globals, Chosen& chosen);
void add_import_verbs(CLI::App& app, Globals& globals, Chosen& chosen);
void add_complete_verb(CLI::App& app, Globals& globals, Chosen& chosen);

}  // namespace clusterd::ctl
