// What a mirror run that broke off has left in doubt.
//
// While a run is under way, the source keeps the list of what it is about to send beside the manifest
// (MANIFEST.sending). If the run breaks off (or its node), the target may have any part of it. Files that are
// not in the manifest, and those that are in it but not on the list, are then noted there as unproven
// (mirror/manifest.hpp): if such a file is deleted
// before the next good run, and the peer has it, the loss report can say that the deletion came to nothing.
// The roots count as having held what was listed: one that is emptied meanwhile halts the mirror (S10).
//
// Threading: blocking, no shared state. At most one process at a time writes a mirror's manifest.
#pragma once

#include <string>

#include "base/result.hpp"
#include "core/config.hpp"

namespace clusterd {

[[nodiscard]] std::string sending_path(const std::string& manifest_path);

// Takes the list of a run that broke off into the manifest, and removes it. Does nothing if there is no list,
// or no manifest (then nothing was ever agreed on).
[[nodiscard]] Result<void> take_in_broken_run(const std::string& manifest_path, const MirrorConfig& mirror);

}  // namespace clusterd
