#include "linux/mirror/live/inode.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
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
