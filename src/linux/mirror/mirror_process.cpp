#include "linux/mirror/mirror_process.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>

#include "linux/mirror/agent.hpp"
#include "linux/mirror/files.hpp"
#include "linux/mirror/guard_keeper.hpp"
#include "linux/mirror/receivers.hpp"
#include "linux/mirror/supervised.hpp"
#include "mirror/messages.hpp"

namespace clusterd {
namespace {

constexpr Duration kFirstPause = Supervised::kFirstPause;
constexpr Duration kLongestPause = Supervised::kLongestPause;
constexpr Duration kHealthy = Supervised::kHealthy;
constexpr size_t kMaxQueued = 1 << 20;

[[noreturn]] void become_agent(int socket, std::vector<char*>& argv, pid_t parent) {
  if (socket == kAgentDescriptor) {
    ::fcntl(socket, F_SETFD, 0);
  } else if (::dup2(socket, kAgentDescriptor) < 0) {
    ::_exit(127);
  }
  leave_the_daemon(parent, kAgentDescriptor);
  ::execv(argv[0], argv.data());
  ::_exit(127);
}

}  // namespace

class MirrorProcess::Impl {
 public:
  Impl(EventLoop& loop, const Config& config, MirrorPaths paths, EventSink sink)
      : loop_(loop), config_(config), paths_(std::move(paths)), sink_(std::move(sink)), receivers_(loop) {
    for (const auto& [name, pid] : find_permitted_receivers(paths_.run_dir)) {
      for (size_t i = 0; i < config_.services.size(); ++i) {
        if (config_.services[i].name == name) receivers_.add(ServiceId(i), pid);
      }
    }
    const auto mounts_changed = [this](ServiceId service) { receivers_.stop(service, kStopLimit); };
    guards_ = std::make_unique<GuardKeeper>(loop_, config_, paths_.run_dir, sink_, mounts_changed);
    start();
    if (any_live()) serve_ = std::make_unique<Supervised>(loop_, words("serve"));
  }

  ~Impl() {
    if (agent_ > 0) {
      ::kill(agent_, SIGKILL);
      while (::waitpid(agent_, nullptr, 0) < 0 && errno == EINTR) {
      }
    }
  }

  void order(const MirrorOrder& order) {
    under_way_.erase(std::remove_if(under_way_.begin(), under_way_.end(),
                                    [&](const MirrorOrder& o) {
                                      return o.service == order.service && o.mirror == order.mirror;
                                    }),
                     under_way_.end());
    under_way_.push_back(order);
    write(mirror::write_order(config_, order));
  }

  // A cancelled live mirror says nothing more.
  void cancel(ServiceId service) {
    std::erase_if(under_way_, [&](const MirrorOrder& o) { return o.service == service && live(o); });
    write(mirror::write_cancel(config_, service));
  }

  [[nodiscard]] pid_t agent() const { return agent_; }
  Receivers& receivers() { return receivers_; }
  GuardKeeper& guards() { return *guards_; }

 private:
  [[nodiscard]] bool live(const MirrorOrder& order) const {
    return config_.service(order.service).mirrors.at(order.mirror.at()).live;
  }

  [[nodiscard]] bool any_live() const {
    for (const ServiceConfig& service : config_.services) {
      for (const MirrorConfig& mirror : service.mirrors) {
        if (mirror.live) return true;
      }
    }
    return false;
  }

  [[nodiscard]] std::vector<std::string> words(const char* verb) const {
    return {paths_.program,   verb,        "--config-dir", paths_.config_dir, "--state-dir",
            paths_.state_dir, "--run-dir", paths_.run_dir, "--node",          paths_.node};
  }

  void start() {
    restart_.reset();
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) return ended();
    Fd ours(pair[0]), theirs(pair[1]);
    ::fcntl(theirs.get(), F_SETFL, 0);  // the agent's end blocks
    std::vector<std::string> agent = words("agent");
    std::vector<char*> argv;
    argv.reserve(agent.size() + 1);
    for (auto& word : agent) argv.push_back(word.data());
    argv.push_back(nullptr);
    const pid_t parent = ::getpid();
    agent_ = ::fork();
    if (agent_ == 0) become_agent(theirs.get(), argv, parent);
    if (agent_ < 0) return ended();
    started_ = EventLoop::now();
    socket_ = std::move(ours);
    input_.clear();
    readable_ = loop_.watch_readable(socket_.get(), [this] { read(); });
    // Orders that came while no agent ran are written now.
    flush();
  }

