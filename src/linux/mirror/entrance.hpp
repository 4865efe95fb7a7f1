// How every writer of the peer's mirrors gets in on this node: `receive`, `losses` and `finish` of a
// scheduled mirror, and `accept` of a live one.
//
// It becomes leader of its own process group, asks the local daemon whether the peer may write here for this
// service at this epoch (S8), which registers it and kills its whole group when this node is about to become
// active, and then takes the mirror's lock. A refused one writes nothing.
#pragma once

#include <string>

#include "base/result.hpp"
#include "core/config.hpp"
#include "linux/mirror/files.hpp"
#include "linux/mirror/mirror_process.hpp"
#include "mirror/command.hpp"

namespace clusterd {

struct Place {
  const ServiceConfig* service = nullptr;
  const MirrorConfig* mirror = nullptr;
};
// kRefused: this node's configuration has no such mirror to the peer.
[[nodiscard]] Result<Place> find_place(const Config& config, const mirror::ReceiveOptions& options);

struct Entrance {
  Place place;
  Fd lock;
};
struct Refusal {
  int code = 0;  // of target.hpp
  std::string reason;
};
// `live`: an earlier `accept` that still holds the lock is ended. Its source has come back over another
// connection, or has a successor; either way nobody waits for it any more.
[[nodiscard]] tl::expected<Entrance, Refusal> enter(const Config& config, const MirrorPaths& paths,
                                                    const mirror::ReceiveOptions& options, bool live = false);

}  // namespace clusterd
