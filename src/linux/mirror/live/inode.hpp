// Inodes below the roots of a mirror: looking at them, and giving them their attributes.
//
// Threading: the functions have no state.
#pragma once

#include <sys/stat.h>

#include <string>

#include "linux/mirror/live/anchors.hpp"
#include "mirror/live/entry.hpp"

namespace clusterd::live {

using mirror::live::Status;
using mirror::live::Traits;

// No kernel's clock for change times ticks more slowly.
inline constexpr int64_t kClockGrainNs = 20'000'000;

[[nodiscard]] Outcome<Status> look(int folder, const std::string& name);  // "" with a descriptor: itself
[[nodiscard]] Outcome<Status> look(const Anchors& anchors, const std::string& path);
// The same in one step, but symbolic links on the way are followed: for guesses, which are checked before
// use, and for what is held against what was known before.
[[nodiscard]] Outcome<Status> glance(const Anchors& anchors, const std::string& path);
[[nodiscard]] Status to_status(const struct statx& st);
[[nodiscard]] Outcome<Traits> read_traits(int folder, const std::string& name, const Status& status);

// Owner, mode, xattrs (exactly these), times, flags: in the order in which none undoes another. The file
// must be writable: see `unlock`.
[[nodiscard]] Outcome<void> give_attributes(int folder, const std::string& name, const Status& status,
                                            const Traits& traits);
// For a file that has no name yet.
[[nodiscard]] Outcome<void> give_attributes(int file, const Status& status, const Traits& traits);
[[nodiscard]] Outcome<void> set_flags(int folder, const std::string& name, uint8_t flags);
// Takes the flags off that forbid changes. False if there were none.
bool unlock(int folder, const std::string& name);
void set_mtime(int fd, int64_t mtime_ns);

}  // namespace clusterd::live
