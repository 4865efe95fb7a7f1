#include "linux/mirror/guard.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "linux/mirror/mounts.hpp"
#include "mirror/escape.hpp"

namespace clusterd {
namespace {

constexpr unsigned kWholeTree = AT_EMPTY_PATH | AT_RECURSIVE;

Fd open_folder(const std::string& path) {
  return Fd(open_without_symlinks(path, O_PATH | O_DIRECTORY | O_NOFOLLOW));
}

// Of the mount that a descriptor lies on; 0: not known.
uint64_t mount_id(const Fd& fd) {
  struct statx facts {};
  if (::statx(fd.get(), "", AT_EMPTY_PATH, STATX_MNT_ID, &facts) != 0) return 0;
  return (facts.stx_mask & STATX_MNT_ID) != 0 ? facts.stx_mnt_id : 0;
}

Fd copy_of(const Fd& folder) {
  return Fd(::open_tree(folder.get(), "", kWholeTree | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
}

bool change(const Fd& tree, uint64_t set, uint64_t clear, uint64_t propagation) {
  mount_attr attributes{};
  attributes.attr_set = set;
  attributes.attr_clr = clear;
  attributes.propagation = propagation;
  return ::mount_setattr(tree.get(), "", kWholeTree, &attributes, sizeof attributes) == 0;
}

bool attach(const Fd& copy, const Fd& folder) {
  const unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
  return ::move_mount(copy.get(), "", folder.get(), "", flags) == 0;
}

std::string in_proc(const Fd& fd) { return fmt::format("/proc/self/fd/{}", fd.get()); }

// Something in the tree is nowhere else: it was mounted there after the tree had been copied.
bool holds_what_is_its_own(uint64_t id, const std::vector<MountPoint>& mounts) {
  const auto tree = mounts_from(id, mounts);
  return std::ranges::any_of(tree, [&](const MountPoint* mount) {
    return mount->id != id && std::ranges::none_of(mounts, [&](const MountPoint& other) {
             return other.point == mount->point && other.device == mount->device &&
                    other.root == mount->root && std::ranges::find(tree, &other) == tree.end();
           });
  });
}

bool wholly_read_only(uint64_t id, const std::vector<MountPoint>& mounts) {
  return std::ranges::all_of(mounts_from(id, mounts),
                             [](const MountPoint* mount) { return mount->read_only; });
}

tl::unexpected<Error> cannot(const char* what, const std::string& folder) {
  return fail(Code::kRefused, errno_text(what, folder));
}

}  // namespace

Result<GuardPlan> prepare_guard(const std::string& folder) {
  GuardPlan plan;
  plan.folder = open_folder(folder);
  if (!plan.folder.valid()) {
    plan.absent = errno == ENOENT || errno == ENOTDIR;
    if (plan.absent) return plan;
    return fail(Code::kRefused, errno_text("cannot guard", folder));
  }
  const auto mounts = read_mounts();
  const uint64_t id = mount_id(plan.folder);
  const MountPoint* there = find_mount(id, mounts);
  if (there != nullptr && there->point == folder && is_guard(*there, mounts)) {
    if (!wholly_read_only(id, mounts) && !change(plan.folder, MOUNT_ATTR_RDONLY, 0, 0))
      plan.half_guarded = errno_text("a file system below it stays writable:", folder);
    return plan;
  }
  plan.copy = copy_of(plan.folder);
  if (!plan.copy.valid() || !change(plan.copy, MOUNT_ATTR_RDONLY, 0, MS_PRIVATE)) {
    if (errno == ENOSYS)
      return fail(Code::kRefused, "this kernel cannot guard a folder: Linux 5.12 or later is needed");
    return fail(Code::kRefused, errno_text("cannot guard", folder));
  }
  return plan;
}

Result<Fd> set_guard(GuardPlan plan) {
  if (!plan.copy.valid()) return std::move(plan.folder);
  if (!attach(plan.copy, plan.folder)) return fail(Code::kRefused, errno_text("cannot mount", "the guard"));
  return std::move(plan.copy);
}

std::optional<Fd> find_guard(const std::string& folder) {
  const auto mounts = read_mounts();
  const bool any = std::ranges::any_of(
      mounts, [&](const MountPoint& m) { return m.point == folder && is_guard(m, mounts); });
  if (!any) return std::nullopt;
  // Its names are in the kernel's memory for as long as it is mounted.
  Fd fd = open_folder(folder);
  const MountPoint* top = fd.valid() ? find_mount(mount_id(fd), mounts) : nullptr;
  if (top == nullptr || top->point != folder || !is_guard(*top, mounts)) return std::nullopt;
  return fd;
}

Result<void> lift_guard(const Fd& mount) {
  const bool writable = change(mount, 0, MOUNT_ATTR_RDONLY, 0);  // before all else: this is what counts
  const int error = errno;
  const uint64_t id = mount_id(mount);
  const auto mounts = read_mounts();
  const MountPoint* there = find_mount(id, mounts);
  if (there == nullptr) return {};  // somebody has unmounted it
  errno = error;
  if (!writable) return cannot("cannot make writable", there->point);
  if (holds_what_is_its_own(id, mounts)) {
    return fail(Code::kRetry, fmt::format("{} stays mounted onto itself (writable): something was mounted "
                                          "below it while it was guarded",
                                          mirror::escape(there->point)));
  }
  if (::umount2(in_proc(mount).c_str(), MNT_DETACH) != 0) return cannot("cannot unmount", there->point);
  return {};
}

Result<void> see_writable(const std::vector<std::string>& folders) {
  // What is mounted and unmounted elsewhere is so here too; what is done here stays here.
  if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0)
    return fail(Code::kRefused, errno_text("cannot make a mount namespace for", "the mirror"));
  for (const std::string& folder : folders) {
    // As they were before they were guarded: a copy of the guard would not know what was read-only without.
    // Only what was mounted there since is nowhere else.
    uint64_t writable = 0;
    while (const auto guard = find_guard(folder)) {
      if (holds_what_is_its_own(mount_id(*guard), read_mounts())) {
        writable = MOUNT_ATTR_RDONLY;
        break;
      }
      if (::umount2(in_proc(*guard).c_str(), MNT_DETACH) != 0) return cannot("cannot unmount", folder);
    }
    const Fd there = open_folder(folder);
    if (!there.valid()) {
      if (errno == ENOENT || errno == ENOTDIR) continue;
      return cannot("cannot open", folder);
    }
    const Fd copy = copy_of(there);
    if (!copy.valid() || !change(copy, 0, writable, MS_PRIVATE) || !attach(copy, there))
      return cannot("cannot see as writable", folder);
  }
  return {};
}

}  // namespace clusterd
