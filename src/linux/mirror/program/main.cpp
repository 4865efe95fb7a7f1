// clusterd-mirror: the program that moves data. One for all roles, so that ssh to the peer only ever runs it.
//
//   agent           child of clusterd: obeys orders on descriptor 3
//   serve           child of clusterd: listens for the peer's live mirrors
//   accept          child of serve: one such connection, on descriptor 3
//   receive         on the target: checks, asks the local daemon, then is rsync's remote side
//   losses, finish  on the target: before and after a resync
//   explain         on the target: why the last receive failed
//   receive-shell   forced command of the ssh key: lets SSH_ORIGINAL_COMMAND do only the four above
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "config/load.hpp"
#include "linux/mirror/agent.hpp"
#include "linux/mirror/live/accept.hpp"
#include "linux/mirror/live/serve.hpp"
#include "linux/mirror/live/target.hpp"
#include "linux/mirror/target.hpp"
#include "mirror/command.hpp"
#include "mirror/escape.hpp"

namespace clusterd {
namespace {

constexpr char kUsage[] =
    "usage: clusterd-mirror [--config-dir DIR] [--state-dir DIR] [--run-dir DIR] [--node NAME] VERB …\n"
    "  agent, serve                             (started by clusterd)\n"
    "  accept                                   (started by serve)\n"
    "  receive --service S --mirror M --epoch E [--backup-set NAME] [--confirmed] -- RSYNC-OPTIONS\n"
    "  losses  --service S --mirror M --epoch E --backup-set NAME --from NODE\n"
    "  finish  --service S --mirror M --epoch E --backup-set NAME\n"
    "  explain --service S --mirror M           (why the last receive failed)\n"
    "  receive-shell                            (forced command of the ssh key)\n";

// The production source under the name that the agent knows.
class NamedSource : public FollowingSource {
 public:
  NamedSource(const LiveSetup& setup, LiveSource::Connect connect,
              std::function<void(const MirrorReport&)> report)
      : source_(setup, std::move(connect), std::move(report)) {}
  void order(const MirrorOrder& order) override { source_.order(order); }

 private:
  LiveSource source_;
};

std::unique_ptr<FollowingSource> make_live_source(const LiveSetup& setup, LiveSource::Connect connect,
                                                  std::function<void(const MirrorReport&)> report) {
  return std::make_unique<NamedSource>(setup, std::move(connect), std::move(report));
}

struct CommandLine {
  MirrorPaths paths;
  std::string verb;
  mirror::ReceiveOptions options;
  std::string from;
  std::vector<std::string> rest;  // behind "--"
};

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "";
}

// False: not a command line of ours. `trusted`: the words come from this host, not over ssh; only then may
// they choose folders.
bool parse(const std::vector<std::string>& words, bool trusted, CommandLine& out) {
  std::map<std::string, std::string*> texts = {{"--service", &out.options.service},
                                               {"--mirror", &out.options.mirror},
                                               {"--backup-set", &out.options.backup_set},
                                               {"--from", &out.from}};
  if (trusted) {
    texts["--config-dir"] = &out.paths.config_dir;
    texts["--state-dir"] = &out.paths.state_dir;
    texts["--run-dir"] = &out.paths.run_dir;
    texts["--node"] = &out.paths.node;
  }
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") {
      out.rest.assign(words.begin() + static_cast<ptrdiff_t>(i) + 1, words.end());
      return true;
    }
    if (word == "--confirmed") {
      out.options.confirmed = true;
    } else if (word == "--epoch" && i + 1 < words.size()) {
      const std::string& value = words[++i];
      if (value.empty() || value.find_first_not_of("0123456789") != std::string::npos) return false;
      out.options.epoch = std::strtoull(value.c_str(), nullptr, 10);
    } else if (const auto text = texts.find(word); text != texts.end() && i + 1 < words.size()) {
      *text->second = words[++i];
    } else if (word.empty() || word[0] == '-' || !out.verb.empty()) {
      return false;
    } else {
      out.verb = word;
    }
  }
  return true;
}

int refuse(const std::string& reason) {
  std::fprintf(stderr, "clusterd-mirror[%d]: %s\n", kExitRefused, reason.c_str());
  return kExitRefused;
}

// What came over ssh, under the folders that the forced command has chosen.
int receive_shell(CommandLine& line) {
  const char* original = std::getenv("SSH_ORIGINAL_COMMAND");
  if (!original) return refuse("this key runs mirror commands only, no shell");
  auto words = mirror::split_command(original);
  if (!words) return refuse(words.error().message);
  if (words->empty() || words->front() != "clusterd-mirror")
    return refuse("this key runs mirror commands only");
  words->erase(words->begin());
  CommandLine remote;
  remote.paths = line.paths;
  if (!parse(*words, false, remote)) return refuse("the mirror command cannot be understood");
  if (remote.verb != "receive" && remote.verb != "losses" && remote.verb != "finish" &&
      remote.verb != "explain") {
    return refuse("this key runs mirror commands only");
  }
  line = std::move(remote);
  return 0;
}

int run(const std::vector<std::string>& words) {
  CommandLine line;
  line.paths.node = host_name();
  if (!parse(words, true, line) || line.verb.empty()) {
    std::fputs(kUsage, stderr);
    return 64;
  }
  if (line.verb == "receive-shell") {
    if (const int code = receive_shell(line); code != 0) return code;
  }
  auto config = load_config(line.paths.config_dir, line.paths.node);
  if (!config) {
    for (const auto& problem : config.error()) {
      std::fprintf(stderr, "clusterd-mirror[%d]: %s\n", kExitFailed, describe(problem).c_str());
    }
    return kExitFailed;
  }
  if (line.verb == "agent") return run_agent(*config, line.paths, make_live_source);
  if (line.verb == "serve") return serve(*config, line.paths);
  if (line.verb == "accept") return accept_live(*config, line.paths, serve_live);
  if (line.verb == "receive") return receive(*config, line.paths, line.options, line.rest);
  if (line.verb == "losses") return losses(*config, line.paths, line.options, line.from);
  if (line.verb == "finish") return finish(*config, line.paths, line.options);
  if (line.verb == "explain") return explain(*config, line.paths, line.options);
  std::fputs(kUsage, stderr);
  return 64;
}

}  // namespace
}  // namespace clusterd

int main(int argc, char** argv) { return clusterd::run(std::vector<std::string>(argv + 1, argv + argc)); }
