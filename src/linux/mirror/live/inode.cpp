#include "linux/mirror/live/inode.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "linux/mirror/entry_type.hpp"
#include "mirror/escape.hpp"
#include "mirror/live/frames.hpp"

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

std::string proc_path(int folder, const std::string& name) {
  return name.empty() ? fmt::format("/proc/self/fd/{}", folder)
                      : fmt::format("/proc/self/fd/{}/{}", folder, name);
}

int64_t nanoseconds(const statx_timestamp& t) { return t.tv_sec * 1'000'000'000 + t.tv_nsec; }

timespec to_timespec(int64_t ns) {
  timespec t{};
  t.tv_sec = ns / 1'000'000'000;
  t.tv_nsec = ns % 1'000'000'000;
  if (t.tv_nsec < 0) {
    t.tv_nsec += 1'000'000'000;
    --t.tv_sec;
  }
  return t;
}

// What is carried over: everything but what a file system keeps for itself. ACLs are the two "system." ones.
bool mirrored_xattr(std::string_view name) {
  if (name.substr(0, 7) == "system.")
    return name == "system.posix_acl_access" || name == "system.posix_acl_default";
  return name != "security.evm" && name != "security.ima";
}

Outcome<std::vector<std::string>> xattr_names(const std::string& path) {
  std::vector<char> list(1024);
  while (true) {
    const ssize_t n = ::llistxattr(path.c_str(), list.data(), list.size());
    if (n < 0 && errno == ERANGE && list.size() < 64 * 1024) {
      list.resize(64 * 1024);
      continue;
    }
    if (n < 0) {
      if (errno == ENOTSUP) return std::vector<std::string>{};
      return failure("cannot read the attributes of", path);
    }
    std::vector<std::string> names;
    for (const char* at = list.data(); at < list.data() + n; at += std::strlen(at) + 1) {
      if (mirrored_xattr(at)) names.emplace_back(at);
    }
    std::sort(names.begin(), names.end());
    return names;
  }
}

Outcome<void> set_xattrs(const std::string& path, const Traits& traits, bool follow) {
  const auto list = [&]() -> Outcome<std::vector<std::string>> {
    if (!follow) return xattr_names(path);
    std::vector<char> names(64 * 1024);
    const ssize_t n = ::listxattr(path.c_str(), names.data(), names.size());
    std::vector<std::string> out;
    for (const char* at = names.data(); n > 0 && at < names.data() + n; at += std::strlen(at) + 1) {
      if (mirrored_xattr(at)) out.emplace_back(at);
    }
    return out;
  }();
  if (!list) return tl::unexpected(list.error());
  for (const std::string& name : *list) {
    const bool wanted = std::any_of(traits.xattrs.begin(), traits.xattrs.end(),
                                    [&](const auto& x) { return x.first == name; });
    if (wanted) continue;
    const int done =
        follow ? ::removexattr(path.c_str(), name.c_str()) : ::lremovexattr(path.c_str(), name.c_str());
    // A default label of a security module cannot be removed, and need not be.
    if (done != 0 && errno != ENODATA && name.compare(0, 9, "security.") != 0)
      return failure("cannot remove an attribute of", path);
  }
  for (const auto& [name, value] : traits.xattrs) {
    if (!mirrored_xattr(name)) continue;
    const int done = follow ? ::setxattr(path.c_str(), name.c_str(), value.data(), value.size(), 0)
                            : ::lsetxattr(path.c_str(), name.c_str(), value.data(), value.size(), 0);
    if (done != 0) return failure(fmt::format("cannot set {} of", mirror::escape(name)), path);
  }
  return {};
}

}  // namespace

tl::unexpected<Failure> failure(const std::string& what, const std::string& path) {
  const int error = errno;
  return tl::unexpected(
      Failure{error, fmt::format("{} {}: {}", what, mirror::escape(path), std::strerror(error))});
}

bool is_absent(int error) { return error == ENOENT || error == ENOTDIR || error == ELOOP; }

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

