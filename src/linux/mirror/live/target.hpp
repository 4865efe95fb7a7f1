// The target of one live mirror: does what the source says, below the mirror's roots and nowhere else
// (docs/decisions/0008).
//
// Called by `clusterd-mirror accept` when the local daemon has permitted the peer to write here for this
// service at this epoch, with the mirror's lock held, as leader of a process group of its own.
//
// Before the first operation the calling thread, and all that it starts, are confined to the mirror's roots,
// its state and its backup sets (Landlock, where the kernel has it), for good.
#pragma once

#include <string>

#include "core/config.hpp"
#include "linux/mirror/live/channel.hpp"
#include "linux/mirror/live/holder.hpp"
#include "linux/mirror/mirror_process.hpp"

namespace clusterd {

struct LiveTargetSetup {
  const ServiceConfig& service;
  const MirrorConfig& mirror;
  MirrorPaths paths;
  Epoch epoch;
  std::string from;                // the source's name
  live::Holder* holder = nullptr;  // of what a broken connection leaves unfinished; nullptr: nobody
};

// Until the channel ends. The exit code of the process.
int serve_live(Channel& channel, const LiveTargetSetup& setup);

}  // namespace clusterd
