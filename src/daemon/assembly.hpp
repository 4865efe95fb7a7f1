// A running daemon: everything built in the order in which safety needs it.
//
//   secret and state are read → the gate is opened and attached (shut, or as its predecessor left it)
//   → ports → `Started` → control socket
//
// Destroying it leaves services, addresses and the gate as they are.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/result.hpp"
#include "config/load.hpp"
#include "core/config.hpp"
#include "daemon/log.hpp"
#include "daemon/process_setup.hpp"
#include "linux/event_loop.hpp"

namespace clusterd {

struct DaemonOptions {
  std::string config_dir = "/etc/cluster.d";
  std::string state_dir = "/var/lib/clusterd";
  std::string run_dir = "/run/clusterd";
  std::string bpf_dir = "/sys/fs/bpf/clusterd";
  std::string libexec_dir;  // of clusterd-mirror and clusterd-check; empty = the folder of this program
  std::string node;         // empty = the host's name
  bool realtime = true;
  bool without_gate = false;
  bool remove_gate = false;
  bool lift_guards = false;
  bool debug = false;
  ConfigTexts config_texts;      // what the configuration was made of, for the flight recorder
  bool hold_back = false;        // a new configuration is not settled yet: nothing is taken over
  std::optional<Config> former;  // what only this one has may still run, and is cleared away…
  uint64_t former_number = 0;    // …the version's number
};

class Assembly {
 public:
  // `config` is already adapted to the options; it, the loop and the log outlive the assembly.
  static Result<std::unique_ptr<Assembly>> build(EventLoop& loop, const Config& config,
                                                 const DaemonOptions& options, const Privileges& privileges,
                                                 Log& log);
  ~Assembly();
  Assembly(const Assembly&) = delete;
  Assembly& operator=(const Assembly&) = delete;

  // Begins to take part: `Started`, then the control socket.
  Result<void> start();

  // A clean restart: asks the peer for a promise, and stops the loop when it is given, or after `limit`.
  void prepare_restart(Duration limit);

  // The same to take a new configuration, if it is good: `taken` is called before the loop stops. Otherwise
  // its problems are logged, and nothing changes.
  void reload(std::function<void()> taken);

  // The process is about to end by abort(): lets the flight recorder write what led there.
  void last_words();

 private:
  class Impl;
  explicit Assembly(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace clusterd
