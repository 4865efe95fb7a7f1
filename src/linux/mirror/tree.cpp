// Trees and roots of files.hpp: getdents, lstat, mountinfo.
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "linux/mirror/entry_type.hpp"
#include "linux/mirror/files.hpp"
#include "linux/mirror/mounts.hpp"
#include "mirror/escape.hpp"
#include "mirror/exclude.hpp"

namespace clusterd {
namespace {

using mirror::Entry;
using mirror::escape;

int64_t nanoseconds(const timespec& t) { return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec; }

Entry to_entry(const struct stat& st, std::string path) {
  Entry e;
  e.type = type_of(st.st_mode);
  e.mode = st.st_mode & 07777;
  e.uid = st.st_uid;
  e.gid = st.st_gid;
  e.size = e.type == 'f' || e.type == 'l' ? static_cast<uint64_t>(st.st_size) : 0;
  e.mtime_ns = nanoseconds(st.st_mtim);
  e.ctime_ns = nanoseconds(st.st_ctim);
  e.inode = st.st_ino;
  e.path = std::move(path);
  return e;
}

bool vanished(int error) { return error == ENOENT || error == ENOTDIR || error == ELOOP; }

class Walker {
 public:
  Walker(std::vector<std::string> roots, std::vector<std::string> exclude) : exclude_(std::move(exclude)) {
    std::sort(roots.begin(), roots.end(),
              [](const auto& a, const auto& b) { return mirror::path_before(a, b); });
    for (std::string& root : roots) {
      const bool inside =
          !roots_.empty() &&
          (root == roots_.back() || root.compare(0, roots_.back().size() + 1, roots_.back() + "/") == 0);
      if (!inside) roots_.push_back(std::move(root));
    }
  }

  Result<std::optional<Entry>> next() {
    while (true) {
      if (stack_.empty()) {
        if (root_ == roots_.size()) return std::optional<Entry>{};
        const std::string& path = roots_[root_++];
        Fd fd(open_without_symlinks(path, O_PATH | O_NOFOLLOW));
        struct stat st {};
        if (!fd.valid() || ::fstat(fd.get(), &st) != 0) {
          if (vanished(errno)) continue;
          return fail(Code::kRefused, errno_text("cannot look at", path));
        }
        if (auto ok = enter(AT_FDCWD, path, path, st); !ok) return tl::unexpected(ok.error());
        return std::optional<Entry>(to_entry(st, path));
      }
      Level& level = stack_.back();
      if (level.at == level.names.size()) {
        stack_.pop_back();
        continue;
      }
      const std::string name = level.names[level.at++];
      const std::string path = level.path + "/" + name;
      struct stat st {};
      if (::fstatat(level.fd.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
        if (vanished(errno)) continue;
        return fail(Code::kRefused, errno_text("cannot look at", path));
      }
      if (mirror::excluded(exclude_, path, S_ISDIR(st.st_mode))) continue;
      if (auto ok = enter(level.fd.get(), name, path, st); !ok) return tl::unexpected(ok.error());
      return std::optional<Entry>(to_entry(st, path));
    }
  }

 private:
  struct Level {
    Fd fd;
    std::string path;
    std::vector<std::string> names;
    size_t at = 0;
  };

  // Opens a directory and reads its names; anything else is left alone.
  Result<void> enter(int parent, const std::string& name, const std::string& path, const struct stat& st) {
    if (!S_ISDIR(st.st_mode)) return {};
    Fd fd(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd.valid()) {
      if (vanished(errno)) return {};
      return fail(Code::kRefused, errno_text("cannot read the directory", path));
    }
    Level level;
    const int copy = ::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0);
    DIR* dir = copy < 0 ? nullptr : ::fdopendir(copy);
    if (!dir) {
      if (copy >= 0) ::close(copy);
      return fail(Code::kRefused, errno_text("cannot read the directory", path));
    }
    errno = 0;
    while (const dirent* d = ::readdir(dir)) {
      const std::string_view entry = d->d_name;
      if (entry != "." && entry != "..") level.names.emplace_back(entry);
    }
    const int error = errno;
    ::closedir(dir);
    if (error != 0 && !vanished(error)) {
      errno = error;
      return fail(Code::kRefused, errno_text("cannot read the directory", path));
    }
    std::sort(level.names.begin(), level.names.end(), mirror::path_before);
    level.fd = std::move(fd);
    level.path = path;
    stack_.push_back(std::move(level));
    return {};
  }

