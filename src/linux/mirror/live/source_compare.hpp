// The source's half of a compare: walks, sends digests, and deals with the listings that come back.
//
// The walk has a thread of its own. What it learns (which names have changed since the agreement, which are
// gone) is kept only where something has: in memory that grows with the differences, not with the tree. The
// listings are dealt with in tree order once both sides have finished, so that directories come before what
// is in them; deletions come last.
//
// Threading: `walk` belongs to its thread; everything else to the caller's one thread.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "linux/mirror/live/compare_walk.hpp"
#include "linux/mirror/live/sender.hpp"
#include "mirror/live/plan.hpp"

namespace clusterd::live {

class SourceCompare {
 public:
  SourceCompare(const Anchors& anchors, const MirrorConfig& mirror, AgreementStore& store, Links& links,
                uint64_t seed, Outbox<mirror::live::SourceFrame>& out, std::vector<std::string> scopes,
                std::function<void()> walked);
  ~SourceCompare();
  SourceCompare(const SourceCompare&) = delete;
  SourceCompare& operator=(const SourceCompare&) = delete;

  void take(mirror::live::Listing listing);
  void take(const mirror::live::Compared& compared);
  void take(const mirror::live::CompareDone& done);
  // Both sides have walked; or so much is listed that some has to be dealt with first.
  [[nodiscard]] bool ready() const;
  [[nodiscard]] bool finished() const;  // ready, and nothing is left to be dealt with
  [[nodiscard]] std::optional<Error> error() const;
  // Deals with what is listed. kRetry: the channel is broken.
  Result<void> send_differences(Sender& sender);
  // What the target alone has, when everything else is through.
  Result<void> send_removals(Sender& sender);
  [[nodiscard]] bool removes() const { return !removals_.empty(); }
  // Of the walk, with the files in each: complete when `ready`.
  [[nodiscard]] const mirror::RootsNow& roots() const { return roots_; }

 private:
  struct Changes {
    size_t names = 0;                  // in the directory
    std::vector<std::string> changed;  // all of them, if `all`
    bool all = false;
  };
  struct Level {
    Changes changes;
  };
  void run();
  Result<void> walk();
  Result<void> send_listing(Sender& sender, const mirror::live::Listing& listing);
  Result<void> make_folders_above(Sender& sender, const std::string& path);
  Result<void> send_missing(Sender& sender, const std::string& folder);
  Result<void> perform(Sender& sender, const mirror::live::Step& step, const std::string& path,
                       const mirror::live::SourceName* here);
  [[nodiscard]] Result<std::vector<mirror::live::SourceName>> names_here(const std::string& folder);
  [[nodiscard]] bool is_listed(const std::string& path) const;

  const Anchors& anchors_;
  const MirrorConfig& mirror_;
  AgreementStore& store_;
  Links& links_;
  const uint64_t seed_;
  Outbox<mirror::live::SourceFrame>& out_;
  const bool whole_;
  const std::vector<std::string> scopes_;
  const std::function<void()> walked_;
  const int64_t begun_ns_;

  // Of the walk.
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::unordered_map<std::string, Changes> changes_;
  std::vector<Changes> levels_;
  mirror::RootsNow roots_;
  uint64_t digests_ = 0, compared_ = 0;
  bool walk_done_ = false, stop_ = false;
  std::optional<Error> error_;

  // Of the caller.
  std::vector<mirror::live::Listing> listings_;
  std::set<std::string> listed_;  // directories that have a listing
  std::set<std::string> made_;    // directories that this compare has made
  std::vector<std::string> removals_;
  uint64_t entries_ = 0;
  bool target_done_ = false, settled_ = false;
  std::thread thread_;
};

}  // namespace clusterd::live
