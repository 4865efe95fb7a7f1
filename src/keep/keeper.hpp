// The life of clusterd-config: a tick now and then, answers for clusterctl in between, and a thread that
// answers the other node. All that must not be forgotten is in the record on disk (linux/versions/store.hpp):
// it may be killed at any time, and is at each restart of the daemon.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <map>
#include <string>
#include <thread>

#include "keep/always.hpp"
#include "keep/likeness.hpp"
#include "keep/node.hpp"
#include "linux/host/talk.hpp"

namespace clusterd::keep {

class Keeper {
 public:
  Keeper(NodeOptions options, pid_t daemon) : node_(std::move(options)), daemon_(daemon) {}

  // Until the daemon is gone. Fails only at the beginning.
  [[nodiscard]] Result<void> run();

 private:
  Result<void> listen_locally();
  void serve();  // on a thread of its own
  void open_ports(std::map<std::string, Listener>& listeners);
  void answer_caller(Talk talk);
  void answer_local();
  std::string answer_clusterctl(const std::string& question);

  void tick();
  void tell_daemon(const versions::Record& record);
  void begin();  // the first version: what is found
  [[nodiscard]] versions::Facts facts(const versions::Record& record);
  void act(const versions::Record& record, const versions::Facts& facts, const versions::Decision& decision);
  void activate_peer(const versions::Record& record);
  void activate(const versions::Record& record);
  void accept(const versions::Record& record);
  void go_back(const versions::Record& record, const std::string& why);
  void settle(const versions::Record& record);
  void fetch(const versions::PeerWord& peer);
  void adopt(uint64_t running);
  void note(const std::function<void(versions::Record&)>& edit) const;

  ThisNode node_;
  AlwaysMirror always_{node_};
  LikenessKeeper likeness_{node_};
  const pid_t daemon_;
  Fd socket_;
  std::atomic<int64_t> port_free_until_ms_{0};
  int64_t started_ms_ = boottime_ms();
  int64_t last_contact_ms_ = boottime_ms();
  int64_t last_asked_ms_ = 0, last_hup_ms_ = 0, last_fetch_ms_ = 0;
  std::optional<bool> told_to_hold_;  // what the daemon was told last
  std::string told_;                  // the last complaint, so that it is not repeated
};

}  // namespace clusterd::keep
