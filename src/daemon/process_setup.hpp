// What a daemon asks of its own process: one instance, real-time priority, locked memory, systemd's messages.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/ids.hpp"
#include "base/result.hpp"
#include "base/time.hpp"

namespace clusterd {

// Creates a folder and its parents if they are missing; the last one gets `mode`.
[[nodiscard]] Result<void> make_folder(const std::string& path, unsigned mode);

// Held for the life of the process. The error says who holds it.
[[nodiscard]] Result<int> lock_instance(const std::string& run_dir);

struct Privileges {
  bool realtime = false;
  bool memory_locked = false;
  std::vector<std::string> warnings;  // one sentence per thing that was not allowed
};

// SCHED_RR priority 10 for the calling thread (threads and children made later are ordinary again), and all
// memory locked. To be called before any other thread exists: its stack would be made resident as a whole.
[[nodiscard]] Privileges take_privileges(bool realtime);

[[nodiscard]] BootId random_boot_id();

// One datagram to the service manager ("READY=1"), if there is one. Never waits: a service manager that hangs
// must not stop the daemon, so this does not go through libsystemd, whose sockets block.
void notify_manager(const std::string& text);

// How often the manager wants WATCHDOG=1: half of its limit; nullopt if it does not watch this process.
[[nodiscard]] std::optional<Duration> watchdog_interval();

}  // namespace clusterd
