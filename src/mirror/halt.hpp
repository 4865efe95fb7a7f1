// Disaster is not mirrored (S10): when a mirror stops and asks.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "mirror/manifest.hpp"

namespace clusterd::mirror {

// A root as it is found.
struct RootNow {
  std::string path;              // raw, no "/" at the end
  bool wants_directory = false;  // the configuration ends it with "/"
  bool exists = false;
  std::string problem;  // why it cannot be looked at, if so ("/srv is a symbolic link")
  RootRecord record;    // valid if it exists
};

struct RootsNow {
  std::vector<RootNow> roots;
  std::vector<std::string> mounts;  // mount points below the roots
  std::string boot;
};

// The reason to halt, in words with the remedy, or nullopt. `last` is the header of the last good manifest,
// if there is one. The administrator's confirmation overrules every reason but `problem`.
[[nodiscard]] std::optional<std::string> halt_reason(const RootsNow& now, const ManifestHeader* last);

}  // namespace clusterd::mirror
