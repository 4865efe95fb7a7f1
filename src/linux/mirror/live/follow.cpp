#include "linux/mirror/live/follow.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <map>
#include <mutex>
#include <thread>

#include "linux/mirror/live/walk.hpp"
#include "mirror/escape.hpp"
#include "mirror/exclude.hpp"
#include "mirror/live/dirty.hpp"

#ifndef FAN_REPORT_TARGET_FID
#define FAN_REPORT_TARGET_FID 0x00001000
#endif
#ifndef FAN_RENAME
#define FAN_RENAME 0x10000000
#endif
#ifndef FAN_EVENT_INFO_TYPE_OLD_DFID_NAME
#define FAN_EVENT_INFO_TYPE_OLD_DFID_NAME 10
#endif
#ifndef FAN_EVENT_INFO_TYPE_NEW_DFID_NAME
#define FAN_EVENT_INFO_TYPE_NEW_DFID_NAME 12
#endif

namespace clusterd::live {
namespace {

namespace ml = mirror::live;

constexpr uint64_t kMask =
    FAN_CREATE | FAN_DELETE | FAN_RENAME | FAN_ATTRIB | FAN_MODIFY | FAN_CLOSE_WRITE | FAN_ONDIR;
constexpr unsigned kInit = FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE |
                           FAN_UNLIMITED_MARKS | FAN_REPORT_DIR_FID | FAN_REPORT_NAME | FAN_REPORT_FID |
                           FAN_REPORT_TARGET_FID;
constexpr size_t kBuffer = 256 * 1024;
constexpr size_t kMaxBatch = 100'000;  // hints that are turned at once
constexpr size_t kMaxDirectoryRenames = 200;
constexpr int kGather = 1;         // ms
constexpr int kGatherWritten = 4;  // … while there are only writers that go on, whose files rest anyway
constexpr int kTries = 20;         // to open all handles of a batch before the next directory is renamed

// A directory's handle and a name in it.
struct Within {
  std::string handle;  // with its type in front
  std::string name;
};

struct Raw {
  uint64_t mask = 0;
  Within one, two;  // two: where a rename leads to
  std::string object;
};

std::string handle_text(const file_handle* handle) {
  std::string text(reinterpret_cast<const char*>(&handle->handle_type), sizeof handle->handle_type);
  text.append(reinterpret_cast<const char*>(handle->f_handle), handle->handle_bytes);
  return text;
}

Fd open_handle(int mount, const std::string& text) {
  alignas(file_handle) char space[sizeof(file_handle) + MAX_HANDLE_SZ];
  auto* raw = reinterpret_cast<file_handle*>(space);
  if (text.size() < sizeof raw->handle_type || text.size() - sizeof raw->handle_type > MAX_HANDLE_SZ) {
    errno = EINVAL;
    return {};
  }
  std::memcpy(&raw->handle_type, text.data(), sizeof raw->handle_type);
  raw->handle_bytes = static_cast<unsigned>(text.size() - sizeof raw->handle_type);
  std::memcpy(raw->f_handle, text.data() + sizeof raw->handle_type, raw->handle_bytes);
  return Fd(::open_by_handle_at(mount, raw, O_PATH | O_CLOEXEC));
}

void read_info(const char* at, const char* end, Raw& raw) {
  while (at + sizeof(fanotify_event_info_header) <= end) {
    fanotify_event_info_header head{};
    std::memcpy(&head, at, sizeof head);
    if (head.len < sizeof(fanotify_event_info_fid) || at + head.len > end) return;
    const auto* fid = reinterpret_cast<const fanotify_event_info_fid*>(at);
    const auto* handle = reinterpret_cast<const file_handle*>(fid->handle);
    const char* name = reinterpret_cast<const char*>(handle->f_handle) + handle->handle_bytes;
    const char* const record_end = at + head.len;
    at = record_end;
    if (name > record_end) return;
    const std::string text = handle_text(handle);
    switch (head.info_type) {
      case FAN_EVENT_INFO_TYPE_FID:
        raw.object = text;
        break;
      case FAN_EVENT_INFO_TYPE_DFID_NAME:
      case FAN_EVENT_INFO_TYPE_OLD_DFID_NAME:
        raw.one = {text, std::string(name, ::strnlen(name, static_cast<size_t>(record_end - name)))};
        break;
      case FAN_EVENT_INFO_TYPE_NEW_DFID_NAME:
        raw.two = {text, std::string(name, ::strnlen(name, static_cast<size_t>(record_end - name)))};
        break;
      default:
        break;
    }
  }
}

}  // namespace

class Follower::Impl {
 public:
  Impl(const Anchors& anchors, const std::vector<std::string>& exclude, Sink sink)
      : anchors_(anchors), exclude_(exclude), sink_(std::move(sink)) {}
  ~Impl() {
    stop_ = true;
    wake();
    if (thread_.joinable()) thread_.join();
  }

