#include "linux/mirror/target_roots.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "mirror/halt.hpp"

namespace clusterd {

Result<std::vector<std::string>> prepare_roots(const MirrorConfig& config, const mirror::RootsNow& now) {
  std::vector<std::string> folders;
  for (size_t i = 0; i < config.paths.size(); ++i) {
    const mirror::RootNow& root = now.roots[i];
    if (!root.problem.empty()) return fail(Code::kRefused, root.problem);
    const bool directory = root.wants_directory || (root.exists && root.record.type == 'd');
    const size_t slash = root.path.rfind('/');
    const std::string parent = slash == 0 ? "/" : root.path.substr(0, slash);
    const std::string folder = directory ? root.path : parent;
    // Only what is missing is made: a file in the place of a directory stays for rsync to replace.
    if (!directory || !root.exists) {
      if (auto ok = make_directories(folder, 0755); !ok) return tl::unexpected(ok.error());
    }
    // A root that changes its type is replaced as a name in its parent.
    const bool replaced = root.exists && root.wants_directory && root.record.type != 'd';
    folders.push_back(replaced ? parent : folder);
  }
  return folders;
}

std::optional<std::string> target_halt(mirror::RootsNow now, const mirror::ManifestHeader* last) {
  if (!last) return std::nullopt;
  mirror::ManifestHeader known = *last;
  for (auto& root : known.roots) root.files = 0;
  std::vector<mirror::RootNow> present;
  for (auto& root : now.roots) {
    if (!root.exists || !root.problem.empty()) continue;
    const auto was =
        std::find_if(known.roots.begin(), known.roots.end(), [&](auto& r) { return r.path == root.path; });
    if (was != known.roots.end()) was->type = root.record.type;
    root.wants_directory = false;
    present.push_back(root);
  }
  now.roots = std::move(present);
  return mirror::halt_reason(now, &known);
}

Result<void> probe_writable(const std::string& folder) {
  const std::string path = folder + "/../.probe";
  Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  const bool ok = fd.valid() && ::write(fd.get(), "x", 1) == 1 && ::fsync(fd.get()) == 0;
  if (!ok) return fail(Code::kRefused, errno_text("the backup set cannot be written", folder));
  ::unlink(path.c_str());
  return {};
}

}  // namespace clusterd
