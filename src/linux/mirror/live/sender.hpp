// Makes names at the target what they are here, and keeps account of what is on its way.
//
// Each function looks at the name, reads what it needs, and sends the operation. A file is sent if it looked
// the same before and after it was read; one that changes all the time is sent as it was found, and marked
// again. What the target has acknowledged goes into the agreement; what it could not do is handed back
// (`Again`), with the path as it is now.
//
// Errors of these functions are the channel's: the session is over. Threading: one thread; `in_flight(path)`
// any.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/time.hpp"
#include "linux/mirror/live/agreement_store.hpp"
#include "linux/mirror/live/links.hpp"
#include "linux/mirror/live/outbox.hpp"
#include "linux/mirror/live/seen.hpp"
#include "mirror/live/delta.hpp"

namespace clusterd::live {

// Everything of a name itself; what is below it is kSubtree.
inline constexpr uint8_t kAll = mirror::live::kName | mirror::live::kAttributes | mirror::live::kContents;

struct Tally {
  uint64_t files = 0, bytes = 0, removed = 0;
};

class Sender {
 public:
  using Clock = std::chrono::steady_clock;
  struct Again {
    std::string path;
    uint8_t marks = 0;  // mirror::live::Mark
    std::chrono::milliseconds after{0};
    std::string why;                 // the target's words, if it is in trouble
    std::optional<Instant> since{};  // of the change that is still not there; none: it is a new one
    std::string object{};            // what was found there: it may have other names
  };
  struct Hooks {
    std::function<void(const Again&)> again;
    // Called between the parts of large files: what is small need not wait for them. Waits for the target's
    // answer until `until` holds.
    std::function<Result<void>()> between;
    std::function<Result<void>(const std::function<bool()>& until)> wait;
  };

  Sender(const Anchors& anchors, AgreementStore& store, Links& links, Outbox<mirror::live::SourceFrame>& out,
         uint64_t seed, Hooks hooks);

  // `marks` as in mirror::live::Mark; kContents: send it, kAttributes alone: the contents are known to be
  // right.
  enum class Found { kSent, kGone, kDirectory };
  Result<Found> send(Seen& seen, uint8_t marks);
  Result<Found> send(const std::string& path, uint8_t marks);
  // What is sent from now on is read after all that asks for it was marked, or found by a compare: a file
  // that is asked for by several of its names need be sent by one of them only, and joined to the others.
  void begin_round() { whole_.clear(); }
  // What is at `path` is named `as` at the target.
  Result<Found> contents(const std::string& path, const std::string& as);
  Result<Found> contents(const std::string& path) { return contents(path, path); }
  Result<void> check_hash(const std::string& path);
  Result<void> check_time(const std::string& path);
  Result<void> link(const std::string& leader, const std::string& path);
  Result<void> rename(const std::string& from, const std::string& to, const std::string& object);
  Result<void> remove(const std::string& path);
  Result<void> remove(const std::vector<std::string>& paths);

  void take(const mirror::live::Acked& acked);
  void take(const mirror::live::Failed& failed);
  void take(mirror::live::Signature signature);

  [[nodiscard]] bool idle() const { return flights_.empty(); }
  [[nodiscard]] size_t in_flight() const { return flights_.size(); }
  [[nodiscard]] uint64_t bytes_in_flight() const { return bytes_in_flight_; }
  // What the target has been told and has not acknowledged: paths, as they are there after all that it was
  // told, and what of them is in doubt (Mark).
  [[nodiscard]] std::vector<std::pair<std::string, uint8_t>> in_doubt() const;
  [[nodiscard]] bool in_flight(const std::string& path) const {
    const std::lock_guard lock(paths_mutex_);
    return paths_.contains(path);
  }
  [[nodiscard]] bool sending_large() const { return sending_large_; }
  // The file is not to be read again before then.
  [[nodiscard]] std::optional<std::chrono::steady_clock::time_point> resting_until(const std::string& path);
  void rest_no_more() { resting_.clear(); }

