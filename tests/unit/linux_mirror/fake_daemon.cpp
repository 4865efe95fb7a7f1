#include "unit/linux_mirror/fake_daemon.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace clusterd {

FakeDaemon::FakeDaemon(const std::string& socket_path) {
  ::unlink(socket_path.c_str());
  listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, socket_path.c_str(), sizeof address.sun_path - 1);
  const int bound = ::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address);
  if (bound != 0) throw std::runtime_error("cannot bind " + socket_path);
  ::listen(listener_, 16);
  thread_ = std::thread([this] { serve(); });
}

FakeDaemon::~FakeDaemon() {
  stop_ = true;
  thread_.join();
  ::close(listener_);
}

std::vector<std::string> FakeDaemon::requests() {
  const std::lock_guard lock(mutex_);
  return requests_;
}

void FakeDaemon::when_allowed(std::function<void(pid_t)> call) {
  const std::lock_guard lock(mutex_);
  when_allowed_ = std::move(call);
}

void FakeDaemon::serve() {
  while (!stop_) {
    pollfd p{listener_, POLLIN, 0};
    if (::poll(&p, 1, 50) <= 0) continue;
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    std::string text;
    char chunk[4096];
    while (text.find("\r\n\r\n") == std::string::npos || text.back() != '}') {
      const ssize_t n = ::recv(fd, chunk, sizeof chunk, 0);
      if (n <= 0) break;
      text.append(chunk, static_cast<size_t>(n));
    }
    ucred peer{};
    socklen_t length = sizeof peer;
    ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length);
    const bool ok = allow;
    std::function<void(pid_t)> call;
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(text.substr(std::min(text.size(), text.find("\r\n\r\n") + 4)));
      call = when_allowed_;
    }
    if (ok && call) call(peer.pid);
    const std::string body = ok ? R"({"ok":true,"text":"go on"})"
                                : R"({"ok":false,"text":"web is active on this node at epoch 9"})";
    const std::string answer = fmt::format("HTTP/1.1 {}\r\nContent-Length: {}\r\n\r\n{}",
                                           ok ? "200 OK" : "409 Conflict", body.size(), body);
    ::send(fd, answer.data(), answer.size(), MSG_NOSIGNAL);
    ::close(fd);
  }
}

}  // namespace clusterd
