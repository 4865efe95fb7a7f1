// A manifest as it is read back from the disk, line by line.
#include "mirror/manifest.hpp"

#include <optional>
#include <vector>

#include "mirror/halt.hpp"
#include "targets.hpp"

namespace clusterd::fuzz {

namespace {

using mirror::Entry;
using mirror::ManifestParser;

struct Manifest {
  mirror::ManifestHeader header;
  std::vector<Entry> entries;
  bool complete = false;
};

// nullopt: refused.
std::optional<Manifest> read(std::string_view text) {
  ManifestParser parser;
  Manifest out;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    auto entry = parser.line(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!entry) return std::nullopt;
    if (*entry) out.entries.push_back(std::move(**entry));
  }
  out.header = parser.header();
  out.complete = parser.complete();
  return out;
}

mirror::EntryStream stream_of(const std::vector<Entry>& entries) {
  return [&entries, at = size_t{0}]() mutable -> Result<std::optional<Entry>> {
    if (at == entries.size()) return std::optional<Entry>{};
    return std::optional<Entry>{entries[at++]};
  };
}

void compare_with_itself(const std::vector<Entry>& entries) {
  size_t seen = 0;
  const auto done = mirror::compare_streams(
      stream_of(entries), stream_of(entries), [&](const Entry* before, const Entry* now) -> Result<void> {
        ++seen;
        require(before != nullptr && now != nullptr && *before == *now, "a tree is equal to itself");
        require(mirror::same_state(*before, *now), "and in its state");
        return {};
      });
  require(done.has_value() && seen == entries.size(), "every entry is visited once");
}

}  // namespace

void fuzz_manifest(Bytes input) {
  const auto manifest = read(text_of(input));
  if (!manifest) return;
  for (size_t i = 0; i < manifest->entries.size(); ++i) {
    const Entry& entry = manifest->entries[i];
    require(mirror::is_clean_path(entry.path), "paths are absolute and lead nowhere else");
    require(i == 0 || mirror::path_before(manifest->entries[i - 1].path, entry.path), "tree order");
  }
  for (const auto& root : manifest->header.roots) require(mirror::is_clean_path(root.path), "so are roots");
  compare_with_itself(manifest->entries);

  std::string text = mirror::write_header(manifest->header);
  for (const Entry& entry : manifest->entries) text += mirror::write_entry(entry);
  text += mirror::write_end(manifest->entries.size());
  const auto again = read(text);
  require(
      again && again->complete && again->header == manifest->header && again->entries == manifest->entries,
      "a manifest is read back as it was");
  mirror::RootsNow now;
  for (const auto& root : manifest->header.roots) {
    mirror::RootNow found;
    found.path = root.path;
    found.exists = true;
    found.record = root;
    now.roots.push_back(found);
  }
  now.mounts = manifest->header.mounts;
  now.boot = manifest->header.boot;
  bool twice = false;  // the same root in two lines: the first one is compared with
  for (size_t i = 0; i < now.roots.size(); ++i) {
    for (size_t j = 0; j < i; ++j) twice = twice || now.roots[i].path == now.roots[j].path;
  }
  require(twice || !mirror::halt_reason(now, &manifest->header), "roots as they were do not halt a mirror");
}

}  // namespace clusterd::fuzz
