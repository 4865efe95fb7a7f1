// Follows a mirror's files with fanotify: one mark per file system, whatever the size of the trees.
//
// Hints are read in batches. A directory comes as a handle, which opens as what it is called *now*; the
// follower turns that back into what it was called when the hint was made, through the renames of directories
// that are later in the same batch, so that hints can be taken in order. A directory that is renamed while
// handles are being opened is seen in the queue afterwards: then that rename joins the batch, and they are
// opened again. What cannot be told (overflow, a stale handle that is not simply gone) makes the whole mirror
// suspect: it is marked for a compare.
//
// Threading: a thread of its own calls the sink, one call at a time.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "linux/mirror/live/inode.hpp"

namespace clusterd::live {

struct Hint {
  enum class Kind {
    kMade,     // a name came into being
    kDeleted,  //
    kRenamed,  // `path` to `to`
    kMovedIn,  // from outside of the mirror: everything below it is new, too
    kWritten,  // contents, by a writer that may go on
    kClosed,   // by a writer that has closed it
    kAttributes,
    kOrphan,  // contents or attributes of `object`, by a name in a directory that is gone
    kLost,    // anything may have changed below `path`
  } kind = Kind::kWritten;
  std::string path, to;
  std::string object;  // handle of what it is about; may be empty
  bool directory = false;
};

class Follower {
 public:
  using Sink = std::function<void(std::vector<Hint>)>;
  // kConfig: the kernel or a file system cannot; the text says which.
  static Result<std::unique_ptr<Follower>> start(const Anchors& anchors,
                                                 const std::vector<std::string>& exclude, Sink sink);
  ~Follower();
  Follower(const Follower&) = delete;
  Follower& operator=(const Follower&) = delete;
  // Returns when every hint of changes made before the call has been given to the sink.
  void drain();
  // Every hint of changes made before this moment has been given to the sink.
  [[nodiscard]] std::chrono::steady_clock::time_point delivered() const;

 private:
  class Impl;
  explicit Follower(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace clusterd::live
