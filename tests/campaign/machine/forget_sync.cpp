// A saboteur for the control experiments: preloaded, it makes fsync and its like do nothing and report
// success. FORGET=all forgets every sync; FORGET=folders only those of folders.
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

namespace {

int sync_or_forget(int fd, long call) {
  const char* forget = std::getenv("FORGET");
  const std::string_view what = forget == nullptr ? "" : forget;
  struct stat info {};
  if (what == "all") return 0;
  if (what == "folders" && fstat(fd, &info) == 0 && S_ISDIR(info.st_mode)) return 0;
  return static_cast<int>(syscall(call, fd));
}

}  // namespace

extern "C" {
int fsync(int fd) { return sync_or_forget(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_or_forget(fd, SYS_fdatasync); }
int syncfs(int fd) noexcept { return sync_or_forget(fd, SYS_syncfs); }
}
