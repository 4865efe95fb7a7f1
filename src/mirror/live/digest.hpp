// Digests of directories and of entries' traits: what two nodes exchange instead of listings.
//
// A directory's digest is over its own names in tree order, and what statx says of each. It does not cover
// contents or traits: an entry that has changed since the agreement makes the whole digest `kUnequal`, and
// for one that has not, the agreement speaks. The seed is drawn anew for each session, so that nobody can
// prepare files whose digests collide.
#pragma once

#include <memory>

#include "mirror/live/entry.hpp"

namespace clusterd::mirror::live {

class DirectoryDigest {
 public:
  explicit DirectoryDigest(uint64_t seed);
  ~DirectoryDigest();
  DirectoryDigest(DirectoryDigest&&) noexcept;
  DirectoryDigest& operator=(DirectoryDigest&&) noexcept;

  // `leader`: the first path of the same file, if this is another name of it.
  void add(std::string_view name, const Status& status, std::string_view leader);
  void add_changed() { changed_ = true; }
  [[nodiscard]] Hash finish() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
  bool changed_ = false;
};

[[nodiscard]] Hash hash_of(const Traits& traits, uint64_t seed);
[[nodiscard]] Hash hash_of(std::string_view bytes, uint64_t seed);

// The order in which directories are finished by a walk: what is in a directory comes before it, "" last.
[[nodiscard]] bool finished_before(std::string_view a, std::string_view b);

}  // namespace clusterd::mirror::live
