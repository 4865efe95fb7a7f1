// The reactor's event loop as the ports see it: readable descriptors and timers on one thread.
//
// A thin coat over Boost.Asio, so that a port is not compiled against Asio and a test can drive it alone.
// Callbacks run on the thread that calls run(), never from inside watch() or at(). A Watch or Timer that is
// destroyed never fires again.
#pragma once

#include <functional>
#include <memory>

#include "base/time.hpp"

namespace clusterd {

class Watch {  // ends watching when destroyed; does not own the descriptor
 public:
  virtual ~Watch() = default;
};
class Timer {  // cancels when destroyed
 public:
  virtual ~Timer() = default;
};

class EventLoop {
 public:
  EventLoop();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  [[nodiscard]] static Instant now();  // CLOCK_BOOTTIME

  // Calls back whenever `fd` is readable (level-triggered: again and again until it is drained).
  [[nodiscard]] std::unique_ptr<Watch> watch_readable(int fd, std::function<void()> callback);
  [[nodiscard]] std::unique_ptr<Watch> watch_writable(int fd, std::function<void()> callback);
  // Calls back once, at or after `when`.
  [[nodiscard]] std::unique_ptr<Timer> at(Instant when, std::function<void()> callback);
  // Runs on the loop's thread soon; the only member that other threads may call.
  void post(std::function<void()> callback);

  void run();  // until stop()
  void stop();
  // For tests: runs until `done` returns true or `limit` has passed; returns done().
  bool run_until(const std::function<bool()>& done, Duration limit);

  // The io_context (a boost::asio::io_context*), for the control server alone.
  [[nodiscard]] void* native();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace clusterd