Outcome<Fd> Anchors::open_at(const std::string& path, int flags) const {
  const Anchor* anchor = find(path);
  if (!anchor) {
    errno = EXDEV;
    return failure("outside of the mirror:", path);
  }
  std::string_view rest =
      std::string_view(path).substr(anchor->directory ? anchor->path.size() : path.rfind('/'));
  if (!rest.empty()) rest.remove_prefix(1);
  Fd fd = open_steps(anchor->folder.get(), rest.empty() ? "." : rest, flags | O_NOFOLLOW);
  if (!fd.valid()) return failure("cannot open", path);
  return fd;
}

Status to_status(const struct statx& st) {
  Status s;
  s.type = type_of(st.stx_mode);
  s.mode = st.stx_mode & 07777U;
  s.uid = st.stx_uid;
  s.gid = st.stx_gid;
  s.size = s.type == 'f' || s.type == 'l' ? st.stx_size : 0;
  s.mtime_ns = nanoseconds(st.stx_mtime);
  s.ctime_ns = nanoseconds(st.stx_ctime);
  s.inode = st.stx_ino;
  s.device = (uint64_t{st.stx_dev_major} << 32U) | st.stx_dev_minor;
  if (s.type == 'b' || s.type == 'c') s.rdev = (uint64_t{st.stx_rdev_major} << 32U) | st.stx_rdev_minor;
  s.links = st.stx_nlink;
  if ((st.stx_attributes & STATX_ATTR_IMMUTABLE) != 0) s.flags |= mirror::live::kImmutable;
  if ((st.stx_attributes & STATX_ATTR_APPEND) != 0) s.flags |= mirror::live::kAppendOnly;
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  s.fresh = int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec - s.ctime_ns < kClockGrainNs;
  return s;
}

Outcome<Status> look(int folder, const std::string& name) {
  struct statx st {};
  const int flags =
      AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT | (name.empty() ? AT_EMPTY_PATH : 0);
  if (::statx(folder, name.c_str(), flags, STATX_BASIC_STATS, &st) != 0)
    return failure("cannot look at", name);
  return to_status(st);
}

Outcome<Status> look(const Anchors& anchors, const std::string& path) {
  auto fd = anchors.open_at(path, O_PATH);
  if (!fd) return tl::unexpected(fd.error());
  return look(fd->get(), "");
}

Outcome<Traits> read_traits(int folder, const std::string& name, const Status& status) {
  Traits traits;
  const std::string path = proc_path(folder, name);
  if (status.type == 'l') {
    std::string target(4096, '\0');
    const ssize_t n = ::readlinkat(folder, name.c_str(), target.data(), target.size());
    if (n < 0) return failure("cannot read the symbolic link", name);
    target.resize(static_cast<size_t>(n));
    traits.link_target = std::move(target);
  }
  // Through its own descriptor the last link is to be followed: it is the kernel's, not the file's.
  std::vector<std::string> names;
  if (name.empty()) {
    std::vector<char> list(64 * 1024);
    const ssize_t n = ::listxattr(path.c_str(), list.data(), list.size());
    if (n < 0 && errno != ENOTSUP) return failure("cannot read the attributes of", path);
    for (const char* at = list.data(); n > 0 && at < list.data() + n; at += std::strlen(at) + 1) {
      if (mirrored_xattr(at)) names.emplace_back(at);
    }
    std::sort(names.begin(), names.end());
  } else {
    auto listed = xattr_names(path);
    if (!listed) return tl::unexpected(listed.error());
    names = std::move(*listed);
  }
  for (const std::string& each : names) {
    std::string value(64 * 1024, '\0');
    const ssize_t n = name.empty() ? ::getxattr(path.c_str(), each.c_str(), value.data(), value.size())
                                   : ::lgetxattr(path.c_str(), each.c_str(), value.data(), value.size());
    if (n < 0 && errno == ENODATA) continue;
    if (n < 0) return failure("cannot read the attributes of", path);
    value.resize(static_cast<size_t>(n));
    traits.xattrs.emplace_back(each, std::move(value));
  }
  if (mirror::live::traits_size(traits) > mirror::live::kMaxTraits) {
    errno = E2BIG;
    return failure("too many attributes:", name);
  }
  return traits;
}

