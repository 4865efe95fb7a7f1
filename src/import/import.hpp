// Other systems' configurations, read and translated into ours: one file NAME.cpp per format.
//
// Pure: the caller reads the files. Every byte is taken as hostile: sizes, counts and depths are bounded,
// nothing throws, nothing of the source is executed, and no text reaches our files but as a quoted string or
// a comment. An importer never guesses silently: what it could not express stands in `left`, with what to do
// instead, and so does what it assumed. What a person has to add (a node's own address) stays empty in the
// sketch; see setup::missing.
#pragma once

#include <string>
#include <vector>

#include "setup/sketch.hpp"

namespace clusterd::imports {

struct SourceFile {
  std::string name;  // as the person gave it, or below the folder that they gave: "serv1/Flpd"
  std::string text;
};
using SourceFiles = std::vector<SourceFile>;

// Limits of what is read; what lies beyond is named in `left`.
inline constexpr size_t kMaxSourceFiles = 200;
inline constexpr size_t kMaxSourceBytes = 256 * 1024;  // per file
inline constexpr size_t kMaxLeft = 300;

struct Left {
  std::string file;
  int line = 0;  // 0 = the whole file
  std::string what;
  std::string instead;
};

struct Imported {
  setup::Sketch sketch;
  std::vector<Left> left;
};

[[nodiscard]] Imported from_clusterd_093(const SourceFiles& files);
[[nodiscard]] Imported from_keepalived(const SourceFiles& files);
[[nodiscard]] Imported from_heartbeat(const SourceFiles& files);
[[nodiscard]] Imported from_pcs(const SourceFiles& files);
[[nodiscard]] Imported from_crm(const SourceFiles& files);

struct Format {
  const char* name;
  const char* reads;  // which files, for --help
  Imported (*import)(const SourceFiles&);
};
[[nodiscard]] const std::vector<Format>& formats();

// "keepalived.conf:12: what\n    instead: …" for each.
[[nodiscard]] std::string told(const std::vector<Left>& left);

}  // namespace clusterd::imports
