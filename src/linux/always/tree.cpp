#include "linux/always/tree.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "mirror/exclude.hpp"

namespace clusterd::always {

namespace {

constexpr int kDeepest = 64;  // each level holds a descriptor

struct Closer {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

}  // namespace

Stand Tree::look(const AlwaysConfig& config, int64_t now_ms) {
  owners_ = {};  // who was created since, is known now
  now_.clear();
  for (const std::string& listed : config.paths) look_at_listed(config, listed);
  for (auto& [path, known] : now_) {
    const auto before = last_.find(path);
    known.since_ms = before != last_.end() && known.still(before->second) ? before->second.since_ms : now_ms;
  }
  Stand out;
  if (!first_ms_) first_ms_ = now_ms;
  if (now_ms - *first_ms_ < kSettleMs) {
    out.halted = "it has only just started";
  } else {
    counts_ = settle(now_ms, out.settled);
    ready_ = true;
    out.halted = too_much();
    if (out.halted.empty()) out.entries = counts_;
  }
  last_ = std::move(now_);
  trusted_.clear();
  return out;
}

// What counts from now on.
std::map<std::string, Entry> Tree::settle(int64_t now_ms, bool& settled) {
  std::map<std::string, Entry> counts;
  // What changes just after the start stands for nothing yet: least of all for deleted.
  Entry unknown;
  unknown.kind = Kind::kOpaque;
  unknown.content = "it is just being written";
  if (!ready_)
    for (const auto& [path, unused] : last_) counts_.emplace(path, unknown);
  settled = true;
  for (const auto& [path, known] : now_) {
    gone_.erase(path);
    const auto counted = counts_.find(path);
    if (trusted_.contains(path) || now_ms - known.since_ms >= kSettleMs) {
      counts.emplace(path, known.entry);
    } else {
      settled = false;
      if (counted != counts_.end())
        counts.insert(*counted);
      else if (!ready_)
        counts.emplace(path, unknown);
    }
  }
  // All that is gone counts at once, when nothing more has vanished for a while: a directory that is emptied
  // slowly is an emptied one, too.
  int64_t last_ms = INT64_MIN / 2;
  for (const auto& [path, entry] : counts_)
    if (!now_.contains(path) && !trusted_.contains(path))
      last_ms = std::max(last_ms, gone_.try_emplace(path, now_ms).first->second);
  for (const auto& [path, entry] : counts_) {
    if (now_.contains(path)) continue;
    if (trusted_.contains(path) || now_ms - last_ms >= kQuietMs) {
      gone_.erase(path);
    } else {
      counts.emplace(path, entry);
      settled = false;
    }
  }
  return counts;
}

std::string Tree::too_much() const {
  if (now_.size() > kMaxEntries) return fmt::format("more than {} files are listed", kMaxEntries);
  uint64_t bytes = 0;
  for (const auto& [path, known] : now_)
    if (known.entry.kind == Kind::kFile) bytes += known.entry.size;
  return bytes > kMaxAllBytes ? "more than 64 MiB are listed" : "";
}

void Tree::note_opaque(const std::string& path, std::string why) {
  Known known;
  known.entry.kind = Kind::kOpaque;
  known.entry.content = std::move(why);
  now_.insert_or_assign(path, std::move(known));
}

bool Tree::note(int folder, const std::string& name, const std::string& path) {
  Found found = glance_at(folder, name, owners_);
  if (!found.entry.there()) return false;
  const auto before = last_.find(path);
  const bool same_file =
      before != last_.end() && Known{found.entry, found.signature, found.ctime_ns}.still(before->second);
  bool read = !same_file;
  if (found.entry.kind == Kind::kFile) {
    read = !same_file || before->second.entry.kind != Kind::kFile;
    if (read)
      found = look_at(folder, name, owners_);
    else
      found.entry.content = before->second.entry.content;
  }
  if (found.entry.there()) now_.insert_or_assign(path, Known{found.entry, found.signature, found.ctime_ns});
  return read;
}

void Tree::look_at_listed(const AlwaysConfig& config, const std::string& listed) {
  const bool wants_folder = listed.back() == '/';
  const std::string path = bare(listed);
  const Place place = place_of(path);
  const Fd folder(open_without_symlinks(place.folder, O_RDONLY | O_DIRECTORY));
  if (folder.get() < 0) {
    if (errno == ELOOP)
      return note_opaque(path, "there is a symbolic link on the way to it; list where it leads");
    if (errno != ENOENT && errno != ENOTDIR)
      note_opaque(path, fmt::format("it cannot be reached: {}", std::strerror(errno)));
    return;
  }
  if (note(folder.get(), place.name, path) && !wants_folder) ::fsync(folder.get());
  const auto found = now_.find(path);
  if (found == now_.end() || found->second.entry.kind == Kind::kOpaque ||
      found->second.entry.kind == Kind::kSpecial)
    return;
  const bool is_folder = found->second.entry.kind == Kind::kFolder;
  if (is_folder && !wants_folder)
    return note_opaque(path, "it is a directory, and is listed without \"/\" at its end");
  if (!is_folder && wants_folder) return note_opaque(path, "it is no directory");
  if (!is_folder) return;
  const Fd own(::openat(folder.get(), place.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (own.get() < 0) return note_opaque(path, fmt::format("it cannot be read: {}", std::strerror(errno)));
  walk(config, own.get(), path, found->second.signature.dev, 0);
}

void Tree::walk(const AlwaysConfig& config, int folder, const std::string& path, dev_t device, int depth) {
  const int copy = ::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, Closer> dir(copy < 0 ? nullptr : ::fdopendir(copy));
  if (!dir) return note_opaque(path, fmt::format("it cannot be read: {}", std::strerror(errno)));
  bool any_read = false;
  while (now_.size() <= kMaxEntries) {
    errno = 0;
    const dirent* item = ::readdir(dir.get());
    if (item == nullptr && errno != 0)
      return note_opaque(path, fmt::format("it cannot be read: {}", std::strerror(errno)));
    if (item == nullptr) break;
    const std::string name = item->d_name;
    if (name == "." || name == "..") continue;
    if (name == kTemporary) {
      ::unlinkat(folder, kTemporary, 0);  // of a run that was killed; nothing is being written now
      continue;
    }
    const std::string full = path + "/" + name;
    struct stat info {};
    if (::fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) continue;  // gone meanwhile
    const bool is_folder = S_ISDIR(info.st_mode);
    if (mirror::excluded(config.exclude, full, is_folder)) continue;
    if (full.size() > kMaxPathBytes) {
      note_opaque(path, "it holds a path that is too long");
      continue;
    }
    any_read = note(folder, name, full) || any_read;
    if (!is_folder) continue;
    if (info.st_dev != device) {
      note_opaque(full, "it is a mount point");
    } else if (depth >= kDeepest) {
      note_opaque(full, "it lies too deep");
    } else {
      const Fd below(::openat(folder, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (below.get() >= 0)
        walk(config, below.get(), full, device, depth + 1);
      else if (errno != ENOENT)
        note_opaque(full, fmt::format("it cannot be read: {}", std::strerror(errno)));
    }
  }
  if (any_read) ::fsync(folder);
}

}  // namespace clusterd::always
