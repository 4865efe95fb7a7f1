#include "linux/mirror/live/keeper.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>

#include "linux/mirror/entry_type.hpp"

namespace clusterd::live {
Outcome<void> copy_contents(int from, int to, uint64_t size) {
  if (::ioctl(to, FICLONE, from) == 0) return {};
  if (::ftruncate(to, static_cast<off_t>(size)) != 0) return failure("cannot write", "a copy");
  off_t at = 0;
  while (static_cast<uint64_t>(at) < size) {
    const off_t data = ::lseek(from, at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) return {};
    off_t end = data < 0 ? static_cast<off_t>(size) : ::lseek(from, data, SEEK_HOLE);
    if (end < 0) end = static_cast<off_t>(size);
    for (off_t in = data < 0 ? at : data, out = in; in < end;) {
      const ssize_t n = ::copy_file_range(from, &in, to, &out, static_cast<size_t>(end - in), 0);
      if (n > 0) continue;
      if (n == 0) return {};  // it has become shorter
      char buffer[64 * 1024];
      const ssize_t got = ::pread(from, buffer, std::min(sizeof buffer, static_cast<size_t>(end - in)), in);
      if (got < 0) return failure("cannot read", "a file to be copied");
      if (got == 0) return {};
      if (::pwrite(to, buffer, static_cast<size_t>(got), out) != got)
        return failure("cannot write", "a copy");
      in += got;
      out += got;
    }
    at = end;
  }
  return {};
}

Outcome<void> Keeper::keep(int folder, const std::string& name, const std::string& path) {
  auto status = look(folder, name);
  if (!status) return is_absent(status.error().error) ? Outcome<void>() : tl::unexpected(status.error());
  const std::pair key{status->device, status->inode};
  if (status->type == 'd' || ours_.contains(key) || (status->links < 2 && kept_.contains(key))) return {};
  std::string to = files_ + path;
  if (auto made = make_directories(to.substr(0, to.rfind('/')), 0700); !made) {
    return tl::unexpected(Failure{ENOSPC, made.error().message});
  }
  // An earlier version at this path is the one that was lost; a later one gets a name beside it.
  struct stat there {};
  for (int n = 1; ::lstat(to.c_str(), &there) == 0; ++n) {
    if (there.st_ino == status->inode && S_ISREG(there.st_mode)) return {};
    to = fmt::format("{}{}~{}", files_, path, n);
  }
  if (::linkat(folder, name.c_str(), AT_FDCWD, to.c_str(), 0) != 0) {
    bool linked = false;
    if (errno == EPERM && unlock(folder, name))
      linked = ::linkat(folder, name.c_str(), AT_FDCWD, to.c_str(), 0) == 0;
    if (!linked) {
      if (auto done = copy(folder, name, *status, to); !done) return done;
    }
  }
  kept_.insert(key);
  owes_sync_ = true;
  return {};
}

Outcome<void> Keeper::copy(int folder, const std::string& name, const Status& status, const std::string& to) {
  auto traits = read_traits(folder, name, status);
  if (!traits) return tl::unexpected(traits.error());
  if (status.type == 'f') {
    Fd from(::openat(folder, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!from.valid()) return failure("cannot read", name);
    Fd out(::open(to.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!out.valid()) return failure("cannot write", to);
    auto done = copy_contents(from.get(), out.get(), status.size);
    if (done) done = give_attributes(out.get(), status, *traits);
    if (done && ::fsync(out.get()) != 0) done = failure("cannot sync", to);
    if (!done) ::unlink(to.c_str());
    return done;
  }
  const int made =
      status.type == 'l'
          ? ::symlink(traits->link_target.c_str(), to.c_str())
          : ::mknod(to.c_str(), type_bits(status.type) | 0600,
                    ::makedev(static_cast<unsigned>(status.rdev >> 32U), static_cast<unsigned>(status.rdev)));
  if (made != 0) return failure("cannot write", to);
  const size_t slash = to.rfind('/');
  Fd set(::open(to.substr(0, slash).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!set.valid()) return failure("cannot open", to);
  Status plain = status;
  plain.flags = 0;
  return give_attributes(set.get(), to.substr(slash + 1), plain, *traits);
}

Outcome<void> Keeper::durable() {
  if (!owes_sync_) return {};
  if (auto ok = sync_file_systems({files_}); !ok) return tl::unexpected(Failure{EIO, ok.error().message});
  owes_sync_ = false;
  return {};
}

}  // namespace clusterd::live
