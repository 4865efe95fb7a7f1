#include "linux/units/process.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>

#include "linux/fd.hpp"

extern char** environ;

namespace clusterd {

namespace {

constexpr size_t kReadChunk = 64 * 1024;
constexpr int kReadsPerTurn = 4;  // a flooding child must not keep the loop busy
constexpr int kReadsAtEnd = 32;   // what may still be in the pipe, and a little more
constexpr std::array kNotInherited{"NOTIFY_SOCKET", "WATCHDOG_USEC",  "WATCHDOG_PID",  "LISTEN_FDS",
                                   "LISTEN_PID",    "LISTEN_FDNAMES", "INVOCATION_ID", "JOURNAL_STREAM"};

// What the child tells through the error pipe when it could not start the program.
struct StartError {
  enum Step : int { kSetsid, kDescriptors, kDirectory, kExecute } step;
  int error;
};

// Prepared before the fork: between fork and exec nothing may allocate or lock.
struct Prepared {
  std::vector<std::string> paths;  // to try one after the other
  std::vector<char*> path_pointers, argv, envp;
  std::vector<std::string> environment;
  const char* directory = "/";
  int in = -1, out = -1, err = -1, error_pipe = -1;
};

// Bodies whose handles went away before they were dead: reaped whenever another child starts or ends.
class Orphans {
 public:
  void add(pid_t pid) {
    const std::lock_guard lock(mutex_);
    pids_.push_back(pid);
  }
  void reap() {
    const std::lock_guard lock(mutex_);
    std::erase_if(pids_, [](pid_t pid) { return waitpid(pid, nullptr, WNOHANG) != 0; });
  }

