// The operations: files get their names, everything else is made, renamed, linked and removed. The second
// part of apply.hpp.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>

#include "linux/mirror/entry_type.hpp"
#include "linux/mirror/live/apply.hpp"
#include "linux/mirror/live/contents.hpp"
#include "linux/mirror/live/walk.hpp"
#include "mirror/escape.hpp"

namespace clusterd::live {

namespace ml = mirror::live;

namespace {

// Calls once more without the flags that forbid it, if that was what was in the way.
template <class Call>
int unlocked(int folder, const std::string& name, Call call) {
  if (call() == 0) return 0;
  if (errno != EPERM) return -1;
  const bool victim = unlock(folder, name);
  const bool directory = unlock(folder, "");
  if (!victim && !directory) {
    errno = EPERM;
    return -1;
  }
  return call();
}

}  // namespace

// Nobody else has a file of this name; if somebody had, it would not be touched: nothing is deleted before it
// is made.
std::string Applier::temporary() {
  if (token_ == 0 && ::getrandom(&token_, sizeof token_, 0) != sizeof token_) token_ = 1;
  return fmt::format(".~clusterd.{:016x}.{}", token_, ++temporaries_);
}

// Remembers a directory whose names are about to change, with the time that it is to have in the end.
void Applier::touch(int folder, const std::string& path_of_name) {
  struct stat st {};
  if (::fstat(folder, &st) != 0) return;
  const Inode inode{st.st_dev, st.st_ino};
  if (touched_.contains(inode)) return;
  Touched touched;
  touched.folder = Fd(::fcntl(folder, F_DUPFD_CLOEXEC, 0));
  touched.path = path_of_name.substr(0, path_of_name.rfind('/'));
  touched.mtime_ns = int64_t{st.st_mtim.tv_sec} * 1'000'000'000 + st.st_mtim.tv_nsec;
  touched_.emplace(inode, std::move(touched));
}

void Applier::intend(int folder, const std::string& path, int64_t mtime_ns) {
  touch(folder, path + "/");
  struct stat st {};
  if (::fstat(folder, &st) != 0) return;
  const auto it = touched_.find({st.st_dev, st.st_ino});
  if (it != touched_.end()) it->second.mtime_ns = mtime_ns;
}

Outcome<void> Applier::give(const Place& place, const std::string& path, const Status& status,
                            const Traits& traits) {
  auto done = give_attributes(place.folder.get(), place.name, status, traits);
  if (!done && done.error().error == EPERM && unlock(place.folder.get(), place.name)) {
    done = give_attributes(place.folder.get(), place.name, status, traits);
  }
  if (!done) return done;
  if (status.type != 'f' && status.type != 'd') {
    touch(place.folder.get(), path);  // its own inode cannot be synced: its directory's sync has to do
    return {};
  }
  Fd self(::openat(place.folder.get(), place.name.empty() ? "." : place.name.c_str(),
                   O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (status.type == 'd' && self.valid()) intend(self.get(), path, status.mtime_ns);
  if (self.valid()) changed(std::move(self));
  return {};
}

// A directory gives way to what is none, and the reverse.
Outcome<void> Applier::clear_way(const Place& place, const std::string& path, char type) {
  auto there = look(place.folder.get(), place.name);
  if (!there) return is_absent(there.error().error) ? Outcome<void>() : tl::unexpected(there.error());
  if ((there->type == 'd') != (type == 'd')) return remove_at(place.folder.get(), place.name, path, false);
  return keeper_ && type != 'd' ? keeper_->keep(place.folder.get(), place.name, path) : Outcome<void>();
}

Outcome<void> Applier::name_file(Staged& file) {
  if (file.failed) return tl::unexpected(*file.failed);
  auto place = anchors_.place(file.path);
  if (!place) return tl::unexpected(place.error());
  if (place->name.empty()) {
    errno = EISDIR;
    return failure("a mirrored directory is to become a file:", file.path);
  }
  const int folder = place->folder.get();
  touch(folder, file.path);
  if (auto ok = clear_way(*place, file.path, 'f'); !ok) return ok;
  const std::string self = fmt::format("/proc/self/fd/{}", file.file.get());
  const auto link_as = [&](const std::string& name) {
    return unlocked(folder, "", [&] {
      return ::linkat(AT_FDCWD, self.c_str(), folder, name.c_str(), AT_SYMLINK_FOLLOW);
    });
  };
  if (link_as(place->name) != 0) {
    if (errno != EEXIST) return failure("cannot create", file.path);
    const std::string name = temporary();
    if (link_as(name) != 0) return failure("cannot create a new version of", file.path);
    const int renamed = unlocked(
        folder, place->name, [&] { return ::renameat(folder, name.c_str(), folder, place->name.c_str()); });
    if (renamed != 0) {
      auto failed = failure("cannot replace", file.path);
      ::unlinkat(folder, name.c_str(), 0);
      return failed;
    }
  }
  if (file.status.flags != 0) {
    if (auto ok = set_flags(folder, place->name, file.status.flags); !ok) return ok;
  }
  if (keeper_) {
    if (auto now = look(folder, place->name)) keeper_->is_ours(*now);
  }
  return {};
}

Outcome<void> Applier::make(const ml::Make& make) {
  if (make.status.type == 'f') {
    errno = EPROTO;
    return failure("contents are missing of", make.path);
  }
  auto place = anchors_.place(make.path);
  if (!place) return tl::unexpected(place.error());
  const int folder = place->folder.get();
  if (place->name.empty()) {
    if (make.status.type == 'd') return give(*place, make.path, make.status, make.traits);
    errno = EISDIR;
    return failure("a mirrored directory is to become something else:", make.path);
  }
  auto there = look(folder, place->name);
  const bool same_type = there && there->type == make.status.type;
  bool same = same_type && (make.status.type == 'd' || there->rdev == make.status.rdev);
  if (same && make.status.type == 'l') {
    auto traits = read_traits(folder, place->name, *there);
    same = traits && traits->link_target == make.traits.link_target;
  }
  if (same) {
    auto traits = read_traits(folder, place->name, *there);
    if (traits && *traits == make.traits && ml::same_attributes(*there, make.status)) {
      // Nothing to do, but for a time that this batch itself has changed.
      if (make.status.type == 'd') {
        Fd self(::openat(folder, place->name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        if (self.valid()) intend(self.get(), make.path, make.status.mtime_ns);
      }
      return {};
    }
    // Its other names may be none of it at the source: there it gets back those that it has.
    if (make.status.type == 'd' || there->links < 2) return give(*place, make.path, make.status, make.traits);
  }
  return make_new(*place, make);
}

Outcome<void> Applier::make_new(const Place& place, const ml::Make& make) {
  const int folder = place.folder.get();
  touch(folder, make.path);
  if (auto ok = clear_way(place, make.path, make.status.type); !ok) return ok;
  const Status& s = make.status;
  if (s.type == 'd') {
    const int made = unlocked(folder, "", [&] { return ::mkdirat(folder, place.name.c_str(), 0700); });
    if (made != 0) return failure("cannot create the directory", make.path);
    return give(place, make.path, s, make.traits);
  }
  const std::string name = temporary();
  const int made = unlocked(folder, "", [&] {
    if (s.type == 'l') return ::symlinkat(make.traits.link_target.c_str(), folder, name.c_str());
    return ::mknodat(folder, name.c_str(), type_bits(s.type) | 0600,
                     ::makedev(static_cast<unsigned>(s.rdev >> 32U), static_cast<unsigned>(s.rdev)));
  });
  if (made != 0) return failure("cannot create", make.path);
  auto done = give_attributes(folder, name, s, make.traits);
  if (done) {
    const int renamed = unlocked(
        folder, place.name, [&] { return ::renameat(folder, name.c_str(), folder, place.name.c_str()); });
    if (renamed != 0) done = failure("cannot replace", make.path);
  }
  if (!done) ::unlinkat(folder, name.c_str(), 0);
  if (done && keeper_) {
    if (auto now = look(folder, place.name)) keeper_->is_ours(*now);
  }
  return done;
}

Outcome<void> Applier::check(const ml::Check& check) {
  const auto differs = [&] {
    return tl::unexpected(Failure{ESTALE, "the contents differ: " + mirror::escape(check.path)});
  };
  auto place = anchors_.place(check.path);
  if (!place) return is_absent(place.error().error) ? differs() : tl::unexpected(place.error());
  auto there = look(place->folder.get(), place->name);
  if (!there || there->type != 'f' || there->size != check.status.size) return differs();
  if (check.hash) {
    Fd file(
        ::openat(place->folder.get(), place->name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file.valid()) return failure("cannot read", check.path);
    const auto hash = hash_contents(file.get(), there->size, seed_);
    if (!hash || *hash != *check.hash) return differs();
  } else if (!check.knows && there->mtime_ns != check.status.mtime_ns) {
    return differs();
  }
  auto traits = read_traits(place->folder.get(), place->name, *there);
  if (traits && *traits == check.traits && ml::same_attributes(*there, check.status)) return {};
  return give(*place, check.path, check.status, check.traits);
}

Outcome<void> Applier::rename(const ml::Rename& rename) {
  if (unfinished_.contains(rename.from))
    return tl::unexpected(Failure{ESTALE, "not all of it is here: " + mirror::escape(rename.from)});
  auto from = anchors_.place(rename.from);
  if (!from) return tl::unexpected(from.error());
  auto to = anchors_.place(rename.to);
  if (!to) return tl::unexpected(to.error());
  if (from->name.empty() || to->name.empty()) {
    errno = EXDEV;
    return failure("a mirrored directory cannot be renamed:", rename.from);
  }
  auto moving = look(from->folder.get(), from->name);
  if (!moving) return tl::unexpected(moving.error());
  touch(from->folder.get(), rename.from);
  touch(to->folder.get(), rename.to);
  auto there = look(to->folder.get(), to->name);
  if (there && (there->inode != moving->inode || there->device != moving->device)) {
    // A directory in the way may hold something here that it did not hold there.
    auto cleared = there->type == 'd' ? remove_at(to->folder.get(), to->name, rename.to, false)
                                      : clear_way(*to, rename.to, moving->type);
    if (!cleared) return cleared;
  }
  const auto call = [&] {
    return unlocked(from->folder.get(), from->name, [&] {
      return ::renameat(from->folder.get(), from->name.c_str(), to->folder.get(), to->name.c_str());
    });
  };
  if (call() != 0 && !(errno == EPERM && unlock(to->folder.get(), "") && call() == 0)) {
    return failure("cannot rename", rename.from);
  }
  // Two names of one file: the kernel has done nothing.
  if (there && there->inode == moving->inode && there->device == moving->device) {
    ::unlinkat(from->folder.get(), from->name.c_str(), 0);
  }
  return set_flags(to->folder.get(), to->name, moving->flags);
}

Outcome<void> Applier::link(const ml::Link& link) {
  auto from = anchors_.place(link.from);
  if (!from) return tl::unexpected(from.error());
  auto to = anchors_.place(link.to);
  if (!to) return tl::unexpected(to.error());
  auto leader = look(from->folder.get(), from->name);
  if (!leader) return tl::unexpected(leader.error());
  if (leader->type == 'd' || to->name.empty()) {
    errno = ENOENT;
    return failure("cannot link", link.from);
  }
  auto there = look(to->folder.get(), to->name);
  if (there && there->inode == leader->inode && there->device == leader->device) return {};
  touch(to->folder.get(), link.to);
  if (auto ok = clear_way(*to, link.to, leader->type); !ok) return ok;
  const std::string name = temporary();
  const int linked = unlocked(from->folder.get(), from->name, [&] {
    return ::linkat(from->folder.get(), from->name.c_str(), to->folder.get(), name.c_str(), 0);
  });
  if (linked != 0) return failure("cannot link", link.from);
  const int renamed = unlocked(to->folder.get(), to->name, [&] {
    return ::renameat(to->folder.get(), name.c_str(), to->folder.get(), to->name.c_str());
  });
  if (renamed != 0) {
    auto failed = failure("cannot replace", link.to);
    ::unlinkat(to->folder.get(), name.c_str(), 0);
    return failed;
  }
  return set_flags(to->folder.get(), to->name, leader->flags);
}

Outcome<void> Applier::remove(const std::string& path) {
  auto place = anchors_.place(path);
  if (!place) return is_absent(place.error().error) ? Outcome<void>() : tl::unexpected(place.error());
  if (place->name.empty()) {
    errno = EBUSY;
    return failure("a mirrored directory is not deleted:", path);
  }
  return remove_at(place->folder.get(), place->name, path, true);
}

// What is excluded stays, and so do the directories that hold it; unless something has to take their place.
Outcome<void> Applier::remove_at(int folder, const std::string& name, const std::string& path,
                                 bool protect_excluded) {
  auto there = look(folder, name);
  if (!there) return is_absent(there.error().error) ? Outcome<void>() : tl::unexpected(there.error());
  touch(folder, path);
  if (there->type != 'd') {
    if (keeper_) {
      if (auto ok = keeper_->keep(folder, name, path); !ok) return ok;
    }
    const int removed = unlocked(folder, name, [&] { return ::unlinkat(folder, name.c_str(), 0); });
    return removed == 0 || is_absent(errno) ? Outcome<void>() : failure("cannot delete", path);
  }
  Fd self(::openat(folder, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!self.valid()) return failure("cannot open", path);
  // A mounted file system is not entered.
  struct stat outer {
  }, inner{};
  if (::fstat(folder, &outer) != 0 || ::fstat(self.get(), &inner) != 0 || outer.st_dev != inner.st_dev) {
    errno = EBUSY;
    return failure("another file system is mounted at", path);
  }
  auto names = list_directory(self.get(), path, protect_excluded ? exclude_ : std::vector<std::string>{});
  if (!names) return tl::unexpected(Failure{EIO, names.error().message});
  for (const Named& each : *names) {
    if (auto ok = remove_at(self.get(), each.name, path + "/" + each.name, protect_excluded); !ok) return ok;
  }
  const int removed = unlocked(folder, name, [&] { return ::unlinkat(folder, name.c_str(), AT_REMOVEDIR); });
  if (removed == 0 || is_absent(errno)) return {};
  if (errno == ENOTEMPTY && protect_excluded && !exclude_.empty()) return {};
  return failure("cannot delete", path);
}

}  // namespace clusterd::live
