// Keeps what a resync is about to overwrite or delete (S9): in the backup set, by the file's path.
//
// A file is linked there where the set is on the same file system, and cloned or copied where it is not.
// Nothing may be overwritten before `durable` has returned.
//
// Threading: one thread.
#pragma once

#include <set>
#include <string>
#include <utility>

#include "linux/mirror/live/inode.hpp"

namespace clusterd::live {

class Keeper {
 public:
  explicit Keeper(std::string files_folder) : files_(std::move(files_folder)) {}
  // The file (or link, device, …) `name` in `folder`, which is at `path`. Directories are not kept.
  Outcome<void> keep(int folder, const std::string& name, const std::string& path);
  // This session has written it: no need to keep it.
  void is_ours(const Status& status) { ours_.insert({status.device, status.inode}); }
  Outcome<void> durable();

 private:
  struct InSet {
    int folder;
    const std::string &name, &path;  // path: of what is kept, for words
  };
  [[nodiscard]] Outcome<Fd> folder_for(const std::string& path) const;
  Outcome<void> copy(int folder, const std::string& name, const Status& status, const InSet& to);
  std::string files_;
  std::set<std::pair<uint64_t, uint64_t>> ours_, kept_;
  bool owes_sync_ = false;
};

// Contents of one file to another, by reference where the file system can. Holes stay holes.
[[nodiscard]] Outcome<void> copy_contents(int from, int to, uint64_t size);

}  // namespace clusterd::live
