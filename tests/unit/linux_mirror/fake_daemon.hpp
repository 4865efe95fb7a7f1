// The daemon that mirror processes ask whether they may write.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace clusterd {

// Answers POST /v1/command as the daemon would.
class FakeDaemon {
 public:
  FakeDaemon(const std::string& socket_path);
  ~FakeDaemon();
  std::atomic<bool> allow{true};
  std::vector<std::string> requests();
  // Called on the daemon's thread, with who asks.
  void when_allowed(std::function<void(pid_t)> call);

 private:
  void serve();
  int listener_ = -1;
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::vector<std::string> requests_;
  std::function<void(pid_t)> when_allowed_;
  std::thread thread_;
};

}  // namespace clusterd
