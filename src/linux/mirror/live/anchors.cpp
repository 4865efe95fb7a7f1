#include "linux/mirror/live/anchors.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "linux/mirror/files.hpp"
#include "mirror/live/entry.hpp"

namespace clusterd::live {
namespace {

constexpr unsigned long long kBeneath =
    RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
constexpr size_t kLongestStep = 3500;  // below PATH_MAX: longer paths are walked in steps

int openat2_beneath(int folder, const std::string& path, int flags, unsigned long long resolve = kBeneath) {
  open_how how{};
  how.flags = static_cast<unsigned long long>(flags | O_CLOEXEC);
  how.resolve = resolve;
  while (true) {
    const auto fd = static_cast<int>(::syscall(SYS_openat2, folder, path.c_str(), &how, sizeof how));
    if (fd >= 0 || (errno != EINTR && errno != EAGAIN)) return fd;
  }
}

// Opens `path` (relative, not empty) step by step.
Fd open_steps(int folder, std::string_view path, int flags) {
  Fd step;
  while (path.size() > kLongestStep) {
    const size_t slash = path.rfind('/', kLongestStep);
    if (slash == std::string_view::npos) {
      errno = ENAMETOOLONG;
      return {};
    }
    const int from = step.valid() ? step.get() : folder;
    step = Fd(openat2_beneath(from, std::string(path.substr(0, slash)), O_PATH | O_DIRECTORY));
    if (!step.valid()) return {};
    path.remove_prefix(slash + 1);
  }
  return Fd(openat2_beneath(step.valid() ? step.get() : folder, std::string(path), flags));
}

}  // namespace

Result<Anchors> Anchors::open(const std::vector<std::string>& roots, const std::vector<std::string>& mounts) {
  Anchors out;
  const auto add = [&](const std::string& path, bool root) -> Result<void> {
    Anchor anchor;
    anchor.path = path;
    anchor.root = root;
    Fd self(
        openat2_beneath(AT_FDCWD, path, O_PATH | O_NOFOLLOW, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS));
    struct stat st {};
    if (!self.valid()) {
      if (!is_absent(errno)) return fail(Code::kRefused, errno_text("cannot open", path));
    } else if (::fstat(self.get(), &st) != 0) {
      return fail(Code::kRefused, errno_text("cannot look at", path));
    }
    anchor.directory = self.valid() && S_ISDIR(st.st_mode);
    if (!root && !anchor.directory) return {};  // something mounted over a single file
    const std::string folder = anchor.directory ? path : path.substr(0, std::max<size_t>(path.rfind('/'), 1));
    anchor.folder = Fd(openat2_beneath(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY,
                                       RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS));
    if (!anchor.folder.valid()) {
      if (root && is_absent(errno)) return {};
      return fail(Code::kRefused, errno_text("cannot open", folder));
    }
    anchor.device = anchor.directory ? st.st_dev : 0;
    anchor.inode = anchor.directory ? st.st_ino : 0;
    out.anchors_.push_back(std::move(anchor));
    return {};
  };
  for (const auto& path : roots) {
    if (auto ok = add(path, true); !ok) return tl::unexpected(ok.error());
  }
  for (const auto& path : mounts) {
    if (auto ok = add(path, false); !ok) return tl::unexpected(ok.error());
  }
  std::stable_sort(out.anchors_.begin(), out.anchors_.end(),
                   [](const auto& a, const auto& b) { return a.path.size() > b.path.size(); });
  return out;
}

const Anchors::Anchor* Anchors::find(std::string_view path) const {
  for (const Anchor& anchor : anchors_) {
    if (anchor.directory ? mirror::live::is_within(path, anchor.path) : path == anchor.path) return &anchor;
  }
  return nullptr;
}

Outcome<Fd> Anchors::open_in(const Place& place, int flags) {
  Fd fd(openat2_beneath(place.folder.get(), place.name.empty() ? "." : place.name, flags | O_NOFOLLOW));
  if (!fd.valid()) return failure("cannot open", place.name);
  return fd;
}

bool Anchors::covers(std::string_view path) const { return find(path) != nullptr; }

bool Anchors::is_root(std::string_view path) const {
  return std::any_of(anchors_.begin(), anchors_.end(), [&](const auto& a) { return a.path == path; });
}

std::vector<std::string> Anchors::roots() const {
  std::vector<std::string> out;
  for (const Anchor& anchor : anchors_) {
    if (anchor.root) out.push_back(anchor.path);
  }
  return out;
}

std::vector<std::string> Anchors::anchors() const {
  std::vector<std::string> out;
  for (const Anchor& anchor : anchors_) out.push_back(anchor.path);
  return out;
}

std::string Anchors::replaced() const {
  for (const Anchor& anchor : anchors_) {
    if (!anchor.directory) continue;
    struct stat st {};
    Fd now(openat2_beneath(AT_FDCWD, anchor.path, O_PATH | O_NOFOLLOW,
                           RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS));
    if (!now.valid() || ::fstat(now.get(), &st) != 0 || st.st_dev != anchor.device ||
        st.st_ino != anchor.inode)
      return anchor.path;
  }
  return "";
}

int Anchors::file_system(std::string_view path) const {
  const Anchor* anchor = find(path);
  return anchor ? anchor->folder.get() : -1;
}

Outcome<Place> Anchors::place(const std::string& path) const {
  const Anchor* anchor = find(path);
  if (!anchor) {
    errno = EXDEV;
    return failure("outside of the mirror:", path);
  }
  const size_t slash = path.rfind('/');
  Place place;
  if (path.size() == anchor->path.size()) {
    if (!anchor->directory) {
      place.folder = Fd(::fcntl(anchor->folder.get(), F_DUPFD_CLOEXEC, 0));
      place.name = path.substr(slash + 1);
    } else {  // the root itself
      place.folder = Fd(::fcntl(anchor->folder.get(), F_DUPFD_CLOEXEC, 0));
    }
  } else if (slash == anchor->path.size()) {
    place.folder = Fd(::fcntl(anchor->folder.get(), F_DUPFD_CLOEXEC, 0));
    place.name = path.substr(slash + 1);
  } else {
    const size_t begin = anchor->path.size() + 1;
    place.folder = open_steps(anchor->folder.get(), std::string_view(path).substr(begin, slash - begin),
                              O_RDONLY | O_DIRECTORY);
    place.name = path.substr(slash + 1);
  }
  if (!place.folder.valid()) return failure("cannot open the directory of", path);
  return place;
}

std::string_view Anchors::rest_of(const std::string& path, const Anchor& anchor) {
  std::string_view rest =
      std::string_view(path).substr(anchor.directory ? anchor.path.size() : path.rfind('/'));
  if (!rest.empty()) rest.remove_prefix(1);
  return rest;
}

std::optional<Anchors::Way> Anchors::way(const std::string& path) const {
  const Anchor* anchor = find(path);
  const std::string_view rest = anchor ? rest_of(path, *anchor) : "";
  if (!anchor || rest.size() > kLongestStep) return std::nullopt;
  return Way{anchor->folder.get(), std::string(rest)};
}

Outcome<Fd> Anchors::open_at(const std::string& path, int flags) const {
  const Anchor* anchor = find(path);
  if (!anchor) {
    errno = EXDEV;
    return failure("outside of the mirror:", path);
  }
  const std::string_view rest = rest_of(path, *anchor);
  Fd fd = open_steps(anchor->folder.get(), rest.empty() ? "." : rest, flags | O_NOFOLLOW);
  if (!fd.valid()) return failure("cannot open", path);
  return fd;
}

}  // namespace clusterd::live
