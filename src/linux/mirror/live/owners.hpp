// Owners by name, at both ends (mirror/live/owners.hpp): the source tells its table, the target translates.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "linux/ids/id_files.hpp"
#include "linux/mirror/live/inode.hpp"
#include "mirror/live/frames.hpp"

namespace clusterd::live {

// The source's. Threading: one thread at a time (the outbox's lock).
class NamesToTell {
 public:
  explicit NamesToTell(std::string folder) : files_(std::move(folder)) {}

  // What the target has to be told before `next`: the whole table, if it has not heard of it, or if it has
  // changed and `next` has an owner in it.
  Result<std::vector<mirror::live::SourceFrame>> before(const mirror::live::SourceFrame& next);

 private:
  IdFiles files_;
  bool told_ = false;
};

// The target's. Threading: one thread at a time.
class OwnersHere {
 public:
  // The names of the nodes, for people.
  OwnersHere(std::string folder, std::string source, std::string here)
      : files_(std::move(folder)), source_(std::move(source)), here_(std::move(here)) {}

  // A part of the source's table. kCorrupt: it is none, or too long.
  Result<void> take(const mirror::live::Names& names);
  // What is to be done at `path`, in this node's numbers. Fails with EPERM, and words for people, for an
  // owner whom this node does not know; who has been created meanwhile is known.
  Outcome<void> to_ours(const std::string& path, Status& status, Traits& traits);
  // As the two tables are now.
  Result<mirror::live::OwnerMap> now();

 private:
  Result<void> refresh();

  IdFiles files_;
  const std::string source_, here_;
  mirror::live::IdTable theirs_, coming_;
  bool complete_ = false, begun_ = false, changed_ = false;
  mirror::live::OwnerMap map_;
};

}  // namespace clusterd::live