  Result<void> start() {
    wake_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    fanotify_ = Fd(::fanotify_init(kInit, O_RDONLY | O_CLOEXEC));
    if (!fanotify_.valid()) {
      return fail(Code::kConfig,
                  fmt::format("the kernel cannot follow changes (fanotify): {}", std::strerror(errno)));
    }
    for (const std::string& root : anchors_.anchors()) {
      const int folder = anchors_.file_system(root);
      if (::fanotify_mark(fanotify_.get(), FAN_MARK_ADD | FAN_MARK_FILESYSTEM, kMask, folder, ".") != 0) {
        return fail(Code::kConfig, fmt::format("changes below {} cannot be followed (fanotify): {}",
                                               mirror::escape(root), std::strerror(errno)));
      }
      // A mark may be had where no handle opens again (overlayfs): then every hint would be of something
      // gone.
      const std::string handle = object_at(folder, "");
      if (handle.empty() || !open_handle(folder, handle).valid()) {
        return fail(Code::kConfig,
                    fmt::format("changes below {} cannot be followed: its file system opens no handles ({})",
                                mirror::escape(root), std::strerror(errno)));
      }
      mounts_.push_back(folder);
    }
    thread_ = std::thread([this] { run(); });
    return {};
  }

  [[nodiscard]] std::chrono::steady_clock::time_point delivered() const { return delivered_; }

  void drain() {
    std::unique_lock lock(mutex_);
    const uint64_t wanted = ++drains_wanted_;
    wake();
    drained_.wait(lock, [&] { return drains_done_ >= wanted || stop_; });
  }

 private:
  void wake() {
    const uint64_t one = 1;
    (void)!::write(wake_.get(), &one, sizeof one);
  }

