#include "linux/event_loop.hpp"

#include <time.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <utility>

namespace clusterd {

namespace asio = boost::asio;

namespace {

// The descriptor belongs to the caller: it is released, never closed.
class FdWatch final : public Watch {
 public:
  FdWatch(asio::io_context& io, int fd, asio::posix::stream_descriptor::wait_type type,
          std::function<void()> callback)
      : state_(std::make_shared<State>(io, fd, type, std::move(callback))) {
    wait(state_);
  }
  ~FdWatch() override {
    state_->callback = nullptr;
    state_->descriptor.release();
  }
  FdWatch(const FdWatch&) = delete;
  FdWatch& operator=(const FdWatch&) = delete;

 private:
  struct State {
    State(asio::io_context& io, int fd, asio::posix::stream_descriptor::wait_type t, std::function<void()> c)
        : descriptor(io, fd), type(t), callback(std::make_shared<std::function<void()>>(std::move(c))) {}
    asio::posix::stream_descriptor descriptor;
    asio::posix::stream_descriptor::wait_type type;
    std::shared_ptr<std::function<void()>> callback;  // null: no longer wanted
  };

  static void wait(const std::shared_ptr<State>& state) {
    state->descriptor.async_wait(state->type, [state](const boost::system::error_code& error) {
      if (error || !state->callback) return;
      const auto callback = state->callback;  // it may destroy this watch
      (*callback)();
      if (state->callback) wait(state);
    });
  }

  std::shared_ptr<State> state_;
};

// steady_timer counts CLOCK_MONOTONIC; over the short spans used here it and CLOCK_BOOTTIME differ only by
// a suspend, after which a timer is late: which the core tolerates.
class AsioTimer final : public Timer {
 public:
  AsioTimer(asio::io_context& io, Duration wait, std::function<void()> callback)
      : callback_(std::make_shared<std::function<void()>>(std::move(callback))), timer_(io, wait) {
    timer_.async_wait([callback = callback_](const boost::system::error_code& error) {
      if (error || !*callback) return;
      const auto once = std::exchange(*callback, nullptr);
      once();
    });
  }
  ~AsioTimer() override { *callback_ = nullptr; }
  AsioTimer(const AsioTimer&) = delete;
  AsioTimer& operator=(const AsioTimer&) = delete;

 private:
  std::shared_ptr<std::function<void()>> callback_;
  asio::steady_timer timer_;
};

}  // namespace

class EventLoop::Impl {
 public:
  asio::io_context io{1};
};

EventLoop::EventLoop() : impl_(std::make_unique<Impl>()) {}
EventLoop::~EventLoop() = default;

Instant EventLoop::now() {
  timespec ts{};
  clock_gettime(CLOCK_BOOTTIME, &ts);
  return Instant{std::chrono::seconds(ts.tv_sec) + std::chrono::nanoseconds(ts.tv_nsec)};
}

std::unique_ptr<Watch> EventLoop::watch_readable(int fd, std::function<void()> callback) {
  return std::make_unique<FdWatch>(impl_->io, fd, asio::posix::stream_descriptor::wait_read,
                                   std::move(callback));
}

std::unique_ptr<Watch> EventLoop::watch_writable(int fd, std::function<void()> callback) {
  return std::make_unique<FdWatch>(impl_->io, fd, asio::posix::stream_descriptor::wait_write,
                                   std::move(callback));
}

std::unique_ptr<Timer> EventLoop::at(Instant when, std::function<void()> callback) {
  const Duration wait = std::max(when - now(), Duration::zero());
  return std::make_unique<AsioTimer>(impl_->io, wait, std::move(callback));
}

void EventLoop::post(std::function<void()> callback) { asio::post(impl_->io, std::move(callback)); }

void EventLoop::run() {
  const auto keep = asio::make_work_guard(impl_->io);
  impl_->io.run();
}

void EventLoop::stop() { impl_->io.stop(); }

bool EventLoop::run_until(const std::function<bool()>& done, Duration limit) {
  {
    const auto keep = asio::make_work_guard(impl_->io);
    const Instant end = now() + limit;
    impl_->io.restart();
    while (!done() && now() < end)
      impl_->io.run_one_for(std::min<Duration>(end - now(), std::chrono::milliseconds(50)));
  }
  impl_->io.restart();  // without work at that moment it counts as stopped, and a later run() would not begin
  return done();
}

void* EventLoop::native() { return &impl_->io; }

}  // namespace clusterd
