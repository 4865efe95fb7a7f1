// clusterctl: the administrator's tool.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "ctl/client.hpp"
#include "ctl/exit_codes.hpp"
#include "ctl/json_view.hpp"
#include "ctl/verbs.hpp"
#include "daemon/status_json.hpp"

namespace {

using namespace clusterd::ctl;

constexpr const char* kFooter =
    "Exit codes: 0 done; 1 refused or failed; 2 wrong arguments; 3 the daemon is not reachable;\n"
    "4 something needs a human (always, check, diverged, versions, status --exit-code);\n"
    "77 this user may not ask for it; 78 the configuration has errors.\n"
    "Every verb has its own --help with an example. More: docs/operations.md";

}  // namespace

// The daemon knows best which node this is; without it, the host's name has to do.
std::string clusterd::ctl::Globals::own_name() const {
  if (!node.empty()) return node;
  if (const auto answer = Client(run_dir).get("/v1/status")) {
    const auto value = parse_or_null(answer->body);
    if (std::string name = View(&value)["node"].text(); !name.empty()) return name;
  }
  char name[256] = {};
  if (::gethostname(name, sizeof name - 1) != 0) return "";
  const std::string full(name);
  return full.substr(0, full.find('.'));
}

int main(int argc, char** argv) {
  Globals globals;
  Chosen chosen;
  CLI::App app{"clusterctl: looks at the cluster and gives it orders", "clusterctl"};
  app.footer(kFooter);
  app.set_version_flag("--version", std::string("clusterctl ") + clusterd::kVersion);
  app.fallthrough();
  app.require_subcommand(1);
  app.add_option("--config-dir", globals.config_dir, "Configuration of the cluster")->capture_default_str();
  app.add_option("--state-dir", globals.state_dir, "State of this node, with its backup sets")
      ->capture_default_str();
  app.add_option("--run-dir", globals.run_dir, "Where the daemon's control socket is")->capture_default_str();
  app.add_option("--self", globals.node,
                 "This node's name (default: as the daemon says, or the host's name)");
  add_daemon_verbs(app, globals, chosen);
  add_check_verbs(app, globals, chosen);
  add_backup_verbs(app, globals, chosen);
  add_replay_verbs(app, globals, chosen);
  add_whatif_verbs(app, globals, chosen);
  add_setup_verbs(app, globals, chosen);
  add_service_verbs(app, globals, chosen);
  add_apply_verbs(app, globals, chosen);
  add_version_verbs(app, globals, chosen);
  add_always_verbs(app, globals, chosen);
  add_import_verbs(app, globals, chosen);
  add_complete_verb(app, globals, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitOk : kExitUsage;
  }
  try {
    return chosen ? chosen() : kExitUsage;
  } catch (const std::exception& error) {
    return complain(error.what(), kExitFailed);
  }
}
