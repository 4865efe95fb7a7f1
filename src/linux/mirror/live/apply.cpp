#include "linux/mirror/live/apply.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "linux/mirror/live/walk.hpp"

namespace clusterd::live {

namespace ml = mirror::live;

namespace {

constexpr size_t kFewSyncs = 4;  // more files than that: one syncfs is less work
constexpr uint64_t kLargeFile = 256 * 1024;
constexpr size_t kMaxBases = 100'000;

ml::Failed::Reason reason_of(int error) {
  using Reason = ml::Failed::Reason;
  if (error == ESTALE) return Reason::kDiffers;
  if (is_absent(error)) return Reason::kAbsent;
  if (error == ENOSPC || error == EDQUOT) return Reason::kFull;
  if (error == EACCES || error == EPERM || error == EROFS) return Reason::kDenied;
  return Reason::kOther;
}

}  // namespace

Outcome<void> Applier::perform(Operation& operation) {
  if (operation.refused) return tl::unexpected(*operation.refused);
  return std::visit(
      [&](auto& what) -> Outcome<void> {
        using T = std::remove_reference_t<decltype(what)>;
        if constexpr (std::is_same_v<T, Nothing>) return {};
        if constexpr (std::is_same_v<T, Staged>) return name_file(what);
        if constexpr (std::is_same_v<T, ml::Make>) return make(what);
        if constexpr (std::is_same_v<T, ml::Check>) return check(what);
        if constexpr (std::is_same_v<T, ml::Rename>) return rename(what);
        if constexpr (std::is_same_v<T, ml::Link>) return link(what);
        if constexpr (std::is_same_v<T, ml::Remove>) return remove(what.path);
      },
      operation.what);
}

Applier::Result Applier::commit() {
  Result result;
  const auto fail_all = [&](const Failure& why) {
    for (const Operation& operation : batch_)
      result.failed.push_back({operation.number, reason_of(why.error), why.text});
  };
  Outcome<void> ready = sync_contents();
  if (ready && keeper_) ready = keep_victims();
  std::vector<const Operation*> done;
  if (!ready) {
    fail_all(ready.error());
  } else {
    for (Operation& operation : batch_) {
      auto ok = perform(operation);
      if (const auto* file = std::get_if<Staged>(&operation.what)) {
        if (ok)
          unfinished_.erase(file->path);
        else
          unfinished_.insert(file->path);
      }
      if (!ok) {
        result.failed.push_back({operation.number, reason_of(ok.error().error), ok.error().text});
      } else {
        done.push_back(&operation);
      }
    }
  }
  if (!batch_.empty()) result.last = batch_.back().number;
  if (!ready) note_unfinished(batch_);
  for (auto& [inode, touched] : touched_) set_mtime(touched.folder.get(), touched.mtime_ns);
  if (auto ok = sync_names(); !ok) {
    result.failed.clear();
    fail_all(ok.error());
    done.clear();
  }
  for (const Operation* operation : done) record(*operation);
  for (const auto& [inode, touched] : touched_) {
    if (done.empty()) break;
    if (auto now = look(touched.folder.get(), "")) store_.agreed(touched.path, *now);
  }
  for (Operation& operation : batch_) {
    auto* file = std::get_if<Staged>(&operation.what);
    if (file && file->old.valid()) replaced_.push_back(std::move(file->old));
  }
  batch_.clear();
  touched_.clear();
  inodes_.clear();
  staged_bytes_ = 0;
  return result;
}

void Applier::note_unfinished(const std::vector<Operation>& operations) {
  for (const Operation& operation : operations) {
    if (const auto* file = std::get_if<Staged>(&operation.what)) unfinished_.insert(file->path);
  }
}

Outcome<void> Applier::sync_contents() {
  std::vector<const Staged*> files;
  for (const Operation& operation : batch_) {
    const auto* file = std::get_if<Staged>(&operation.what);
    if (file && !file->failed) files.push_back(file);
  }
  if (files.size() <= kFewSyncs) {
    for (const Staged* file : files) {
      if (::fsync(file->file.get()) != 0) return failure("cannot sync", file->path);
    }
    return {};
  }
  std::set<uint64_t> done;
  for (const Staged* file : files) {
    struct stat st {};
    if (::fstat(file->file.get(), &st) != 0) return failure("cannot look at", file->path);
    if (done.insert(st.st_dev).second && ::syncfs(file->file.get()) != 0)
      return failure("cannot sync", file->path);
  }
  return {};
}

// In a resync everything that this batch takes away is in the backup set, durably, before anything happens.
Outcome<void> Applier::keep_victims() {
  for (const Operation& operation : batch_) {
    const std::string* path = nullptr;
    if (operation.refused) continue;  // it takes nothing away
    if (const auto* x = std::get_if<Staged>(&operation.what)) path = x->failed ? nullptr : &x->path;
    if (const auto* x = std::get_if<ml::Make>(&operation.what))
      path = x->status.type == 'd' ? nullptr : &x->path;
    if (const auto* x = std::get_if<ml::Rename>(&operation.what)) path = &x->to;
    if (const auto* x = std::get_if<ml::Link>(&operation.what)) path = &x->to;
    if (const auto* x = std::get_if<ml::Remove>(&operation.what)) path = &x->path;
    if (!path) continue;
    auto place = anchors_.place(*path);
    if (!place || place->name.empty()) continue;  // nothing there: the operation itself says what is wrong
    if (auto ok = keep_tree(place->folder.get(), place->name, *path); !ok) return ok;
  }
  return keeper_->durable();
}

Outcome<void> Applier::keep_tree(int folder, const std::string& name, const std::string& path) {
  auto there = look(folder, name);
  if (!there) return {};
  if (there->type != 'd') return keeper_->keep(folder, name, path);
  Fd self(::openat(folder, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!self.valid()) return failure("cannot open", path);
  auto names = list_directory(self.get(), path, {});
  if (!names) return tl::unexpected(Failure{EIO, names.error().message});
  for (const Named& each : *names) {
    if (auto ok = keep_tree(self.get(), each.name, path + "/" + each.name); !ok) return ok;
  }
  return {};
}

Outcome<void> Applier::sync_names() {
  if (touched_.size() + inodes_.size() <= kFewSyncs) {
    for (const auto& [inode, touched] : touched_) {
      if (::fsync(touched.folder.get()) != 0) return failure("cannot sync", touched.path);
    }
    for (const Fd& file : inodes_) {
      if (::fsync(file.get()) != 0) return failure("cannot sync", "a file");
    }
    return {};
  }
  std::set<uint64_t> done;
  const auto sync = [&](int fd) {
    struct stat st {};
    return ::fstat(fd, &st) == 0 && (!done.insert(st.st_dev).second || ::syncfs(fd) == 0);
  };
  for (const auto& [inode, touched] : touched_) {
    if (!sync(touched.folder.get())) return failure("cannot sync", touched.path);
  }
  for (const Fd& file : inodes_) {
    if (!sync(file.get())) return failure("cannot sync", "a file");
  }
  return {};
}

void Applier::record(const Operation& operation) {
  const std::string* path = nullptr;
  if (const auto* x = std::get_if<Staged>(&operation.what)) path = &x->path;
  if (const auto* x = std::get_if<ml::Make>(&operation.what)) path = &x->path;
  if (const auto* x = std::get_if<ml::Check>(&operation.what)) path = &x->path;
  if (const auto* x = std::get_if<ml::Link>(&operation.what)) path = &x->to;
  if (const auto* x = std::get_if<ml::Remove>(&operation.what)) return store_.gone(x->path);
  if (const auto* x = std::get_if<ml::Rename>(&operation.what)) {
    store_.moved(x->from, x->to);
    path = &x->to;
  }
  if (!path) return;
  auto now = look(anchors_, *path);
  if (!now) return;
  if (std::holds_alternative<Staged>(operation.what) && now->size >= kLargeFile) {
    if (bases_.size() > kMaxBases) bases_.clear();
    bases_[{now->device, now->inode}] = {0, now->ctime_ns, operation.number};
  }
  store_.agreed(*path, *now);
}

}  // namespace clusterd::live
