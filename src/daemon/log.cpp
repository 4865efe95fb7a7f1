#include "daemon/log.hpp"

#include <pthread.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <thread>

namespace clusterd {

namespace {
constexpr size_t kMaxQueued = 1000;
}

// Shared with the writer, which may outlive the Log when the journal hangs for good.
struct Log::Shared {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::string> queue;
  uint64_t dropped = 0;
  bool closing = false;
  bool done = false;
  int fd = 2;
};

const char* priority_prefix(Severity severity) {
  switch (severity) {
    case Severity::kDebug:
      return "<7>";
    case Severity::kInfo:
      return "<6>";
    case Severity::kNotice:
      return "<5>";
    case Severity::kWarning:
      return "<4>";
    case Severity::kError:
      return "<3>";
  }
  return "<6>";
}

namespace {

void write_all(int fd, const std::string& text) {
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = ::write(fd, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;  // nobody reads the log: that is no reason to stop serving
    done += static_cast<size_t>(n);
  }
}

}  // namespace

Log::Log(bool debug, int fd) : shared_(std::make_shared<Shared>()), debug_(debug) {
  shared_->fd = fd;
  std::thread([shared = shared_] {
    pthread_setname_np(pthread_self(), "log");
    std::unique_lock lock(shared->mutex);
    while (true) {
      shared->changed.wait(lock, [&] { return !shared->queue.empty() || shared->closing; });
      if (shared->queue.empty()) break;
      std::string text;
      for (const std::string& line : shared->queue) text += line;
      shared->queue.clear();
      if (shared->dropped > 0) {
        text += "<4>" + std::to_string(shared->dropped) + " log lines were lost: the journal was too slow\n";
        shared->dropped = 0;
      }
      lock.unlock();
      write_all(shared->fd, text);
      lock.lock();
    }
    shared->done = true;
    shared->changed.notify_all();
  }).detach();
}

Log::~Log() {
  std::unique_lock lock(shared_->mutex);
  shared_->closing = true;
  shared_->changed.notify_all();
  shared_->changed.wait_for(lock, std::chrono::seconds(1), [this] { return shared_->done; });
}

void Log::line(Severity severity, std::string text) {
  if (severity == Severity::kDebug && !debug_) return;
  for (char& c : text) {
    // One event is one line, whatever a peer, a file or a child put into it.
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  text.insert(0, priority_prefix(severity));
  text += '\n';
  const std::lock_guard lock(shared_->mutex);
  if (shared_->queue.size() >= kMaxQueued) {
    ++shared_->dropped;
    return;
  }
  shared_->queue.push_back(std::move(text));
  shared_->changed.notify_all();
}

}  // namespace clusterd
