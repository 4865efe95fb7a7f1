#include "linux/mirror/entrance.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string_view>

#include "linux/mirror/backup_json.hpp"
#include "linux/mirror/live/accept.hpp"
#include "linux/mirror/target.hpp"
#include "mirror/escape.hpp"

namespace clusterd {
namespace {

using mirror::escape;
using mirror::ReceiveOptions;

constexpr int kLockTries = 300;    // every 50 ms: 15 s for an earlier run's last breath
constexpr int kOrderlyTries = 20;  // … of which an earlier connection has 1 s to end in order
constexpr std::string_view kLiveLine = "\nlive\n";

// Leader of an own group first: the daemon kills that group, and must not hit anybody else with it.
Result<void> become_leader() {
  if (::getpgrp() == ::getpid() || ::setsid() >= 0 || ::setpgid(0, 0) == 0) return {};
  return fail(Code::kRefused, "cannot lead an own process group");
}

// Whoever holds the lock lives, so its number is its own. Its connection is closed first: it does what has
// arrived, and leaves its note (live/parting.hpp), which spares a compare. One that does not end by that is
// killed.
void end_earlier_live(int lock, bool kill) {
  char text[512] = {};
  if (::pread(lock, text, sizeof text - 1, 0) <= 0) return;
  const long pid = std::strtol(text, nullptr, 10);
  if (pid <= 1 || pid > INT32_MAX || std::string_view(text).find(kLiveLine) == std::string_view::npos) return;
  if (::getpgid(static_cast<pid_t>(pid)) != pid) return;
  if (kill) {
    ::kill(static_cast<pid_t>(-pid), SIGKILL);
    return;
  }
  const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  const Fd connection(static_cast<int>(::syscall(SYS_pidfd_getfd, process.get(), kConnectionDescriptor, 0)));
  if (connection.valid()) ::shutdown(connection.get(), SHUT_RDWR);
}

// At most one run per mirror writes. The file also tells a restarted daemon whom an earlier one has
// permitted.
Result<Fd> lock_mirror(const MirrorPaths& paths, const ReceiveOptions& options, bool live) {
  const std::string path =
      fmt::format("{}/mirror-receive.{}.{}.lock", paths.run_dir, options.service, options.mirror);
  Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) return fail(Code::kRefused, errno_text("cannot open", path));
  for (int i = 0; ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0; ++i) {
    if (errno != EWOULDBLOCK && errno != EINTR) return fail(Code::kRefused, errno_text("cannot lock", path));
    if (i == kLockTries) return fail(Code::kRetry, "another run of this mirror is still writing here");
    if (live) end_earlier_live(fd.get(), i >= kOrderlyTries);
    ::usleep(50'000);
  }
  const std::string text = fmt::format("{} {}{}", ::getpid(), options.service, live ? kLiveLine : "\n");
  if (::ftruncate(fd.get(), 0) != 0 || ::pwrite(fd.get(), text.data(), text.size(), 0) < 0) {
    return fail(Code::kRefused, errno_text("cannot write", path));
  }
  return fd;
}

}  // namespace

Result<Place> find_place(const Config& config, const ReceiveOptions& options) {
  for (const auto& service : config.services) {
    if (service.name != options.service) continue;
    for (const auto& mirror : service.mirrors) {
      if (mirror.name == options.mirror && !mirror.to) return Place{&service, &mirror};
    }
  }
  return fail(Code::kRefused, fmt::format("this node's configuration has no mirror \"{}\" of service \"{}\"",
                                          escape(options.mirror), escape(options.service)));
}

tl::expected<Entrance, Refusal> enter(const Config& config, const MirrorPaths& paths,
                                      const ReceiveOptions& options, bool live) {
  const auto refuse = [](int code, const Error& error) {
    return tl::unexpected(Refusal{code, error.message});
  };
  auto place = find_place(config, options);
  if (!place) return refuse(kExitRefused, place.error());
  if (auto ok = become_leader(); !ok) return refuse(kExitFailed, ok.error());
  const std::string body = receive_request(options.service, options.mirror, options.epoch);
  if (auto ok = ask_daemon(paths.run_dir + "/control.sock", body); !ok)
    return refuse(kExitRefused, ok.error());
  auto lock = lock_mirror(paths, options, live);
  if (!lock) return refuse(lock.error().code == Code::kRetry ? kExitBusy : kExitFailed, lock.error());
  return Entrance{*place, std::move(*lock)};
}

}  // namespace clusterd
