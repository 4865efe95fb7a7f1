// Names below the roots of a mirror.
//
// A path is resolved from the descriptor of the root that it lies in (its anchor), beneath it and without
// following any symbolic link, however long it is. Mount points below a root are anchors of their own, as
// they were when the mirror began: what is mounted (or swapped for a link) later is refused, not entered.
//
// Threading: `Anchors` is immutable once made.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "linux/fd.hpp"
#include "linux/mirror/live/failure.hpp"

namespace clusterd::live {

// A name: the directory that holds it, and its last part.
struct Place {
  Fd folder;
  std::string name;
};

class Anchors {
 public:
  // The roots that exist. `mounts`: mount points below them.
  static Result<Anchors> open(const std::vector<std::string>& roots, const std::vector<std::string>& mounts);
  // The directory that holds `path`. Fails with EXDEV for a path outside of all roots.
  [[nodiscard]] Outcome<Place> place(const std::string& path) const;
  // The path itself, with these flags (O_NOFOLLOW is added).
  [[nodiscard]] Outcome<Fd> open_at(const std::string& path, int flags) const;
  [[nodiscard]] static Outcome<Fd> open_in(const Place& place, int flags);
  // From the anchor that it lies below; nullopt: there is none, or that way is too long to be gone at once.
  struct Way {
    int folder = -1;
    std::string rest;  // "" for the anchor itself
  };
  [[nodiscard]] std::optional<Way> way(const std::string& path) const;
  [[nodiscard]] bool covers(std::string_view path) const;  // a root, or below one
  [[nodiscard]] bool is_root(std::string_view path) const;
  // Each root still is what it was opened as. The path that is not, or "".
  [[nodiscard]] std::string replaced() const;
  // A descriptor on the file system that holds `path`, for syncfs and O_TMPFILE.
  [[nodiscard]] int file_system(std::string_view path) const;
  [[nodiscard]] std::vector<std::string> roots() const;
  [[nodiscard]] std::vector<std::string> anchors() const;  // roots, and mount points below them

 private:
  struct Anchor {
    std::string path;
    bool root = true;
    bool directory = true;
    Fd folder;  // the directory itself, or the one that holds a single file
    uint64_t device = 0, inode = 0;
  };
  [[nodiscard]] const Anchor* find(std::string_view path) const;
  static std::string_view rest_of(const std::string& path, const Anchor& anchor);
  std::vector<Anchor> anchors_;  // longest paths first
};

}  // namespace clusterd::live
