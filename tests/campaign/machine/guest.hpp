// The program inside the virtual machine of tests/campaign/power-cut: it runs production code, and tells the
// outside what that code has reported as durable.
//
// It is started by the machine's /start with the disk mounted, and speaks in lines on descriptor 3. A line
// that has reached the outside is a promise: whatever the power cut takes away, the next start has to find it
// kept. Parameters are in the environment. Plain blocking code, but for what the production code brings
// along.
#pragma once

#include <cstdint>
#include <string>

namespace clusterd::machine {

void tell(const std::string& line);                 // to the outside
[[noreturn]] void give_up(const std::string& why);  // "error …": the machine, or the test, is at fault
[[nodiscard]] std::string parameter(const char* name);
[[nodiscard]] uint64_t number(const char* name);

// Writes ever-increasing epochs to the state store, as fast as it takes them (power-cut --what state).
//   loaded V REBOOTED    what the disk held: the state of version V (0: there was no file)
//   damaged TEXT         the store did not believe the file
//   wrong TEXT           the file was believed, and is not what was ever written
//   durable V            the store has reported version V as durable
[[noreturn]] void run_state();

// Mirror runs from a source in memory to the files on the disk, without end (power-cut --what mirror). Every
// third run is a failover: the service writes on the target, and a resync takes that back. After the start
// and after each resync it is told what is there:
//   scan … scanned           everything between them:
//   file MTIME PATH WHAT     a file of the target; WHAT as in content.hpp
//   set NAME complete|open LOST; kept NAME MTIME PATH WHAT; lost NAME CHANGE PATH     backup sets
//   agreed MTIME PATH SIZE; no-manifest; bad-manifest WHY     the target's manifest
// and on the way:
//   epoch E, local L PATH, local-delete PATH, local-end L     the service has written on the target, durably
//   begin N run|resync; done N LOST SET; failed N WHY         a run
//   purge NAME               the administrator lets go of a set
[[noreturn]] void run_mirror_target();
// Arms the watchdog and pets it until SIGTERM, then closes it in order (watchdog-reset --program pet).
[[noreturn]] void run_watchdog(const std::string& device, uint64_t seconds);
// The `ssh` between source and target.
[[noreturn]] void run_ssh(int argc, char** argv);

}  // namespace clusterd::machine
