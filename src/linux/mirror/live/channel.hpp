// Ordered, reliable messages between the two ends of one live mirror: the seam between the transport and the
// data (docs/decisions/0008).
//
// Threading: `send` and `flush` from any thread, also at once; `receive` from one thread at a time; `close`
// from any thread, also while others are in one of the calls: they return. Destroyed only when no thread is
// in it.
//
// A message that was sent may be lost if the connection breaks. Only the other end's own messages say what it
// has got.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "linux/mirror/files.hpp"

namespace clusterd {

inline constexpr size_t kMaxChannelMessage = 1024 * 1024;

class Channel {
 public:
  Channel() = default;
  virtual ~Channel() = default;
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // At most kMaxChannelMessage bytes (else kRefused); may be empty. Blocks while the other end does not keep
  // up. kRetry: the connection is broken or closed; every later call says so, too.
  virtual Result<void> send(std::span<const std::byte> message) = 0;
  // What was sent leaves now; it does not wait for its arrival.
  virtual Result<void> flush() = 0;
  // Blocks for the next message. nullopt: the other end has closed in good order. kCorrupt: what arrived was
  // not written by a Channel. kRetry: broken, or closed here.
  virtual Result<std::optional<std::vector<std::byte>>> receive() = 0;
  virtual void close() = 0;
};

// Over a stream socket, in the clear: for tests, and to measure what encryption costs.
[[nodiscard]] std::unique_ptr<Channel> plain_channel(Fd socket);
// Both ends, connected.
[[nodiscard]] Result<std::pair<std::unique_ptr<Channel>, std::unique_ptr<Channel>>> channel_pair();

}  // namespace clusterd
