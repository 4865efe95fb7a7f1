// The source's half of a scrub: reads every file here, at a bounded rate, and holds it against hashes of the
// target's copy.
//
// It compares what nothing else looks at: contents of files of which neither side knows a change. So a file
// is left out (`skipped`) if it was changed just now, or is marked, or on its way. One that differs is looked
// at once more a second later; if it still does, and nothing has happened to it, `differs` is called: it is
// to be sent anew.
//
// A scrub belongs to a connection. What it has done is kept in `ScrubPlace`, with which the next one goes on.
//
// Threading: a thread of its own calls the hooks; `take`, `progress` from the session's.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "core/events.hpp"
#include "linux/mirror/live/inode.hpp"
#include "linux/mirror/live/outbox.hpp"
#include "mirror/token_bucket.hpp"

namespace clusterd::live {

struct ScrubPlace {
  bool under_way = false;
  int64_t begun = 0;    // Unix time
  std::string through;  // the last path, in tree order, that is dealt with
  MirrorScrub tally;
};

class Scrub {
 public:
  struct Hooks {
    std::function<bool(const std::string& path)> at_rest;  // nothing of it is marked or on its way
    std::function<void(const std::string& path)> differs;
  };
  Scrub(const Anchors& anchors, const MirrorConfig& mirror, uint64_t seed,
        Outbox<mirror::live::SourceFrame>& out, ScrubPlace& place, Hooks hooks);
  ~Scrub();
  Scrub(const Scrub&) = delete;
  Scrub& operator=(const Scrub&) = delete;

  // False: nobody had asked for that.
  [[nodiscard]] bool take(const mirror::live::PartHash& hash);
  [[nodiscard]] MirrorScrub progress();
  // All is compared (true), or it could not be gone on with (an error).
  [[nodiscard]] Result<bool> ended();

 private:
  struct Asked {
    mirror::live::WantHash part;
    mirror::live::Hash hash;
    Status status;  // of the file when it was opened
    bool last = false, again = false;
  };
  void run();
  Result<void> count();
  Result<void> walk();
  Result<void> compare(const std::string& path, bool again);
  Result<void> ask(Asked asked);
  Result<void> pay(uint64_t bytes);
  Result<void> judge();
  Result<void> drain(std::unique_lock<std::mutex>& lock);
  void skip();
  [[nodiscard]] bool wait(Duration limit);  // false: it has been stopped

  const Anchors& anchors_;
  const MirrorConfig& mirror_;
  const uint64_t seed_;
  Outbox<mirror::live::SourceFrame>& out_;
  ScrubPlace& place_;
  const Hooks hooks_;
  mirror::TokenBucket bucket_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Asked> asked_;
  std::map<std::string, Status> suspects_, convicts_;  // differed once; differed again
  bool stop_ = false, done_ = false;
  std::optional<Error> error_;
  std::thread thread_;
};

}  // namespace clusterd::live
