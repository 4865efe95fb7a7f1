// What the administrator does with backup sets: restore, confirm, purge.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "linux/mirror/backup_folder.hpp"
#include "linux/mirror/backup_store.hpp"
#include "mirror/escape.hpp"

namespace clusterd {
namespace {

using mirror::escape;

// Opens `path` (relative) below the folder `root`, through no symbolic link.
int open_beneath(int root, const std::string& path, int flags, mode_t mode = 0) {
  open_how how{};
  how.flags = static_cast<unsigned long long>(flags | O_CLOEXEC);
  how.mode = mode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(::syscall(SYS_openat2, root, path.c_str(), &how, sizeof how));
}

std::string parent_of(const std::string& path) {  // "a/b" -> "a", "a" -> "."
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}
std::string last_part(const std::string& path) { return path.substr(path.rfind('/') + 1); }
std::string in_proc(int fd) { return fmt::format("/proc/self/fd/{}", fd); }

tl::unexpected<Error> cannot(const char* what, const std::string& path) {
  if (errno == ELOOP) {
    errno = 0;
    return fail(Code::kRefused,
                fmt::format("{} {}: a part of the path is a symbolic link", what, escape(path)));
  }
  const bool read_only = errno == EROFS;
  std::string text = errno_text(what, path);
  if (read_only)
    text += "; if it is guarded (`guard = true`): restore on the active node, or elsewhere (--to)";
  return fail(Code::kRefused, text);
}

// Copies trees between two folders that are never left. Owners, modes, times and extended attributes (with
// them the ACLs) go along.
class Copier {
 public:
  Copier(int from, int to) : from_(from), to_(to) {}

  // Makes the parents of `path` in the target, with the attributes of the source's own.
  Result<void> make_parents(const std::string& path) {
    for (size_t slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
      const std::string part = path.substr(0, slash);
      Fd there(open_beneath(to_, part, O_PATH | O_DIRECTORY));
      if (there.valid()) continue;
      if (errno != ENOENT) return cannot("cannot restore below", part);
      if (auto ok = copy_directory(part); !ok) return ok;
    }
    return {};
  }

  Result<void> copy(const std::string& path) {
    Fd source(open_beneath(from_, path, O_PATH | O_NOFOLLOW));
    struct stat st {};
    if (!source.valid() || ::fstat(source.get(), &st) != 0) return cannot("cannot read", path);
    if (S_ISDIR(st.st_mode)) return copy_directory(path);
    Fd parent(open_beneath(to_, parent_of(path), O_RDONLY | O_DIRECTORY));
    if (!parent.valid()) return cannot("cannot restore to", path);
    // Under another name first: what is there stays until the copy is complete and on disk.
    const std::string name = last_part(path);
    const std::string temporary = fmt::format(".{}.clusterd-restore", name.substr(0, 200));
    ::unlinkat(parent.get(), temporary.c_str(), 0);
    if (auto ok = copy_object(path, st, parent.get(), temporary); !ok) {
      ::unlinkat(parent.get(), temporary.c_str(), 0);
      return ok;
    }
    if (::renameat(parent.get(), temporary.c_str(), parent.get(), name.c_str()) != 0) {
      const auto error = cannot("cannot restore", path);
      ::unlinkat(parent.get(), temporary.c_str(), 0);
      return error;
    }
    ::fsync(parent.get());
    return {};
  }

 private:
  Result<void> copy_directory(const std::string& path) {
    Fd parent(open_beneath(to_, parent_of(path), O_RDONLY | O_DIRECTORY));
    if (!parent.valid()) return cannot("cannot restore to", path);
    if (::mkdirat(parent.get(), last_part(path).c_str(), 0700) != 0 && errno != EEXIST) {
      return cannot("cannot create the directory", path);
    }
    Fd source(open_beneath(from_, path, O_RDONLY | O_DIRECTORY));
    Fd target(open_beneath(to_, path, O_RDONLY | O_DIRECTORY));
    struct stat st {};
    if (!source.valid() || !target.valid() || ::fstat(source.get(), &st) != 0) {
      return cannot("cannot create the directory", path);
    }
    return copy_attributes(in_proc(source.get()), in_proc(target.get()), st, path);
  }

