#include "linux/mirror/receivers.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>

namespace clusterd {
namespace {

Fd open_pidfd(pid_t pid) { return Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))); }
void signal_pidfd(int pidfd, int signal) { ::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0); }

std::vector<pid_t> children_of(pid_t pid) {
  std::vector<pid_t> out;
  auto text = read_whole_file(fmt::format("/proc/{0}/task/{0}/children", pid), 1 << 16);
  if (!text) return out;
  const char* at = text->data();
  const char* const end = at + text->size();
  while (at < end) {
    pid_t child = 0;
    const auto [next, error] = std::from_chars(at, end, child);
    if (error != std::errc{}) break;
    out.push_back(child);
    at = next;
    while (at < end && *at == ' ') ++at;
  }
  return out;
}

// Live (not zombie) processes of the group, by /proc; the slow way, for stragglers.
std::vector<pid_t> group_members(pid_t group) {
  std::vector<pid_t> out;
  DIR* dir = ::opendir("/proc");
  if (!dir) return out;
  while (const dirent* d = ::readdir(dir)) {
    const pid_t pid = std::atoi(d->d_name);
    if (pid <= 0) continue;
    auto text = read_whole_file(fmt::format("/proc/{}/stat", pid), 1 << 14);
    const size_t paren = text ? text->rfind(')') : std::string::npos;
    if (paren == std::string::npos || paren + 4 >= text->size()) continue;
    char state = 0;
    int parent = 0, pgrp = 0;
    if (std::sscanf(text->c_str() + paren + 2, "%c %d %d", &state, &parent, &pgrp) != 3) continue;
    if (pgrp == group && state != 'Z' && state != 'X') out.push_back(pid);
  }
  ::closedir(dir);
  return out;
}

using Deadline = std::chrono::steady_clock::time_point;

// False: time is up.
bool await_end(const std::vector<Fd>& pidfds, Deadline deadline) {
  for (const Fd& fd : pidfds) {
    while (true) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
      pollfd p{fd.get(), POLLIN, 0};
      const int n = ::poll(&p, 1, static_cast<int>(std::max<int64_t>(0, left.count())));
      if (n > 0) break;
      if (n == 0) return false;
    }
  }
  return true;
}

}  // namespace

void Receivers::add(ServiceId service, pid_t pid) {
  if (pid <= 1) return;
  auto fd = std::make_shared<Fd>(open_pidfd(pid));
  if (!fd->valid()) return;  // gone already
  Receiver r;
  r.service = service;
  r.pid = pid;
  r.leader = ::getpgid(pid) == pid && pid != ::getpgrp();
  r.pidfd = fd;
  r.watch = loop_.watch_readable(fd->get(), [this, pid] { forget(pid); });
  receivers_.push_back(std::move(r));
}

void Receivers::forget(pid_t pid) {
  for (auto it = receivers_.begin(); it != receivers_.end(); ++it) {
    if (it->pid != pid) continue;
    it->watch.reset();  // before its descriptor is closed
    receivers_.erase(it);
    return;
  }
}

size_t Receivers::count(ServiceId service) const {
  return static_cast<size_t>(std::count_if(receivers_.begin(), receivers_.end(),
                                           [&](const Receiver& r) { return r.service == service; }));
}

void Receivers::stop(ServiceId service, std::chrono::milliseconds limit) {
  const Deadline deadline = std::chrono::steady_clock::now() + limit;
  for (const Receiver& r : receivers_) {
    if (r.service != service) continue;
    std::vector<pid_t> pids = {r.pid};
    std::vector<Fd> pidfds;
    for (size_t i = 0; i < pids.size() && pids.size() < 1000; ++i) {
      for (const pid_t child : children_of(pids[i])) pids.push_back(child);
      if (Fd fd = open_pidfd(pids[i]); fd.valid()) pidfds.push_back(std::move(fd));
    }
    // One signal for the whole group: a process that is just being made cannot slip through.
    if (r.leader) ::kill(-r.pid, SIGKILL);
    for (const Fd& fd : pidfds) signal_pidfd(fd.get(), SIGKILL);
    bool gone = await_end(pidfds, deadline);
    // Somebody else reaps them; until then the group's number stays theirs.
    while (gone && r.leader && ::kill(-r.pid, 0) == 0 && !group_members(r.pid).empty()) {
      ::kill(-r.pid, SIGKILL);
      gone = std::chrono::steady_clock::now() < deadline;
    }
    if (!gone) {
      std::fprintf(stderr, "<4>a mirror receiver (pid %d) was killed but has not ended within %d ms\n",
                   static_cast<int>(r.pid), static_cast<int>(limit.count()));
    }
  }
  for (auto it = receivers_.begin(); it != receivers_.end();) {
    if (it->service != service) {
      ++it;
      continue;
    }
    it->watch.reset();
    it = receivers_.erase(it);
  }
}

std::vector<std::pair<std::string, pid_t>> find_permitted_receivers(const std::string& run_dir) {
  std::vector<std::pair<std::string, pid_t>> out;
  DIR* dir = ::opendir(run_dir.c_str());
  if (!dir) return out;
  while (const dirent* d = ::readdir(dir)) {
    const std::string name = d->d_name;
    if (name.compare(0, 15, "mirror-receive.") != 0) continue;
    Fd fd(::open((run_dir + "/" + name).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    if (!fd.valid() || ::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) continue;  // nobody holds it
    char text[512] = {};
    if (::pread(fd.get(), text, sizeof text - 1, 0) <= 0) continue;
    char* end = nullptr;
    const long pid = std::strtol(text, &end, 10);
    if (pid <= 1 || pid > INT32_MAX || *end != ' ') continue;
    std::string service = end + 1;
    service.erase(std::min(service.find('\n'), service.size()));
    out.emplace_back(std::move(service), static_cast<pid_t>(pid));
  }
  ::closedir(dir);
  return out;
}

}  // namespace clusterd
