// Messages between a target's reader and the thread that applies, bounded.
//
// Threading: any thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "mirror/live/frames.hpp"

namespace clusterd::live {

class Waiting {
 public:
  struct Item {
    std::shared_ptr<std::vector<std::byte>> message;  // what the frame's views point into
    mirror::live::SourceFrame frame;
    size_t bytes = 0;
  };
  // False: nobody takes it any more.
  bool push(Item item) {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [&] { return ended_ || bytes_ < kMaxWaiting; });
    if (ended_) return false;
    bytes_ += item.bytes;
    items_.push_back(std::move(item));
    wake_.notify_all();
    return true;
  }
  // nullopt: nothing for so long, or it has ended. Without `patience` it waits for one of both.
  std::optional<Item> pop(std::optional<std::chrono::milliseconds> patience) {
    std::unique_lock lock(mutex_);
    const auto there = [&] { return ended_ || !items_.empty(); };
    if (patience)
      wake_.wait_for(lock, *patience, there);
    else
      wake_.wait(lock, there);
    if (items_.empty()) return std::nullopt;
    Item item = std::move(items_.front());
    items_.pop_front();
    bytes_ -= item.bytes;
    wake_.notify_all();
    return item;
  }
  void end() {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    wake_.notify_all();
  }
  bool over() {
    const std::lock_guard lock(mutex_);
    return ended_ && items_.empty();
  }

 private:
  static constexpr size_t kMaxWaiting = size_t{48} << 20;  // bytes of messages that wait for their turn

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Item> items_;
  size_t bytes_ = 0;
  bool ended_ = false;
};

}  // namespace clusterd::live
