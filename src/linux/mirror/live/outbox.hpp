// Gathers frames into messages of the channel.
//
// Threading: any thread. `put` sends when a message is full; `flush` sends what is there. What has to be said
// before a frame (`Before`) is asked for with each, one at a time, and nothing comes in between.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "linux/mirror/live/channel.hpp"
#include "mirror/live/frames.hpp"

namespace clusterd::live {

template <class Frame>
class Outbox {
 public:
  using Before = std::function<Result<std::vector<Frame>>(const Frame& next)>;
  explicit Outbox(Channel& channel, Before before = {}) : channel_(channel), before_(std::move(before)) {}

  Result<void> put(const Frame& frame) {
    const std::lock_guard lock(mutex_);
    if (before_) {
      auto first = before_(frame);
      if (!first) return tl::unexpected(first.error());
      for (const Frame& each : *first) {
        if (auto ok = add(each); !ok) return ok;
      }
    }
    return add(frame);
  }

  Result<void> flush() {
    const std::lock_guard lock(mutex_);
    if (auto ok = send(); !ok) return ok;
    return channel_.flush();
  }
  [[nodiscard]] uint64_t bytes() const { return bytes_; }

 private:
  static constexpr size_t kEnough = 256 * 1024;

  Result<void> add(const Frame& frame) {
    const size_t before = buffer_.size();
    mirror::live::write_frame(buffer_, frame);
    if (buffer_.size() > kMaxChannelMessage && before > 0) {
      // The frame that did not fit goes into the next message.
      std::vector<uint8_t> next(buffer_.begin() + static_cast<ptrdiff_t>(before), buffer_.end());
      buffer_.resize(before);
      if (auto ok = send(); !ok) return ok;
      buffer_ = std::move(next);
    }
    return buffer_.size() >= kEnough ? send() : Result<void>();
  }

  Result<void> send() {
    if (buffer_.empty()) return {};
    auto ok = channel_.send(std::as_bytes(std::span(buffer_)));
    bytes_ += buffer_.size();
    buffer_.clear();
    return ok;
  }

  Channel& channel_;
  const Before before_;
  std::mutex mutex_;
  std::vector<uint8_t> buffer_;
  std::atomic<uint64_t> bytes_ = 0;
};

// A message that arrived, and the frames that point into it.
[[nodiscard]] inline std::span<const uint8_t> bytes_of(std::span<const std::byte> message) {
  return {reinterpret_cast<const uint8_t*>(message.data()), message.size()};
}

}  // namespace clusterd::live
