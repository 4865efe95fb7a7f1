// The agent's live mirrors: one source each, which lives from the first order of a tenure to `cancel`, or to
// an order of another tenure.
//
// Making and ending a source may wait for the disk or the network, so each mirror has a thread that does only
// this, and orders wait in line for it. A cancelled source's connection is closed at once, by the caller.
//
// Threading: `order` and `cancel` from one thread. Reports come from threads of the sources.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "core/actions.hpp"
#include "linux/mirror/live/connector.hpp"
#include "linux/mirror/live/source.hpp"

namespace clusterd {

// What LiveMirrors knows of a source; tests have their own.
class FollowingSource {
 public:
  FollowingSource() = default;
  virtual ~FollowingSource() = default;
  FollowingSource(const FollowingSource&) = delete;
  FollowingSource& operator=(const FollowingSource&) = delete;
  virtual void order(const MirrorOrder& order) = 0;
};
using MakeSource = std::function<std::unique_ptr<FollowingSource>(LiveSetup, LiveSource::Connect,
                                                                  std::function<void(const MirrorReport&)>)>;

class LiveMirrors {
 public:
  LiveMirrors(const Config& config, MirrorPaths paths, MakeSource make,
              std::function<void(const MirrorReport&)> report);
  ~LiveMirrors();
  LiveMirrors(const LiveMirrors&) = delete;
  LiveMirrors& operator=(const LiveMirrors&) = delete;

  void order(const MirrorOrder& order);
  void cancel(ServiceId service);

 private:
  class Keeper;
  const Config& config_;
  const MirrorPaths paths_;
  const MakeSource make_;
  const std::function<void(const MirrorReport&)> report_;
  std::map<std::pair<ServiceId, MirrorId>, std::unique_ptr<Keeper>> keepers_;
};

}  // namespace clusterd
