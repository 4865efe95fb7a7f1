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

}  // namespace clusterd::machine