 private:
  std::mutex mutex_;
  std::vector<pid_t> pids_;
};

Orphans& orphans() {
  static Orphans all;
  return all;
}

bool is_inherited(std::string_view variable) {
  const auto name = variable.substr(0, variable.find('='));
  return std::none_of(kNotInherited.begin(), kNotInherited.end(), [&](const char* n) { return name == n; });
}

Prepared prepare(ChildSpec& spec) {
  Prepared p;
  std::map<std::string, std::string, std::less<>> variables;
  for (char** e = environ; !spec.bare && *e != nullptr; ++e) {
    const std::string_view variable(*e);
    const size_t equals = variable.find('=');
    if (equals == std::string_view::npos || !is_inherited(variable)) continue;
    variables.emplace(variable.substr(0, equals), variable.substr(equals + 1));
  }
  // A daemon without PATH (a bare init) must still find its tools.
  variables.emplace("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
  for (auto& [name, value] : spec.environment) variables[name] = value;
  for (const auto& [name, value] : variables) p.environment.push_back(name + "=" + value);

  const std::string program = spec.argv.empty() ? std::string() : spec.argv.front();
  if (program.find('/') != std::string::npos) {
    p.paths.push_back(program);
  } else {
    std::string_view rest = variables.find("PATH")->second;
    while (!program.empty() && !rest.empty()) {
      const size_t colon = std::min(rest.find(':'), rest.size());
      if (colon > 0) p.paths.push_back(std::string(rest.substr(0, colon)) + "/" + program);
      rest.remove_prefix(std::min(colon + 1, rest.size()));
    }
  }
  for (auto& path : p.paths) p.path_pointers.push_back(path.data());
  for (auto& argument : spec.argv) p.argv.push_back(argument.data());
  for (auto& variable : p.environment) p.envp.push_back(variable.data());
  p.argv.push_back(nullptr);
  p.envp.push_back(nullptr);
  p.directory = spec.directory.c_str();
  return p;
}

// ---- in the child: async-signal-safe calls only

[[noreturn]] void give_up(int error_pipe, StartError::Step step) {
  const StartError error{step, errno};
  [[maybe_unused]] const auto written = write(error_pipe, &error, sizeof error);
  _exit(127);
}

// Puts the four descriptors at 0, 1, 2 and 3 and closes all others. Returns false on failure.
bool place_descriptors(const Prepared& p) {
  // First out of the way of each other.
  const int in = fcntl(p.in, F_DUPFD, 10), out = fcntl(p.out, F_DUPFD, 10), err = fcntl(p.err, F_DUPFD, 10);
  const int errors = fcntl(p.error_pipe, F_DUPFD, 10);
  if (in < 0 || out < 0 || err < 0 || errors < 0) return false;
  if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0 || dup3(errors, 3, O_CLOEXEC) < 0) return false;
  return close_range(4, ~0U, 0) == 0;
}

void reset_process() {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) sigaction(number, &action, nullptr);
  const sched_param none{};
  sched_setscheduler(0, SCHED_OTHER, &none);
  errno = 0;
  if (getpriority(PRIO_PROCESS, 0) < 0 && errno == 0) setpriority(PRIO_PROCESS, 0, 0);
  umask(022);
  // A unit must not inherit the daemon's protection from the OOM killer.
  const int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
  if (fd >= 0) {
    char value = 0;
    if (read(fd, &value, 1) == 1 && value == '-') [[maybe_unused]]
      const auto n = write(fd, "0", 1);
    close(fd);
  }
}

[[noreturn]] void become(const Prepared& p) {
  reset_process();
  if (setsid() < 0) give_up(p.error_pipe, StartError::kSetsid);
  if (!place_descriptors(p)) give_up(p.error_pipe, StartError::kDescriptors);
  if (chdir(p.directory) != 0) give_up(3, StartError::kDirectory);
  sigset_t empty;
  sigemptyset(&empty);
  sigprocmask(SIG_SETMASK, &empty, nullptr);
  int best = ENOENT;
  for (char* path : p.path_pointers) {
    execve(path, p.argv.data(), p.envp.data());
    if (errno != ENOENT && errno != ENOTDIR) best = errno;
  }
  errno = best;
  give_up(3, StartError::kExecute);
}

// ---- in the parent

pid_t fork_child(const Prepared& p) {
  // The parent's signal handlers must not run in the child.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = _Fork();
  if (pid == 0) become(p);
  const int error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return pid;
}

std::string in_words(const StartError& error, const ChildSpec& spec) {
  const std::string program = spec.argv.empty() ? "" : spec.argv.front();
  const std::string cause = std::strerror(error.error);
  switch (error.step) {
    case StartError::kSetsid:
      return "setsid: " + cause;
    case StartError::kDescriptors:
      return "descriptors of " + program + ": " + cause;
    case StartError::kDirectory:
      return "cannot change to the directory " + spec.directory + ": " + cause;
    case StartError::kExecute:
      break;
  }
  return "cannot execute " + program + ": " + cause;
}

class Child final : public ChildProcess {
 public:
  Child(EventLoop& loop, ChildSpec spec, ChildDone done)
      : loop_(loop), spec_(std::move(spec)), done_(std::move(done)), alive_(std::make_shared<bool>(true)) {
    orphans().reap();
    if (const auto problem = start()) fail_later(*problem);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() override {
    *alive_ = false;
    drop_watches();
    if (!running()) return;
    if (!spec_.detached) send(SIGKILL);
    if (waitpid(pid_, nullptr, WNOHANG) == 0) orphans().add(pid_);
  }

  pid_t pid() const override { return pid_; }
  bool running() const override { return running_; }
  void signal(int number) override {
    if (running()) send(number);
  }
  void terminate() override {
    if (!running() || stopping_) return;
    stopping_ = true;
    send(SIGTERM);
    timer_ = loop_.at(EventLoop::now() + spec_.kill_after, [this] { send(SIGKILL); });
  }

 private:
  std::optional<std::string> start();
  std::optional<std::string> open_output(Prepared& p, Fd& out, Fd& err);
  void fail_later(std::string problem);
  void watch();
  void send(int number) const;
  void drop_watches();
  bool read_pipe(Fd& pipe, std::unique_ptr<Watch>& watch, int reads, bool to_callback);
  void read_start();
  void finished();
  std::string file_tail() const;
  void keep(std::string_view text);

  EventLoop& loop_;
  ChildSpec spec_;
  ChildDone done_;
  std::shared_ptr<bool> alive_;  // for what was posted
  pid_t pid_ = 0;
  bool running_ = false;
  bool stopping_ = false;
  bool start_seen_ = false;
  Fd pidfd_, pipe_, stdout_pipe_, start_pipe_;
  off_t file_start_ = 0;
  ChildResult result_;
  std::unique_ptr<Watch> end_watch_, pipe_watch_, stdout_watch_, start_watch_;
  std::unique_ptr<Timer> timer_;
};

std::optional<std::string> Child::open_output(Prepared& p, Fd& out, Fd& err) {
  const auto make_pipe = [](Fd& reader, Fd& writer) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return false;
    reader.reset(ends[0]);
    writer.reset(ends[1]);
    return fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0;
  };
  if (!spec_.output_file.empty()) {
    err.reset(open(spec_.output_file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640));
    if (err.get() < 0) return "cannot open " + spec_.output_file + ": " + std::strerror(errno);
    file_start_ = lseek(err.get(), 0, SEEK_END);
  } else if (!make_pipe(pipe_, err)) {
    return std::string("pipe: ") + std::strerror(errno);
  }
  p.out = p.err = err.get();
  if (spec_.on_stdout) {
    if (!make_pipe(stdout_pipe_, out)) return std::string("pipe: ") + std::strerror(errno);
    p.out = out.get();
  }
  return std::nullopt;
}

std::optional<std::string> Child::start() {
  if (spec_.argv.empty()) return "no command";
  Prepared p = prepare(spec_);
  Fd in, out, err, error_writer;
  if (spec_.input.empty()) {
    in.reset(open("/dev/null", O_RDONLY | O_CLOEXEC));
  } else {
    // A memory file: no partial writes, and no SIGPIPE when the child does not read.
    in.reset(memfd_create("clusterd-stdin", MFD_CLOEXEC));
    const auto size = static_cast<ssize_t>(spec_.input.size());
    if (in.get() >= 0 && (write(in.get(), spec_.input.data(), spec_.input.size()) != size ||
                          lseek(in.get(), 0, SEEK_SET) != 0)) {
      return std::string("stdin: ") + std::strerror(errno);
    }
  }
  if (in.get() < 0) return std::string("stdin: ") + std::strerror(errno);
  p.in = in.get();
  if (auto problem = open_output(p, out, err)) return problem;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return std::string("pipe: ") + std::strerror(errno);
  start_pipe_.reset(ends[0]);
  error_writer.reset(ends[1]);
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  p.error_pipe = error_writer.get();

  pid_ = fork_child(p);
  if (pid_ < 0) {
    pid_ = 0;
    return std::string("fork: ") + std::strerror(errno);
  }
  pidfd_.reset(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
  running_ = true;
  if (pidfd_.get() < 0) {
    const std::string problem = std::string("pidfd_open: ") + std::strerror(errno);
    send(SIGKILL);
    orphans().add(pid_);
    running_ = false;
    return problem;
  }
  watch();
  return std::nullopt;
}

void Child::fail_later(std::string problem) {
  result_.output = std::move(problem);
  loop_.post([this, alive = alive_] {
    if (!*alive) return;
    const auto done = std::move(done_);
    const ChildResult result = std::move(result_);
    if (done) done(result);
  });
}

void Child::watch() {
  end_watch_ = loop_.watch_readable(pidfd_.get(), [this] { finished(); });
  start_watch_ = loop_.watch_readable(start_pipe_.get(), [this] { read_start(); });
  if (pipe_.get() >= 0) {
    pipe_watch_ =
        loop_.watch_readable(pipe_.get(), [this] { read_pipe(pipe_, pipe_watch_, kReadsPerTurn, false); });
  }
  if (stdout_pipe_.get() >= 0) {
    stdout_watch_ = loop_.watch_readable(
        stdout_pipe_.get(), [this] { read_pipe(stdout_pipe_, stdout_watch_, kReadsPerTurn, true); });
  }
  if (spec_.timeout > Duration::zero()) {
    timer_ = loop_.at(EventLoop::now() + spec_.timeout, [this] {
      result_.timed_out = true;
      terminate();
    });
  }
}

// The child may not have called setsid yet: the descriptor reaches it in any case.
void Child::send(int number) const {
  kill(-pid_, number);
  if (pidfd_.get() >= 0) {
    syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0);
  } else {
    kill(pid_, number);
  }
}

void Child::drop_watches() {
  end_watch_.reset();
  pipe_watch_.reset();
  stdout_watch_.reset();
  start_watch_.reset();
  timer_.reset();
}

void Child::keep(std::string_view text) {
  if (text.size() >= spec_.output_limit) {
    result_.output.assign(text.substr(text.size() - spec_.output_limit));
    return;
  }
  const size_t total = result_.output.size() + text.size();
  if (total > spec_.output_limit) result_.output.erase(0, total - spec_.output_limit);
  result_.output.append(text);
}

// Returns false when a callback destroyed this object.
bool Child::read_pipe(Fd& pipe, std::unique_ptr<Watch>& watch, int reads, bool to_callback) {
  std::array<char, kReadChunk> buffer;
  for (int i = 0; i < reads && pipe.get() >= 0; ++i) {
    const ssize_t n = read(pipe.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return true;
    if (n <= 0) {
      watch.reset();
      pipe.reset();
      return true;
    }
    const std::string_view text(buffer.data(), static_cast<size_t>(n));
    if (!to_callback) {
      keep(text);
      continue;
    }
    const auto alive = alive_;
    const auto callback = spec_.on_stdout;
    callback(text);
    if (!*alive) return false;
  }
  return true;
}

// End of file: the program runs (the descriptor is closed on exec). An error record: it does not.
void Child::read_start() {
  if (start_pipe_.get() < 0) return;
  StartError error{};
  const ssize_t n = read(start_pipe_.get(), &error, sizeof error);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  start_watch_.reset();
  start_pipe_.reset();
  start_seen_ = true;
  if (n == static_cast<ssize_t>(sizeof error)) {
    result_.output = in_words(error, spec_);
    return;
  }
  result_.started = true;
  if (const auto callback = std::move(spec_.on_started)) callback();
}

void Child::finished() {
  siginfo_t info{};
  // Without reaping: its number must stay taken until the last signal to its group was sent.
  if (waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED | WNOHANG | WNOWAIT) != 0) {
    if (errno == EINTR) return;
  } else if (info.si_pid == 0) {
    return;
  }
  const auto alive = alive_;
  if (!start_seen_) read_start();
  if (!*alive) return;
  if (stopping_) kill(-pid_, SIGKILL);
  waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED | WNOHANG);
  running_ = false;
  if (result_.started) {
    if (info.si_code == CLD_EXITED) {
      result_.exit_code = info.si_status;
    } else {
      result_.signal = info.si_status;
    }
    if (!read_pipe(stdout_pipe_, stdout_watch_, kReadsAtEnd, true)) return;
    read_pipe(pipe_, pipe_watch_, kReadsAtEnd, false);
    if (!spec_.output_file.empty()) result_.output = file_tail();
  }
  drop_watches();
  pidfd_.reset();
  orphans().reap();
  const auto done = std::move(done_);
  const ChildResult result = std::move(result_);
  if (done) done(result);
}

