// The bound for every compare: getdents and statx of a whole tree, on as many threads as there are
// processors, and nothing else done with it. Usage: walk ROOT [THREADS]. Prints entries and milliseconds.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

std::mutex mutex;
std::condition_variable more;
std::vector<std::string> waiting;
std::size_t under_way = 0;
std::atomic<long> entries{0};

std::vector<std::string> read_folder(const std::string& path) {
  std::vector<std::string> folders;
  DIR* folder = opendir(path.c_str());
  if (folder == nullptr) return folders;
  while (const dirent* entry = readdir(folder)) {
    if (std::strcmp(entry->d_name, ".") == 0 || std::strcmp(entry->d_name, "..") == 0) continue;
    struct statx status;
    if (statx(dirfd(folder), entry->d_name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &status) != 0) continue;
    entries.fetch_add(1, std::memory_order_relaxed);
    if (S_ISDIR(status.stx_mode)) folders.push_back(path + "/" + entry->d_name);
  }
  closedir(folder);
  return folders;
}

void work() {
  std::unique_lock lock(mutex);
  while (true) {
    more.wait(lock, [] { return !waiting.empty() || under_way == 0; });
    if (waiting.empty()) return;
    const std::string path = std::move(waiting.back());
    waiting.pop_back();
    ++under_way;
    lock.unlock();
    auto folders = read_folder(path);
    lock.lock();
    for (auto& one : folders) waiting.push_back(std::move(one));
    --under_way;
    more.notify_all();
  }
}

}  // namespace

int main(int count, char** words) {
  if (count < 2) return 2;
  const unsigned threads =
      count > 2 ? static_cast<unsigned>(std::atoi(words[2])) : std::thread::hardware_concurrency();
  const auto begin = std::chrono::steady_clock::now();
  waiting.push_back(words[1]);
  std::vector<std::thread> workers;
  for (unsigned i = 0; i < threads; ++i) workers.emplace_back(work);
  for (auto& worker : workers) worker.join();
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
  std::printf("%ld %.3f\n", entries.load(), took.count());
}