void set_mtime(int fd, int64_t mtime_ns) {
  const timespec times[2] = {{0, UTIME_OMIT}, to_timespec(mtime_ns)};
  (void)::futimens(fd, times);
}

bool unlock(int folder, const std::string& name) {
  Fd fd(::openat(folder, name.empty() ? "." : name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  int flags = 0;
  if (!fd.valid() || ::ioctl(fd.get(), FS_IOC_GETFLAGS, &flags) != 0) return false;
  if ((flags & (FS_IMMUTABLE_FL | FS_APPEND_FL)) == 0) return false;
  flags &= ~(FS_IMMUTABLE_FL | FS_APPEND_FL);
  return ::ioctl(fd.get(), FS_IOC_SETFLAGS, &flags) == 0;
}

Outcome<void> set_flags(int folder, const std::string& name, uint8_t wanted) {
  auto now = look(folder, name);
  if (!now) return tl::unexpected(now.error());
  if (now->flags == wanted || (now->type != 'f' && now->type != 'd')) return {};
  Fd fd(::openat(folder, name.empty() ? "." : name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  int flags = 0;
  if (!fd.valid() || ::ioctl(fd.get(), FS_IOC_GETFLAGS, &flags) != 0)
    return failure("cannot read the flags of", name);
  flags &= ~(FS_IMMUTABLE_FL | FS_APPEND_FL);
  if ((wanted & mirror::live::kImmutable) != 0) flags |= FS_IMMUTABLE_FL;
  if ((wanted & mirror::live::kAppendOnly) != 0) flags |= FS_APPEND_FL;
  if (::ioctl(fd.get(), FS_IOC_SETFLAGS, &flags) != 0) return failure("cannot set the flags of", name);
  return {};
}

Outcome<void> give_attributes(int folder, const std::string& name, const Status& status,
                              const Traits& traits) {
  // Everything through one descriptor: nobody can swap the name for another one in between.
  Fd pin(::openat(folder, name.empty() ? "." : name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!pin.valid()) return failure("cannot open", name);
  auto now = look(pin.get(), "");
  if (!now) return tl::unexpected(now.error());
  if (now->type != status.type) {
    errno = ENOENT;
    return failure("of another type now:", name);
  }
  if ((now->uid != status.uid || now->gid != status.gid) &&
      ::fchownat(pin.get(), "", status.uid, status.gid, AT_EMPTY_PATH) != 0) {
    return failure("cannot change the owner of", name);
  }
  // A change of the owner takes set-id bits away, and an ACL is the mode's other face: mode, then ACLs.
  const bool link = status.type == 'l';
  if (!link && ::chmod(proc_path(pin.get(), "").c_str(), status.mode) != 0) {
    return failure("cannot change the mode of", name);
  }
  const std::string path = link ? proc_path(folder, name) : proc_path(pin.get(), "");
  if (auto ok = set_xattrs(path, traits, !link); !ok) return ok;
  const timespec times[2] = {{0, UTIME_OMIT}, to_timespec(status.mtime_ns)};
  if (::utimensat(pin.get(), "", times, AT_EMPTY_PATH) != 0)
    return failure("cannot change the time of", name);
  return set_flags(folder, name, status.flags);
}

Outcome<void> give_attributes(int file, const Status& status, const Traits& traits) {
  if (::fchown(file, status.uid, status.gid) != 0) return failure("cannot change the owner of", "a new file");
  if (::fchmod(file, status.mode) != 0) return failure("cannot change the mode of", "a new file");
  if (!traits.xattrs.empty()) {
    if (auto ok = set_xattrs(proc_path(file, ""), traits, true); !ok) return ok;
  }
  set_mtime(file, status.mtime_ns);
  return {};
}

}  // namespace clusterd::live
