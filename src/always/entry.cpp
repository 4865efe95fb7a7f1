#include "always/entry.hpp"

#include <sodium.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "mirror/exclude.hpp"

namespace clusterd::always {

namespace {

constexpr size_t kDigestBytes = 32;

bool same_owner(uint32_t a, const std::string& a_name, uint32_t b, const std::string& b_name) {
  return a_name.empty() || b_name.empty() ? a == b : a_name == b_name;
}

}  // namespace

const char* name(Kind kind) {
  switch (kind) {
    case Kind::kAbsent:
      return "absent";
    case Kind::kFile:
      return "file";
    case Kind::kFolder:
      return "folder";
    case Kind::kLink:
      return "link";
    case Kind::kOpaque:
      return "opaque";
    case Kind::kSpecial:
      return "special";
  }
  return "";
}

Entry opaque(std::string why) {
  Entry entry;
  entry.kind = Kind::kOpaque;
  entry.content = std::move(why);
  return entry;
}

bool same(const Entry& a, const Entry& b) {
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Kind::kAbsent:
      return true;
    case Kind::kOpaque:
    case Kind::kSpecial:
      return false;
    case Kind::kLink:
      return a.content == b.content;
    case Kind::kFile:
    case Kind::kFolder:
      break;
  }
  return a.mode == b.mode && same_owner(a.uid, a.user, b.uid, b.user) &&
         same_owner(a.gid, a.group, b.gid, b.group) && a.content == b.content;
}

std::string digest_of(std::string_view content) {
  std::array<uint8_t, kDigestBytes> digest{};
  crypto_generichash(digest.data(), digest.size(), reinterpret_cast<const uint8_t*>(content.data()),
                     content.size(), nullptr, 0);
  std::string hex(2 * digest.size() + 1, '\0');
  sodium_bin2hex(hex.data(), hex.size(), digest.data(), digest.size());
  hex.pop_back();
  return hex;
}

bool is_digest(std::string_view text) {
  return text.size() == 2 * kDigestBytes &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool is_plain(const std::string& path) {
  if (path.size() < 2 || path.size() > kMaxPathBytes || path.front() != '/' || path.back() == '/')
    return false;
  if (path.find('\0') != std::string::npos) return false;
  for (size_t at = 0; at < path.size();) {
    const size_t end = std::min(path.find('/', at + 1), path.size());
    const std::string_view part(path.data() + at + 1, end - at - 1);
    if (part.empty() || part == "." || part == "..") return false;
    at = end;
  }
  return true;
}

std::string bare(const std::string& listed) {
  return listed.size() > 1 && listed.back() == '/' ? listed.substr(0, listed.size() - 1) : listed;
}

bool is_under(std::string_view path, std::string_view folder) {
  return path == folder ||
         (path.size() > folder.size() && path.starts_with(folder) && path[folder.size()] == '/');
}

bool covers(const AlwaysConfig& config, const std::string& path, bool is_folder) {
  for (const std::string& listed : config.paths) {
    const std::string root = bare(listed);
    if (path == root) return true;  // what is listed by name is not excluded
    if (listed.back() != '/' || !is_under(path, root)) continue;
    for (size_t slash = path.find('/', root.size() + 1); slash != std::string::npos;
         slash = path.find('/', slash + 1))
      if (mirror::excluded(config.exclude, std::string_view(path).substr(0, slash), true)) return false;
    return !mirror::excluded(config.exclude, path, is_folder);
  }
  return false;
}

}  // namespace clusterd::always
