// `clusterd-mirror accept`: one connection of a live mirror's source, from the handshake to its end.
//
// Started by `clusterd-mirror serve` with the connection as descriptor 3. Until the other end has proved that
// it has the cluster's secret and has said what it wants, nothing but the handshake is done, for
// kUnknownLimit at most; then `serve` is told so by descriptor 4 (holder.hpp). Whoever may not write here is
// told why, and nothing is touched.
#pragma once

#include <chrono>
#include <functional>

#include "core/config.hpp"
#include "linux/mirror/live/channel.hpp"
#include "linux/mirror/live/target.hpp"
#include "linux/mirror/mirror_process.hpp"

namespace clusterd {

inline constexpr int kConnectionDescriptor = 3;
inline constexpr int kServerDescriptor = 4;  // may be closed
inline constexpr std::chrono::seconds kUnknownLimit{5};

using ServeLive = std::function<int(Channel&, const LiveTargetSetup&)>;

// Returns the exit code.
int accept_live(const Config& config, const MirrorPaths& paths, const ServeLive& serve_live);

}  // namespace clusterd
