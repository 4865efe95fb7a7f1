#include "mirror/halt.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/canary.hpp"
#include "base/mark.hpp"
#include "mirror/escape.hpp"

namespace clusterd::mirror {
namespace {

std::string_view type_name(char type) {
  switch (type) {
    case 'f':
      return "file";
    case 'd':
      return "directory";
    case 'l':
      return "symbolic link";
    case 'p':
      return "fifo";
    case 's':
      return "socket";
    default:
      return "device";
  }
}

std::optional<std::string> compare_root(const RootNow& now, const RootRecord& was, bool same_boot) {
  const std::string path = escape(now.path);
  const RootRecord& is = now.record;
  if (is.type != was.type) {
    mark(Mark::kHaltRootType);
    return fmt::format("{} was a {} and is a {} now", path, type_name(was.type), type_name(is.type));
  }
  if (is.mount_point != was.mount_point || is.filesystem != was.filesystem) {
    mark(Mark::kHaltRootFilesystem);
    return fmt::format(
        "{} was on the file system mounted at {} ({}) and is on {} ({}) now; is it not mounted?", path,
        escape(was.mount_point), was.filesystem, escape(is.mount_point), is.filesystem);
  }
  // Device numbers of some file systems are new with each boot.
  if (same_boot && is.device != was.device) {
    mark(Mark::kHaltRootDevice);
    return fmt::format("another file system is mounted at {} than at the last run", escape(is.mount_point));
  }
  if (was.files > 0 && is.files == 0) {
    mark(Mark::kHaltRootEmptied);
    return fmt::format("{} held {} {} at the last run and is empty now", path, was.files,
                       was.files == 1 ? "file" : "files");
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> halt_reason(const RootsNow& now, const ManifestHeader* last) {
  if (sabotaged(Canary::kEmptiedRootMirrored)) return std::nullopt;
  for (const RootNow& root : now.roots) {
    if (!root.problem.empty()) {
      mark(Mark::kHaltRootProblem);
      return root.problem;
    }
    if (!root.exists) {
      mark(Mark::kHaltRootMissing);
      return fmt::format("{} does not exist", escape(root.path));
    }
    if (root.wants_directory && root.record.type != 'd') {
      mark(Mark::kHaltRootNoDirectory);
      return fmt::format("{} is not a directory, but a {}", escape(root.path), type_name(root.record.type));
    }
    if (!last) continue;
    const auto was = std::find_if(last->roots.begin(), last->roots.end(),
                                  [&](const RootRecord& r) { return r.path == root.path; });
    if (was == last->roots.end()) continue;
    if (auto reason = compare_root(root, *was, !now.boot.empty() && now.boot == last->boot)) return reason;
  }
  if (!last) return std::nullopt;
  for (const std::string& mount : last->mounts) {
    const bool mirrored = std::any_of(now.roots.begin(), now.roots.end(), [&](const RootNow& r) {
      return mount == r.path || mount.compare(0, r.path.size() + 1, r.path + "/") == 0;
    });
    if (mirrored && std::find(now.mounts.begin(), now.mounts.end(), mount) == now.mounts.end()) {
      mark(Mark::kHaltMountMissing);
      return fmt::format("{} was a mounted file system at the last run and is not mounted now",
                         escape(mount));
    }
  }
  return std::nullopt;
}

}  // namespace clusterd::mirror
