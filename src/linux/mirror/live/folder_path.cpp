#include "linux/mirror/live/folder_path.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "linux/mirror/live/walk.hpp"
#include "mirror/live/entry.hpp"

namespace clusterd::live {
namespace {

std::optional<std::string> list_names(int folder, const struct stat& wanted) {
  auto names = list_directory(folder, "", {});
  if (!names) return std::nullopt;
  for (const auto& each : *names) {
    if (each.status.inode == wanted.st_ino && each.status.type == 'd') return each.name;
  }
  return std::nullopt;
}

// The kernel tells no path of this length: name by name, upwards.
std::optional<std::string> long_path_of(const Anchors& anchors, int fd) {
  std::string tail;
  Fd here(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  for (int steps = 0; steps < 4096; ++steps) {
    Fd above(::openat(here.get(), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct stat st {};
    if (!above.valid() || ::fstat(here.get(), &st) != 0) return std::nullopt;
    auto names = list_names(above.get(), st);
    if (!names) return std::nullopt;
    tail = "/" + *names + tail;
    here = std::move(above);
    std::string text(4096, '\0');
    const ssize_t n =
        ::readlink(fmt::format("/proc/self/fd/{}", here.get()).c_str(), text.data(), text.size());
    if (n > 0) {
      text.resize(static_cast<size_t>(n));
      std::string path = text + tail;
      return anchors.covers(path) ? std::optional(std::move(path)) : std::nullopt;
    }
  }
  return std::nullopt;
}

bool holds_a_root(const Anchors& anchors, const std::string& folder) {
  for (const std::string& root : anchors.roots()) {
    if (mirror::live::is_within(root, folder)) return true;
  }
  return folder == "/";
}

}  // namespace

std::optional<std::string> folder_path(const Anchors& anchors, int fd) {
  std::string text(4096, '\0');
  const ssize_t n = ::readlink(fmt::format("/proc/self/fd/{}", fd).c_str(), text.data(), text.size());
  if (n < 0 && errno == ENAMETOOLONG) return long_path_of(anchors, fd);
  if (n <= 0 || text[0] != '/') return std::nullopt;
  text.resize(static_cast<size_t>(n));
  if (!anchors.covers(text) && !holds_a_root(anchors, text)) return std::nullopt;
  // A name may end with " (deleted)" by itself: what is really deleted has no links.
  struct stat st {};
  if (text.size() > 10 && text.compare(text.size() - 10, 10, " (deleted)") == 0 && ::fstat(fd, &st) == 0 &&
      st.st_nlink == 0)
    return std::nullopt;
  return text;
}

}  // namespace clusterd::live
