#include "linux/mirror/mounts.hpp"

#include <algorithm>
#include <charconv>
#include <set>
#include <string_view>

#include "linux/mirror/files.hpp"

namespace clusterd {
namespace {

std::string unescape_octal(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

uint64_t number(std::string_view text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// "36 35 98:0 /root /mount/point ro,noatime shared:1 - type source options"
bool parse(std::string_view line, MountPoint& out) {
  const auto next = [&line] {
    const size_t end = std::min(line.find(' '), line.size());
    const std::string_view word = line.substr(0, end);
    line.remove_prefix(std::min(end + 1, line.size()));
    return word;
  };
  out.id = number(next());
  out.parent = number(next());
  out.device = next();
  out.root = unescape_octal(next());
  out.point = unescape_octal(next());
  const std::string_view options = next();
  out.read_only = options == "ro" || options.starts_with("ro,");
  while (!line.empty() && next() != "-") {
  }
  out.filesystem = next();
  return !out.point.empty() && !out.filesystem.empty();
}

std::string joined(const std::string& folder, std::string_view below) {
  if (below.empty()) return folder;
  return folder == "/" ? std::string(below) : folder + std::string(below);
}

}  // namespace

std::vector<MountPoint> read_mounts() {
  std::vector<MountPoint> mounts;
  const auto text = read_whole_file("/proc/thread-self/mountinfo", 16 << 20);
  if (!text) return mounts;
  for (size_t begin = 0; begin < text->size();) {
    const size_t end = std::min(text->find('\n', begin), text->size());
    MountPoint mount;
    if (parse(std::string_view(*text).substr(begin, end - begin), mount)) mounts.push_back(std::move(mount));
    begin = end + 1;
  }
  return mounts;
}

bool is_bind_of_itself(const MountPoint& mount, const std::vector<MountPoint>& all) {
  const MountPoint* under = find_mount(mount.parent, all);
  if (under == nullptr || under->device != mount.device || !is_inside(mount.point, under->point))
    return false;
  const size_t from = under->point == "/" ? 0 : under->point.size();
  const std::string_view below = std::string_view(mount.point).substr(from);
  return mount.root == joined(under->root, below == "/" ? "" : below);
}

const MountPoint* find_mount(uint64_t id, const std::vector<MountPoint>& all) {
  const auto at = std::ranges::find_if(all, [id](const MountPoint& m) { return m.id == id; });
  return at == all.end() ? nullptr : &*at;
}

std::vector<const MountPoint*> mounts_from(uint64_t id, const std::vector<MountPoint>& all) {
  std::set<uint64_t> known{id};
  for (size_t before = 0; before != known.size();) {
    before = known.size();
    for (const MountPoint& mount : all)
      if (known.contains(mount.parent)) known.insert(mount.id);
  }
  std::vector<const MountPoint*> out;
  for (const MountPoint& mount : all)
    if (known.contains(mount.id)) out.push_back(&mount);
  return out;
}

bool is_guard(const MountPoint& mount, const std::vector<MountPoint>& all) {
  return mount.read_only && is_bind_of_itself(mount, all);
}

bool is_inside(const std::string& path, const std::string& folder) {
  return folder == "/" || path == folder || path.compare(0, folder.size() + 1, folder + "/") == 0;
}

}  // namespace clusterd
