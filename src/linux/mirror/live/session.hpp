// One connection of a live source: compares, sends, follows, until it breaks or has to begin anew.
//
// Threading: everything on the source's worker thread, but for `Inbox`, which the reader fills.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

#include "core/actions.hpp"
#include "linux/mirror/live/follow.hpp"
#include "linux/mirror/live/scrub.hpp"
#include "linux/mirror/live/sender.hpp"
#include "linux/mirror/live/source.hpp"
#include "linux/mirror/live/source_compare.hpp"
#include "mirror/live/dirty.hpp"

namespace clusterd::live {

// What wakes the worker: one lock for all of it.
struct Shared {
  std::mutex mutex;
  std::condition_variable wake;
  mirror::live::DirtySet dirty;
  bool exact = false;  // the target has what is here, but for `dirty`: renames can be told as such
  std::deque<MirrorOrder> orders;
  bool stop = false;
  std::deque<mirror::live::TargetFrame> inbox;
  std::optional<Error> broken;  // the connection
  std::optional<Error> lost;    // nothing can be followed any more
};

[[nodiscard]] Instant now_instant();
[[nodiscard]] uint64_t random_number();
inline constexpr Instant kFirst = Instant::min();  // older than any hint: a flush waits for it

struct SessionPlace {
  const LiveSetup& setup;
  const ServiceConfig& service;
  const MirrorConfig& mirror;
  const Anchors& anchors;
  AgreementStore& store;
  Links& links;
  Shared& shared;
  Follower* follower;  // nullptr: changes cannot be followed here
  uint64_t life;       // the source's
};

class Session {
 public:
  Session(const SessionPlace& place, std::unique_ptr<Channel> channel);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // kRefused: the target says no. kConfig: halted there. `needs_resync` is set if only a resync may write.
  Result<void> begin(const MirrorOrder& order, const std::string& backup_set);
  [[nodiscard]] bool needs_resync() const { return needs_resync_; }
  // The target has what it was sent before and nothing else: what is marked is all that differs, if this side
  // has taken note of everything since a compare.
  [[nodiscard]] bool goes_on() const { return welcome_ && welcome_->goes_on; }
  // Instead of a compare: everything that is marked is durable at the target.
  Result<void> take_up();
  // Whole compare, and everything that differs; `finished` has the loss report of a resync.
  Result<void> compare_all(const MirrorOrder& order, mirror::live::Finished& finished);
  // Everything that had changed when this was called is durable at the target.
  Result<void> flush();
  // Compares contents from now on, beside everything else; a scrub that a broken connection has ended goes
  // on.
  void scrub(ScrubPlace& place);
  [[nodiscard]] Scrub* scrub() { return scrub_.get(); }
  void end_scrub() { scrub_.reset(); }
  // Follows until there is an order, or that time has come. `progress` is called once a second at most.
  Result<void> follow(Instant until, const std::function<void()>& progress);

  [[nodiscard]] Sender& sender() { return sender_; }
  [[nodiscard]] uint64_t wire_bytes() const { return out_.bytes(); }
  [[nodiscard]] std::string trouble() const;  // "3 files wait: …", or ""

 private:
  Result<void> take_inbox();
  Result<void> wait(const std::function<bool()>& until);
  Result<void> wait_for(Instant deadline);
  Result<void> work();
  // Taken at one moment: marks have the names that they have after these renames.
  struct Due {
    std::vector<mirror::live::DirtyRename> renames;
    std::vector<std::vector<std::string>> above;  // of each rename: folders that have to be made first
    std::vector<std::pair<std::string, mirror::live::DirtyName>> marks;
    uint64_t heard = 0;  // so many renames
  };
  struct Scope {  // a directory whose contents are to be compared
    std::string path;
    Instant since;  // of the oldest change that asks for it
  };
  using Scopes = std::vector<Scope>;
  [[nodiscard]] Due take_due();
  Result<void> perform_renames(Due& due);
  [[nodiscard]] Instant oldest_change(const mirror::live::DirtyRename& rename) const;
  Result<bool> send_unfinished(Due& due, size_t which, std::set<std::string>& finished);
  Result<bool> perform_rename(Due& due, size_t which, std::set<std::string>& finished);
  void mark_orphans();
  Instant not_marked_since(const std::string& object, const mirror::live::DirtyName& name, Instant now);
  template <class Marks>
  void give_back(const Marks& marks);
  [[nodiscard]] Scopes to_look_at_again(const mirror::live::DirtyRename& rename) const;
  void mark_all(Instant since);
  void mark_scopes(const Scopes& scopes, uint8_t marks);
  Result<void> perform_marks(const Due& due, Scopes& scopes);
  Result<void> perform_mark(const std::string& path, mirror::live::DirtyName name, Scopes& scopes);
  Result<void> compare_scopes(const Scopes& scopes);
  Result<void> compare(std::vector<std::string> scopes, const mirror::ManifestHeader* last, bool confirmed);
  Result<std::optional<std::string>> disaster(const mirror::ManifestHeader* last, bool whole);
  Result<void> find_names(const std::vector<std::pair<std::string, mirror::live::DirtyName>>& due);
  Result<void> between();
  Result<void> check_roots() const;
  Result<mirror::ManifestHeader> what_roots_held(const mirror::ManifestHeader& last,
                                                 const mirror::RootsNow& now);
  void settle();
  void again(const Sender::Again& again);
  void mark(const std::string& path, uint8_t marks, Instant since, Instant due,
            const std::string& object = "");
  void put_back(const std::string& path, const mirror::live::DirtyName& name, Instant due);
  void told(uint64_t heard);
  void exact(bool value);
  void hand_back();

  const SessionPlace place_;
  std::unique_ptr<Channel> channel_;
  Outbox<mirror::live::SourceFrame> out_;
  const uint64_t seed_;
  Sender sender_;
  std::unique_ptr<SourceCompare> compare_;
  std::unique_ptr<Scrub> scrub_;
  std::optional<mirror::live::Welcome> welcome_;
  std::optional<mirror::live::Finished> finished_;
  // As many renames as the target has been told of: paths of operations, and of marks that were taken, are as
  // they were then (DirtySet::now). With the lock of what is shared.
  uint64_t told_ = 0;
  // What renames are to have led to: the object that is at a path, or "" for none that is known.
  std::map<std::string, std::string, mirror::live::PathOrder> expected_;
  // Files of which all names were marked, and how: for changes since when, and when that was.
  struct Marked {
    Instant since, at;
  };
  std::map<std::pair<std::string, mirror::live::Mark>, Marked> marked_;
  // Files whose names were sought, and their change time then: a name more or less changes it.
  std::map<std::string, int64_t> sought_;
  using Waiting = std::deque<std::pair<std::string, mirror::live::DirtyName>>;
  Waiting* waiting_ = nullptr;  // marks that were taken, and not dealt with yet
  bool needs_resync_ = false, between_ = false, missing_ = false;
  bool confirmed_ = false;  // what a halt has asked about, until it is recorded how the roots are now
  std::optional<Instant> flushing_;  // what had changed by then is to be durable
  bool sent_to_flush_ = false;       // something that it waits for, since it looked last
  Instant settled_at_{};
  Instant large_until_{};  // until then a large file is sent and nothing else
  std::thread reader_;
};

}  // namespace clusterd::live
