// This node as clusterd-config sees it: its files, its daemon, and the way to the other node. Blocks.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "keep/words.hpp"
#include "linux/versions/store.hpp"

namespace clusterd::keep {

struct NodeOptions {
  std::string config_dir = "/etc/cluster.d";
  std::string state_dir = "/var/lib/clusterd";
  std::string run_dir = "/run/clusterd";
  std::string node;
  bool without_gate = false;
};

struct DaemonView {
  uint64_t running = 0;  // hash of its configuration; 0: it does not answer
  bool agrees = false;   // it hears the other one, with the same configuration
  bool hears = false;    // it hears the other one at all
};

class ThisNode {
 public:
  explicit ThisNode(NodeOptions options)
      : options_(std::move(options)), store_(options_.state_dir, options_.config_dir) {}

  [[nodiscard]] const NodeOptions& options() const { return options_; }
  [[nodiscard]] const std::string& name() const { return options_.node; }
  [[nodiscard]] const VersionStore& store() const { return store_; }

  // For this node, with its hash as the daemon reckons it. The error holds every problem.
  [[nodiscard]] Result<Config> understood(const ConfigTexts& files) const;
  [[nodiscard]] bool edited(const versions::Record& record) const;

  [[nodiscard]] DaemonView daemon() const;
  // Gives the order "hold-back" or "hold-back-no-more".
  [[nodiscard]] Result<void> hold_back(bool hold) const;

  // Configurations that say where the nodes are to be found: the one in place, and those of a change.
  [[nodiscard]] std::vector<Config> known_configs() const;
  // Asks the other node, at each of its addresses until one answers.
  [[nodiscard]] Result<std::string> ask_peer(const std::string& question) const;

  // Puts the files of the version that the record has in place there.
  [[nodiscard]] Result<void> place() const { return store_.finish_placing(); }

 private:
  NodeOptions options_;
  VersionStore store_;
};

// On stderr, which leads to the daemon's log. `level` as syslog's.
void tell(int level, const std::string& text);

[[nodiscard]] int64_t boottime_ms();

}  // namespace clusterd::keep
