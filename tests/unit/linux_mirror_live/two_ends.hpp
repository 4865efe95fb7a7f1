// Two nodes in a network namespace of the test's own: the test is the source on serv1, an echo_mirror serves
// on serv2. Needs root.
#pragma once

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>

#include "config/load.hpp"
#include "linux/mirror/live/connector.hpp"
#include "linux/mirror/mirror_process.hpp"
#include "unit/linux_mirror/fake_daemon.hpp"

namespace clusterd {

// Once for the whole test program.
inline void enter_own_network() {
  static bool done = false;
  if (std::exchange(done, true)) return;
  if (::unshare(CLONE_NEWNET) != 0) throw std::runtime_error("no network namespace: are you root?");
  std::string commands = "ip link set lo up";
  for (const char* address : {"10.98.1.1/24", "10.98.1.2/24", "10.98.2.1/24", "10.98.2.2/24"})
    commands += std::string(" && ip addr add ") + address + " dev lo";
  if (std::system(commands.c_str()) != 0) throw std::runtime_error("the network cannot be made");
}

class TwoEnds {
 public:
  TwoEnds() {
    enter_own_network();
    char name[] = "/tmp/cdt-live-XXXXXX";
    root = ::mkdtemp(name);
    for (const char* folder : {"config", "config/services", "run"})
      std::filesystem::create_directories(root + "/" + folder);
    write("config/secret.key", std::string(64, 'a') + "\n");
    ::chmod((root + "/config/secret.key").c_str(), 0600);
    configure("");
    daemon = std::make_unique<FakeDaemon>(root + "/run/control.sock");
  }
  ~TwoEnds() {
    stop_serving();
    std::error_code ignored;
    std::filesystem::remove_all(root, ignored);
  }

  // `more`: lines of the mirror.
  void configure(const std::string& more) {
    port = 7411;
    write("config/cluster.toml",
          "[cluster]\nname = \"test\"\nreference_hosts = [\"10.98.2.250\"]\nsecret = \"" + root +
              "/config/secret.key\"\n[mirror]\nport = " + std::to_string(port) +
              "\n[node.serv1]\nservice = { nic = \"lo\", address = \"10.98.2.1/24\" }\n"
              "heartbeat = { nic = \"lo0\", address = \"10.98.1.1/24\" }\n"
              "[node.serv2]\nservice = { nic = \"lo\", address = \"10.98.2.2/24\" }\n"
              "heartbeat = { nic = \"lo0\", address = \"10.98.1.2/24\" }\n");
    write("config/services/web.toml",
          "addresses = [\"10.98.2.20/24\"]\nunits = [\"nothing.service\"]\n"
          "[[mirror]]\nname = \"data\"\nmode = \"live\"\npaths = [\"/srv/data/\"]\n" +
              more);
    auto loaded = load_config(root + "/config", "serv1");
    if (loaded) {
      source = std::move(*loaded);
      return;
    }
    std::string all;
    for (const auto& problem : loaded.error()) all += describe(problem) + "\n";
    throw std::runtime_error(all);
  }

  void serve() {
    const pid_t parent = ::getpid();
    server = ::fork();
    if (server != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127);
    const std::string config = root + "/config", run = root + "/run";
    ::execl(ECHO_MIRROR, ECHO_MIRROR, "serve", "--config-dir", config.c_str(), "--run-dir", run.c_str(),
            "--node", "serv2", nullptr);
    ::_exit(127);
  }
  void stop_serving() {
    if (server <= 0) return;
    ::kill(server, SIGKILL);
    ::waitpid(server, nullptr, 0);
    server = -1;
  }

  // Until the server listens.
  Result<std::unique_ptr<Channel>> connect(Connector& connector) {
    for (int i = 0; i < 400; ++i) {
      auto channel = connector.connect();
      if (channel || channel.error().message.find("nothing listens") == std::string::npos) return channel;
      ::usleep(50'000);
    }
    return fail(Code::kRetry, "it never listened");
  }

  void write(const std::string& inside, const std::string& text) const {
    std::ofstream(root + "/" + inside, std::ios::binary) << text;
  }

  std::string root;
  int port = 0;
  Config source;
  std::unique_ptr<FakeDaemon> daemon;
  pid_t server = -1;
};

}  // namespace clusterd
