#include "linux/mirror/live/failure.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

#include "mirror/escape.hpp"

namespace clusterd::live {

tl::unexpected<Failure> failure(const std::string& what, const std::string& path) {
  const int error = errno;
  return tl::unexpected(
      Failure{error, fmt::format("{} {}: {}", what, mirror::escape(path), std::strerror(error))});
}

bool is_absent(int error) { return error == ENOENT || error == ENOTDIR || error == ELOOP; }

}  // namespace clusterd::live
