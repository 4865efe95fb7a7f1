// Who can still write below a folder that was guarded while he was there: files that are open for writing,
// and folders that somebody works in, on the mount beneath the guard.
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <memory>
#include <set>

#include "linux/mirror/guard.hpp"
#include "linux/mirror/mounts.hpp"
#include "mirror/escape.hpp"

namespace clusterd {
namespace {

constexpr size_t kMostNamed = 3;

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> out;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(folder.c_str()), ::closedir);
  while (const dirent* entry = dir ? ::readdir(dir.get()) : nullptr) {
    if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9') out.emplace_back(entry->d_name);
  }
  return out;
}

std::string link_at(const std::string& path) {
  std::string text(PATH_MAX, '\0');
  const ssize_t length = ::readlink(path.c_str(), text.data(), text.size());
  text.resize(length < 0 ? 0 : static_cast<size_t>(length));
  return text;
}

// The kernel's "flags:\t0100002" and "mnt_id:\t29" of an open file.
struct Opened {
  bool for_writing = false;
  uint64_t mount = 0;
};
Opened opened(const std::string& process, const std::string& fd) {
  Opened out;
  const auto text = read_whole_file(process + "/fdinfo/" + fd, 1 << 16);
  const auto number = [&](const char* key, int base) -> uint64_t {
    const size_t at = text ? text->find(key) : std::string::npos;
    return at == std::string::npos
               ? 0
               : std::strtoull(text->c_str() + at + std::string_view(key).size(), nullptr, base);
  };
  const auto flags = number("flags:", 8);
  out.for_writing = (flags & O_ACCMODE) != O_RDONLY && (flags & O_PATH) == 0;
  out.mount = number("mnt_id:", 10);
  return out;
}

uint64_t mount_of(const std::string& path) {
  struct statx facts {};
  if (::statx(AT_FDCWD, path.c_str(), 0, STATX_MNT_ID, &facts) != 0) return 0;
  return facts.stx_mnt_id;
}

// What the process has there, in words; "": nothing.
std::string hold_of(const std::string& process, const std::string& folder,
                    const std::set<uint64_t>& beneath) {
  for (const std::string& fd : names_in(process + "/fd")) {
    const std::string path = link_at(process + "/fd/" + fd);
    if (!is_inside(path, folder)) continue;
    const Opened file = opened(process, fd);
    if (file.for_writing && beneath.contains(file.mount))
      return fmt::format("has {} open for writing", mirror::escape(path));
  }
  const std::string works_in = link_at(process + "/cwd");
  if (is_inside(works_in, folder) && beneath.contains(mount_of(process + "/cwd")))
    return fmt::format("works in {}", mirror::escape(works_in));
  return "";
}

}  // namespace

std::string writers_from_before(const std::string& folder) {
  const auto mounts = read_mounts();
  std::set<uint64_t> guarded;
  for (const MountPoint& mount : mounts) {
    if (mount.point != folder || !is_guard(mount, mounts)) continue;
    for (const MountPoint* below : mounts_from(mount.id, mounts)) guarded.insert(below->id);
  }
  std::set<uint64_t> beneath;
  for (const MountPoint& mount : mounts) {
    const bool near = is_inside(mount.point, folder) || is_inside(folder, mount.point);
    if (near && !guarded.contains(mount.id)) beneath.insert(mount.id);
  }
  std::string out;
  size_t count = 0;
  for (const std::string& pid : names_in("/proc")) {
    const std::string process = "/proc/" + pid;
    const std::string hold = hold_of(process, folder, beneath);
    if (hold.empty() || ++count > kMostNamed) continue;
    auto name = read_whole_file(process + "/comm", 64);
    if (name) name->erase(std::min(name->find('\n'), name->size()));
    out += fmt::format("{}process {} ({}) {}", out.empty() ? "" : "; ", pid,
                       name ? mirror::escape(*name) : "?", hold);
  }
  if (count > kMostNamed) out += fmt::format("; and {} more", count - kMostNamed);
  return out;
}

}  // namespace clusterd
