// Both ends of one live mirror on this machine, joined by socket pairs: for tests and measurements.
//
// The source runs in this process. The target runs in processes of its own, one per connection, in a mount
// namespace in which its folder is mounted at the source's path: both see the mirror under one name, as two
// nodes do. Needs root.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/config.hpp"
#include "linux/mirror/live/source.hpp"

namespace clusterd {

struct TwoSetup {
  std::string source, target;  // existing directories (or files)
  std::string state;           // STATE/source and STATE/target hold the nodes' state
  std::vector<std::string> exclude;
  bool remove = true;
  uint64_t epoch = 1;
  uint64_t scrub_rate = uint64_t{1} << 30;
  Ids ids = Ids::kNumeric;
  std::string
      ids_dir{};  // IDS_DIR/source and IDS_DIR/target hold the nodes' passwd and group; "": the machine's
  bool guard = false;  // the target's folder is read-only for everybody but the mirror
};

class MirrorTwo {
 public:
  explicit MirrorTwo(TwoSetup setup);  // forks: before there are threads
  ~MirrorTwo();

  // The final report of an order. `progress` is what came in between.
  MirrorReport order(MirrorReport::Kind kind, bool confirmed = false);
  void begin(MirrorReport::Kind kind);  // the order alone
  // The report with which a scrub ends.
  MirrorReport scrub();
  void begin_scrub();
  MirrorReport await_scrub();
  void pause();  // nothing is sent once it has returned
  // Cuts the connection; the source then reports that its stream has broken.
  void break_connection();
  void kill_target();  // SIGKILL to the process that is connected
  // The connection breaks by itself when so much more has gone over the wire, and nobody is there until
  // `find_peer`.
  void break_after(uint64_t bytes) { break_at_ = wire_ + bytes; }
  // `then` is called once, by whoever sends, when so much more has gone over the wire.
  void when_sent(uint64_t bytes, std::function<void()> then) {
    then_ = std::move(then);
    then_at_ = wire_ + bytes;
  }
  // From now on what is sent over the present connection does not arrive, as if the path had died.
  void swallow();
  // Nobody is there to connect to, until it is called again. Returns when the source has noticed that.
  void lose_peer();
  void find_peer() { away_ = false; }
  [[nodiscard]] std::optional<MirrorReport> last_progress();
  [[nodiscard]] std::vector<MirrorReport>
  unasked();  // final reports that no order waits for (a broken stream)
  [[nodiscard]] uint64_t wire_bytes() const { return wire_; }
  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] MirrorPaths paths(const std::string& side) const;

 private:
  Result<std::unique_ptr<Channel>> connect();
  void take(const MirrorReport& report);
  [[noreturn]] void accept_all(int control) const;

  TwoSetup setup_;
  Config config_;
  int control_ = -1;  // to the process that starts targets
  pid_t acceptor_ = -1;
  std::atomic<pid_t> target_ = -1;
  std::atomic<uint64_t> wire_ = 0;
  std::atomic<uint64_t> break_at_ = UINT64_MAX, then_at_ = UINT64_MAX;
  std::function<void()> then_;
  std::atomic<bool> away_ = false;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::optional<MirrorReport::Kind> waiting_;
  std::optional<MirrorReport> final_, progress_, scrubbed_;
  std::vector<MirrorReport> unasked_;
  Channel* channel_ = nullptr;  // the current one
  std::unique_ptr<LiveSource> source_;
};

}  // namespace clusterd
