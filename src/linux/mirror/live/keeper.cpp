#include "linux/mirror/live/keeper.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

#include "linux/mirror/entry_type.hpp"
#include "linux/mirror/files.hpp"

namespace clusterd::live {

namespace {

constexpr const char* kCannotKeep = "cannot keep in the backup set";

}  // namespace

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

// In the set, step by step: a path there is longer than the one that it is for, and may be longer than
// PATH_MAX.
Outcome<Fd> Keeper::folder_for(const std::string& path) const {
  if (auto made = make_directories(files_, 0700); !made)
    return tl::unexpected(Failure{ENOSPC, made.error().message});
  Fd folder(::open(files_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid()) return failure("cannot open", files_);
  for (size_t begin = 1, end = 0; (end = path.find('/', begin)) != std::string::npos; begin = end + 1) {
    const std::string name = path.substr(begin, end - begin);
    if (::mkdirat(folder.get(), name.c_str(), 0700) != 0 && errno != EEXIST)
      return failure("cannot create in the backup set", path.substr(0, end));
    Fd below(::openat(folder.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!below.valid()) return failure("cannot open in the backup set", path.substr(0, end));
    folder = std::move(below);
  }
  return folder;
}

Outcome<void> Keeper::keep(int folder, const std::string& name, const std::string& path) {
  auto status = look(folder, name);
  if (!status) return is_absent(status.error().error) ? Outcome<void>() : tl::unexpected(status.error());
  const std::pair key{status->device, status->inode};
  if (status->type == 'd' || ours_.contains(key) || (status->links < 2 && kept_.contains(key))) return {};
  auto set = folder_for(path);
  if (!set) return tl::unexpected(set.error());
  const std::string kept = path.substr(path.rfind('/') + 1);
  std::string as = kept;
  // An earlier version at this path is the one that was lost; a later one gets a name beside it.
  struct stat there {};
  for (int n = 1; ::fstatat(set->get(), as.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0; ++n) {
    if (there.st_ino == status->inode && S_ISREG(there.st_mode)) return {};
    const std::string ending = fmt::format("~{}", n);
    as = kept.substr(0, NAME_MAX - ending.size()) + ending;
  }
  if (::linkat(folder, name.c_str(), set->get(), as.c_str(), 0) != 0) {
    bool linked = false;
    if (errno == EPERM && unlock(folder, name))
      linked = ::linkat(folder, name.c_str(), set->get(), as.c_str(), 0) == 0;
    if (!linked) {
      if (auto done = copy(folder, name, *status, {set->get(), as, path}); !done) return done;
    }
  }
  kept_.insert(key);
  owes_sync_ = true;
  return {};
}

Outcome<void> Keeper::copy(int folder, const std::string& name, const Status& status, const InSet& to) {
  auto traits = read_traits(folder, name, status);
  if (!traits) return tl::unexpected(traits.error());
  if (status.type == 'f') {
    Fd from(::openat(folder, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!from.valid()) return failure("cannot read", name);
    Fd out(::openat(to.folder, to.name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!out.valid()) return failure(kCannotKeep, to.path);
    auto done = copy_contents(from.get(), out.get(), status.size);
    if (done) done = give_attributes(out.get(), status, *traits);
    if (done && ::fsync(out.get()) != 0) done = failure(kCannotKeep, to.path);
    if (!done) ::unlinkat(to.folder, to.name.c_str(), 0);
    return done;
  }
  const int made = status.type == 'l' ? ::symlinkat(traits->link_target.c_str(), to.folder, to.name.c_str())
                                      : ::mknodat(to.folder, to.name.c_str(), type_bits(status.type) | 0600,
                                                  ::makedev(static_cast<unsigned>(status.rdev >> 32U),
                                                            static_cast<unsigned>(status.rdev)));
  if (made != 0) return failure(kCannotKeep, to.path);
  Status plain = status;
  plain.flags = 0;
  return give_attributes(to.folder, to.name, plain, *traits);
}

Outcome<void> Keeper::durable() {
  if (!owes_sync_) return {};
  if (auto ok = sync_file_systems({files_}); !ok) return tl::unexpected(Failure{EIO, ok.error().message});
  owes_sync_ = false;
  return {};
}

}  // namespace clusterd::live
