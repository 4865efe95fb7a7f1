// The channel of a live mirror between two nodes: TLS over TCP.
//
// One thread per channel reads, writes and encrypts; messages are compressed and expanded in the threads that
// call `send` and `receive`. Both queues are bounded (kQueue bytes): who sends faster than the wire takes it
// waits, and what is not received is not read from the wire, so that the other end waits, too.
//
// Either side says something at least every `beacon`; a side that hears nothing for `silence` takes the path
// for dead. (TCP's own TCP_USER_TIMEOUT would not do: it also ends a connection whose other end is only
// busy.)
//
// What is on the wire: tls_frames.hpp.
#pragma once

#include <chrono>

#include "linux/mirror/live/channel.hpp"
#include "linux/mirror/live/tls.hpp"

namespace clusterd {

struct TlsChannelOptions {
  static constexpr size_t kQueue = 4 * 1024 * 1024;

  uint64_t bandwidth = 0;  // bytes per second that go out; 0: no limit
  std::chrono::milliseconds beacon{1000};
  std::chrono::milliseconds silence{5000};
};

[[nodiscard]] std::unique_ptr<Channel> tls_channel(TlsSession session, TlsChannelOptions options);

}  // namespace clusterd
