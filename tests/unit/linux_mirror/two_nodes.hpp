// Two nodes on one machine for the mirror's tests: real sshd and real rsync, each node with a file system
// view of its own (mount namespace), both in a network namespace of their own. Needs root; tests skip without
// it.
//
// Every node sees its own folders at the same paths: root/data is /…/serv1/data for serv1. The test itself
// looks at them from outside, by `TwoNodes::at`.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/actions.hpp"
#include "core/config.hpp"
#include "linux/mirror/mirror_process.hpp"
#include "unit/linux_mirror/fake_daemon.hpp"

namespace clusterd {

class TwoNodes {
 public:
  TwoNodes();
  ~TwoNodes();

  // Path as the nodes see it.
  [[nodiscard]] std::string path(const std::string& inside) const { return root + "/" + inside; }
  // The same path of node 0 or 1, as the test sees it.
  [[nodiscard]] std::string at(int node, const std::string& inside) const;
  [[nodiscard]] const Config& config(int node) const { return configs.at(static_cast<size_t>(node)); }
  [[nodiscard]] MirrorPaths paths(int node) const;

  // Runs a mirror with `node` as source, in its view of the files.
  MirrorReport run(int node, const std::string& mirror, MirrorReport::Kind kind, uint64_t epoch,
                   bool confirmed = false);
  // Runs `body` in a child process that sees the files as the node does; its exit code.
  int inside(int node, const std::function<int()>& body);
  [[nodiscard]] pid_t sshd_pid(int node) const { return sshd_.at(static_cast<size_t>(node)); }
  void enter(int node) const;  // for children that the test makes itself

  // What the node did as a target, in order: "rename TO" and "syncfs PATH" of clusterd-mirror and rsync.
  [[nodiscard]] std::vector<std::string> syncs(int node) const;

  // rsync's own judgement of two folders: what it would still have to do. Empty if they are the same.
  std::string differences(const std::string& inside);

  std::string root;
  std::vector<Config> configs;
  std::vector<std::unique_ptr<FakeDaemon>> daemons;

 private:
  void write_configuration();
  void start_sshd(int node);
  std::vector<pid_t> sshd_ = {-1, -1};
};

[[nodiscard]] std::string shell(
    const std::string& command);  // its output; fails the test unless it ends with 0
void write_file(const std::string& path, const std::string& text);
[[nodiscard]] std::string read_file(const std::string& path);
[[nodiscard]] bool exists(const std::string& path);

}  // namespace clusterd
