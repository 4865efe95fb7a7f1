#include "linux/mirror/broken_run.hpp"

#include <unistd.h>

#include "linux/mirror/files.hpp"

namespace clusterd {

using mirror::Entry;

std::string sending_path(const std::string& manifest_path) { return manifest_path + ".sending"; }

Result<void> take_in_broken_run(const std::string& manifest_path, const MirrorConfig& mirror) {
  const std::string path = sending_path(manifest_path);
  if (::access(path.c_str(), F_OK) != 0) return {};
  auto sent = open_manifest(path);
  if (!sent) return tl::unexpected(sent.error());
  auto agreed = open_manifest(manifest_path);
  if (!agreed) return tl::unexpected(agreed.error());
  if (*sent && *agreed) {
    DurableFile file(manifest_path);
    if (auto ok = file.open(); !ok) return ok;
    if (auto ok = file.append(mirror::write_header((*agreed)->header())); !ok) return ok;
    uint64_t entries = 0;
    auto visit = [&](const Entry* known, const Entry* here) -> Result<void> {
      ++entries;
      return file.append(mirror::write_entry(mirror::agreed_after_broken_run(known, here)));
    };
    // What has come since the list was written may have been carried over, too.
    auto here = mirror::union_of(entries_of(sent->get()), walk_trees(mirror.paths, mirror.exclude));
    if (auto ok = mirror::compare_streams(entries_of(agreed->get()), here, visit); !ok) return ok;
    if (auto ok = file.append(mirror::write_end(entries)); !ok) return ok;
    if (auto ok = file.commit(); !ok) return ok;
  }
  ::unlink(path.c_str());
  return {};
}

}  // namespace clusterd
