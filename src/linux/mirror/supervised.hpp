// A child of the daemon that has to run: started, and started again when it ends, after pauses that grow up
// to kLongestPause. It has a session of its own and ordinary priority, and dies with the daemon (PDEATHSIG).
//
// Threading: the reactor's thread only; nothing blocks but the destructor, which waits for the killed child.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "linux/event_loop.hpp"
#include "linux/mirror/files.hpp"

namespace clusterd {

// In a child that was just forked: nothing of the daemon's is left but the descriptors up to
// `last_descriptor`.
void leave_the_daemon(pid_t parent, int last_descriptor);

class Supervised {
 public:
  static constexpr Duration kFirstPause = std::chrono::seconds(1);
  static constexpr Duration kLongestPause = std::chrono::seconds(30);
  static constexpr Duration kHealthy = std::chrono::seconds(10);  // who lived this long did not fail to start

  // `words`: the program with its path, and its arguments.
  Supervised(EventLoop& loop, std::vector<std::string> words);
  ~Supervised();
  Supervised(const Supervised&) = delete;
  Supervised& operator=(const Supervised&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  void start();
  void ended();

  EventLoop& loop_;
  std::vector<std::string> words_;
  pid_t pid_ = -1;
  Fd pidfd_;
  Instant started_ = kLongAgo;
  Duration pause_ = kFirstPause / 2;
  std::unique_ptr<Watch> watch_;
  std::unique_ptr<Timer> restart_;
};

}  // namespace clusterd
