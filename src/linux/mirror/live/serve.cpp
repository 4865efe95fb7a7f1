#include "linux/mirror/live/serve.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <list>
#include <utility>

#include "linux/mirror/live/accept.hpp"
#include "linux/mirror/live/holder.hpp"
#include "linux/mirror/target.hpp"
#include "linux/net/socket.hpp"

namespace clusterd {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::chrono::seconds kTellEvery{10};
constexpr std::chrono::seconds kRetryEvery{1};
constexpr int kBacklog = 16;
constexpr auto kForever = Clock::time_point::max();

struct Listener {
  IpAddress own, peer;
  Fd socket;
  bool complained = false;
};

struct Child {
  pid_t pid = -1;
  Fd pidfd, line;      // the line: what it has to say (live/holder.hpp); invalid: nothing any more
  bool known = false;  // it has said that it knows the other end
  Clock::time_point since;
};

Fd listen_on(const IpAddress& address, uint16_t port, bool& complained) {
  Fd socket(::socket(net::domain_of(address), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  // Also while the NIC is down and its address missing.
  ::setsockopt(socket.get(), IPPROTO_IP, IP_FREEBIND, &on, sizeof on);
  if (!address.is_v4()) ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  const auto where = net::socket_address(address, port, 0);
  const bool good =
      ::bind(socket.get(), where.get(), where.length) == 0 && ::listen(socket.get(), kBacklog) == 0;
  if (!good && !std::exchange(complained, true)) {
    const std::string where_text = fmt::format("{} port {}", address.text(), port);
    std::fprintf(stderr, "<4>live mirror: %s\n", errno_text("cannot listen on", where_text).c_str());
  }
  if (!good) socket.reset();
  return socket;
}

class Server {
 public:
  Server(const Config& config, const MirrorPaths& paths)
      : config_(config), words_{"clusterd-mirror", "accept",        "--config-dir", paths.config_dir,
                                "--state-dir",     paths.state_dir, "--run-dir",    paths.run_dir,
                                "--node",          paths.node} {
    for (const LinkConfig& link : config.links) {
      listeners_.push_back({link.ends.at(config.self.at()).address.address,
                            link.ends.at(config.peer().at()).address.address, Fd()});
    }
  }

  int run() {
    while (true) {
      open_missing();
      wait();
      for (Listener& listener : listeners_) {
        if (listener.socket.valid()) take_all(listener);
      }
      look_after_children();
      tell();
    }
  }

 private:
  void open_missing() {
    if (Clock::now() < retry_at_) return;
    retry_at_ = kForever;
    for (Listener& listener : listeners_) {
      if (listener.socket.valid()) continue;
      listener.socket = listen_on(listener.own, config_.mirror_port, listener.complained);
      if (!listener.socket.valid()) retry_at_ = Clock::now() + kRetryEvery;
    }
  }

  void wait() {
    std::vector<pollfd> fds;
    bool unknown = false;
    for (const Listener& listener : listeners_) fds.push_back({listener.socket.get(), POLLIN, 0});
    for (const Child& child : children_) {
      fds.push_back({child.pidfd.get(), POLLIN, 0});
      fds.push_back({child.line.get(), POLLIN, 0});
      unknown = unknown || !child.known;
    }
    const milliseconds limit = unknown                 ? milliseconds(100)
                               : retry_at_ != kForever ? milliseconds(kRetryEvery)
                                                       : milliseconds(kTellEvery);
    ::poll(fds.data(), fds.size(), static_cast<int>(limit.count()));
  }

  void take_all(const Listener& listener) {
    for (int i = 0; i < kBacklog; ++i) {
      sockaddr_storage from{};
      socklen_t size = sizeof from;
      Fd connection(
          ::accept4(listener.socket.get(), reinterpret_cast<sockaddr*>(&from), &size, SOCK_CLOEXEC));
      if (!connection.valid()) return;
      const auto address = net::address_of(from);
      size_t unknown = 0;
      for (const Child& child : children_) unknown += child.known ? 0U : 1U;
      if (!address || *address != listener.peer) {
        refuse("not from the peer's address");
      } else if (unknown >= kMostUnknown || children_.size() >= kMostConnections) {
        refuse("too many connections at once");
      } else {
        start(std::move(connection));
      }
    }
  }

  void start(Fd connection) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) return refuse("no socket");
    Child child;
    child.line = Fd(ends[0]);
    const Fd theirs(ends[1]);
    std::vector<char*> argv;
    for (auto& word : words_) argv.push_back(word.data());
    argv.push_back(nullptr);
    const pid_t parent = ::getpid();
    child.pid = ::fork();
    if (child.pid < 0) return refuse("no process");
    if (child.pid == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      // Both numbers are out of the way first: either may be the other's target.
      const int a = ::fcntl(connection.get(), F_DUPFD, 64);
      const int b = ::fcntl(theirs.get(), F_DUPFD, 64);
      if (::getppid() != parent || ::dup2(a, kConnectionDescriptor) < 0 || ::dup2(b, kServerDescriptor) < 0)
        ::_exit(127);
      ::syscall(SYS_close_range, kServerDescriptor + 1, UINT_MAX, 0);
      ::execv("/proc/self/exe", argv.data());
      ::_exit(127);
    }
    child.pidfd = Fd(static_cast<int>(::syscall(SYS_pidfd_open, child.pid, 0)));
    child.since = Clock::now();
    children_.push_back(std::move(child));
  }

  void look_after_children() {
    for (auto it = children_.begin(); it != children_.end();) {
      Child& child = *it;
      if (!child.known && Clock::now() - child.since > kUnknownLimit) ::kill(child.pid, SIGKILL);
      int status = 0;
      const bool ended = ::waitpid(child.pid, &status, WNOHANG) == child.pid;
      listen_to(child);  // its last words, too
      if (!ended) {
        ++it;
        continue;
      }
      const bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
      if (!child.known && !good) refuse("not the peer, or another secret");
      it = children_.erase(it);
    }
    held_.expire(Clock::now());
  }

  void listen_to(Child& child) {
    pollfd p{child.line.get(), POLLIN, 0};
    while (child.line.valid() && ::poll(&p, 1, 0) > 0) {
      if (!held_.answer(child.line.get(), child.known)) child.line.reset();
    }
  }

  void refuse(const char* why) {
    ++refused_;
    last_reason_ = why;
  }

  void tell() {
    if (refused_ == told_ || Clock::now() < tell_at_) return;
    std::fprintf(stderr,
                 "<4>live mirror: %zu connections to port %u refused since the start; the last one: %s\n",
                 refused_, config_.mirror_port, last_reason_);
    told_ = refused_;
    tell_at_ = Clock::now() + kTellEvery;
  }

  const Config& config_;
  std::vector<std::string> words_;
  std::vector<Listener> listeners_;
  std::list<Child> children_;
  live::HeldFiles held_;
  size_t refused_ = 0, told_ = 0;
  const char* last_reason_ = "";
  Clock::time_point tell_at_{}, retry_at_{};
};

}  // namespace

int serve(const Config& config, const MirrorPaths& paths) { return Server(config, paths).run(); }

}  // namespace clusterd
