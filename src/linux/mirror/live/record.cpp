#include "linux/mirror/live/record.hpp"

#include "linux/mirror/live/compare_walk.hpp"

namespace clusterd::live {

std::vector<std::string> root_paths(const MirrorConfig& mirror) {
  std::vector<std::string> paths;
  for (const std::string& path : mirror.paths) paths.push_back(root_path(path));
  return distinct_scopes(std::move(paths));
}

Result<void> begin_agreement(AgreementStore& store, const MirrorConfig& mirror,
                             mirror::ManifestHeader::Role role, uint64_t epoch) {
  auto opened = store.open();
  if (!opened) return tl::unexpected(opened.error());
  if (opened->header) return {};
  return store.fold(header_for(look_at_roots(mirror.paths), role, epoch));
}

Result<void> record_agreement(AgreementStore& store, const MirrorConfig& mirror,
                              mirror::ManifestHeader::Role role, uint64_t epoch) {
  mirror::RootsNow roots = look_at_roots(mirror.paths);
  const auto same_places = [&](const mirror::ManifestHeader& header) {
    const auto now = header_for(roots, role, epoch);
    if (header.roots.size() != now.roots.size() || header.mounts != now.mounts) return false;
    for (size_t i = 0; i < now.roots.size(); ++i) {
      mirror::RootRecord a = header.roots[i], b = now.roots[i];
      // Not counted yet: without the number, nobody would notice that a root was emptied (S10).
      if (a.files == 0) return false;
      a.files = b.files = 0;
      if (a != b) return false;
    }
    return header.role == role && header.epoch == epoch && header.boot == now.boot;
  };
  auto opened = store.open();
  if (!opened) return tl::unexpected(opened.error());
  if (opened->header && same_places(*opened->header) && !store.wants_fold()) return {};
  while (true) {
    auto entry = opened->entries();
    if (!entry) return tl::unexpected(entry.error());
    if (!*entry) break;
    count_entry(roots, **entry);
  }
  return store.fold(header_for(roots, role, epoch));
}

}  // namespace clusterd::live