std::string Child::file_tail() const {
  Fd file(open(spec_.output_file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (file.get() < 0) return {};
  const off_t end = lseek(file.get(), 0, SEEK_END);
  const off_t from = std::max(end < file_start_ ? 0 : file_start_,
                              end - static_cast<off_t>(std::min<size_t>(spec_.output_limit, kReadChunk)));
  if (end <= from) return {};
  std::string text(static_cast<size_t>(end - from), '\0');
  const ssize_t n = pread(file.get(), text.data(), text.size(), from);
  text.resize(n > 0 ? static_cast<size_t>(n) : 0);
  return text;
}

}  // namespace

ChildSpec ChildSpec::shell(std::string command) {
  ChildSpec spec;
  spec.argv = {"/bin/sh", "-c", std::move(command)};
  return spec;
}

std::string ChildResult::text() const {
  if (!started) return output;
  std::string text;
  if (timed_out) {
    text = "timed out";
  } else if (signal != 0) {
    const char* name = sigabbrev_np(signal);
    text = "killed by " + (name != nullptr ? "SIG" + std::string(name) : "signal " + std::to_string(signal));
  } else {
    text = "exit code " + std::to_string(exit_code);
  }
  const std::string line = last_line(output);
  return line.empty() ? text : text + ": " + line;
}

std::string last_line(std::string_view output, size_t limit) {
  const auto is_space = [](char c) { return c == '\n' || c == '\r' || c == ' ' || c == '\t'; };
  while (!output.empty() && is_space(output.back())) output.remove_suffix(1);
  const size_t newline = output.rfind('\n');
  if (newline != std::string_view::npos) output.remove_prefix(newline + 1);
  std::string line(output.substr(0, limit));
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return line;
}

std::unique_ptr<ChildProcess> run_child(EventLoop& loop, ChildSpec spec, ChildDone done) {
  return std::make_unique<Child>(loop, std::move(spec), std::move(done));
}

}  // namespace clusterd
