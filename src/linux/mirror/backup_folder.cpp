#include "linux/mirror/backup_folder.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string_view>
#include <vector>

namespace clusterd {
namespace {

constexpr std::string_view kBeingMade = ".new-", kBeingRemoved = ".old-";

tl::unexpected<Error> cannot_remove(const std::string& name) {
  return fail(Code::kRefused, errno_text("cannot remove", name));
}

Result<std::vector<std::string>> names_in(int folder, const std::string& name) {
  const int copy = ::fcntl(folder, F_DUPFD_CLOEXEC, 0);
  DIR* dir = copy < 0 ? nullptr : ::fdopendir(copy);
  if (!dir) {
    if (copy >= 0) ::close(copy);
    return cannot_remove(name);
  }
  std::vector<std::string> names;
  while (const dirent* d = ::readdir(dir)) {
    const std::string_view n = d->d_name;
    if (n != "." && n != "..") names.emplace_back(n);
  }
  ::closedir(dir);
  return names;
}

// Another process may be at it, too: what is gone is gone.
Result<void> remove_tree(int parent, const std::string& name) {
  const Fd fd(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) {
    if (errno == ENOENT) return {};
    if (errno != ENOTDIR && errno != ELOOP) return cannot_remove(name);
    return ::unlinkat(parent, name.c_str(), 0) == 0 || errno == ENOENT ? Result<void>() : cannot_remove(name);
  }
  const auto names = names_in(fd.get(), name);
  if (!names) return tl::unexpected(names.error());
  for (const std::string& n : *names) {
    if (auto ok = remove_tree(fd.get(), n); !ok) return ok;
  }
  if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) return cannot_remove(name);
  return {};
}

// What an interrupted removal has left.
Result<void> remove_old(const Fd& folder, const std::string& name) {
  const auto names = names_in(folder.get(), name);
  if (!names) return tl::unexpected(names.error());
  for (const std::string& n : *names) {
    if (!n.starts_with(kBeingRemoved)) continue;
    if (auto ok = remove_tree(folder.get(), n); !ok) return ok;
  }
  return {};
}

Result<void> rename_in(const Fd& folder, const std::string& from, const std::string& to) {
  if (::renameat2(folder.get(), from.c_str(), folder.get(), to.c_str(), RENAME_NOREPLACE) != 0)
    return fail(Code::kRefused, errno_text("cannot rename", from));
  if (::fsync(folder.get()) != 0) return fail(Code::kRefused, errno_text("cannot sync", "the backup sets"));
  return {};
}

Result<Fd> open_folder(const SetPlace& place) {
  const std::string path = place.sets();
  Fd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid()) return fail(Code::kRefused, errno_text("cannot open", path));
  return folder;
}

}  // namespace

Result<void> make_set(const SetPlace& place, const BackupSet& set, const std::string& maker) {
  const std::string fresh = std::string(kBeingMade) + maker, path = place.sets() + "/" + fresh;
  if (auto ok = make_directories(place.sets(), 0700); !ok) return ok;
  const auto folder = open_folder(place);
  if (!folder) return tl::unexpected(folder.error());
  if (auto ok = remove_old(*folder, place.sets()); !ok) return ok;
  if (auto ok = remove_tree(folder->get(), fresh); !ok) return ok;
  if (auto ok = make_directories(path + "/files", 0700); !ok) return ok;
  if (auto ok = write_meta(path, set); !ok) return ok;
  return rename_in(*folder, fresh, place.name);
}

Result<void> remove_set(const SetPlace& place) {
  const auto folder = open_folder(place);
  if (!folder) return tl::unexpected(folder.error());
  if (auto ok = remove_old(*folder, place.sets()); !ok) return ok;
  const std::string old = std::string(kBeingRemoved) + place.name;
  if (auto ok = rename_in(*folder, place.name, old); !ok) return ok;
  return remove_tree(folder->get(), old);
}

}  // namespace clusterd
