#include "daemon/log.hpp"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>

namespace clusterd {

namespace {

constexpr size_t kMaxQueued = 1000;
constexpr const char* kJournal = "/run/systemd/journal/socket";

struct Line {
  Severity severity = Severity::kInfo;
  std::string text;
  LogFields fields;
};

}  // namespace

// Shared with the writer, which may outlive the Log when the journal hangs for good.
struct Log::Shared {
  ~Shared() {
    if (journal >= 0) ::close(journal);
  }
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Line> queue;
  uint64_t dropped = 0;
  bool closing = false;
  bool done = false;
  int fd = 2;
  int journal = -1;
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

int connect_to_journal(int fd) {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat is {};
  if (stream == nullptr || ::fstat(fd, &is) != 0) return -1;
  if (std::to_string(is.st_dev) + ":" + std::to_string(is.st_ino) != stream) return -1;
  const int journal = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (journal < 0) return -1;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "%s", kJournal);
  if (::connect(journal, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return journal;
  ::close(journal);
  return -1;
}

namespace {

// One event is one line, whatever a peer, a file or a child put into it.
void make_one_line(std::string& text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
}

void write_all(int fd, const std::string& text) {
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = ::write(fd, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;  // nobody reads the log: that is no reason to stop serving
    done += static_cast<size_t>(n);
  }
}

bool send_to_journal(int journal, const Line& line) {
  if (journal < 0) return false;
  std::string datagram = "MESSAGE=" + line.text + "\nSYSLOG_IDENTIFIER=clusterd\nPRIORITY=";
  datagram += priority_prefix(line.severity)[1];
  datagram += '\n';
  for (const auto& [name, value] : line.fields) datagram.append(name).append("=").append(value).append("\n");
  ssize_t sent = -1;
  do {
    sent = ::send(journal, datagram.data(), datagram.size(), MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(datagram.size());
}

void write_lines(int fd, int journal, const std::deque<Line>& lines) {
  std::string text;
  for (const Line& line : lines) {
    if (!send_to_journal(journal, line)) text += priority_prefix(line.severity) + line.text + "\n";
  }
  write_all(fd, text);
}

}  // namespace

Log::Log(bool debug, int fd, int journal) : shared_(std::make_shared<Shared>()), debug_(debug) {
  shared_->fd = fd;
  shared_->journal = journal;
  std::thread([shared = shared_] {
    pthread_setname_np(pthread_self(), "log");
    std::unique_lock lock(shared->mutex);
    while (true) {
      shared->changed.wait(lock, [&] { return !shared->queue.empty() || shared->closing; });
      if (shared->queue.empty()) break;
      std::deque<Line> lines;
      lines.swap(shared->queue);
      if (shared->dropped > 0) {
        lines.push_back({Severity::kWarning,
                         std::to_string(shared->dropped) + " log lines were lost: the journal was too slow",
                         {}});
        shared->dropped = 0;
      }
      lock.unlock();
      write_lines(shared->fd, shared->journal, lines);
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

void Log::line(Severity severity, std::string text, LogFields fields) {
  if (severity == Severity::kDebug && !debug_) return;
  make_one_line(text);
  for (auto& [name, value] : fields) make_one_line(value);
  const std::lock_guard lock(shared_->mutex);
  if (shared_->queue.size() >= kMaxQueued) {
    ++shared_->dropped;
    return;
  }
  shared_->queue.push_back({severity, std::move(text), std::move(fields)});
  shared_->changed.notify_all();
}

}  // namespace clusterd
