// The guards of this node's mirrors while the daemon runs: sets and lifts them as the core orders, tells what
// has become of it, and looks again every few seconds, since others mount and unmount, too.
//
// A guard outlives the daemon. Which folders may carry one stands in a file in the run directory before it is
// set, so that the next daemon (or `clusterd --lift-guards`) can lift it whatever the configuration says by
// then; the mounts themselves are the truth.
//
// Threading: the reactor's thread; what may wait for a disk is done on a thread of its own. Nothing blocks.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/config.hpp"
#include "linux/event_loop.hpp"
#include "linux/helper_thread.hpp"
#include "linux/mirror/guard.hpp"
#include "ports/ports.hpp"

namespace clusterd {

class GuardKeeper {
 public:
  // What a former daemon has left where nothing is to be guarded any more is lifted at once.
  // `mounts_changed`: what is mounted below a guarded folder of this service is not what it was.
  GuardKeeper(EventLoop& loop, const Config& config, std::string run_dir, EventSink sink,
              std::function<void(ServiceId)> mounts_changed);
  ~GuardKeeper();
  GuardKeeper(const GuardKeeper&) = delete;
  GuardKeeper& operator=(const GuardKeeper&) = delete;

  void set(ServiceId service);
  void lift(ServiceId service);

  static constexpr Duration kLookEvery = std::chrono::seconds(5);

 private:
  struct Folder {
    ServiceId service;
    MirrorId mirror;
    std::string path;
    Fd mount;  // its guard, if it is in place
    // Of the order that stands, once something is known.
    std::optional<GuardReport::Outcome> outcome;
    std::string detail;
    bool writers_sought = false;                     // … from before, once there was a guard
    std::optional<std::vector<std::string>> mounts;  // below it, as last seen
  };
  struct Seen;

  void look();
  void ask(size_t index, uint64_t order);
  void take(size_t index, uint64_t order, Seen seen);
  void put_in_place(Folder& folder, GuardPlan plan);
  void tell(ServiceId service, MirrorId mirror);
  void write_down() const;

  EventLoop& loop_;
  const std::string run_dir_;
  const EventSink sink_;
  const std::function<void(ServiceId)> mounts_changed_;
  std::vector<Folder> folders_;
  std::vector<std::string> stuck_;         // guards of a former configuration that could not be lifted
  std::map<ServiceId, uint64_t> ordered_;  // services that are to be guarded, by the number of the order
  uint64_t orders_ = 0;
  size_t asked_ = 0;  // questions to the helper that are not answered
  std::map<std::pair<ServiceId, MirrorId>, GuardReport> told_;
  std::unique_ptr<Timer> timer_;
  std::shared_ptr<bool> alive_;
  std::unique_ptr<HelperThread> helper_;  // last: its jobs find the rest
};

// Lifts every guard that a daemon with this run directory has set. Troubles, in words.
[[nodiscard]] std::vector<std::string> lift_all_guards(const std::string& run_dir);

}  // namespace clusterd
