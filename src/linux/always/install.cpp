#include "linux/always/install.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <linux/fs.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "linux/always/place.hpp"
#include "mirror/escape.hpp"

namespace clusterd::always {

namespace {

struct Owner {
  uid_t uid = 0;
  gid_t gid = 0;
};

template <class Record, class Ask>
const Record* found_by(Record& record, std::vector<char>& room, const Ask& ask) {
  Record* found = nullptr;
  while (ask(&record, room.data(), room.size(), &found) == ERANGE && room.size() < (1U << 20U))
    room.resize(2 * room.size());
  return found;
}

// By name where it is known here, else by number; but never somebody else who has that number here.
Result<Owner> owner_of(const Entry& entry) {
  Owner out{entry.uid, entry.gid};
  std::vector<char> room(4096);
  Owners owners;
  const auto stranger = [](const char* what, const std::string& name, uint32_t id, const std::string& here) {
    return fail(Code::kRefused,
                fmt::format("its {0} {1} is unknown here, where {2} is {3}; create the {0} {1}", what,
                            mirror::escape(name), id, here));
  };
  if (!entry.user.empty()) {
    passwd record{};
    const passwd* found =
        found_by(record, room, [&](auto... a) { return ::getpwnam_r(entry.user.c_str(), a...); });
    if (found != nullptr)
      out.uid = found->pw_uid;
    else if (!owners.user(entry.uid).empty())
      return stranger("user", entry.user, entry.uid, owners.user(entry.uid));
  }
  if (!entry.group.empty()) {
    ::group record{};
    const ::group* found =
        found_by(record, room, [&](auto... a) { return ::getgrnam_r(entry.group.c_str(), a...); });
    if (found != nullptr)
      out.gid = found->gr_gid;
    else if (!owners.group(entry.gid).empty())
      return stranger("group", entry.group, entry.gid, owners.group(entry.gid));
  }
  return out;
}

class Installing {
 public:
  Installing(const Change& change, const Store& store)
      : change_(change), store_(store), place_(place_of(change.path)) {}

  Result<std::string> run() {
    folder_ = Fd(open_without_symlinks(place_.folder, O_RDONLY | O_DIRECTORY));
    if (folder_.get() < 0) {
      if (errno == ENOENT || errno == ENOTDIR)
        return fail(Code::kRefused,
                    fmt::format("its directory {} is missing here", mirror::escape(place_.folder)));
      return failed("cannot open", place_.folder);
    }
    if (change_.to.kind == Kind::kFile && digest_of(change_.content) != change_.to.content)
      return fail(Code::kRefused, "what has arrived of it is not what was announced");
    auto owner = owner_of(change_.to);
    if (!owner) return tl::unexpected(owner.error());
    owner_ = *owner;
    Owners owners;
    now_ = look_at(folder_.get(), place_.name, owners);
    if (!same(now_.entry, change_.from)) return changed();
    std::string kept;
    if (now_.entry.kind == Kind::kFile || now_.entry.kind == Kind::kLink) {
      auto copy = store_.keep(change_.path, now_.entry, now_.content);
      if (!copy) return copy;
      kept = *copy;
    }
    ::unlinkat(folder_.get(), kTemporary, 0);  // of a run that was killed
    if (auto done = put(); !done) {
      ::unlinkat(folder_.get(), kTemporary, 0);
      return tl::unexpected(done.error());
    }
    if (::fsync(folder_.get()) != 0) return failed("cannot sync", place_.folder);
    return kept;
  }

 private:
  [[nodiscard]] static tl::unexpected<Error> changed() {
    return fail(Code::kRetry, "it has changed here meanwhile");
  }
  [[nodiscard]] tl::unexpected<Error> wrong(const char* what) const { return failed(what, change_.path); }

  Result<void> put() {
    const bool was_folder = now_.entry.kind == Kind::kFolder, to_folder = change_.to.kind == Kind::kFolder;
    if (to_folder && was_folder) return dress_folder(place_.name.c_str());
    if (was_folder) {
      if (::unlinkat(folder_.get(), place_.name.c_str(), AT_REMOVEDIR) != 0) {
        if (errno == ENOTEMPTY || errno == EEXIST)
          return fail(Code::kRefused, "the directory is not empty here: it holds what is not carried");
        return wrong("cannot remove");
      }
      now_ = Found();
    }
    if (!change_.to.there()) return now_.entry.there() ? put_away() : Result<void>();
    if (to_folder) {
      if (now_.entry.there())
        if (auto away = put_away(); !away) return away;
      if (::mkdirat(folder_.get(), place_.name.c_str(), 0700) != 0) return wrong("cannot create");
      return dress_folder(place_.name.c_str());
    }
    if (auto written = change_.to.kind == Kind::kLink ? write_link() : write_file(); !written) return written;
    return now_.entry.there() ? exchange() : move_in();
  }

