// The source of one live mirror: follows the files of the active node, compares, and sends
// (docs/decisions/0008).
//
// It lives from the first order of a tenure until `cancel`, with threads of its own. It obeys the same orders
// as a scheduled mirror and gives the same reports; after kDone of kResync, kRun or kFlush it goes on
// following, and reports kProgress with its lag. When the channel breaks (or is closed by the transport, to
// move to a better link) it connects once more at once and goes on with what was not acknowledged; if that
// fails it reports kFailed, goes on noting what changes, and waits for the next order.
//
// Threading: `order` from any thread. `report` and `connect` are called from threads of the source, `report`
// from one at a time. The destructor ends all threads; it closes the channel that they may be waiting for,
// and nothing is reported afterwards. The owner has made `connect` fail at once before.
#pragma once

#include <functional>
#include <memory>

#include "core/actions.hpp"
#include "core/config.hpp"
#include "linux/mirror/live/channel.hpp"
#include "linux/mirror/mirror_process.hpp"

namespace clusterd {

struct LiveSetup {
  ServiceId service;
  MirrorId id;
  const Config& config;
  MirrorPaths paths;
  Epoch epoch;
};

class LiveSource {
 public:
  // Gives a channel to the peer's `serve_live` for this mirror: the hello is done, the peer has permitted.
  using Connect = std::function<Result<std::unique_ptr<Channel>>()>;

  LiveSource(LiveSetup setup, Connect connect, std::function<void(const MirrorReport&)> report);
  ~LiveSource();
  LiveSource(const LiveSource&) = delete;
  LiveSource& operator=(const LiveSource&) = delete;

  void order(const MirrorOrder& order);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace clusterd
