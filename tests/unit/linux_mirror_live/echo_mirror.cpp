// clusterd-mirror serve and accept, but for files: whatever the source says is said back to it.
#include <cstring>
#include <string>

#include "config/load.hpp"
#include "linux/mirror/live/accept.hpp"
#include "linux/mirror/live/serve.hpp"

namespace clusterd {
namespace {

int echo(Channel& channel, const LiveTargetSetup& /*setup*/) {
  while (true) {
    auto message = channel.receive();
    if (!message || !*message) return 0;
    if (!channel.send(**message)) return 1;
  }
}

int run(int argc, char** argv) {
  MirrorPaths paths;
  const std::string verb = argv[1];
  for (int i = 2; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--config-dir") == 0) paths.config_dir = argv[i + 1];
    if (std::strcmp(argv[i], "--run-dir") == 0) paths.run_dir = argv[i + 1];
    if (std::strcmp(argv[i], "--node") == 0) paths.node = argv[i + 1];
  }
  const auto config = load_config(paths.config_dir, paths.node);
  if (!config) return 78;
  if (verb == "serve") return serve(*config, paths);
  return accept_live(*config, paths, echo);
}

}  // namespace
}  // namespace clusterd

int main(int argc, char** argv) { return argc < 2 ? 64 : clusterd::run(argc, argv); }
