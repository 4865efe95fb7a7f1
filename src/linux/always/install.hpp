// Puts the other node's state of one path in place here. Blocks.
#pragma once

#include <string>

#include "linux/always/store.hpp"

namespace clusterd::always {

// What a path is to become, and what it is thought to be.
struct Change {
  std::string path;
  Entry to, from;
  std::string content;  // of a file
};

// The new state is on disk on return, and what was there before is kept; the text names where, or is empty if
// there was nothing. kRetry: it is no longer as `from` says, and stays as it is. kRefused: it could not be
// done.
[[nodiscard]] Result<std::string> install(const Change& change, const Store& store);

}  // namespace clusterd::always
