#include "linux/mirror/child.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "linux/mirror/files.hpp"

namespace clusterd {
namespace {

constexpr size_t kMaxLine = 64 * 1024;

// Splits what arrives into lines; an endless line is cut.
class Lines {
 public:
  explicit Lines(const std::function<void(std::string_view)>& sink) : sink_(sink) {}
  void add(std::string_view text) {
    for (char c : text) {
      if (c == '\n') {
        sink_(line_);
        line_.clear();
      } else if (line_.size() < kMaxLine) {
        line_ += c;
      }
    }
  }
  void finish() {
    if (!line_.empty()) sink_(line_);
    line_.clear();
  }

 private:
  const std::function<void(std::string_view)>& sink_;
  std::string line_;
};

// Reads once; false at the end.
bool read_some(int fd, Lines& lines) {
  char buffer[16 * 1024];
  const ssize_t n = ::read(fd, buffer, sizeof buffer);
  if (n > 0) lines.add({buffer, static_cast<size_t>(n)});
  return n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN));
}

[[noreturn]] void become(std::vector<char*>& argv, int out, int err, pid_t parent) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(127);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  const int null = ::open("/dev/null", O_RDONLY);
  if (null < 0 || ::dup2(null, 0) < 0 || ::dup2(out, 1) < 0 || ::dup2(err, 2) < 0) ::_exit(127);
  ::execvp(argv[0], argv.data());
  static constexpr char kText[] = "cannot be executed\n";
  [[maybe_unused]] const auto a = ::write(2, argv[0], std::strlen(argv[0]));
  [[maybe_unused]] const auto b = ::write(2, ": ", 2);
  [[maybe_unused]] const auto c = ::write(2, kText, sizeof kText - 1);
  ::_exit(127);
}

// Reads both pipes until they end. A grandchild may hold them open for ever: after the child itself has
// ended, only what is there is read.
void collect(int pidfd, Fd& out, Fd& err, Lines& out_lines, Lines& err_lines) {
  bool ended = false;
  while (out.valid() || err.valid()) {
    std::array<pollfd, 3> fds = {pollfd{out.get(), POLLIN, 0}, pollfd{err.get(), POLLIN, 0},
                                 pollfd{ended ? -1 : pidfd, POLLIN, 0}};
    const int n = ::poll(fds.data(), fds.size(), ended ? 200 : -1);
    if (n == 0) break;
    if (n < 0 && errno != EINTR) break;
    if (n < 0) continue;
    if (fds[0].revents != 0 && !read_some(out.get(), out_lines)) out.reset();
    if (fds[1].revents != 0 && !read_some(err.get(), err_lines)) err.reset();
    if (fds[2].revents != 0) ended = true;
  }
  out_lines.finish();
  err_lines.finish();
}

}  // namespace

void RunControl::cancel() {
  const std::lock_guard lock(mutex_);
  cancelled_ = true;
  if (group_ > 0) ::kill(-group_, SIGKILL);
}

bool RunControl::cancelled() const {
  const std::lock_guard lock(mutex_);
  return cancelled_;
}

Result<int> run_child(const std::vector<std::string>& arguments, RunControl& control,
                      const std::function<void(std::string_view)>& on_output,
                      const std::function<void(std::string_view)>& on_error) {
  int out[2], err[2];
  if (::pipe2(out, O_CLOEXEC) != 0) return fail(Code::kRetry, "no pipe can be made");
  Fd out_read(out[0]), out_write(out[1]);
  if (::pipe2(err, O_CLOEXEC) != 0) return fail(Code::kRetry, "no pipe can be made");
  Fd err_read(err[0]), err_write(err[1]);
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (const auto& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);

  pid_t pid = -1;
  {
    const std::lock_guard lock(control.mutex_);
    if (control.cancelled_) return fail(Code::kRefused, "cancelled");
    const pid_t parent = ::getpid();
    pid = ::fork();
    if (pid == 0) become(argv, out_write.get(), err_write.get(), parent);
    if (pid < 0)
      return fail(Code::kRetry, fmt::format("{} cannot be started: {}", arguments[0], std::strerror(errno)));
    ::setpgid(pid, pid);
    control.group_ = pid;
  }
  out_write.reset();
  err_write.reset();
  Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  Lines out_lines(on_output), err_lines(on_error);
  collect(pidfd.get(), out_read, err_read, out_lines, err_lines);

  // The group is given up before the child is reaped: its number cannot belong to anybody else until then.
  siginfo_t info{};
  while (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
  }
  {
    const std::lock_guard lock(control.mutex_);
    control.group_ = 0;
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace clusterd
