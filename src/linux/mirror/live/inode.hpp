// Names and inodes below the roots of a mirror: looking at them, and giving them their attributes.
//
// A path is resolved from the descriptor of the root that it lies in (its anchor), beneath it and without
// following any symbolic link, however long it is. Mount points below a root are anchors of their own, as
// they were when the mirror began: what is mounted (or swapped for a link) later is refused, not entered.
//
// Threading: `Anchors` is immutable once made; the functions have no state.
#pragma once

#include <sys/stat.h>

#include <string>
#include <vector>

#include "base/result.hpp"
#include "linux/mirror/files.hpp"
#include "mirror/live/entry.hpp"

namespace clusterd::live {

using mirror::live::Status;
using mirror::live::Traits;

// No kernel's clock for change times ticks more slowly.
inline constexpr int64_t kClockGrainNs = 20'000'000;

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
  std::vector<Anchor> anchors_;  // longest paths first
};

[[nodiscard]] Outcome<Status> look(int folder, const std::string& name);  // "" with a descriptor: itself
[[nodiscard]] Outcome<Status> look(const Anchors& anchors, const std::string& path);
[[nodiscard]] Status to_status(const struct statx& st);
[[nodiscard]] Outcome<Traits> read_traits(int folder, const std::string& name, const Status& status);

// Owner, mode, xattrs (exactly these), times, flags: in the order in which none undoes another. The file
// must be writable: see `unlock`.
[[nodiscard]] Outcome<void> give_attributes(int folder, const std::string& name, const Status& status,
                                            const Traits& traits);
// For a file that has no name yet.
[[nodiscard]] Outcome<void> give_attributes(int file, const Status& status, const Traits& traits);
[[nodiscard]] Outcome<void> set_flags(int folder, const std::string& name, uint8_t flags);
// Takes the flags off that forbid changes. False if there were none.
bool unlock(int folder, const std::string& name);
void set_mtime(int fd, int64_t mtime_ns);

}  // namespace clusterd::live
