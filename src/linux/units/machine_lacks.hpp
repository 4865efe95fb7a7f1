// What this machine lacks to run its services, looked at before anybody needs it: once at the start and then
// every minute. Reports LackReport: for each service first, then at each change.
//
// - a systemd unit that does not exist, is masked or cannot be loaded (asked of systemd, where it runs)
// - a program, init script or agent that is not there or may not be executed
// - a folder that is to be mounted on and is not there
// - a disk with less than 5 % and less than 1 GiB left, under a mirror's paths or the daemon's own state
//
// Disks are asked on a thread that nobody waits for: one that hangs (a dead NFS server) ends the looking, not
// the daemon.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/config.hpp"
#include "linux/event_loop.hpp"
#include "linux/units/systemd_bus.hpp"
#include "ports/ports.hpp"

namespace clusterd {

// Everything but systemd's part, in words; empty: nothing. Asks the file system, so it may block.
[[nodiscard]] std::string lacks_of_files(const ServiceConfig& service, const std::string& state_dir);
// The words for a disk of so many bytes with so many left; empty: there is room.
[[nodiscard]] std::string lack_of_room(const std::string& path, uint64_t total, uint64_t left);

class MachineLacks {
 public:
  MachineLacks(EventLoop& loop, const Config& config, std::string state_dir, EventSink sink,
               Duration every = std::chrono::minutes(1));
  ~MachineLacks();
  MachineLacks(const MachineLacks&) = delete;
  MachineLacks& operator=(const MachineLacks&) = delete;

  // What somebody else has found to be missing, in words, per service; holds until it is called again.
  void also(std::vector<std::vector<std::string>> lacks);

 private:
  struct Shared;  // with the thread, which may outlive this object
  void look();
  void looked(std::vector<std::string> lacks);
  void ask_systemd(size_t service, size_t unit, std::vector<std::string> lacks);
  void report();

  EventLoop& loop_;
  const Config& config_;
  const std::string state_dir_;
  const EventSink sink_;
  const Duration every_;
  std::shared_ptr<Shared> shared_;
  std::shared_ptr<bool> alive_;
  std::unique_ptr<SystemdBus> bus_;                // where systemd runs
  std::optional<std::vector<std::string>> lacks_;  // per service, as looked at last
  std::vector<std::vector<std::string>> also_;     // per service
  std::vector<std::optional<std::string>> told_;   // per service
  std::unique_ptr<Timer> next_;
};

}  // namespace clusterd
