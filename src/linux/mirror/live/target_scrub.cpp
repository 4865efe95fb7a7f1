#include "linux/mirror/live/target_scrub.hpp"

#include "linux/mirror/live/contents.hpp"

namespace clusterd::live {

namespace ml = mirror::live;

TargetScrub::TargetScrub(const Anchors& anchors, uint64_t seed, Outbox<ml::TargetFrame>& out)
    : anchors_(anchors), seed_(seed), out_(out), thread_([this] { run(); }) {}

TargetScrub::~TargetScrub() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

bool TargetScrub::want(ml::WantHash want) {
  const std::lock_guard lock(mutex_);
  if (wanted_.size() >= ml::kMaxHashesWanted) return false;
  wanted_.push_back(std::move(want));
  wake_.notify_all();
  return true;
}

void TargetScrub::run() {
  read_when_idle();
  while (true) {
    ml::WantHash want;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stop_ || !wanted_.empty(); });
      if (stop_) return;
      want = wanted_.front();
    }
    const ml::PartHash hashed = answer(want);
    {
      const std::lock_guard lock(mutex_);
      wanted_.pop_front();
    }
    // Nobody there any more: the reader sees that as well.
    if (!out_.put(hashed) || !out_.flush()) return;
  }
}

ml::PartHash TargetScrub::answer(const ml::WantHash& want) const {
  ml::PartHash out{want.path, want.offset, std::nullopt, 0};
  auto file = open_plain_file(anchors_, want.path);
  auto status = file ? look(file->get(), "") : tl::unexpected(file.error());
  if (!status || status->type != 'f') return out;
  out.size = status->size;
  if (want.offset + want.length <= status->size)
    out.hash = hash_part(file->get(), want.offset, want.length, seed_);
  return out;
}

}  // namespace clusterd::live
