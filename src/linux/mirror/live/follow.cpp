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

#include "linux/mirror/live/fanotify_event.hpp"
#include "linux/mirror/live/folder_path.hpp"
#include "linux/mirror/live/object.hpp"
#include "mirror/escape.hpp"
#include "mirror/exclude.hpp"
#include "mirror/live/dirty.hpp"

#ifndef FAN_REPORT_TARGET_FID
#define FAN_REPORT_TARGET_FID 0x00001000
#endif
#ifndef FAN_RENAME
#define FAN_RENAME 0x10000000
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
      folder.path = folder_path(anchors_, fd.get());
      if (folder.path) break;
    }
    return folder;
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

}  // namespace clusterd::live
