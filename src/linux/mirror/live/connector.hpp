// How a live mirror's source gets to the peer: over the best link that works.
//
// Links that are not the service's come first. When the connection breaks, `connect` is called again and
// tries all of them anew; no broken link is waited for longer than kLinkLimit. While the connection goes over
// another link than the first, the better ones are looked at now and then (a whole handshake, so that
// something that merely listens there is not taken for the peer); once one has worked twice in a row, and
// nothing is being sent or kMoveAnyway is over, the channel is closed, and the source connects again.
//
// Threading: `connect` from one thread at a time; `stop` from any.
#pragma once

#include <chrono>
#include <memory>

#include "core/actions.hpp"
#include "core/config.hpp"
#include "linux/mirror/live/channel.hpp"

namespace clusterd {

class Connector {
 public:
  static constexpr std::chrono::milliseconds kLinkLimit{2000};
  static constexpr std::chrono::milliseconds kLookEvery{2000};
  static constexpr std::chrono::milliseconds kIdle{500};
  static constexpr std::chrono::seconds kMoveAnyway{30};

  Connector(const Config& config, ServiceId service, MirrorId mirror, Epoch epoch);
  ~Connector();
  Connector(const Connector&) = delete;
  Connector& operator=(const Connector&) = delete;

  // Hello done, the peer has permitted. kRefused: the peer says no, in words. kRetry: it cannot be reached,
  // or not now.
  Result<std::unique_ptr<Channel>> connect();
  // Closes what is open; every call of `connect`, also one under way, fails from now on.
  void stop();

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace clusterd