  std::vector<std::string> roots_, exclude_;
  std::vector<Level> stack_;
  size_t root_ = 0;
};

mirror::RootNow look_at_root(const std::string& configured, const std::vector<MountPoint>& mounts) {
  mirror::RootNow root;
  root.path = root_path(configured);
  root.wants_directory = configured.size() > 1 && configured.back() == '/';
  if (!mirror::is_clean_path(root.path)) {
    root.problem = fmt::format("\"{}\" is not an absolute path without \".\" and \"..\"", escape(configured));
    return root;
  }
  Fd fd(open_without_symlinks(root.path, O_PATH | O_NOFOLLOW));
  struct stat st {};
  if (!fd.valid() || ::fstat(fd.get(), &st) != 0) {
    if (errno == ELOOP) {
      root.problem = fmt::format(
          "a parent directory of {} is a symbolic link; name the real path in the "
          "configuration",
          escape(root.path));
    } else if (errno != ENOENT && errno != ENOTDIR) {
      root.problem = errno_text("cannot look at", root.path);
    }
    return root;
  }
  root.exists = true;
  root.record.path = root.path;
  root.record.type = type_of(st.st_mode);
  root.record.device = st.st_dev;
  size_t best = 0;
  for (const MountPoint& mount : mounts) {  // a later mount covers an earlier one at the same point
    if (is_inside(root.path, mount.point) && mount.point.size() >= best &&
        !is_bind_of_itself(mount, mounts)) {
      best = mount.point.size();
      root.record.mount_point = mount.point;
      root.record.filesystem = mount.filesystem;
    }
  }
  return root;
}

}  // namespace

mirror::EntryStream walk_trees(const std::vector<std::string>& roots,
                               const std::vector<std::string>& exclude) {
  std::vector<std::string> paths;
  paths.reserve(roots.size());
  for (const auto& root : roots) paths.push_back(root_path(root));
  auto walker = std::make_shared<Walker>(std::move(paths), exclude);
  return [walker] { return walker->next(); };
}

Result<std::optional<Entry>> look_at(const std::string& path) {
  Fd fd(open_without_symlinks(path, O_PATH | O_NOFOLLOW));
  struct stat st {};
  if (!fd.valid() || ::fstat(fd.get(), &st) != 0) {
    if (vanished(errno)) return std::optional<Entry>{};
    return fail(Code::kRefused, errno_text("cannot look at", path));
  }
  return std::optional<Entry>(to_entry(st, path));
}

mirror::RootsNow look_at_roots(const std::vector<std::string>& configured) {
  mirror::RootsNow now;
  const std::vector<MountPoint> mounts = read_mounts();
  for (const auto& path : configured) now.roots.push_back(look_at_root(path, mounts));
  for (const MountPoint& mount : mounts) {
    const bool below = std::any_of(now.roots.begin(), now.roots.end(), [&](const mirror::RootNow& r) {
      return mount.point != r.path && is_inside(mount.point, r.path);
    });
    if (!below || !mirror::is_clean_path(mount.point) || is_bind_of_itself(mount, mounts)) continue;
    // A guard shows what is mounted below its folder a second time.
    if (std::ranges::find(now.mounts, mount.point) == now.mounts.end()) now.mounts.push_back(mount.point);
  }
  if (auto boot = read_whole_file("/proc/sys/kernel/random/boot_id", 100)) {
    now.boot = boot->substr(0, boot->find('\n'));
  }
  return now;
}

}  // namespace clusterd
