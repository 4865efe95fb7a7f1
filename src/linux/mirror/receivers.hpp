// The processes on this node that write for the peer's mirror runs: who they are, and their end.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.hpp"
#include "linux/event_loop.hpp"
#include "linux/mirror/files.hpp"

namespace clusterd {

class Receivers {
 public:
  explicit Receivers(EventLoop& loop) : loop_(loop) {}

  // A process that leads its own group is killed with its whole group, any other only with its descendants.
  void add(ServiceId service, pid_t pid);
  // SIGKILL to all of the service; returns when they are gone, or after `limit`.
  void stop(ServiceId service, std::chrono::milliseconds limit);
  [[nodiscard]] size_t count(ServiceId service) const;

 private:
  struct Receiver {
    ServiceId service;
    pid_t pid = 0;
    bool leader = false;
    std::shared_ptr<Fd>
        pidfd;  // of `pid`: its number cannot be taken for another process's while this is open
    std::unique_ptr<Watch> watch;
  };
  void forget(pid_t pid);

  EventLoop& loop_;
  std::vector<Receiver> receivers_;
};

// Service names and pids from the lock files that receivers hold: permitted by an earlier daemon.
[[nodiscard]] std::vector<std::pair<std::string, pid_t>> find_permitted_receivers(const std::string& run_dir);

}  // namespace clusterd
