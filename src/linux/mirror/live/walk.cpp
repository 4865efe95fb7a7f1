#include "linux/mirror/live/walk.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>

#include "linux/mirror/files.hpp"
#include "mirror/escape.hpp"
#include "mirror/exclude.hpp"

namespace clusterd::live {
namespace {

constexpr size_t kAhead = 512;           // directories read and not used yet
constexpr size_t kAheadNames = 200'000;  // and the names in them

struct RawName {  // linux_dirent64
  uint64_t inode;
  int64_t offset;
  unsigned short length;
  unsigned char type;
  char name[1];
};

// One directory: waiting to be read, being read, or read.
struct Folder {
  std::shared_ptr<Folder> parent;  // its descriptor is needed to open this one
  std::string name, path;
  enum class State { kWaiting, kReading, kRead } state = State::kWaiting;
  Fd fd;
  Result<std::vector<Named>> names = std::vector<Named>{};
  std::vector<std::shared_ptr<Folder>> children;  // of the directories among them, in order
};

}  // namespace

Result<std::vector<Named>> list_directory(int folder, const std::string& path,
                                          const std::vector<std::string>& exclude) {
  std::vector<Named> out;
  alignas(8) char buffer[64 * 1024];
  while (true) {
    const long n = ::syscall(SYS_getdents64, folder, buffer, sizeof buffer);
    if (n < 0 && errno == ENOENT) return fail(Code::kRetry, "the directory is gone");
    if (n < 0) return fail(Code::kRefused, errno_text("cannot read the directory", path));
    if (n == 0) break;
    for (long at = 0; at < n;) {
      const auto* raw = reinterpret_cast<const RawName*>(buffer + at);
      at += raw->length;
      if (std::strcmp(raw->name, ".") == 0 || std::strcmp(raw->name, "..") == 0) continue;
      out.push_back({raw->name, {}});
    }
  }
  std::sort(out.begin(), out.end(), [](const Named& a, const Named& b) { return a.name < b.name; });
  size_t kept = 0;
  for (Named& each : out) {
    auto status = look(folder, each.name);
    if (!status) {
      if (is_absent(status.error().error)) continue;
      return fail(Code::kRefused, fmt::format("in {}: {}", mirror::escape(path), status.error().text));
    }
    if (!exclude.empty() && mirror::excluded(exclude, path + "/" + each.name, status->type == 'd')) continue;
    each.status = *status;
    if (&out[kept] != &each) out[kept] = std::move(each);
    ++kept;
  }
  out.resize(kept);
  return out;
}

class TreeWalk::Impl {
 public:
  Impl(const Anchors& anchors, std::vector<std::string> scopes, const std::vector<std::string>& exclude)
      : anchors_(anchors), scopes_(std::move(scopes)), exclude_(exclude) {
    reader_ = std::thread([this] { read_ahead(); });
  }
  ~Impl() {
    {
      const std::lock_guard lock(mutex_);
      end_ = true;
    }
    wake_.notify_all();
    reader_.join();
    let_go();
  }

  Result<Step> next() {
    Step step;
    if (entered_) {  // a directory was handed out last: its names come now
      auto folder = std::exchange(entered_, nullptr);
      if (auto ok = obtain(folder); !ok) return tl::unexpected(ok.error());
      levels_.push_back({folder, 0, 0});
    }
    if (levels_.empty()) {
      if (scope_ == scopes_.size()) return step;
      return begin_scope();
    }
    Level& level = levels_.back();
    Folder& folder = *level.folder;
    if (level.at == folder.names->size()) {
      path_ = folder.path;
      levels_.pop_back();
      step.kind = Step::Kind::kLeave;
      step.path = path_;
      return step;
    }
    Named& entry = (*folder.names)[level.at++];
    path_ = folder.path + "/" + entry.name;
    step.kind = Step::Kind::kEntry;
    step.path = path_;
    step.folder = folder.path;
    step.status = entry.status;
    if (entry.status.type == 'd') entered_ = std::move(folder.children[level.child++]);
    return step;
  }

 private:
  struct Level {
    std::shared_ptr<Folder> folder;
    size_t at = 0, child = 0;
  };

  // What is read and was not walked through holds its parent, which holds it: with their descriptors.
  void let_go() {
    std::vector<std::shared_ptr<Folder>> held{std::exchange(entered_, nullptr)};
    for (Level& level : levels_) held.push_back(std::move(level.folder));
    while (!held.empty()) {
      const auto folder = std::move(held.back());
      held.pop_back();
      if (!folder) continue;
      folder->parent.reset();
      std::move(folder->children.begin(), folder->children.end(), std::back_inserter(held));
      folder->children.clear();
    }
  }