  // What was sent while renames made before may not have been known yet: the path, and the handle of what was
  // found there ("": nothing, and so it was removed).
  struct SentLately {
    std::string path, object;
    Instant since;  // of the change that it was sent for
  };
  using Lately = std::vector<SentLately>;
  [[nodiscard]] Lately sent_lately(std::string_view folder) const;
  // Renames made until then are known, and dealt with.
  void forget_sent(Clock::time_point until);
  // The number of the last operation; all of them, up to that one, are through.
  [[nodiscard]] uint64_t last_number() const { return number_; }
  [[nodiscard]] bool through(uint64_t number) const {
    return flights_.empty() || flights_.front().number > number;
  }

  Instant since{};  // of the change that is sent now
  Tally tally;
  std::map<std::string, std::string> troubles;  // path -> the target's words

 private:
  struct Flight {
    uint64_t number = 0;
    enum class Kind { kEntry, kLink, kRemove, kRename } kind = Kind::kEntry;
    std::string path{}, to{};  // to: of a rename; of a link, the name that it is joined to
    Status status{};
    std::string object{};
    uint64_t bytes = 0;
    bool failed = false;
    // What shows that the target has what `status` speaks of.
    enum class Proof {
      kRead,   // it was looked at before and after it was read
      kHints,  // nobody has said that it was written since it was sent
      kNone,   // it changed while it was read
    } proof = Proof::kRead;
    Instant since{};
    Clock::time_point begun{};  // of a large file
  };
  struct Sums {
    mirror::live::BlockSums blocks;
    uint64_t number = 0;  // of the operation that made this version at the target
  };

  Result<Found> contents(Seen& seen, const std::string& as);
  // A file that is read: what it is called here and there, and its handle.
  struct Reading {
    const std::string &path, &as;
    std::string object;
    Fd file;
  };
  Result<Found> send_file(const Reading& reading, Status status);
  Result<bool> send_small(const Reading& reading, const Status& status, bool last_try);
  Result<void> send_large(const Reading& reading, const Status& status);
  class Parts;
  Result<void> send_parts(const Reading& reading, const Status& status, const mirror::live::BlockSums* base,
                          Parts& parts);
  static Result<void> send_whole(uint64_t begin, uint64_t end, const mirror::live::ReadAt& read,
                                 mirror::live::DeltaSink& sink);
  Result<std::optional<Sums>> base_for(const std::string& path, const Status& status);
  Result<void> link_others(const std::string& path, const Status& status);
  Result<Found> join(const std::string& whole, const std::string& path);
  [[nodiscard]] std::string whole_by_another_name(const std::string& path, const std::string& object) const;
  Result<void> put(mirror::live::SourceFrame frame, Flight flight);
  Result<void> put_removal(const std::string& path);
  void sent(const std::string& path, std::string object);
  void keep_sums(const std::string& path, Sums sums);
  std::optional<Sums> take_sums(const std::string& path);
  void move_sums(const std::string& from, const std::string& to);
  void rest(const std::string& path, Clock::duration cost);
  void unreadable(const std::string& path, const Failure& why);
  void again(const Reading& reading, std::chrono::milliseconds after, std::optional<Instant> of);
  std::string path_now(size_t flight, std::string path) const;
  void doubt_what_left(size_t flight, std::string folder);

  const Anchors& anchors_;
  AgreementStore& store_;
  Links& links_;
  Outbox<mirror::live::SourceFrame>& out_;
  const uint64_t seed_;
  const Hooks hooks_;
  uint64_t number_ = 0;
  std::deque<Flight> flights_;
  mutable std::mutex paths_mutex_;
  std::unordered_map<std::string, unsigned> paths_;  // of the flights
  uint64_t bytes_in_flight_ = 0;
  bool sending_large_ = false;
  std::optional<mirror::live::Signature> signature_;  // as it comes in
  bool signature_complete_ = false;
  std::map<std::string, Sums> sums_;
  size_t sums_held_ = 0;  // blocks
  // In this round, of what has several names: object -> the name by which all of it was sent.
  std::map<std::string, std::string> whole_;
  std::map<std::string, Clock::time_point> resting_;
  Clock::time_point acked_at_{};  // the last time
  std::map<std::string, unsigned> strikes_;
  struct Sent {
    Clock::time_point at;
    std::string object;
    Instant since;
  };
  std::map<std::string, Sent, mirror::live::PathOrder> lately_;
  std::deque<std::pair<Clock::time_point, std::string>> lately_order_;
};

}  // namespace clusterd::live
