// What two nodes have, in few words.
#pragma once

#include "alike/list.hpp"

namespace clusterd::alike {

inline always::Entry file(const std::string& content, uint32_t mode = 0755) {
  always::Entry entry;
  entry.kind = always::Kind::kFile;
  entry.mode = mode;
  entry.content = always::digest_of(content);
  entry.size = content.size();
  entry.mtime_ns = int64_t{1'700'000'000} * 1'000'000'000;  // 2023-11-14
  return entry;
}
inline always::Entry of_kind(always::Kind kind, const std::string& content = "") {
  always::Entry entry;
  entry.kind = kind;
  entry.content = content;
  return entry;
}
inline Service service(Items items) { return {always::digest_of("wanted"), std::move(items)}; }

}  // namespace clusterd::alike
