// What a hint of the follower leaves in the marks of a source: names that differ, and when each is due.
//
// Threading: with the lock of the marks.
#pragma once

#include "base/time.hpp"
#include "linux/mirror/live/follow.hpp"
#include "linux/mirror/live/links.hpp"
#include "mirror/live/dirty.hpp"

namespace clusterd::live {

struct HintMarks {
  mirror::live::DirtySet& dirty;
  const Anchors& anchors;
  const Links& links;
  bool renames;  // can be told as such; otherwise one is a name that is gone and one to be looked at
};
void mark_hint(const HintMarks& marks, const Hint& hint, Instant now);

}  // namespace clusterd::live
