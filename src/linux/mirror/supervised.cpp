#include "linux/mirror/supervised.hpp"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

namespace clusterd {

void leave_the_daemon(pid_t parent, int last_descriptor) {
  ::setsid();
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(127);
  sched_param ordinary{};
  ::sched_setscheduler(0, SCHED_OTHER, &ordinary);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (const int signal : {SIGPIPE, SIGTERM, SIGINT, SIGHUP, SIGCHLD}) ::signal(signal, SIG_DFL);
  ::syscall(SYS_close_range, last_descriptor + 1, UINT_MAX, 0);
}

Supervised::Supervised(EventLoop& loop, std::vector<std::string> words)
    : loop_(loop), words_(std::move(words)) {
  start();
}

Supervised::~Supervised() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void Supervised::start() {
  restart_.reset();
  std::vector<char*> argv;
  for (auto& word : words_) argv.push_back(word.data());
  argv.push_back(nullptr);
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ == 0) {
    leave_the_daemon(parent, STDERR_FILENO);
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  started_ = EventLoop::now();
  pidfd_ = Fd(pid_ < 0 ? -1 : static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  if (!pidfd_.valid()) return ended();
  watch_ = loop_.watch_readable(pidfd_.get(), [this] { ended(); });
}

void Supervised::ended() {
  watch_.reset();
  pidfd_.reset();
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);  // no more than a word to the dead, but for the one that could not be watched
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  pid_ = -1;
  pause_ = EventLoop::now() - started_ > kHealthy ? kFirstPause : std::min(kLongestPause, pause_ * 2);
  restart_ = loop_.at(EventLoop::now() + pause_, [this] { start(); });
}

}  // namespace clusterd
