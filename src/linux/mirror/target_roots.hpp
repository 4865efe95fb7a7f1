// The mirror's folders on the target: whether they are as they were, and making what is missing.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "linux/mirror/files.hpp"

namespace clusterd {

// The folders that a run has to write to: directories that are mirrored, and the parents of single files.
// Missing ones are created; a symbolic link on the way to a root is refused.
[[nodiscard]] Result<std::vector<std::string>> prepare_roots(const MirrorConfig& config,
                                                             const mirror::RootsNow& now);

// The same rules as on the source (S10), as far as they make sense here: an empty or missing target is
// filled.
[[nodiscard]] std::optional<std::string> target_halt(mirror::RootsNow now,
                                                     const mirror::ManifestHeader* last);

// The backup set can be written: before anything is overwritten.
[[nodiscard]] Result<void> probe_writable(const std::string& folder);

}  // namespace clusterd
