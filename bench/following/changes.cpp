// How long does a change take to be seen on the other side? Changes files below SOURCE at a steady rate and
// watches the same folders of TARGET. Usage: changes SOURCE TARGET FOLDERS POOL RATE SECONDS PATIENCE SIZE
//
// The folders are SOURCE/d0 … d(FOLDERS-1). Every other change rewrites one of POOL files in place, the
// others make a new file. Each contents begin with the change's number, so that a later version counts for
// all before it. A change's clock starts when its close() has returned. Prints JSON: "us" of each change (-1:
// not seen within PATIENCE seconds after the last), "late_us" by which the writer itself was late at most,
// "backlog_ms".
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/poll.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

struct Change {
  long number;
  Clock::time_point at;
};

std::mutex mutex;
std::map<std::string, std::deque<Change>> open_changes;  // by folder/name
std::vector<double> seen;                                // µs by number; -1: not yet
long left = 0;
Clock::time_point last_seen;

std::string folder(long number) { return "d" + std::to_string(number); }

long number_in(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return -1;
  char text[24] = {};
  const auto got = read(file, text, sizeof text - 1);
  close(file);
  return got > 0 ? std::atol(text) : -1;
}

void note_seen(const std::string& name, long number, Clock::time_point now) {
  const std::scoped_lock lock(mutex);
  const auto found = open_changes.find(name);
  if (found == open_changes.end()) return;
  auto& changes = found->second;
  while (!changes.empty() && changes.front().number <= number) {
    const std::chrono::duration<double, std::micro> took = now - changes.front().at;
    seen[static_cast<std::size_t>(changes.front().number)] = took.count() < 0 ? 0 : took.count();
    --left;
    last_seen = now;
    changes.pop_front();
  }
}

void watch(const std::string& target, long folders, const std::atomic<bool>& stop) {
  const int notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  std::map<int, std::string> names;
  for (long i = 0; i < folders; ++i) {
    names[inotify_add_watch(notify, (target + "/" + folder(i)).c_str(),
                            IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE)] = folder(i);
  }
  alignas(inotify_event) static char buffer[1 << 18];
  while (!stop) {
    pollfd ready{.fd = notify, .events = POLLIN, .revents = 0};
    poll(&ready, 1, 20);
    const auto count = read(notify, buffer, sizeof buffer);
    const auto now = Clock::now();
    for (ssize_t at = 0; at < count;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer + at);
      at += static_cast<ssize_t>(sizeof *event + event->len);
      if (event->len == 0) continue;
      const std::string name = names[event->wd] + "/" + event->name;
      note_seen(name, number_in(target + "/" + name), now);
    }
  }
  close(notify);
}

void change(const std::string& source, const std::string& name, long number, std::size_t size) {
  std::string contents = std::to_string(number) + "\n";
  contents.resize(size, static_cast<char>('a' + number % 26));
  {
    // Known before it can be seen; the clock is set once more after close.
    const std::scoped_lock lock(mutex);
    open_changes[name].push_back({number, Clock::now()});
  }
  const int file = open((source + "/" + name).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0 || write(file, contents.data(), contents.size()) < 0) std::perror(name.c_str());
  close(file);
  const auto now = Clock::now();
  const std::scoped_lock lock(mutex);
  for (auto& one : open_changes[name]) {
    if (one.number == number) one.at = now;
  }
}

}  // namespace

int main(int count, char** words) {
  if (count < 9) return 2;
  const std::string source = words[1], target = words[2];
  const long folders = std::atol(words[3]), pool = std::atol(words[4]);
  const double rate = std::atof(words[5]), seconds = std::atof(words[6]), patience = std::atof(words[7]);
  const auto size = static_cast<std::size_t>(std::atol(words[8]));
  const auto total = static_cast<long>(rate * seconds);
  seen.assign(static_cast<std::size_t>(total), -1);
  left = total;

  std::atomic<bool> stop{false};
  std::thread watcher([&] { watch(target, folders, stop); });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  const auto begin = Clock::now();
  double late = 0;
  for (long number = 0; number < total; ++number) {
    const auto due = begin + std::chrono::duration_cast<Clock::duration>(
                                 std::chrono::duration<double>(static_cast<double>(number) / rate));
    std::this_thread::sleep_until(due);
    late = std::max(late, std::chrono::duration<double, std::micro>(Clock::now() - due).count());
    const std::string name =
        number % 2 == 0 ? folder(number / 2 % pool % folders) + "/p" + std::to_string(number / 2 % pool)
                        : folder(number % folders) + "/n" + std::to_string(number);
    change(source, name, number, size);
  }
  const auto ended = Clock::now();
  while (Clock::now() < ended + std::chrono::duration<double>(patience)) {
    {
      const std::scoped_lock lock(mutex);
      if (left == 0) break;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  stop = true;
  watcher.join();
  const double backlog = std::chrono::duration<double, std::milli>(last_seen - ended).count();
  std::printf("{\"late_us\": %.0f, \"backlog_ms\": %.1f, \"written_s\": %.3f, \"us\": [", late,
              backlog < 0 ? 0 : backlog, std::chrono::duration<double>(ended - begin).count());
  for (std::size_t i = 0; i < seen.size(); ++i) std::printf("%s%.0f", i == 0 ? "" : ",", seen[i]);
  std::printf("]}\n");
}
