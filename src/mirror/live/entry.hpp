// What the live mirror knows of one name in a tree.
//
// `Status` is what one statx tells; `Traits` have to be read apart, and are read only where an entry has
// changed. Together with a file's contents they are everything that is mirrored.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "mirror/manifest.hpp"

namespace clusterd::mirror::live {

inline constexpr size_t kMaxPath = 16 * 1024;

inline constexpr uint8_t kImmutable = 1;   // chattr +i
inline constexpr uint8_t kAppendOnly = 2;  // chattr +a

struct Status {
  char type = 'f';  // as in mirror::Entry
  uint32_t mode = 0;
  uint32_t uid = 0, gid = 0;
  uint64_t size = 0;  // of files and symbolic links
  int64_t mtime_ns = 0;
  int64_t ctime_ns = 0;
  uint64_t inode = 0;
  uint64_t device = 0;  // that the entry is on: a node's own, never sent
  uint64_t rdev = 0;    // of device nodes
  uint32_t links = 1;
  uint8_t flags = 0;
  // The change time was so young when this was looked at that a later change may have the same.
  bool fresh = false;

  bool operator==(const Status&) const = default;
};

struct Traits {
  std::string link_target;
  std::vector<std::pair<std::string, std::string>> xattrs;  // by name; ACLs and capabilities are among them

  bool operator==(const Traits&) const = default;
};

using Hash = std::array<uint8_t, 16>;  // XXH3-128
inline constexpr Hash kUnequal{};      // as a digest: equal to nothing

[[nodiscard]] Entry to_entry(const Status& status, std::string path);
// `agreed` says what is here: nothing has touched the entry since.
[[nodiscard]] bool is_unchanged(const Entry& agreed, const Status& now);
// A file that looked like this twice was not touched in between (but see `fresh`).
[[nodiscard]] bool same_version(const Status& a, const Status& b);
// All that a mirror carries over, but for contents and traits. A symbolic link has no mode of its own.
[[nodiscard]] bool same_attributes(const Status& a, const Status& b);
// The path, or something below it.
[[nodiscard]] bool is_within(std::string_view path, std::string_view folder);

}  // namespace clusterd::mirror::live
