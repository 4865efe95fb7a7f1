// Landlock: the receiving rsync, and the target of a live mirror, can write below the mirror's own folders
// and nowhere else, whatever the source sends. Attributes (mode, owner, times) are not covered by the
// kernel's rules.
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "linux/mirror/files.hpp"
#include "linux/mirror/target.hpp"

namespace clusterd {
namespace {

// Spelled out here: the rights of newer kernels are missing in Debian 12's header.
constexpr uint64_t kRefer = uint64_t{1} << 13;     // since ABI 2: rename and link between folders
constexpr uint64_t kTruncate = uint64_t{1} << 14;  // since ABI 3
constexpr uint64_t kWrites = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
                             LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
                             LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
                             LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
                             LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM | kRefer;

struct Ruleset {
  uint64_t handled_access_fs;
};

}  // namespace

bool confine_writes(const std::vector<std::string>& folders) {
  const long abi = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  // With ABI 1 no rename between folders would work at all, and hard links would break.
  if (abi < 2) return false;
  const Ruleset rules{kWrites | (abi >= 3 ? kTruncate : 0)};
  Fd set(static_cast<int>(::syscall(SYS_landlock_create_ruleset, &rules, sizeof rules, 0)));
  if (!set.valid()) return false;
  auto allow = [&](const std::string& path, uint64_t access) {
    Fd fd(::open(path.c_str(), O_PATH | O_CLOEXEC));
    struct stat st {};
    if (!fd.valid() || ::fstat(fd.get(), &st) != 0) return false;
    landlock_path_beneath_attr rule{};
    rule.allowed_access = access;
    rule.parent_fd = fd.get();
    return ::syscall(SYS_landlock_add_rule, set.get(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
  };
  for (const auto& folder : folders) {
    if (!allow(folder, rules.handled_access_fs)) return false;
  }
  allow("/dev/null", LANDLOCK_ACCESS_FS_WRITE_FILE);
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::syscall(SYS_landlock_restrict_self, set.get(), 0) == 0;
}

}  // namespace clusterd