  Result<void> copy_object(const std::string& path, const struct stat& st, int parent,
                           const std::string& name) {
    Fd source(open_beneath(from_, path, S_ISREG(st.st_mode) ? O_RDONLY : O_PATH | O_NOFOLLOW));
    if (!source.valid()) return cannot("cannot read", path);
    if (S_ISREG(st.st_mode)) {
      Fd target(::openat(parent, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
      if (!target.valid()) return cannot("cannot write", path);
      if (auto ok = copy_contents(source.get(), target.get(), st.st_size, path); !ok) return ok;
      if (auto ok = copy_attributes(in_proc(source.get()), in_proc(target.get()), st, path); !ok) return ok;
      if (::fsync(target.get()) != 0) return cannot("cannot sync", path);
      return {};
    }
    if (S_ISLNK(st.st_mode)) {
      char text[4097];
      const ssize_t n = ::readlinkat(source.get(), "", text, sizeof text - 1);
      if (n < 0) return cannot("cannot read", path);
      text[n] = '\0';
      if (::symlinkat(text, parent, name.c_str()) != 0) return cannot("cannot write", path);
    } else if (::mknodat(parent, name.c_str(), st.st_mode & ~07777u, st.st_rdev) != 0) {
      return cannot("cannot write", path);
    }
    if (::fchownat(parent, name.c_str(), st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) != 0) {
      return cannot("cannot set the owner of", path);
    }
    if (!S_ISLNK(st.st_mode)) ::fchmodat(parent, name.c_str(), st.st_mode & 07777u, 0);
    const timespec times[2] = {st.st_atim, st.st_mtim};
    ::utimensat(parent, name.c_str(), times, AT_SYMLINK_NOFOLLOW);
    return {};
  }

  // Holes stay holes.
  static Result<void> copy_contents(int from, int to, off_t size, const std::string& path) {
    if (::ftruncate(to, size) != 0) return cannot("cannot write", path);
    for (off_t at = 0; at < size;) {
      const off_t data = ::lseek(from, at, SEEK_DATA);
      if (data < 0) return errno == ENXIO ? Result<void>{} : Result<void>(cannot("cannot read", path));
      const off_t end = ::lseek(from, data, SEEK_HOLE);
      if (end < 0) return cannot("cannot read", path);
      char buffer[128 * 1024];
      for (at = data; at < end;) {
        const auto want = std::min(sizeof buffer, static_cast<size_t>(end - at));
        const ssize_t n = ::pread(from, buffer, want, at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return cannot("cannot read", path);
        if (::pwrite(to, buffer, static_cast<size_t>(n), at) != n) return cannot("cannot write", path);
        at += n;
      }
    }
    return {};
  }

  static Result<void> copy_attributes(const std::string& from, const std::string& to, const struct stat& st,
                                      const std::string& path) {
    if (::chown(to.c_str(), st.st_uid, st.st_gid) != 0) return cannot("cannot set the owner of", path);
    if (::chmod(to.c_str(), st.st_mode & 07777u) != 0) return cannot("cannot set the mode of", path);
    char names[64 * 1024];
    const ssize_t length = ::listxattr(from.c_str(), names, sizeof names);
    for (ssize_t at = 0; at < length;) {
      const char* name = names + at;
      at += static_cast<ssize_t>(std::string_view(name).size()) + 1;
      static char value[64 * 1024];
      const ssize_t n = ::getxattr(from.c_str(), name, value, sizeof value);
      if (n < 0) continue;
      if (::setxattr(to.c_str(), name, value, static_cast<size_t>(n), 0) != 0 && errno != EOPNOTSUPP) {
        return cannot("cannot set the extended attributes of", path);
      }
    }
    const timespec times[2] = {st.st_atim, st.st_mtim};
    if (::utimensat(AT_FDCWD, to.c_str(), times, 0) != 0) return cannot("cannot set the time of", path);
    return {};
  }

  int from_, to_;
};

// Keeps what a restore is about to overwrite, in a new set.
class Keeper {
 public:
  Keeper(const std::string& state_dir, const BackupSet& of, int target) : target_(target) {
    place_.state_dir = state_dir;
    place_.service = of.service;
    place_.name = fmt::format("{}-restore", utc_text(::time(nullptr), "%Y%m%dT%H%M%SZ"));
    set_ = of;
    set_.mirror.clear();
    set_.lost = 0;
    set_.confirmed = false;
    set_.why = fmt::format("overwritten by restoring {}", of.name);
    set_.created_unix = ::time(nullptr);
    set_.created = utc_text(set_.created_unix, "%Y-%m-%dT%H:%M:%SZ");
  }

  // A directory is not overwritten by a directory; anything else that is there is kept.
  Result<void> keep(const std::string& path, bool restoring_directory) {
    Fd old(open_beneath(target_, path, O_PATH | O_NOFOLLOW));
    struct stat st {};
    if (!old.valid()) return errno == ENOENT ? Result<void>{} : Result<void>(cannot("cannot restore", path));
    if (::fstat(old.get(), &st) != 0) return cannot("cannot restore", path);
    if (S_ISDIR(st.st_mode)) {
      if (restoring_directory) return {};
      return fail(Code::kRefused,
                  fmt::format("/{} is a directory now; it has to be moved away first", escape(path)));
    }
    if (auto ok = begin(); !ok) return ok;
    Copier copier(target_, files_.get());
    if (auto ok = copier.make_parents(path); !ok) return ok;
    return copier.copy(path);
  }

  Result<std::string> finish() {
    if (!files_.valid()) return std::string();
    set_.complete = true;
    if (auto ok = write_set(place_.state_dir, set_); !ok) return tl::unexpected(ok.error());
    return place_.name;
  }

 private:
  Result<void> begin() {
    if (files_.valid()) return {};
    const std::string base = place_.name;
    for (int i = 2; ::access(place_.folder().c_str(), F_OK) == 0; ++i)
      place_.name = fmt::format("{}-{}", base, i);
    set_.name = place_.name;
    set_.complete = false;
    if (auto ok = make_set(place_, set_, "restore"); !ok) return ok;
    files_ = Fd(::open(place_.files().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!files_.valid()) return cannot("cannot open", place_.files());
    return {};
  }

  int target_;
  SetPlace place_;
  BackupSet set_;
  Fd files_;
};

}  // namespace

Result<RestoreResult> restore_backup(const std::string& state_dir, const RestoreOrder& order) {
  auto lock = lock_backups(state_dir);
  if (!lock) return tl::unexpected(lock.error());
  auto set = read_set(state_dir, order.service, order.name);
  if (!set) return tl::unexpected(set.error());
  std::string wanted = "/";
  if (!order.path.empty()) {
    auto raw = mirror::unescape(order.path);
    if (raw) *raw = root_path(*raw);
    if (!raw || !mirror::is_clean_path(*raw)) {
      return fail(Code::kRefused, fmt::format("\"{}\" is not an absolute path of the set", order.path));
    }
    wanted = *raw;
  }
  const std::string to = order.to.empty() ? "/" : order.to;
  const std::string files = fmt::format("{}/backups/{}/{}/files", state_dir, order.service, order.name);
  Fd source(::open(files.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!source.valid()) return cannot("cannot open", files);
  Fd target(::open(to.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!target.valid()) return cannot("cannot open the folder", to);

  Keeper keeper(state_dir, *set, target.get());
  Copier copier(source.get(), target.get());
  RestoreResult result;
  const auto stream = files_in_set(files);
  while (true) {
    auto entry = stream();
    if (!entry) return tl::unexpected(entry.error());
    if (!*entry) break;
    const std::string& path = (*entry)->path;
    const bool chosen =
        wanted == "/" || path == wanted || path.compare(0, wanted.size() + 1, wanted + "/") == 0;
    if (!chosen) continue;
    const std::string relative = path.substr(1);
    if (auto ok = keeper.keep(relative, false); !ok) return tl::unexpected(ok.error());
    if (auto ok = copier.make_parents(relative); !ok) return tl::unexpected(ok.error());
    if (auto ok = copier.copy(relative); !ok) return tl::unexpected(ok.error());
    ++result.files;
  }
  if (result.files == 0) {
    return fail(Code::kRefused, fmt::format("backup set {} holds nothing at {}", order.name, escape(wanted)));
  }
  auto kept = keeper.finish();
  if (!kept) return tl::unexpected(kept.error());
  result.kept_set = std::move(*kept);
  return result;
}

Result<void> confirm_backup(const std::string& state_dir, const std::string& service,
                            const std::string& name) {
  auto lock = lock_backups(state_dir);
  if (!lock) return tl::unexpected(lock.error());
  auto set = read_set(state_dir, service, name);
  if (!set) return tl::unexpected(set.error());
  set->confirmed = true;
  return write_set(state_dir, *set);
}

Result<uint64_t> purge_backups(const std::string& state_dir, const std::string& service,
                               const std::string& name) {
  auto lock = lock_backups(state_dir);
  if (!lock) return tl::unexpected(lock.error());
  auto report = show_backup(state_dir, service, name);
  if (!report) return tl::unexpected(report.error());
  if (!report->set.complete) {
    return fail(Code::kRefused,
                fmt::format("backup set {} is still being written; the next resync closes it", name));
  }
  if (auto ok = remove_set({state_dir, service, report->set.mirror, name}); !ok)
    return tl::unexpected(ok.error());
  return report->set.bytes;
}

Expired expire_backups(const std::string& state_dir, const Config& config, int64_t now_unix) {
  Expired result;
  for (const ServiceConfig& service : config.services) {
    auto sets = list_backups(state_dir, service.name);
    if (!sets) continue;
    for (const MirrorConfig& mirror : service.mirrors) {
      uint64_t newer = 0;  // bytes in this set and all newer ones
      for (auto set = sets->rbegin(); set != sets->rend(); ++set) {
        if (set->mirror != mirror.name || !set->complete) continue;
        newer += set->bytes;
        const int64_t age = now_unix - set->created_unix;
        const int64_t keep = std::chrono::duration_cast<std::chrono::seconds>(mirror.keep_backups).count();
        const bool too_old = keep > 0 && age > keep;
        const bool too_much = mirror.max_backups > 0 && newer > mirror.max_backups;
        if (!too_old && !too_much) continue;
        const std::string name = service.name + "/" + set->name;
        if (set->confirmed && purge_backups(state_dir, service.name, set->name)) {
          result.purged.push_back(name);
          newer -= set->bytes;
          continue;
        }
        result.waiting.push_back(fmt::format(
            "backup set {} ({} files, {} bytes, from {}) {}; it is kept until it is confirmed or purged "
            "(clusterctl backups purge {} {})",
            name, set->files, set->bytes, set->created,
            too_old ? fmt::format("is older than {} days", keep / 86400)
                    : fmt::format("exceeds the {} bytes for backups of this mirror", mirror.max_backups),
            service.name, set->name));
      }
    }
  }
  return result;
}

}  // namespace clusterd
