// The extended attributes of a name in a folder, or ("" as the name) of what a descriptor is open on: those
// that are mirrored, ACLs among them.
//
// Threading: none of its own.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "linux/mirror/live/inode.hpp"

namespace clusterd::live {

class Xattrs {
 public:
  Xattrs(int folder, const std::string& name);

  [[nodiscard]] Outcome<std::vector<std::string>> names() const;  // in order
  [[nodiscard]] Outcome<void> read(Traits& into) const;
  [[nodiscard]] Outcome<void> make(const Traits& wanted) const;  // exactly these

 private:
  [[nodiscard]] ssize_t list(char* into, size_t size) const;
  [[nodiscard]] ssize_t get(const std::string& name, char* into, size_t size) const;
  [[nodiscard]] int set(const std::string& name, const std::string& value) const;
  [[nodiscard]] int remove(const std::string& name) const;

  const int file_;          // -1: by its path alone
  const std::string path_;  // below /proc, through the descriptor
};

}  // namespace clusterd::live
