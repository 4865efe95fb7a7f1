// Files whose contents say what they are: every byte follows from two numbers in the first line, so that a
// file found after a power cut is either exactly one that was once written, or torn.
//
//   "source F V\n"  version V of file F, as the source of the mirror has it
//   "local L\n"     the L-th file that the service wrote on the target while that was the active node
//
// The source's tree after run N of the mirror follows from N alone; mirror_files.py computes the same.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace clusterd::machine {

inline constexpr uint64_t kFiles = 48;      // files that come, change and go
inline constexpr uint64_t kPassing = 1000;  // number of the files that live for three runs only
inline constexpr uint64_t kEveryLink = 13;  // one in so many is a symbolic link

struct SourceFile {
  uint64_t file = 0, version = 0;
  bool operator==(const SourceFile&) const = default;
};
// Path, relative to the root of the mirror, and what is there.
using SourceTree = std::map<std::string, SourceFile>;

[[nodiscard]] uint64_t mix(uint64_t x);  // splitmix64
[[nodiscard]] SourceTree source_tree(uint64_t run);
[[nodiscard]] bool is_link(uint64_t file);
[[nodiscard]] int64_t source_mtime_ns(const SourceFile& file);
[[nodiscard]] std::string path_of(uint64_t file);

[[nodiscard]] std::string source_content(const SourceFile& file);
[[nodiscard]] std::string local_content(uint64_t number);
// "source F V", "local L" or "torn WHY"
[[nodiscard]] std::string identify(const std::string& content);

}  // namespace clusterd::machine
