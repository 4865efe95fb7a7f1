#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "linux/gate/gate_program.hpp"

namespace clusterd {

namespace {

constexpr const char* kSystemBpffs = "/sys/fs/bpf";

bool is_bpffs(const std::filesystem::path& path) {
  struct statfs info {};
  return ::statfs(path.c_str(), &info) == 0 && static_cast<unsigned long>(info.f_type) == BPF_FS_MAGIC;
}

// The deepest part of the path that exists: its filesystem is the one on which the rest would be made.
std::filesystem::path deepest_existing(std::filesystem::path path) {
  std::error_code ignored;
  while (!std::filesystem::exists(path, ignored) && path.has_relative_path()) path = path.parent_path();
  return path;
}

}  // namespace

Result<void> prepare_pin_dir(const std::string& dir) {
  const std::filesystem::path path = std::filesystem::path(dir).lexically_normal();
  if (!path.is_absolute()) return fail(Code::kConfig, fmt::format("{}: not an absolute path", dir));
  const bool below_system = path.string().starts_with(std::string(kSystemBpffs) + "/");
  if (!is_bpffs(deepest_existing(path)) && below_system && !is_bpffs(kSystemBpffs)) {
    if (::mount("bpf", kSystemBpffs, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") != 0) {
      return fail(Code::kConfig, fmt::format("no BPF filesystem on {}, and mounting one fails ({}): "
                                             "mount -t bpf bpf {}",
                                             kSystemBpffs, std::strerror(errno), kSystemBpffs));
    }
  }
  if (!is_bpffs(deepest_existing(path))) {
    return fail(Code::kConfig,
                fmt::format("{} is not on a BPF filesystem, so the gate would not outlive the daemon: use a "
                            "folder under {}, or 'mount -t bpf bpf DIR'",
                            dir, kSystemBpffs));
  }
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return fail(Code::kConfig, fmt::format("{} cannot be made: {}", dir, error.message()));
  return {};
}

}  // namespace clusterd