  // The agent is gone (or could not be started): every order under way has failed, and nothing is followed.
  void ended() {
    readable_.reset();
    writable_.reset();
    write_copy_.reset();
    socket_.reset();
    if (agent_ > 0) {
      ::kill(agent_, SIGKILL);
      reap(agent_);
      agent_ = -1;
    }
    output_.clear();
    const auto failed = std::move(under_way_);
    under_way_.clear();
    pause_ = EventLoop::now() - started_ > kHealthy ? kFirstPause : std::min(kLongestPause, pause_ * 2);
    restart_ = loop_.at(EventLoop::now() + pause_, [this] { start(); });
    for (const MirrorOrder& order : failed) {
      MirrorReport r;
      r.service = order.service;
      r.mirror = order.mirror;
      r.kind = order.kind;
      r.epoch = order.epoch;
      r.outcome = MirrorReport::Outcome::kFailed;
      r.detail = "the mirror process has ended; it is started again";
      loop_.post([sink = sink_, r] { sink(r); });
    }
  }

  // SIGKILL takes effect soon, but not at once: look again until it has.
  void reap(pid_t pid) {
    if (::waitpid(pid, nullptr, WNOHANG) != 0) return;
    dying_fd_ = Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!dying_fd_.valid()) return;
    dying_ = loop_.watch_readable(dying_fd_.get(), [this, pid] {
      ::waitpid(pid, nullptr, WNOHANG);
      dying_.reset();
      dying_fd_.reset();
    });
  }

  void write(const std::string& line) {
    if (output_.size() > kMaxQueued) return;  // an agent that takes no orders; its end fails them
    output_ += line;
    if (socket_.valid() && !writable_) flush();
  }

  // On a copy: the loop takes a descriptor for one watch only.
  void watch_writable() {
    if (writable_) return;
    write_copy_ = Fd(::fcntl(socket_.get(), F_DUPFD_CLOEXEC, 0));
    if (write_copy_.valid()) writable_ = loop_.watch_writable(write_copy_.get(), [this] { flush(); });
  }

  void flush() {
    while (!output_.empty() && socket_.valid()) {
      const ssize_t n = ::send(socket_.get(), output_.data(), output_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) {
        watch_writable();
        return;
      }
      if (n < 0) break;  // read() sees the end
      output_.erase(0, static_cast<size_t>(n));
    }
    writable_.reset();
    write_copy_.reset();
  }

  void read() {
    char chunk[8192];
    const ssize_t n = ::recv(socket_.get(), chunk, sizeof chunk, MSG_DONTWAIT);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (n <= 0 || input_.size() > mirror::kMaxMessage) {
      ended();
      return;
    }
    input_.append(chunk, static_cast<size_t>(n));
    size_t at = 0;
    for (size_t end = 0; (end = input_.find('\n', at)) != std::string::npos; at = end + 1) {
      take(std::string_view(input_).substr(at, end - at));
    }
    input_.erase(0, at);
  }

  void take(std::string_view line) {
    auto report = mirror::parse_report(config_, line);
    if (!report) {
      std::fprintf(stderr, "<4>the mirror process says what cannot be understood: %s\n",
                   report.error().message.c_str());
      return;
    }
    if (report->outcome != MirrorReport::Outcome::kProgress) {
      std::erase_if(under_way_, [&](const MirrorOrder& o) {
        // A live mirror goes on after its last report, and its source ends with the agent.
        return o.service == report->service && o.mirror == report->mirror && o.kind == report->kind &&
               o.epoch == report->epoch && !live(o);
      });
    }
    sink_(*report);
  }

  EventLoop& loop_;
  const Config& config_;
  const MirrorPaths paths_;
  EventSink sink_;
  Receivers receivers_;
  std::unique_ptr<GuardKeeper> guards_;
  pid_t agent_ = -1;
  Fd socket_, write_copy_;
  Instant started_ = kLongAgo;
  Duration pause_ = kFirstPause / 2;
  std::string input_, output_;
  std::vector<MirrorOrder> under_way_;
  Fd dying_fd_;
  std::unique_ptr<Watch> readable_, writable_, dying_;
  std::unique_ptr<Timer> restart_;
  std::unique_ptr<Supervised> serve_;
};

MirrorProcess::MirrorProcess(EventLoop& loop, const Config& config, MirrorPaths paths, EventSink sink)
    : impl_(std::make_unique<Impl>(loop, config, std::move(paths), std::move(sink))) {}
MirrorProcess::~MirrorProcess() = default;

void MirrorProcess::order(const MirrorOrder& order) { impl_->order(order); }
void MirrorProcess::cancel(ServiceId service) { impl_->cancel(service); }
void MirrorProcess::stop_receivers(ServiceId service) { impl_->receivers().stop(service, kStopLimit); }
void MirrorProcess::register_receiver(ServiceId service, pid_t pid) { impl_->receivers().add(service, pid); }
void MirrorProcess::set_guard(ServiceId service) { impl_->guards().set(service); }
void MirrorProcess::lift_guard(ServiceId service) { impl_->guards().lift(service); }
pid_t MirrorProcess::agent_pid() const { return impl_->agent(); }
size_t MirrorProcess::receivers(ServiceId service) const { return impl_->receivers().count(service); }

}  // namespace clusterd
