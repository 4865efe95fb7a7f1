// Errors of system calls on what is mirrored.
#pragma once

#include <string>

#include "base/result.hpp"

namespace clusterd::live {

// An error that keeps its number: the target tells the source what kind of failure it was.
struct Failure {
  int error = 0;
  std::string text;
};
template <class T>
using Outcome = tl::expected<T, Failure>;
[[nodiscard]] tl::unexpected<Failure> failure(const std::string& what,
                                              const std::string& path);  // uses errno
[[nodiscard]] bool is_absent(int error);  // nothing there: also if its directory is not there, or is none

}  // namespace clusterd::live
