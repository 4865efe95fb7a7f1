// When a live source scrubs (the scrub itself: scrub.hpp), and what it tells of it.
//
// A scrub ends with its connection, and the next connection's goes on where it was: that is kept here.
//
// Threading: the source's worker.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "core/config.hpp"
#include "linux/mirror/live/scrub.hpp"
#include "linux/mirror/live/scrub_times.hpp"
#include "linux/mirror/live/session.hpp"

namespace clusterd::live {

class SourceScrub {
 public:
  SourceScrub(const MirrorConfig& mirror, std::string manifest_path)
      : mirror_(mirror), manifest_(std::move(manifest_path)) {}

  // Reads when the last one was, if that is not known yet.
  void remember();
  // An order: one begins, due or not.
  void want() { wanted_ = true; }
  // Begins a scrub that is due, and takes in how far it is. True: there is something to tell.
  bool look_after(Session& session);
  [[nodiscard]] const MirrorScrub& told() const { return told_; }
  // That one has ended is told once.
  void end_is_told() { told_.ended = false; }

 private:
  void has_ended(int64_t now, bool through);

  const MirrorConfig& mirror_;
  const std::string manifest_;
  ScrubPlace place_;  // the running scrub's own
  MirrorScrub told_;  // as it is told
  ScrubTimes times_;
  bool wanted_ = false;
};

}  // namespace clusterd::live
