// A TCP connection between a node that waits and one that joins: frames with their length before them, each
// awaited with a deadline. Blocks, for clusterctl alone.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "base/address.hpp"
#include "base/result.hpp"
#include "linux/fd.hpp"

namespace clusterd {

using TalkClock = std::chrono::steady_clock;

class Talk {
 public:
  Talk(Fd fd, std::string peer) : fd_(std::move(fd)), peer_(std::move(peer)) {}

  [[nodiscard]] static Result<Talk> connect(const IpAddress& address, uint16_t port,
                                            std::chrono::seconds limit);

  // A Unix socket. kRefused: this user may not.
  [[nodiscard]] static Result<Talk> connect(const std::string& path);

  [[nodiscard]] Result<void> send(const std::string& frame, TalkClock::time_point end);
  // A longer frame than `most` is an error, before any of it is read.
  [[nodiscard]] Result<std::string> receive(size_t most, TalkClock::time_point end);
  [[nodiscard]] const std::string& peer() const { return peer_; }

 private:
  Result<void> wait(short events, TalkClock::time_point end);
  Result<void> read_all(char* data, size_t size, TalkClock::time_point end);
  Fd fd_;
  std::string peer_;  // its address
};

// The port, open as long as the object lives: on every address, unless one is given.
class Listener {
 public:
  [[nodiscard]] static Result<Listener> open(uint16_t port);
  // On one address of this machine alone.
  [[nodiscard]] static Result<Listener> open(const IpAddress& address, uint16_t port);
  [[nodiscard]] int descriptor() const { return fd_.get(); }
  // The next connection, or nullopt when the time is over or a signal came meanwhile.
  [[nodiscard]] std::optional<Talk> accept(TalkClock::time_point end);

 private:
  explicit Listener(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace clusterd
