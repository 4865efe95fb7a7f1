#include "linux/mirror/live/inode.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "linux/mirror/entry_type.hpp"
#include "linux/mirror/live/xattrs.hpp"
#include "mirror/escape.hpp"
#include "mirror/live/frames.hpp"

namespace clusterd::live {
namespace {

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

Outcome<Status> glance(const Anchors& anchors, const std::string& path) {
  const auto way = anchors.way(path);
  return way ? look(way->folder, way->rest) : look(anchors, path);
}

Outcome<Traits> read_traits(int folder, const std::string& name, const Status& status) {
  Traits traits;
  if (status.type == 'l') {
    std::string target(4096, '\0');
    const ssize_t n = ::readlinkat(folder, name.c_str(), target.data(), target.size());
    if (n < 0) return failure("cannot read the symbolic link", name);
    target.resize(static_cast<size_t>(n));
    traits.link_target = std::move(target);
  }
  if (auto ok = Xattrs(folder, name).read(traits); !ok) return tl::unexpected(ok.error());
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
  if (!link && ::chmod(fmt::format("/proc/self/fd/{}", pin.get()).c_str(), status.mode) != 0) {
    return failure("cannot change the mode of", name);
  }
  if (auto ok = link ? Xattrs(folder, name).make(traits) : Xattrs(pin.get(), "").make(traits); !ok) return ok;
  const timespec times[2] = {{0, UTIME_OMIT}, to_timespec(status.mtime_ns)};
  if (::utimensat(pin.get(), "", times, AT_EMPTY_PATH) != 0)
    return failure("cannot change the time of", name);
  return set_flags(folder, name, status.flags);
}

Outcome<void> give_attributes(int file, const Status& status, const Traits& traits) {
  if (::fchown(file, status.uid, status.gid) != 0) return failure("cannot change the owner of", "a new file");
  if (::fchmod(file, status.mode) != 0) return failure("cannot change the mode of", "a new file");
  if (!traits.xattrs.empty()) {
    if (auto ok = Xattrs(file, "").make(traits); !ok) return ok;
  }
  set_mtime(file, status.mtime_ns);
  return {};
}

}  // namespace clusterd::live
