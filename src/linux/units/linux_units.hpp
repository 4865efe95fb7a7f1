// The port Units: starts, stops and watches the members of services.
//
// Kinds of members, each documented in its header: systemd units (systemd_unit.hpp), start/stop/status
// commands, init scripts and mounts (command_unit.hpp), foreground commands (run_unit.hpp) and OCF resource
// agents (ocf_unit.hpp). For all of them:
// - orders are idempotent: starting what runs gives kStarted, stopping what does not run gives kStopped;
// - a later order supersedes an earlier one, which is then not answered: a stop during a start wins;
// - what was started goes on when this object is destroyed, and is found again by the next one;
// - there are no time limits of its own on starts and stops: the core has them, and escalates with `kill`;
// - a crash is an event; only a command unit without a pid file has its status polled, and an agent its
//   monitor.
// Watching begins with the first start order, which a restarted daemon gives for what it finds running.
//
// Files: <run_dir>/units/<service>.<unit>.pid, .ocf and .log (run_dir should be in memory: they are written
// on the reactor's thread).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "linux/event_loop.hpp"
#include "ports/ports.hpp"

namespace clusterd {

class UnitDriver;
class SystemdBus;

class LinuxUnits : public Units {
 public:
  // `warn` is told, in words, of what is no failure: an agent's warnings.
  using Warn = std::function<void(const std::string& text)>;

  LinuxUnits(EventLoop& loop, const Config& config, const std::string& run_dir, EventSink sink,
             Warn warn = {});
  ~LinuxUnits() override;
  LinuxUnits(const LinuxUnits&) = delete;
  LinuxUnits& operator=(const LinuxUnits&) = delete;

  void start(const StartUnit& order) override;
  void stop(const StopUnit& order) override;

  // Whether a systemd unit is started at boot: "enabled", "disabled", "static", "masked", … For `check`: the
  // units of services must be started by clusterd alone. Answers later, on the loop's thread.
  void unit_file_state(const std::string& unit, std::function<void(Result<std::string>)> done);

 private:
  UnitDriver& driver(ServiceId service, UnitId unit);

  EventSink sink_;
  Warn warn_;
  std::unique_ptr<SystemdBus> bus_;
  std::vector<std::vector<std::unique_ptr<UnitDriver>>>
      drivers_;  // per service and unit; destroyed before bus_
};

}  // namespace clusterd
