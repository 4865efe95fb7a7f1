#include "daemon/process_setup.hpp"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <thread>

#include "base/check.hpp"

namespace clusterd {

namespace {

bool has_capability(unsigned capability) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (::syscall(SYS_capget, &header, data) != 0) return false;
  return (data[capability / 32].effective & (1U << (capability % 32))) != 0;
}

// Text segments and what is there now are made resident, so that a takeover never waits for the disk; later
// mappings are locked page by page as they are touched, so that thread stacks cost what they use.
bool lock_memory(std::string& why) {
  rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
  const bool raised = ::setrlimit(RLIMIT_MEMLOCK, &unlimited) == 0;
  // Under a limit, every allocation beyond it would fail from now on: better not locked than starved.
  if (!raised && !has_capability(CAP_IPC_LOCK)) {
    why = "the limit on locked memory cannot be raised (CAP_IPC_LOCK or LimitMEMLOCK=infinity is missing)";
    return false;
  }
  if (::mlockall(MCL_CURRENT) != 0 || ::mlockall(MCL_FUTURE | MCL_ONFAULT) != 0) {
    why = std::strerror(errno);
    ::munlockall();
    return false;
  }
  return true;
}

}  // namespace

Result<void> make_folder(const std::string& path, unsigned mode) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return fail(Code::kRefused, "cannot make the folder " + path + ": " + error.message());
  if (::chmod(path.c_str(), mode) != 0) return fail(Code::kRefused, path + ": " + std::strerror(errno));
  return {};
}

Result<int> lock_instance(const std::string& run_dir) {
  const std::string path = run_dir + "/clusterd.lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd < 0) return fail(Code::kRefused, "cannot open " + path + ": " + std::strerror(errno));
  // The threads of a daemon that was killed a moment ago may not have ended yet: they get two seconds.
  bool locked = ::flock(fd, LOCK_EX | LOCK_NB) == 0;
  for (int tries = 0; !locked && tries < 100; ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    locked = ::flock(fd, LOCK_EX | LOCK_NB) == 0;
  }
  if (!locked) {
    char pid[32] = {};
    const ssize_t n = ::read(fd, pid, sizeof pid - 1);
    ::close(fd);
    std::string holder;
    for (ssize_t i = 0; i < n && pid[i] >= '0' && pid[i] <= '9'; ++i) holder += pid[i];
    return fail(Code::kRefused, "another clusterd" + (holder.empty() ? "" : " (process " + holder + ")") +
                                    " runs with " + run_dir + "; stop it first, or choose another --run-dir");
  }
  const std::string pid = std::to_string(::getpid()) + "\n";
  // Only for the message above: the lock itself is what counts.
  if (::ftruncate(fd, 0) == 0) (void)!::pwrite(fd, pid.data(), pid.size(), 0);
  return fd;
}

Privileges take_privileges(bool realtime) {
  Privileges got;
  if (!realtime) return got;
  sched_param priority{};
  priority.sched_priority = 10;
  if (::sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &priority) == 0) {
    got.realtime = true;
  } else {
    got.warnings.push_back(std::string("real-time priority is not allowed (") + std::strerror(errno) +
                           "): the daemon may be late under load; it needs CAP_SYS_NICE");
  }
  std::string why;
  got.memory_locked = lock_memory(why);
  if (!got.memory_locked) got.warnings.push_back("memory cannot be locked: " + why);
  return got;
}

BootId random_boot_id() {
  uint64_t value = 0;
  while (value == 0) {
    const ssize_t n = ::getrandom(&value, sizeof value, 0);
    if (n < 0 && errno == EINTR) continue;
    CLUSTERD_CHECK(n == static_cast<ssize_t>(sizeof value), "the kernel gives random numbers");
  }
  return BootId{value};
}

void notify_manager(const std::string& text) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr || (path[0] != '/' && path[0] != '@')) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const size_t length = std::strlen(path);
  if (length >= sizeof address.sun_path) return;
  std::memcpy(address.sun_path, path, length);
  if (path[0] == '@') address.sun_path[0] = '\0';
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
  (void)!::sendto(fd, text.data(), text.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address),
                  size);
  ::close(fd);
}

std::optional<Duration> watchdog_interval() {
  const char* limit = std::getenv("WATCHDOG_USEC");
  if (limit == nullptr) return std::nullopt;
  int64_t microseconds = 0;
  const char* end = limit + std::strlen(limit);
  if (std::from_chars(limit, end, microseconds).ptr != end || microseconds <= 0) return std::nullopt;
  return std::chrono::microseconds(microseconds / 2);
}

}  // namespace clusterd
