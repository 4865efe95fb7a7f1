#include "linux/units/process_identity.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

namespace clusterd {

namespace {

constexpr size_t kSmallFile = 4096;

// A whole small file; nullopt if it cannot be read, is not a plain file or is too long to be what it should
// be.
std::optional<std::string> read_small(const std::string& file) {
  const Fd fd(open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat info {};
  if (fd.get() < 0 || fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) return std::nullopt;
  std::string text(kSmallFile, '\0');
  const ssize_t n = read(fd.get(), text.data(), text.size());
  if (n < 0 || static_cast<size_t>(n) == kSmallFile) return std::nullopt;
  text.resize(static_cast<size_t>(n));
  return text;
}

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> all;
  while (true) {
    const size_t begin = text.find_first_not_of(" \t\r\n");
    if (begin == std::string_view::npos) return all;
    text.remove_prefix(begin);
    const size_t end = std::min(text.find_first_of(" \t\r\n"), text.size());
    all.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

template <class T>
std::optional<T> number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

struct Stat {
  char state = 'X';
  pid_t group = 0;
  uint64_t start = 0;
};

// The name (second field) may hold anything, also blanks and parentheses: the fields start after the last
// one.
std::optional<Stat> read_stat(pid_t pid) {
  const auto text = read_small("/proc/" + std::to_string(pid) + "/stat");
  if (!text) return std::nullopt;
  const size_t name_end = text->rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  const auto fields = words(std::string_view(*text).substr(name_end + 1));
  if (fields.size() < 20) return std::nullopt;
  const auto group = number<pid_t>(fields[2]);
  const auto start = number<uint64_t>(fields[19]);
  if (!group || !start) return std::nullopt;
  return Stat{fields[0].front(), *group, *start};
}

bool is_dead(char state) { return state == 'Z' || state == 'X' || state == 'x'; }

}  // namespace

std::optional<ProcessIdentity> identify(pid_t pid, bool also_dead) {
  const auto stat = pid > 0 ? read_stat(pid) : std::nullopt;
  if (!stat || (is_dead(stat->state) && !also_dead)) return std::nullopt;
  return ProcessIdentity{pid, stat->start};
}

std::optional<pid_t> group_of(pid_t pid) {
  const auto stat = read_stat(pid);
  if (!stat || is_dead(stat->state)) return std::nullopt;
  return stat->group;
}

bool group_is_empty(pid_t group) {
  if (group <= 1) return true;
  if (kill(-group, 0) != 0 && errno == ESRCH) return true;
  // Somebody is there, but perhaps only bodies that nobody has reaped.
  DIR* proc = opendir("/proc");
  if (proc == nullptr) return false;
  bool empty = true;
  while (const dirent* entry = readdir(proc)) {
    const auto pid = number<pid_t>(entry->d_name);
    if (!pid) continue;
    const auto stat = read_stat(*pid);
    if (stat && stat->group == group && !is_dead(stat->state)) {
      empty = false;
      break;
    }
  }
  closedir(proc);
  return empty;
}

bool signal_group(const ProcessIdentity& leader, int number) {
  if (leader.pid <= 1) return false;
  // The number of a group is not given to a new process while the group has a member, not even an unreaped
  // one. So whoever carries it now with another start time proves that the group is gone.
  const auto stat = read_stat(leader.pid);
  if (stat && stat->start != leader.start) return false;
  return kill(-leader.pid, number) == 0;
}

Result<void> write_record(const std::string& file, const ProcessIdentity& process) {
  const std::string temporary = file + ".tmp";
  const std::string text =
      std::to_string(process.pid) + " " + std::to_string(process.start) + " " + kernel_boot_id() + "\n";
  Fd fd(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640));
  if (fd.get() < 0 || write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      rename(temporary.c_str(), file.c_str()) != 0) {
    const std::string cause = std::strerror(errno);
    unlink(temporary.c_str());
    return fail(Code::kRetry, "cannot write " + file + ": " + cause);
  }
  return {};
}

std::optional<ProcessIdentity> read_record(const std::string& file) {
  const auto text = read_small(file);
  if (!text) return std::nullopt;
  const auto fields = words(*text);
  if (fields.size() != 3 || fields[2] != kernel_boot_id()) return std::nullopt;
  const auto pid = number<pid_t>(fields[0]);
  const auto start = number<uint64_t>(fields[1]);
  if (!pid || !start || *pid <= 1) return std::nullopt;
  return ProcessIdentity{*pid, *start};
}

std::optional<pid_t> read_pid_file(const std::string& file) {
  const auto text = read_small(file);
  if (!text) return std::nullopt;
  const auto fields = words(*text);
  if (fields.size() != 1) return std::nullopt;
  const auto pid = number<pid_t>(fields[0]);
  if (!pid || *pid <= 1 || *pid == getpid()) return std::nullopt;
  return pid;
}

std::unique_ptr<ProcessWatch> ProcessWatch::open(EventLoop& loop, const ProcessIdentity& process,
                                                 std::function<void()> ended) {
  std::unique_ptr<ProcessWatch> watch(new ProcessWatch);
  watch->pidfd_.reset(static_cast<int>(syscall(SYS_pidfd_open, process.pid, 0)));
  // Identified after opening: what the descriptor means cannot change any more.
  if (watch->pidfd_.get() < 0 || identify(process.pid) != process) return nullptr;
  watch->watch_ = loop.watch_readable(watch->pidfd_.get(), [p = watch.get(), ended = std::move(ended)] {
    const auto callback = ended;
    p->watch_.reset();  // once; a pidfd stays readable
    // A daemon that took a new configuration is still the parent of what it had started before.
    siginfo_t info{};
    waitid(P_PIDFD, static_cast<id_t>(p->pidfd_.get()), &info, WEXITED | WNOHANG);
    callback();
  });
  return watch;
}

void ProcessWatch::signal(int number) const {
  syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0);
}

std::string kernel_boot_id() {
  const char* file = std::getenv("CLUSTERD_BOOT_ID_FILE");
  const auto text = read_small(file != nullptr && *file != '\0' ? file : "/proc/sys/kernel/random/boot_id");
  if (!text) return {};
  const auto fields = words(*text);
  return fields.size() == 1 && fields[0].size() <= 100 ? std::string(fields[0]) : std::string();
}

}  // namespace clusterd
