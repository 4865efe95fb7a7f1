#include "linux/mirror/broken_run.hpp"

#include <unistd.h>

#include <algorithm>

#include "linux/mirror/files.hpp"

namespace clusterd {

using mirror::Entry;

std::string sending_path(const std::string& manifest_path) { return manifest_path + ".sending"; }

namespace {

// The target may have had all that was on the list: a root that is empty now was emptied (S10).
Result<mirror::ManifestHeader> header_after(const mirror::ManifestHeader& agreed, ManifestFile* sent) {
  mirror::RootsNow listed;
  for (const mirror::RootRecord& root : agreed.roots) {
    listed.roots.push_back({});
    listed.roots.back().path = root.path;
  }
  const auto entries = entries_of(sent);
  while (true) {
    auto entry = entries();
    if (!entry) return tl::unexpected(entry.error());
    if (!*entry) break;
    count_entry(listed, **entry);
  }
  mirror::ManifestHeader header = agreed;
  for (size_t i = 0; i < header.roots.size(); ++i) {
    header.roots[i].files = std::max(header.roots[i].files, listed.roots[i].record.files);
  }
  return header;
}

}  // namespace

Result<void> take_in_broken_run(const std::string& manifest_path, const MirrorConfig& mirror) {
  const std::string path = sending_path(manifest_path);
  if (::access(path.c_str(), F_OK) != 0) return {};
  auto sent = open_manifest(path);
  if (!sent) return tl::unexpected(sent.error());
  auto agreed = open_manifest(manifest_path);
  if (!agreed) return tl::unexpected(agreed.error());
  if (*sent && *agreed) {
    auto counted = open_manifest(path);
    if (!counted) return tl::unexpected(counted.error());
    auto header = header_after((*agreed)->header(), counted->get());
    if (!header) return tl::unexpected(header.error());
    DurableFile file(manifest_path);
    if (auto ok = file.open(); !ok) return ok;
    if (auto ok = file.append(mirror::write_header(*header)); !ok) return ok;
    uint64_t entries = 0;
    auto listed = open_manifest(path);
    if (!listed) return tl::unexpected(listed.error());
    const auto list = entries_of(listed->get());
    auto next = list();
    if (!next) return tl::unexpected(next.error());
    auto visit = [&](const Entry* known, const Entry* here) -> Result<void> {
      ++entries;
      const bool on_list = *next && (*next)->path == (known ? known : here)->path;
      const std::optional<Entry> sending = on_list ? *next : std::nullopt;
      if (on_list) {
        next = list();
        if (!next) return tl::unexpected(next.error());
      }
      return file.append(
          mirror::write_entry(mirror::agreed_after_broken_run(known, sending ? &*sending : nullptr, here)));
    };
    // What has come since the list was written may have been carried over, too. All that is on the list is
    // met in this walk, in the same order.
    auto here = mirror::union_of(entries_of(sent->get()), walk_trees(mirror.paths, mirror.exclude));
    if (auto ok = mirror::compare_streams(entries_of(agreed->get()), here, visit); !ok) return ok;
    if (auto ok = file.append(mirror::write_end(entries)); !ok) return ok;
    if (auto ok = file.commit(); !ok) return ok;
  }
  ::unlink(path.c_str());
  return {};
}

}  // namespace clusterd
