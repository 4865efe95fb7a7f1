// The port `MirrorPeer`: runs `clusterd-mirror agent` as a child process, hands it the core's orders and
// turns its reports into events; and knows which processes of the *peer's* runs are writing on this node.
//
// The agent moves data with ordinary priority, in its own session; it dies with the daemon (PDEATHSIG) and
// may crash: then every order under way, and every live mirror that was followed, is reported as kFailed, and
// the agent is started again after a second. Where there are live mirrors, `clusterd-mirror serve` is the
// daemon's child likewise. Orders and reports are lines of JSON (mirror/messages.hpp) on a stream socket
// pair, descriptor 3 of the agent.
//
// Threading: the reactor's thread only. Nothing blocks, with one exception: `stop_receivers` waits until the
// killed processes are gone, usually well below a millisecond, at most `kStopLimit`. It may, because it is
// called only where this node is about to become active for the service, and "nothing writes any more" is a
// condition of that (S8). What is still not gone then can never run user code again (SIGKILL is pending for
// it): at most the one system call that it is in can finish.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/config.hpp"
#include "linux/event_loop.hpp"
#include "ports/ports.hpp"

namespace clusterd {

struct MirrorPaths {
  std::string config_dir = "/etc/cluster.d";
  std::string state_dir = "/var/lib/clusterd";
  std::string run_dir = "/run/clusterd";
  std::string node;              // this node's name
  std::string program;           // clusterd-mirror, with its path
  std::string ids_dir = "/etc";  // holds passwd and group
};

class MirrorProcess : public MirrorPeer {
 public:
  static constexpr std::chrono::milliseconds kStopLimit{50};

  // Starts the agent, and finds the receivers that an earlier daemon on this host has permitted.
  MirrorProcess(EventLoop& loop, const Config& config, MirrorPaths paths, EventSink sink);
  ~MirrorProcess() override;
  MirrorProcess(const MirrorProcess&) = delete;
  MirrorProcess& operator=(const MirrorProcess&) = delete;

  void order(const MirrorOrder& order) override;
  void cancel(ServiceId service) override;
  void stop_receivers(ServiceId service) override;
  void set_guard(ServiceId service) override;
  void lift_guard(ServiceId service) override;

  // `pid` is a `clusterd-mirror receive` that was just permitted to write for the service.
  void register_receiver(ServiceId service, pid_t pid);

  // For tests and `status`.
  [[nodiscard]] pid_t agent_pid() const;
  [[nodiscard]] size_t receivers(ServiceId service) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace clusterd
