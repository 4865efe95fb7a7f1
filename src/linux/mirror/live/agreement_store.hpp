// The manifest of a mirror and the log of what has been agreed on since it was written.
//
// MANIFEST.log holds lines of mirror/live/agreement.hpp. It is appended to without a sync: after a power cut
// the agreement may be an older one, and never says more than was durable on both nodes when the line was
// written.
//
// An entry is recorded once its change time is older than the clock's grain: a later write of the same tick
// could not be told from what was agreed on. Until then it waits in `settle`.
//
// Threading: every function may be called from any thread.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "linux/mirror/files.hpp"
#include "linux/mirror/live/inode.hpp"
#include "mirror/live/agreement.hpp"

namespace clusterd::live {

// How often whoever has something that waits looks whether it can be recorded by now.
inline constexpr std::chrono::milliseconds kSettleEvery{50};

class AgreementStore {
 public:
  explicit AgreementStore(std::string manifest_path);

  struct Opened {
    std::optional<mirror::ManifestHeader> header;  // none: nothing was ever agreed on
    mirror::EntryStream entries;
  };
  // As it stands now. If the stream fails with kCorrupt, `put_aside`, and begin again.
  Result<Opened> open();
  // The same, with all entries that lie in these folders (in tree order, none within another) and perhaps
  // some more. What lies elsewhere is hardly read: the cost is that of the log's length, not of the tree's
  // size.
  Result<Opened> open(const std::vector<std::string>& scopes);
  Result<std::optional<mirror::ManifestHeader>> header();
  void put_aside();

  // `status` of `path` is what both have; if it is not `proven`, as far as is known: then the next `settle`
  // has to see that nothing has changed it meanwhile. Recorded now or by a later `settle`.
  void agreed(const std::string& path, const Status& status, bool proven = true);
  // What waits for `settle` is not known to be agreed on any more.
  void doubt();
  // The target is about to be told that it is to remove what is there: should it be put back as it was, it
  // is not what both have (S9). With the kernel when this returns; of several, on disk.
  void leaving(const std::string& path);
  Result<void> leaving(const std::vector<std::string>& paths);
  // A file is about to be sent to `path`. If the manifest says that its root held none, it says from now on,
  // durably, that it held one: whatever becomes of the answer, a root that is empty later was emptied (S10).
  Result<void> will_hold(const std::string& path);
  void gone(const std::string& path);
  void moved(const std::string& from, const std::string& to);
  // Records what has waited long enough and still is what was agreed on. `now(path)` looks at it.
  using Look = std::function<std::optional<Status>(const std::string& path)>;
  void settle(const Look& now);
  [[nodiscard]] bool settled();
  // So much waits that it should not be left until there is nothing else to do.
  [[nodiscard]] bool crowded();
  // Hands what was recorded to the kernel.
  void flush();

  // Writes the manifest anew, with the log in it; with another header if one is given.
  Result<void> fold(const std::optional<mirror::ManifestHeader>& header);
  // The log is long enough for that to pay.
  [[nodiscard]] bool wants_fold();

 private:
  struct Waiting {
    std::string path;
    Status status;
    std::chrono::steady_clock::time_point since;
  };
  Result<Opened> open_locked();
  Result<void> fold_locked(const std::optional<mirror::ManifestHeader>& header);
  void note_empty_roots(const mirror::ManifestHeader& header);
  void append(const std::string& line);
  void flush_locked();
  void record(const std::string& path, const Status& status);

  const std::string path_, log_path_;
  std::mutex mutex_;
  std::deque<Waiting> waiting_;
  std::string buffer_;
  Fd log_;
  bool headed_ = false;                   // there is a manifest
  bool good_log_ = false;                 // every line of it can be read
  std::vector<std::string> empty_roots_;  // that held no file, as it says
  size_t lines_ = 0;                      // in the log
  size_t entries_ = 0;                    // in the manifest, when it was last written
};

}  // namespace clusterd::live