  Result<void> dress_folder(const char* name) {
    const Fd fd(::openat(folder_.get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (fd.get() < 0 || ::fchown(fd.get(), owner_.uid, owner_.gid) != 0 ||
        ::fchmod(fd.get(), change_.to.mode) != 0 || ::fsync(fd.get()) != 0)
      return wrong("cannot set the owner and mode of");
    return {};
  }

  Result<void> write_link() {
    if (::symlinkat(change_.to.content.c_str(), folder_.get(), kTemporary) != 0 ||
        ::fchownat(folder_.get(), kTemporary, owner_.uid, owner_.gid, AT_SYMLINK_NOFOLLOW) != 0)
      return wrong("cannot write");
    return {};
  }

  Result<void> write_file() {
    const Fd fd(
        ::openat(folder_.get(), kTemporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (fd.get() < 0) return wrong("cannot write");
    for (size_t done = 0; done < change_.content.size();) {
      const ssize_t n = ::write(fd.get(), change_.content.data() + done, change_.content.size() - done);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return wrong("cannot write");
      done += static_cast<size_t>(n);
    }
    const timespec time{change_.to.mtime_ns / 1'000'000'000, change_.to.mtime_ns % 1'000'000'000};
    const std::array<timespec, 2> times{time, time};
    // The owner first: changing him takes setuid bits away.
    if (::fchown(fd.get(), owner_.uid, owner_.gid) != 0 || ::fchmod(fd.get(), change_.to.mode) != 0)
      return wrong("cannot set the owner and mode of");
    ::futimens(fd.get(), times.data());
    if (::fsync(fd.get()) != 0) return wrong("cannot write");
    return {};
  }

  [[nodiscard]] bool is_as_read(const char* name) const {
    struct stat info {};
    return ::fstatat(folder_.get(), name, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
           Signature(info) == now_.signature;
  }

  int rename(const char* from, const char* to, unsigned flags) {
    return ::renameat2(folder_.get(), from, folder_.get(), to, flags);
  }

  // What lay there lies beside it then, and is looked at once more: it may have been saved anew in between.
  Result<void> exchange() {
    const char* name = place_.name.c_str();
    if (!is_as_read(name)) return changed();
    if (rename(kTemporary, name, RENAME_EXCHANGE) != 0) {
      if (errno != EINVAL) return wrong("cannot replace");
      return rename(kTemporary, name, 0) == 0 ? Result<void>()
                                              : wrong("cannot replace");  // no exchange there
    }
    if (!is_as_read(kTemporary)) {
      if (rename(kTemporary, name, RENAME_EXCHANGE) != 0) return rescue();
      return changed();
    }
    if (::unlinkat(folder_.get(), kTemporary, 0) != 0) return wrong("cannot clear away the former");
    return {};
  }

  Result<void> move_in() {
    const char* name = place_.name.c_str();
    if (rename(kTemporary, name, RENAME_NOREPLACE) == 0) return {};
    if (errno == EEXIST) return changed();
    if (errno != EINVAL) return wrong("cannot create");
    if (::faccessat(folder_.get(), name, F_OK, AT_SYMLINK_NOFOLLOW) == 0) return changed();
    return rename(kTemporary, name, 0) == 0 ? Result<void>() : wrong("cannot create");
  }

  // What was saved in the very moment in which it was replaced, and cannot go back: kept with the others.
  Result<void> rescue() {
    Owners owners;
    const Found saved = look_at(folder_.get(), kTemporary, owners);
    const auto kept = store_.keep(change_.path, saved.entry, saved.content);
    if (!kept) return tl::unexpected(kept.error());
    return fail(Code::kRefused, fmt::format("it was saved while it was replaced; that is kept as {}", *kept));
  }

  Result<void> put_away() {
    const char* name = place_.name.c_str();
    if (!is_as_read(name)) return changed();
    if (rename(name, kTemporary, 0) != 0) return wrong("cannot remove");
    if (!is_as_read(kTemporary)) {
      if (rename(kTemporary, name, RENAME_NOREPLACE) != 0) return rescue();
      return changed();
    }
    if (::unlinkat(folder_.get(), kTemporary, 0) != 0) return wrong("cannot remove");
    return {};
  }

  const Change& change_;
  const Store& store_;
  const Place place_;
  Fd folder_;
  Owner owner_;
  Found now_;
};

}  // namespace

Result<std::string> install(const Change& change, const Store& store) {
  return Installing(change, store).run();
}

}  // namespace clusterd::always
