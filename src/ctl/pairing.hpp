// The two ends of `clusterctl pair` and `clusterctl join`: what is said, printed and written. Blocks until
// the nodes are paired, the code is void, or the person interrupts it.
#pragma once

#include <string>

#include "ctl/verbs.hpp"

namespace clusterd::ctl {

struct PairingFlags {
  unsigned port = 0;
  bool start = true;  // clusterd, at the end
  bool force = false;
};

// The node that has a configuration: shows a code, waits for the other node, completes the configuration.
int wait_for_peer(const Globals& globals, const PairingFlags& flags);

// The node that gets it.
int join_peer(const Globals& globals, const PairingFlags& flags, const std::string& address,
              const std::string& code);

// Enables and (re)starts clusterd through systemd, or says how; returns an exit code.
int start_daemon(bool wanted);

// Nothing if root runs it; otherwise complains and returns the exit code.
int refuse_others(const std::string& verb);

}  // namespace clusterd::ctl
