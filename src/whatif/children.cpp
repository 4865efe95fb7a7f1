#include "whatif/children.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>

namespace clusterd::whatif {

namespace {

struct Child {
  pid_t pid = -1;
  int fd = -1;
};

[[noreturn]] void work_in_child(const Work& work, int fd) {
  int code = 1;
  try {
    const auto bytes = work();
    size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t n = ::write(fd, bytes.data() + done, bytes.size() - done);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      done += static_cast<size_t>(n);
    }
    if (done == bytes.size()) code = 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "clusterctl: a simulation failed: %s\n", error.what());
  }
  ::_exit(code);
}

Result<Child> start(const Work& work) {
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail(Code::kRetry, std::strerror(errno));
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::close(ends[0]);
    work_in_child(work, ends[1]);
  }
  ::close(ends[1]);
  if (pid > 0) return Child{pid, ends[0]};
  ::close(ends[0]);
  return fail(Code::kRetry, std::strerror(errno));
}

// Reads all pipes as they fill, so that no child waits for another one's reader.
void read_all(std::vector<Child>& children, std::vector<std::vector<uint8_t>>& out) {
  std::vector<uint8_t> chunk(65536);
  while (true) {
    std::vector<pollfd> open;
    std::vector<size_t> owner;
    for (size_t i = 0; i < children.size(); ++i) {
      if (children[i].fd < 0) continue;
      open.push_back({children[i].fd, POLLIN, 0});
      owner.push_back(i);
    }
    if (open.empty()) return;
    if (::poll(open.data(), open.size(), -1) < 0) continue;
    for (size_t i = 0; i < open.size(); ++i) {
      if (open[i].revents == 0) continue;
      Child& child = children[owner[i]];
      const ssize_t n = ::read(child.fd, chunk.data(), chunk.size());
      if (n < 0 && errno == EINTR) continue;
      if (n > 0) {
        auto& bytes = out[owner[i]];
        bytes.insert(bytes.end(), chunk.begin(), chunk.begin() + n);
      } else {
        ::close(child.fd);
        child.fd = -1;
      }
    }
  }
}

}  // namespace

Result<std::vector<std::vector<uint8_t>>> in_children(const std::vector<Work>& works) {
  std::vector<std::vector<uint8_t>> out(works.size());
  std::vector<Child> children;
  std::string trouble;
  for (const Work& work : works) {
    auto child = start(work);
    if (!child) {
      trouble = "no process for a simulation: " + child.error().message;
      break;
    }
    children.push_back(*child);
  }
  read_all(children, out);
  for (const Child& child : children) {
    int status = 0;
    while (::waitpid(child.pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) trouble = "a simulation ended unexpectedly";
  }
  if (!trouble.empty()) return fail(Code::kRetry, trouble);
  return out;
}

}  // namespace clusterd::whatif
