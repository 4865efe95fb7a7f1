// What rsync says that it does: lines of --out-format=kOutFormat, and its error messages.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace clusterd::mirror {

inline constexpr std::string_view kOutFormat = "@ %i %b %l %n";

struct Item {
  enum class Kind {
    kSent,        // contents were copied
    kCreated,     // made at the target without contents: directory, symlink, device, hard link
    kAttributes,  // only attributes were changed
    kRemoved,
  } kind = Kind::kSent;
  char type = 'f';    // f d L D S, as rsync writes it; '?' for a removal of anything but a directory
  uint64_t sent = 0;  // bytes
  uint64_t size = 0;
  std::string path;  // raw bytes, absolute, no "/" at the end
};

// nullopt: not a line of that format (rsync's other output).
[[nodiscard]] std::optional<Item> parse_item(std::string_view line);

// Sums over a run.
struct Tally {
  uint64_t files = 0;  // copied or changed at the target, directories not counted
  uint64_t bytes = 0;
  uint64_t removed = 0;
  void add(const Item& item);
};

// Why a run failed, in words: from rsync's exit code and the lines of its stderr. `target` is the node (or
// host) that was written to, `waiting` how many files had changed and now wait.
[[nodiscard]] std::string explain_failure(int exit_code, const std::vector<std::string>& lines,
                                          std::string_view target, uint64_t waiting);

}  // namespace clusterd::mirror