  void run() {
    std::vector<char> buffer(kBuffer);
    while (!stop_) {
      uint64_t wanted = 0;
      {
        const std::lock_guard lock(mutex_);
        wanted = drains_wanted_;
      }
      if (wanted == drains_done_) {
        pollfd fds[2] = {{fanotify_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
        (void)::poll(fds, 2, carried_.empty() ? -1 : 0);
        uint64_t count = 0;
        (void)!::read(wake_.get(), &count, sizeof count);
        {
          const std::lock_guard lock(mutex_);
          wanted = drains_wanted_;
        }
        // What comes in a burst is taken together, unless somebody waits.
        if (wanted == drains_done_ && !stop_) {
          pollfd somebody{wake_.get(), POLLIN, 0};
          (void)::poll(&somebody, 1, written_only_ ? kGatherWritten : kGather);
        }
      }
      read_all(buffer, wanted);
    }
  }

  // One batch; `wanted`: drains that were asked for before.
  void read_all(std::vector<char>& buffer, uint64_t wanted) {
    if (!goal_) {
      const auto now = std::chrono::steady_clock::now();
      goal_ = Goal{read_ + queued(), wanted, now};
    }
    std::vector<Raw> raws = std::exchange(carried_, {});
    bool lost = false;
    read_some(buffer, raws, lost);
    open_handles(buffer, raws, lost);
    auto hints = turn(raws, lost);
    if (lost) {
      hints.clear();
      for (const std::string& root : anchors_.roots())
        hints.push_back({Hint::Kind::kLost, root, "", "", true});
    }
    if (!hints.empty()) {
      written_only_ =
          std::ranges::all_of(hints, [](const Hint& hint) { return hint.kind == Hint::Kind::kWritten; });
      sink_(std::move(hints));
    }
    if (read_ - carried_.size() < goal_->read) return;
    delivered_ = goal_->at;
    const std::lock_guard lock(mutex_);
    drains_done_ = goal_->drains;
    goal_.reset();
    drained_.notify_all();
  }

  // Events that the kernel holds now; more may be merged into them, and others come behind them.
  uint64_t queued() const {
    unsigned bytes = 0;  // of their heads alone (fanotify_ioctl)
    (void)::ioctl(fanotify_.get(), FIONREAD, &bytes);
    return bytes / FAN_EVENT_METADATA_LEN;
  }

  void read_some(std::vector<char>& buffer, std::vector<Raw>& raws, bool& lost) {
    for (const size_t most = raws.size() + kMaxBatch; raws.size() < most;) {
      const ssize_t n = ::read(fanotify_.get(), buffer.data(), buffer.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) {
        read_ = std::max(read_, goal_->read);  // whatever the kernel counts as one: nothing is left
        return;
      }
      const char* const end = buffer.data() + n;
      for (const char* at = buffer.data(); at + FAN_EVENT_METADATA_LEN <= end;) {
        fanotify_event_metadata event{};
        std::memcpy(&event, at, sizeof event);
        if (event.event_len < FAN_EVENT_METADATA_LEN || at + event.event_len > end) break;
        ++read_;
        if (event.fd >= 0) ::close(event.fd);
        Raw raw;
        raw.mask = event.mask;
        read_info(at + event.metadata_len, at + event.event_len, raw);
        at += event.event_len;
        if ((event.mask & FAN_Q_OVERFLOW) != 0 || event.vers != FANOTIFY_METADATA_VERSION)
          lost = true;
        else
          raws.push_back(std::move(raw));
      }
    }
  }

  static bool moves_folder(const Raw& raw) {
    return (raw.mask & FAN_RENAME) != 0 && (raw.mask & FAN_ONDIR) != 0;
  }

  // Each handle's path, all as of one moment: no directory is renamed between the batch's last hint and then.
  void open_handles(std::vector<char>& buffer, std::vector<Raw>& raws, bool& lost) {
    for (int tries = 0; tries < kTries && !lost; ++tries) {
      known_.clear();
      for (const Raw& raw : raws) {
        if (!raw.one.handle.empty()) (void)folder_now(raw.one.handle, lost);
        if (!raw.two.handle.empty()) (void)folder_now(raw.two.handle, lost);
      }
      std::vector<Raw> more;
      read_some(buffer, more, lost);
      if (std::none_of(more.begin(), more.end(), moves_folder)) {
        carried_ = std::move(more);
        return;
      }
      std::move(more.begin(), more.end(), std::back_inserter(raws));
    }
    lost = true;
  }

  struct Folder {
    std::optional<std::string> path;  // nullopt: it is gone, or not below a root
    bool gone = true;
  };
  // Where the directory is now.
  const Folder& folder_now(const std::string& handle, bool& lost) {
    auto [it, fresh] = known_.try_emplace(handle);
    Folder& folder = it->second;
    if (!fresh) return folder;
    for (const int mount : mounts_) {
      Fd fd = open_handle(mount, handle);
      if (!fd.valid()) {
        if (errno != ESTALE && errno != ENOENT && errno != EINVAL) lost = true;
        continue;
      }
      struct stat st {};
      folder.gone = folder.gone && ::fstat(fd.get(), &st) == 0 && st.st_nlink == 0;
      folder.path = path_of(fd.get());
      if (folder.path) break;
    }
    return folder;
  }

  // Below a root, longer than PATH_MAX as well.
  std::optional<std::string> path_of(int fd) const {
    std::string text(4096, '\0');
    const ssize_t n = ::readlink(fmt::format("/proc/self/fd/{}", fd).c_str(), text.data(), text.size());
    if (n < 0 && errno == ENAMETOOLONG) return long_path_of(fd);
    if (n <= 0 || text[0] != '/') return std::nullopt;
    text.resize(static_cast<size_t>(n));
    if (!anchors_.covers(text) && !holds_a_root(text)) return std::nullopt;
    // A name may end with " (deleted)" by itself: what is really deleted has no links.
    struct stat st {};
    if (text.size() > 10 && text.compare(text.size() - 10, 10, " (deleted)") == 0 && ::fstat(fd, &st) == 0 &&
        st.st_nlink == 0)
      return std::nullopt;
    return text;
  }

  // The kernel tells no path of this length: name by name, upwards.
  std::optional<std::string> long_path_of(int fd) const {
    std::string tail;
    Fd here(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    for (int steps = 0; steps < 4096; ++steps) {
      Fd above(::openat(here.get(), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      struct stat st {};
      if (!above.valid() || ::fstat(here.get(), &st) != 0) return std::nullopt;
      auto names = list_names(above.get(), st);
      if (!names) return std::nullopt;
      tail = "/" + *names + tail;
      here = std::move(above);
      std::string text(4096, '\0');
      const ssize_t n =
          ::readlink(fmt::format("/proc/self/fd/{}", here.get()).c_str(), text.data(), text.size());
      if (n > 0) {
        text.resize(static_cast<size_t>(n));
        std::string path = text + tail;
        return anchors_.covers(path) ? std::optional(std::move(path)) : std::nullopt;
      }
    }
    return std::nullopt;
  }
  static std::optional<std::string> list_names(int folder, const struct stat& wanted) {
    auto names = list_directory(folder, "", {});
    if (!names) return std::nullopt;
    for (const auto& each : *names) {
      if (each.status.inode == wanted.st_ino && each.status.type == 'd') return each.name;
    }
    return std::nullopt;
  }

  bool holds_a_root(const std::string& folder) const {
    for (const std::string& root : anchors_.roots()) {
      if (ml::is_within(root, folder)) return true;
    }
    return folder == "/";
  }

  // The name is the one of the hint; the directory that it is in may have been renamed since.
  std::optional<std::string> path_then(const Within& named,
                                       const std::vector<std::pair<std::string, std::string>>& later,
                                       bool& lost) {
    if (named.handle.empty()) return std::nullopt;
    auto folder = folder_now(named.handle, lost).path;
    if (!folder) return std::nullopt;
    for (const auto& [from, to] : later) {
      if (auto back = ml::moved(*folder, to, from)) folder = std::move(*back);
    }
    if (named.name == "." || named.name.empty()) return folder;
    return (*folder == "/" ? "" : *folder) + "/" + named.name;
  }

  struct Placed {
    std::optional<std::string> one, two;
  };

  // Paths as they were when each hint was made: backwards through the renames of directories after it.
  std::vector<Hint> turn(const std::vector<Raw>& raws, bool& lost) {
    std::vector<Placed> placed(raws.size());
    std::vector<std::pair<std::string, std::string>> later;  // from, to; the latest first
    for (size_t i = raws.size(); i-- > 0 && !lost;) {
      const Raw& raw = raws[i];
      placed[i] = {path_then(raw.one, later, lost), path_then(raw.two, later, lost)};
      if (moves_folder(raw) && placed[i].one && placed[i].two) {
        later.emplace_back(*placed[i].one, *placed[i].two);
        if (later.size() > kMaxDirectoryRenames) lost = true;
      }
    }
    std::vector<Hint> hints;
    for (size_t i = 0; i < raws.size() && !lost; ++i) add_hints(raws[i], placed[i], hints);
    return hints;
  }

  bool mirrored(const std::optional<std::string>& path, bool directory) {
    if (!path || !anchors_.covers(*path) || path->size() > ml::kMaxPath) return false;
    if (exclude_.empty()) return true;
    for (size_t slash = path->find('/', 1); slash != std::string::npos; slash = path->find('/', slash + 1)) {
      const std::string above = path->substr(0, slash);
      if (anchors_.covers(above) && !anchors_.is_root(above) && mirror::excluded(exclude_, above, true))
        return false;
    }
    return anchors_.is_root(*path) || !mirror::excluded(exclude_, *path, directory);
  }

  void add_hints(const Raw& raw, Placed& at, std::vector<Hint>& hints) {
    using Kind = Hint::Kind;
    const bool directory = (raw.mask & FAN_ONDIR) != 0;
    if ((raw.mask & FAN_RENAME) != 0) {
      const bool from = mirrored(at.one, directory), to = mirrored(at.two, directory);
      if (from && to) {
        hints.push_back({Kind::kRenamed, std::move(*at.one), std::move(*at.two), raw.object, directory});
      } else if (from) {
        hints.push_back({Kind::kDeleted, std::move(*at.one), "", raw.object, directory});
      } else if (to) {
        hints.push_back({Kind::kMovedIn, std::move(*at.two), "", raw.object, directory});
      }
      return;
    }
    if (!mirrored(at.one, directory)) {
      const auto folder = known_.find(raw.one.handle);
      if ((raw.mask & (FAN_CLOSE_WRITE | FAN_MODIFY | FAN_ATTRIB)) != 0 && !directory &&
          !raw.object.empty() && folder != known_.end() && folder->second.gone)
        hints.push_back({Kind::kOrphan, "", "", raw.object, false});
      return;
    }
    const auto add = [&](Kind kind) { hints.push_back({kind, *at.one, "", raw.object, directory}); };
    // Merged hints have lost their order: what is made and deleted is looked at, whichever came last.
    if ((raw.mask & FAN_DELETE) != 0) add(Kind::kDeleted);
    if ((raw.mask & FAN_CREATE) != 0) add(Kind::kMade);
    if ((raw.mask & FAN_CLOSE_WRITE) != 0)
      add(Kind::kClosed);
    else if ((raw.mask & FAN_MODIFY) != 0)
      add(Kind::kWritten);
    if ((raw.mask & FAN_ATTRIB) != 0) add(Kind::kAttributes);
  }

  const Anchors& anchors_;
  const std::vector<std::string>& exclude_;
  const Sink sink_;
  Fd fanotify_, wake_;
  std::vector<int> mounts_;
  std::map<std::string, Folder> known_;  // within one batch
  std::vector<Raw> carried_;             // read with the last batch, and not part of it
  std::atomic<std::chrono::steady_clock::time_point> delivered_{};
  std::mutex mutex_;
  std::condition_variable drained_;
  uint64_t drains_wanted_ = 0, drains_done_ = 0;
  // Everything that was queued at one moment. Others may write all the time: an empty queue may never be
  // seen.
  struct Goal {
    uint64_t read = 0;    // events, when all of that is read
    uint64_t drains = 0;  // were wanted by then
    std::chrono::steady_clock::time_point at;
  };
  std::optional<Goal> goal_;
  bool written_only_ = false;  // the last batch that had anything
  uint64_t read_ = 0;          // events so far
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

Follower::Follower(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Follower::~Follower() = default;
void Follower::drain() { impl_->drain(); }
std::chrono::steady_clock::time_point Follower::delivered() const { return impl_->delivered(); }

Result<std::unique_ptr<Follower>> Follower::start(const Anchors& anchors,
                                                  const std::vector<std::string>& exclude, Sink sink) {
  auto impl = std::make_unique<Impl>(anchors, exclude, std::move(sink));
  if (auto ok = impl->start(); !ok) return tl::unexpected(ok.error());
  return std::unique_ptr<Follower>(new Follower(std::move(impl)));
}

std::string object_at(const Anchors& anchors, const std::string& path) {
  auto place = anchors.place(path);
  return place ? object_at(place->folder.get(), place->name) : "";
}

std::optional<FoundObject> find_object(const Anchors& anchors, const std::string& object) {
  for (const std::string& anchor : anchors.anchors()) {
    Fd fd = open_handle(anchors.file_system(anchor), object);
    auto status = fd.valid() ? look(fd.get(), "") : tl::unexpected(Failure{});
    if (!status || status->links == 0) continue;
    FoundObject found{*status, std::string(4096, '\0')};
    const ssize_t n =
        ::readlink(fmt::format("/proc/self/fd/{}", fd.get()).c_str(), found.path.data(), found.path.size());
    found.path.resize(n > 0 ? static_cast<size_t>(n) : 0);
    auto there = anchors.covers(found.path) ? look(anchors, found.path) : tl::unexpected(Failure{});
    if (!there || there->inode != status->inode || there->device != status->device) found.path.clear();
    return found;
  }
  return std::nullopt;
}

std::string object_at(int folder, const std::string& name) {
  alignas(file_handle) char space[sizeof(file_handle) + MAX_HANDLE_SZ];
  auto* handle = reinterpret_cast<file_handle*>(space);
  handle->handle_bytes = MAX_HANDLE_SZ;
  int mount = 0;
  if (::name_to_handle_at(folder, name.c_str(), handle, &mount, name.empty() ? AT_EMPTY_PATH : 0) != 0)
    return "";
  return handle_text(handle);
}

}  // namespace clusterd::live
