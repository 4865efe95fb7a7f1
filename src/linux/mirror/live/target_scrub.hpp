// The target's half of a scrub: hashes the parts of files that the source asks for.
//
// It reads no faster than it is asked, beside the thread that applies. Threading: `want` from one thread; the
// reading has a thread of its own, with the idle class of the disk scheduler.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "linux/mirror/live/inode.hpp"
#include "linux/mirror/live/outbox.hpp"

namespace clusterd::live {

class TargetScrub {
 public:
  TargetScrub(const Anchors& anchors, uint64_t seed, Outbox<mirror::live::TargetFrame>& out);
  ~TargetScrub();
  TargetScrub(const TargetScrub&) = delete;
  TargetScrub& operator=(const TargetScrub&) = delete;

  // False: more are waiting than the source may have asked for.
  [[nodiscard]] bool want(mirror::live::WantHash want);

 private:
  void run();
  [[nodiscard]] mirror::live::PartHash answer(const mirror::live::WantHash& want) const;

  const Anchors& anchors_;
  const uint64_t seed_;
  Outbox<mirror::live::TargetFrame>& out_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<mirror::live::WantHash> wanted_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace clusterd::live
