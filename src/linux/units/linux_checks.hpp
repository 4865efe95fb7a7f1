// The port Checks: asks again and again whether a service works.
//
// A TCP check is good when the connection is made; a command check when it exits with 0; an agent's monitor
// when it says so. All others are questions that a child, clusterd-check, asks (linux/check). The next run is
// due `every` after the previous one ended. Reported: the first result after start, each change, and each
// failure; `grace` and `failures` are the core's. A command that exceeds its `timeout` counts as failed then,
// and is killed; the next run waits for its end.
//
// While the service's address is on this node, a connection to it stays inside the kernel: it passes no NIC
// and therefore no gate, so a check says nothing about what clients see of the network.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "linux/event_loop.hpp"
#include "ports/ports.hpp"

namespace clusterd {

class LinuxChecks : public Checks {
 public:
  // `program` is the path of clusterd-check.
  LinuxChecks(EventLoop& loop, const Config& config, EventSink sink, std::string program);
  ~LinuxChecks() override;
  LinuxChecks(const LinuxChecks&) = delete;
  LinuxChecks& operator=(const LinuxChecks&) = delete;

  void start(ServiceId service) override;
  void stop(ServiceId service) override;

 private:
  class Run;  // one check while it is started

  EventLoop& loop_;
  const Config& config_;
  EventSink sink_;
  const std::string program_;
  std::vector<std::vector<std::unique_ptr<Run>>> runs_;  // per service; empty while stopped
};

}  // namespace clusterd
