// Reads trees with two threads: one hands out the entries in tree order, the other reads ahead.
//
// Threading: one thread calls `next`; the reader ahead is ended by the destructor. What vanishes while it is
// read is left out; what cannot be read is an error, since a compare must not take it for deleted.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "linux/mirror/live/inode.hpp"

namespace clusterd::live {

class TreeWalk {
 public:
  struct Step {
    enum class Kind {
      kEntry,  // `path`; a directory's own entries follow
      kLeave,  // the directory `path` is finished
      kEnd,
    } kind = Kind::kEnd;
    std::string_view path;    // valid until the next call
    std::string_view folder;  // of an entry: the directory that it is listed in; "" for a scope
    Status status;
  };

  // `scopes`: paths within the anchors' roots, in tree order, none within another.
  TreeWalk(const Anchors& anchors, std::vector<std::string> scopes, const std::vector<std::string>& exclude);
  ~TreeWalk();
  TreeWalk(const TreeWalk&) = delete;
  TreeWalk& operator=(const TreeWalk&) = delete;
  Result<Step> next();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// False: it holds none, or cannot be read.
[[nodiscard]] bool holds_a_file(const Anchors& anchors, const std::string& root,
                                const std::vector<std::string>& exclude);

// The names in one directory with their status, in tree order. kRetry: it is not there.
struct Named {
  std::string name;
  Status status;
};
[[nodiscard]] Result<std::vector<Named>> list_directory(int folder, const std::string& path,
                                                        const std::vector<std::string>& exclude);

}  // namespace clusterd::live
