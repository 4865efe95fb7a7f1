// clusterd-config: a child of clusterd. Keeps the versions of the configuration, and carries them between the
// nodes (docs/decisions/0012-one-configuration.md).
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/version.hpp"
#include "keep/keeper.hpp"

int main(int argc, char** argv) {
  using namespace clusterd;
  keep::NodeOptions options;
  CLI::App app{"clusterd-config: keeps the versions of the configuration; started by clusterd",
               "clusterd-config"};
  app.set_version_flag("--version", std::string("clusterd-config ") + kVersion);
  app.add_option("--config-dir", options.config_dir, "Configuration of the cluster")->capture_default_str();
  app.add_option("--state-dir", options.state_dir, "Where versions are kept")->capture_default_str();
  app.add_option("--run-dir", options.run_dir, "Control socket of the daemon")->capture_default_str();
  app.add_option("--node", options.node, "This node's name in the configuration")->required();
  app.add_flag("--without-gate", options.without_gate, "As the daemon runs");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  ::signal(SIGPIPE, SIG_IGN);
  ::umask(022);
  try {
    // Never destroyed: its threads use it until the process is gone.
    auto* keeper = new keep::Keeper(options, ::getppid());
    if (const auto ran = keeper->run(); !ran) {
      std::fprintf(stderr, "<3>configuration: %s\n", ran.error().message.c_str());
      return 1;
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "<3>configuration: %s\n", error.what());
    return 1;
  }
  return 0;
}
