// `clusterd-mirror serve`: child of clusterd; listens for the peer's live mirrors on this node's address of
// every link.
//
// It reads nothing from a connection. Who does not come from the peer's own address of that link is closed at
// once; for anybody else `clusterd-mirror accept` is started, which has to find out within kUnknownLimit that
// it is the peer. At most kMostUnknown of them are at work at the same time, and kMostConnections altogether.
// What is refused is counted, and told in the log now and then.
//
// It dies with clusterd, and its children with it.
#pragma once

#include <cstddef>

#include "core/config.hpp"
#include "linux/mirror/mirror_process.hpp"

namespace clusterd {

inline constexpr size_t kMostUnknown = 8;
inline constexpr size_t kMostConnections = 64;

// Returns only if nothing can be listened on.
int serve(const Config& config, const MirrorPaths& paths);

}  // namespace clusterd