  Result<Step> begin_scope() {
    Step step;
    while (scope_ < scopes_.size()) {
      const std::string& path = scopes_[scope_++];
      auto fd = anchors_.open_at(path, O_PATH);
      if (!fd) {
        if (is_absent(fd.error().error)) continue;
        return fail(Code::kRefused, fd.error().text);
      }
      auto status = look(fd->get(), "");
      if (!status) return fail(Code::kRefused, status.error().text);
      path_ = path;
      step.kind = Step::Kind::kEntry;
      step.path = path_;
      step.status = *status;
      if (status->type == 'd') {
        auto folder = std::make_shared<Folder>();
        folder->path = path;
        entered_ = std::move(folder);
      }
      return step;
    }
    return step;
  }

  Result<void> read(Folder& folder) {
    if (folder.parent) {
      folder.fd = Fd(::openat(folder.parent->fd.get(), folder.name.c_str(),
                              O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    } else {
      auto fd = anchors_.open_at(folder.path, O_RDONLY | O_DIRECTORY);
      if (fd) folder.fd = std::move(*fd);
      errno = fd ? 0 : fd.error().error;
    }
    if (!folder.fd.valid()) {
      if (is_absent(errno)) return {};  // it has vanished: its deletion is found as such later
      return fail(Code::kRefused, errno_text("cannot read the directory", folder.path));
    }
    auto names = list_directory(folder.fd.get(), folder.path, exclude_);
    if (!names && names.error().code == Code::kRetry) return {};
    folder.names = std::move(names);
    return folder.names ? Result<void>() : tl::unexpected(folder.names.error());
  }

  void add_children(const std::shared_ptr<Folder>& folder) {
    for (const Named& each : *folder->names) {
      if (each.status.type != 'd') continue;
      auto child = std::make_shared<Folder>();
      child->parent = folder;
      child->name = each.name;
      child->path = folder->path + "/" + each.name;
      folder->children.push_back(std::move(child));
    }
  }

  // Reads `folder` here and now unless the other thread has, or is at it.
  Result<void> obtain(const std::shared_ptr<Folder>& folder) {
    std::unique_lock lock(mutex_);
    if (folder->state == Folder::State::kReading) {
      wake_.wait(lock, [&] { return folder->state == Folder::State::kRead; });
    }
    if (folder->state == Folder::State::kRead) {
      --ahead_;
      ahead_names_ -= folder->names ? folder->names->size() : 0;
      wake_.notify_all();
    } else {
      folder->state = Folder::State::kReading;
      lock.unlock();
      auto done = read(*folder);
      lock.lock();
      folder->state = Folder::State::kRead;
      if (!done) return done;
      add_children(folder);
      offer(folder);
    }
    folder->parent.reset();
    return folder->names ? Result<void>() : tl::unexpected(folder->names.error());
  }

  // The children go to the front: they are wanted first.
  void offer(const std::shared_ptr<Folder>& folder) {
    waiting_.insert(waiting_.begin(), folder->children.begin(), folder->children.end());
    if (!folder->children.empty()) wake_.notify_all();
  }

  void read_ahead() {
    std::unique_lock lock(mutex_);
    while (true) {
      wake_.wait(
          lock, [&] { return end_ || (!waiting_.empty() && ahead_ < kAhead && ahead_names_ < kAheadNames); });
      if (end_) return;
      auto folder = std::move(waiting_.front());
      waiting_.pop_front();
      if (folder->state != Folder::State::kWaiting) continue;
      folder->state = Folder::State::kReading;
      lock.unlock();
      if (auto done = read(*folder); !done) folder->names = tl::unexpected(done.error());
      lock.lock();
      folder->state = Folder::State::kRead;
      ++ahead_;
      if (folder->names) {
        ahead_names_ += folder->names->size();
        add_children(folder);
        offer(folder);
      }
      wake_.notify_all();
    }
  }

  const Anchors& anchors_;
  std::vector<std::string> scopes_;
  const std::vector<std::string>& exclude_;
  size_t scope_ = 0;
  std::vector<Level> levels_;
  std::shared_ptr<Folder> entered_;
  std::string path_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Folder>> waiting_;
  size_t ahead_ = 0, ahead_names_ = 0;
  bool end_ = false;
  std::thread reader_;
};

bool holds_a_file(const Anchors& anchors, const std::string& root, const std::vector<std::string>& exclude) {
  TreeWalk walk(anchors, {root}, exclude);
  while (true) {
    auto step = walk.next();
    if (!step || step->kind == TreeWalk::Step::Kind::kEnd) return false;
    if (step->kind == TreeWalk::Step::Kind::kEntry && step->status.type != 'd') return true;
  }
}

TreeWalk::TreeWalk(const Anchors& anchors, std::vector<std::string> scopes,
                   const std::vector<std::string>& exclude)
    : impl_(std::make_unique<Impl>(anchors, std::move(scopes), exclude)) {}
TreeWalk::~TreeWalk() = default;
Result<TreeWalk::Step> TreeWalk::next() { return impl_->next(); }

}  // namespace clusterd::live
