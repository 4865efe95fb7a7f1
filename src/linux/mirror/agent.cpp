#include "linux/mirror/agent.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <list>
#include <mutex>
#include <thread>

#include "linux/mirror/run.hpp"
#include "mirror/messages.hpp"

namespace clusterd {
namespace {

constexpr size_t kWorkers = 2;

class Agent {
 public:
  Agent(const Config& config, const MirrorPaths& paths, MakeSource make_source)
      : config_(config),
        paths_(paths),
        live_(config, paths, std::move(make_source), [this](const MirrorReport& r) { report(r); }) {}

  int run() {
    for (size_t i = 0; i < kWorkers; ++i) std::thread([this] { work(); }).detach();
    std::string buffer;
    char chunk[8192];
    while (true) {
      const ssize_t n = ::read(kAgentDescriptor, chunk, sizeof chunk);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      buffer.append(chunk, static_cast<size_t>(n));
      for (size_t end = 0; (end = buffer.find('\n')) != std::string::npos; buffer.erase(0, end + 1)) {
        take(std::string_view(buffer).substr(0, end));
      }
      if (buffer.size() > mirror::kMaxMessage) break;
    }
    // The daemon is gone: nobody may be told of any result, so nothing goes on.
    {
      const std::lock_guard lock(mutex_);
      waiting_.clear();
      for (auto& running : running_) running.control.cancel();
    }
    std::fflush(nullptr);
    ::_exit(0);
  }

 private:
  struct Running {
    MirrorOrder order;
    RunControl control;
  };
  static bool same_mirror(const MirrorOrder& a, const MirrorOrder& b) {
    return a.service == b.service && a.mirror == b.mirror;
  }

  void take(std::string_view line) {
    auto message = mirror::parse_order(config_, line);
    if (!message) {
      std::fprintf(stderr, "<4>mirror agent: %s\n", message.error().message.c_str());
      return;
    }
    if (const auto* cancel = std::get_if<mirror::Cancel>(&*message)) live_.cancel(cancel->service);
    if (const auto* order = std::get_if<MirrorOrder>(&*message); order && is_live(*order)) {
      return live_.order(*order);
    }
    const std::lock_guard lock(mutex_);
    if (const auto* cancel = std::get_if<mirror::Cancel>(&*message)) {
      for (auto it = waiting_.begin(); it != waiting_.end();) {
        if (it->service != cancel->service) {
          ++it;
          continue;
        }
        report(cancelled(*it));
        it = waiting_.erase(it);
      }
      for (auto& running : running_) {
        if (running.order.service == cancel->service) running.control.cancel();
      }
      return;
    }
    const auto& order = std::get<MirrorOrder>(*message);
    for (auto& waiting : waiting_) {
      if (!same_mirror(waiting, order)) continue;
      waiting = order;
      return;
    }
    waiting_.push_back(order);
    wake_.notify_one();
  }

  [[nodiscard]] bool is_live(const MirrorOrder& order) const {
    return config_.service(order.service).mirrors.at(order.mirror.at()).live;
  }

  static MirrorReport cancelled(const MirrorOrder& order) {
    MirrorReport r;
    r.service = order.service;
    r.mirror = order.mirror;
    r.epoch = order.epoch;
    r.kind = order.kind;
    r.outcome = MirrorReport::Outcome::kFailed;
    r.detail = "cancelled";
    return r;
  }

  // The first waiting order whose mirror is not under way.
  std::deque<MirrorOrder>::iterator next() {
    for (auto it = waiting_.begin(); it != waiting_.end(); ++it) {
      bool busy = false;
      for (const auto& running : running_) busy = busy || same_mirror(running.order, *it);
      if (!busy) return it;
    }
    return waiting_.end();
  }

  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      auto it = next();
      if (it == waiting_.end()) {
        wake_.wait(lock);
        continue;
      }
      running_.emplace_back();
      const auto running = std::prev(running_.end());
      running->order = *it;
      waiting_.erase(it);
      lock.unlock();
      const MirrorReport result = run_mirror(config_, paths_, running->order, running->control,
                                             [this](const MirrorReport& r) { report(r); });
      lock.lock();
      running_.erase(running);
      report(result);
      wake_.notify_all();
    }
  }

  void report(const MirrorReport& r) {
    const std::string line = mirror::write_report(config_, r);
    const std::lock_guard lock(write_mutex_);
    for (std::string_view rest = line; !rest.empty();) {
      const ssize_t n = ::send(kAgentDescriptor, rest.data(), rest.size(), MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return;  // the reading thread notices the end
      rest.remove_prefix(static_cast<size_t>(n));
    }
  }

  const Config& config_;
  const MirrorPaths& paths_;
  std::mutex mutex_, write_mutex_;
  std::condition_variable wake_;
  std::deque<MirrorOrder> waiting_;
  std::list<Running> running_;
  LiveMirrors live_;
};

}  // namespace

int run_agent(const Config& config, const MirrorPaths& paths, MakeSource make_source) {
  // Never destroyed: the workers use it until the process ends.
  return (new Agent(config, paths, std::move(make_source)))->run();
}

}  // namespace clusterd
