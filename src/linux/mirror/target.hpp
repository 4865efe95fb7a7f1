// What `clusterd-mirror` does on the target of a run, called by the source over ssh.
//
// Every call first becomes leader of its own process group, and then asks the local daemon whether the peer
// may write here for this service at this epoch (S8). The daemon registers the caller, and kills its whole
// group when this node is about to become active. A refused call writes nothing.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "core/config.hpp"
#include "linux/mirror/mirror_process.hpp"
#include "mirror/command.hpp"

namespace clusterd {

// Exit codes with a meaning for the source; stderr then has a line "clusterd-mirror[CODE]: reason".
inline constexpr int kExitBusy = 75;     // another run is writing
inline constexpr int kExitRefused = 77;  // the daemon says no, or the command line is not ours
inline constexpr int kExitResync = 78;   // this node was the source last: only a resync may write
inline constexpr int kExitHalt = 79;     // the target's folders are not as they were (S10)
inline constexpr int kExitFailed = 70;   // anything else

// `rsync_options`: what stands behind "--", beginning with "--server".
int receive(const Config& config, const MirrorPaths& paths, const mirror::ReceiveOptions& options,
            const std::vector<std::string>& rsync_options);

// Before a resync: opens the backup set and notes what has changed here since the last run. `from`: the
// source.
int losses(const Config& config, const MirrorPaths& paths, const mirror::ReceiveOptions& options,
           const std::string& from);

// After a resync: closes the set; prints the report as one line of JSON.
int finish(const Config& config, const MirrorPaths& paths, const mirror::ReceiveOptions& options);

// After a failed run: prints what the receiving rsync complained of. Writes nothing and asks nobody.
int explain(const Config& config, const MirrorPaths& paths, const mirror::ReceiveOptions& options);

// POST /v1/command to the daemon's control socket. The text of the refusal as kRefused; kRetry if the daemon
// cannot be asked.
[[nodiscard]] Result<void> ask_daemon(const std::string& socket_path, const std::string& body);

// Confines this thread, and the threads and processes that it starts: no writing outside of `folders`
// (Landlock). Best effort: without Landlock in the kernel nothing happens and false is returned.
bool confine_writes(const std::vector<std::string>& folders);

}  // namespace clusterd
