// Preloaded into the programs of the mirror's target: writes to $SYNC_LOG what they rename and sync, in
// order. Landlock keeps rsync from opening that file, so it is opened at the start of clusterd-mirror and
// inherited.
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <string>

namespace {

constexpr int kLog = 97;

[[gnu::constructor]] void open_log() {
  const char* path = std::getenv("SYNC_LOG");
  if (path == nullptr || ::fcntl(kLog, F_GETFD) >= 0) return;
  const int fd = ::open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (fd < 0) return;
  ::dup2(fd, kLog);
  ::close(fd);
}

std::string path_of(int fd) {
  char path[PATH_MAX];
  const ssize_t n = ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), path, sizeof path);
  return n > 0 ? std::string(path, static_cast<size_t>(n)) : "";
}

void note(const std::string& what) {
  const std::string line = what + "\n";
  if (::write(kLog, line.data(), line.size()) < 0) return;
}

// The whole name, for one that counts from a folder's descriptor.
std::string whole(int folder, const char* name) {
  return name[0] == '/' || folder == AT_FDCWD ? name : path_of(folder) + "/" + name;
}

}  // namespace

extern "C" {

int rename(const char* from, const char* to) noexcept {
  note(std::string("rename ") + to);
  return static_cast<int>(::syscall(SYS_rename, from, to));
}

int renameat(int from_folder, const char* from, int to_folder, const char* to) noexcept {
  note("rename " + whole(to_folder, to));
  return static_cast<int>(::syscall(SYS_renameat, from_folder, from, to_folder, to));
}

int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) noexcept {
  note("rename " + whole(to_folder, to));
  return static_cast<int>(::syscall(SYS_renameat2, from_folder, from, to_folder, to, flags));
}

int syncfs(int fd) noexcept {
  note("syncfs " + path_of(fd));
  return static_cast<int>(::syscall(SYS_syncfs, fd));
}

}  // extern "C"
