// Changes of the agreement since its manifest was written: a log of lines, and what it makes of the manifest.
//
//   + ENTRY        both nodes have this entry (as write_entry writes it)
//   - PATH         both nodes have nothing at this path, or below it
//   > FROM TAB TO  what was agreed of FROM, and of all below it, holds for TO now; of FROM nothing
//   ! PATH         its removal is on its way: of what was agreed of it, and of all below it, the peer may
//   have
//                  nothing any more (mirror/manifest.hpp, unproven)
//
// Whatever cannot be read ends the log: it was cut there by a crash.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mirror/live/dirty.hpp"
#include "mirror/manifest.hpp"

namespace clusterd::mirror::live {

[[nodiscard]] std::string write_agreed(const Entry& entry);
[[nodiscard]] std::string write_leaving(std::string_view path);
[[nodiscard]] std::string write_gone(std::string_view path);
[[nodiscard]] std::string write_moved(std::string_view from, std::string_view to);

// What of a log concerns `scopes`: numbers of lines, in order, and the paths at and below which the manifest
// holds what had been there when the log began (in tree order, none within another). More may be named than
// is needed. All lines have to be good ones: this looks at their paths only.
struct Concerned {
  std::vector<size_t> lines;
  std::vector<std::string> paths;
};
[[nodiscard]] Concerned concerned(const std::vector<std::string>& lines,
                                  const std::vector<std::string>& scopes);

class Overlay {
 public:
  // One line without its newline; false: it is none.
  [[nodiscard]] bool take(std::string_view line);
  // The manifest with the log applied, in tree order. `parts`: of the manifest, what lies at and below these
  // paths (in tree order, none within another); asked at once, and once at most. Memory: the log's, and all
  // entries of what it has moved.
  using Parts = std::function<EntryStream(std::vector<std::string> paths)>;
  [[nodiscard]] EntryStream over(EntryStream manifest, const Parts& parts) &&;
  [[nodiscard]] bool empty() const { return lines_ == 0; }
  [[nodiscard]] bool moves() const { return moves_; }
  [[nodiscard]] size_t lines() const { return lines_; }

 private:
  struct Item {
    std::optional<Entry> entry;
    bool cleared = false;  // nothing of the manifest's holds at this path and below it
    bool doubted = false;  // … or what does is not proven
  };
  struct Move {
    std::string from, to;
  };
  using Items = std::map<std::string, Item, PathOrder>;
  static void clear_below(Items& items, std::string_view path);
  static void doubt_below(Items& items, std::string_view path);
  static EntryStream merge(EntryStream manifest, Items items);
  [[nodiscard]] EntryStream over_moves(EntryStream manifest, const Parts& parts) const;

  Items items_;
  // With moves the order matters: the lines are kept, and those that concern what was moved are played over
  // it.
  std::vector<std::string> kept_;
  bool moves_ = false;
  size_t lines_ = 0;
};

}  // namespace clusterd::mirror::live
