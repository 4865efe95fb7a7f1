#include "linux/state/file_state_store.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "base/check.hpp"
#include "linux/fd.hpp"
#include "linux/helper_thread.hpp"
#include "linux/state/state_file.hpp"
#include "linux/units/process_identity.hpp"

namespace clusterd {

namespace {

constexpr int kMaxDamagedCopies = 10;

std::string cause() { return std::strerror(errno); }

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    text.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

Result<void> write_durably(const std::string& folder, const std::string& file, std::string_view text) {
  const std::string temporary = file + ".new";
  // A temporary file of an earlier crash is of no use to anybody.
  unlink(temporary.c_str());
  Fd fd(open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (fd.get() < 0) return fail(Code::kRetry, "cannot create " + temporary + ": " + cause());
  if (!write_all(fd.get(), text)) {
    auto error = fail(Code::kRetry, "cannot write " + temporary + ": " + cause());
    unlink(temporary.c_str());
    return error;
  }
  if (fsync(fd.get()) != 0) {
    auto error = fail(Code::kRetry, "cannot sync " + temporary + ": " + cause());
    unlink(temporary.c_str());
    return error;
  }
  if (rename(temporary.c_str(), file.c_str()) != 0) {
    auto error = fail(Code::kRetry, "cannot replace " + file + ": " + cause());
    unlink(temporary.c_str());
    return error;
  }
  const Fd dir(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // The new state may be there after a crash, or the one before: neither may be relied on.
  if (dir.get() < 0 || fsync(dir.get()) != 0)
    return fail(Code::kUncertain, "cannot sync " + folder + ": " + cause());
  return {};
}

// nullopt: there is no such file.
Result<std::optional<std::string>> read_file(const std::string& file) {
  const Fd fd(open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (fd.get() < 0 && errno == ENOENT) return std::optional<std::string>{};
  if (fd.get() < 0) return fail(Code::kCorrupt, "it cannot be opened: " + cause());
  struct stat info {};
  if (fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode))
    return fail(Code::kCorrupt, "it is no plain file");
  std::string text(kMaxStateBytes + 1, '\0');
  size_t size = 0;
  while (size < text.size()) {
    const ssize_t n = read(fd.get(), text.data() + size, text.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(Code::kCorrupt, "it cannot be read: " + cause());
    if (n == 0) break;
    size += static_cast<size_t>(n);
  }
  text.resize(size);
  return std::optional<std::string>(std::move(text));
}

// Keeps a damaged file for whoever wants to know what happened. Returns where.
std::string set_aside(const std::string& file) {
  for (int n = 1; n <= kMaxDamagedCopies; ++n) {
    const std::string to = file + ".damaged-" + std::to_string(n);
    if (renameat2(AT_FDCWD, file.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return to;
    if (errno != EEXIST) return file;
  }
  return file;  // enough of them: it will be overwritten
}

}  // namespace

class FileStateStore::Impl {
 public:
  Impl(EventLoop& event_loop, const Config& cfg, const std::string& state_dir, EventSink event_sink)
      : loop(event_loop),
        config(cfg),
        folder(state_dir),
        file(state_dir + "/state.json"),
        sink(std::move(event_sink)),
        alive(std::make_shared<bool>(true)),
        boot_id(kernel_boot_id()) {
    unknown.kernel_boot_id = boot_id;
  }
  ~Impl() { *alive = false; }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Loaded fresh() const;
  Loaded translate(StateFile stored);
  StateFile by_name(const PersistedState& state) const;
  void write_newest();

  EventLoop& loop;
  const Config& config;
  const std::string folder, file;
  const EventSink sink;
  const std::shared_ptr<bool> alive;  // read and written on the loop's thread only
  const std::string boot_id;
  StateFile unknown;  // entries of services and hosts that are not configured

  std::mutex mutex;
  std::vector<uint64_t> waiting;  // versions that `newest` answers
  std::optional<StateFile> newest;

  HelperThread thread;  // last: ended first
};

FileStateStore::Loaded FileStateStore::Impl::fresh() const {
  Loaded loaded;
  loaded.state.services.resize(config.services.size());
  loaded.state.hosts.resize(config.hosts.size());
  return loaded;
}

FileStateStore::Loaded FileStateStore::Impl::translate(StateFile stored) {
  Loaded loaded = fresh();
  auto services = std::move(loaded.state.services);
  auto hosts = std::move(loaded.state.hosts);
  loaded.state = std::move(stored.rest);
  loaded.host_rebooted = boot_id.empty() || stored.kernel_boot_id != boot_id;
  for (size_t i = 0; i < services.size(); ++i) {
    auto node = stored.services.extract(config.services[i].name);
    if (node) services[i] = std::move(node.mapped());
  }
  for (size_t i = 0; i < hosts.size(); ++i) {
    auto node = stored.hosts.extract(config.hosts[i].text);
    if (node) hosts[i] = node.mapped();
  }
  loaded.state.services = std::move(services);
  loaded.state.hosts = std::move(hosts);
  // Hosts that are gone from the configuration start anew when they come back: the sets of S2 have changed.
  unknown.services = std::move(stored.services);
  return loaded;
}

StateFile FileStateStore::Impl::by_name(const PersistedState& state) const {
  StateFile named = unknown;
  for (size_t i = 0; i < config.services.size(); ++i)
    named.services[config.services[i].name] = state.services[i];
  for (size_t i = 0; i < config.hosts.size(); ++i) named.hosts[config.hosts[i].text] = state.hosts[i];
  // What could not be read back must not be written: the oldest names that nobody configures go first.
  for (auto it = unknown.services.begin();
       named.services.size() > kMaxStateEntries && it != unknown.services.end(); ++it) {
    named.services.erase(it->first);
  }
  named.rest = state;
  named.rest.services.clear();
  named.rest.hosts.clear();
  return named;
}

// On the helper thread.
void FileStateStore::Impl::write_newest() {
  std::optional<StateFile> state;
  std::vector<uint64_t> versions;
  {
    const std::lock_guard lock(mutex);
    state = std::exchange(newest, std::nullopt);
    versions = std::exchange(waiting, {});
  }
  if (!state) return;  // an earlier turn has written it
  const std::string text = encode_state(*state);
  // What could not be read back must not replace what can.
  Result<void> written = decode_state(text).map([](const StateFile&) {});
  if (written) written = write_durably(folder, file, text);
  loop.post([this, guard = alive, versions = std::move(versions), ok = written.has_value(),
             detail = written ? std::string() : written.error().message] {
    for (const uint64_t version : versions) {
      if (!*guard) return;
      sink(Persisted{version, ok, detail});
    }
  });
}

FileStateStore::FileStateStore(EventLoop& loop, const Config& config, const std::string& state_dir,
                               EventSink sink)
    : impl_(std::make_unique<Impl>(loop, config, state_dir, std::move(sink))) {}
FileStateStore::~FileStateStore() = default;

Result<FileStateStore::Loaded> FileStateStore::load() {
  std::error_code error;
  std::filesystem::create_directories(impl_->folder, error);
  if (access(impl_->folder.c_str(), R_OK | W_OK | X_OK) != 0) {
    return fail(Code::kConfig, "cannot use the state folder " + impl_->folder + ": " + cause() +
                                   "; create it, or run clusterd as root");
  }
  auto text = read_file(impl_->file);
  if (text && !*text) {
    Loaded loaded = impl_->fresh();
    loaded.warning = "there is no state file " + impl_->file +
                     " (normal on a new node): services are activated only together with the peer or by "
                     "`clusterctl start --force`";
    return loaded;
  }
  auto stored =
      text ? decode_state(**text) : Result<StateFile>(fail(text.error().code, text.error().message));
  if (stored) return impl_->translate(std::move(*stored));
  const std::string kept = set_aside(impl_->file);
  Loaded loaded = impl_->fresh();
  loaded.warning = "the state file " + impl_->file + " is damaged (" + stored.error().message +
                   ") and not believed; kept as " + kept +
                   ". This node waits for its peer to learn the epochs; if the peer is lost for good, run "
                   "`clusterctl start --force` on the node with the newest data";
  return loaded;
}

void FileStateStore::persist(uint64_t version, const PersistedState& state) {
  CLUSTERD_CHECK(state.services.size() == impl_->config.services.size() &&
                     state.hosts.size() == impl_->config.hosts.size(),
                 "a state that does not fit the configuration");
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->newest = impl_->by_name(state);
    impl_->waiting.push_back(version);
  }
  impl_->thread.run([impl = impl_.get()] { impl->write_newest(); });
}

}  // namespace clusterd
