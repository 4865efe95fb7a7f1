// What stands at a path of the always mirror, on one node. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "core/config.hpp"

namespace clusterd::always {

inline constexpr uint64_t kMaxFileBytes = uint64_t{4} << 20U;  // of one file
inline constexpr uint64_t kMaxAllBytes = uint64_t{64} << 20U;  // of all files together
inline constexpr size_t kMaxEntries = 10'000;
inline constexpr size_t kMaxPathBytes = 4000;

enum class Kind : uint8_t {
  kAbsent,
  kFile,
  kFolder,
  kLink,     // a symbolic link: never followed
  kOpaque,   // something that cannot be carried; `content` says why
  kSpecial,  // a socket, a device: of no concern, unless it stands where something else is expected
};
[[nodiscard]] const char* name(Kind kind);

struct Entry {
  Kind kind = Kind::kAbsent;
  uint32_t mode = 0;  // permissions; of a link: 0
  uint32_t uid = 0, gid = 0;
  std::string user, group;  // their names on that node; empty: it knows none
  std::string content;      // of a file: the digest; of a link: where it leads; of an opaque one: why
  // For people, and for a copy's time; no part of what is compared.
  uint64_t size = 0;
  int64_t mtime_ns = 0;
  bool operator==(const Entry&) const = default;

  [[nodiscard]] bool there() const { return kind != Kind::kAbsent; }
};

[[nodiscard]] Entry opaque(std::string why);

// Whether two nodes have the same there. An owner is the same if both know him by one name, or, where one of
// them has no name for him, by one number.
[[nodiscard]] bool same(const Entry& a, const Entry& b);

// Lower-case hex.
[[nodiscard]] std::string digest_of(std::string_view content);
[[nodiscard]] bool is_digest(std::string_view text);

// The path of an entry: absolute, of parts that lead nowhere else, without "/" at its end, kMaxPathBytes at
// most.
[[nodiscard]] bool is_plain(const std::string& path);
// "/etc/site/" → "/etc/site"
[[nodiscard]] std::string bare(const std::string& listed);
[[nodiscard]] bool is_under(std::string_view path, std::string_view folder);  // or the folder itself
// Whether the configuration lists this path, and does not exclude it.
[[nodiscard]] bool covers(const AlwaysConfig& config, const std::string& path, bool is_folder);

}  // namespace clusterd::always
