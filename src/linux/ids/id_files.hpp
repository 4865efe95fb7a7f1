// This node's table of users and groups: /etc/passwd and /etc/group, and nothing else. A name service is not
// asked: it may be slow, endless or away, and what it gives out has the same numbers on both nodes.
//
// Threading: one thread at a time.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/result.hpp"
#include "mirror/live/owners.hpp"

namespace clusterd {

class IdFiles {
 public:
  explicit IdFiles(std::string folder = "/etc") : folder_(std::move(folder)) {}

  // Reads again what has changed since; two stats if nothing has. True: the table is another one, or the
  // first. Fails if one of them cannot be read, or has more than kMaxIds; the table stays as it was.
  Result<bool> refresh();
  [[nodiscard]] const mirror::live::IdTable& table() const { return table_; }

 private:
  struct Stamp {  // what tells one version of a file from the next
    uint64_t device = 0, inode = 0, size = 0;
    int64_t mtime_ns = 0, ctime_ns = 0;
    bool operator==(const Stamp&) const = default;
  };
  [[nodiscard]] std::string path(size_t which) const;
  Result<Stamp> stamp(size_t which) const;

  std::string folder_;
  std::array<Stamp, 2> read_{};
  bool known_ = false;
  mirror::live::IdTable table_;
};

}  // namespace clusterd
