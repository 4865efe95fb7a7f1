#include "linux/mirror/live/xattrs.hpp"

#include <fmt/format.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <span>

#include "mirror/escape.hpp"

namespace clusterd::live {
namespace {

constexpr size_t kMaxList = 64 * 1024;  // the kernel's bounds
constexpr size_t kMaxValue = 64 * 1024;

// What is carried over: everything but what a file system keeps for itself. ACLs are the two "system." ones.
bool mirrored(std::string_view name) {
  if (name.substr(0, 7) == "system.")
    return name == "system.posix_acl_access" || name == "system.posix_acl_default";
  return name != "security.evm" && name != "security.ima";
}

// A descriptor that is open for its path alone (O_PATH) has none of its own: those are reached through /proc.
bool by_path(ssize_t result) { return result < 0 && errno == EBADF; }

}  // namespace

Xattrs::Xattrs(int folder, const std::string& name)
    : file_(name.empty() ? folder : -1),
      path_(name.empty() ? fmt::format("/proc/self/fd/{}", folder)
                         : fmt::format("/proc/self/fd/{}/{}", folder, name)) {}

// The last link of a descriptor's path is the kernel's, and is to be followed; that of a name is the file's.
ssize_t Xattrs::list(char* into, size_t size) const {
  if (file_ < 0) return ::llistxattr(path_.c_str(), into, size);
  const ssize_t n = ::flistxattr(file_, into, size);
  return by_path(n) ? ::listxattr(path_.c_str(), into, size) : n;
}

ssize_t Xattrs::get(const std::string& name, char* into, size_t size) const {
  if (file_ < 0) return ::lgetxattr(path_.c_str(), name.c_str(), into, size);
  const ssize_t n = ::fgetxattr(file_, name.c_str(), into, size);
  return by_path(n) ? ::getxattr(path_.c_str(), name.c_str(), into, size) : n;
}

int Xattrs::set(const std::string& name, const std::string& value) const {
  if (file_ < 0) return ::lsetxattr(path_.c_str(), name.c_str(), value.data(), value.size(), 0);
  const int done = ::fsetxattr(file_, name.c_str(), value.data(), value.size(), 0);
  return by_path(done) ? ::setxattr(path_.c_str(), name.c_str(), value.data(), value.size(), 0) : done;
}

int Xattrs::remove(const std::string& name) const {
  if (file_ < 0) return ::lremovexattr(path_.c_str(), name.c_str());
  const int done = ::fremovexattr(file_, name.c_str());
  return by_path(done) ? ::removexattr(path_.c_str(), name.c_str()) : done;
}

Outcome<std::vector<std::string>> Xattrs::names() const {
  std::vector<std::string> names;
  std::array<char, 512> few;
  std::vector<char> many;
  std::span<char> space = few;
  ssize_t n = list(space.data(), space.size());
  if (n < 0 && errno == ERANGE) {
    many.resize(kMaxList);
    space = many;
    n = list(space.data(), space.size());
  }
  if (n < 0 && errno == ENOTSUP) return names;
  if (n < 0) return failure("cannot read the attributes of", path_);
  for (const char* at = space.data(); at < space.data() + n; at += std::strlen(at) + 1) {
    if (mirrored(at)) names.emplace_back(at);
  }
  std::sort(names.begin(), names.end());
  return names;
}

Outcome<void> Xattrs::read(Traits& into) const {
  auto listed = names();
  if (!listed) return tl::unexpected(listed.error());
  for (std::string& name : *listed) {
    std::string value(kMaxValue, '\0');
    const ssize_t n = get(name, value.data(), value.size());
    if (n < 0 && errno == ENODATA) continue;
    if (n < 0) return failure("cannot read the attributes of", path_);
    value.resize(static_cast<size_t>(n));
    into.xattrs.emplace_back(std::move(name), std::move(value));
  }
  return {};
}

Outcome<void> Xattrs::make(const Traits& wanted) const {
  auto listed = names();
  if (!listed) return tl::unexpected(listed.error());
  for (const std::string& name : *listed) {
    const auto is_it = [&](const auto& xattr) { return xattr.first == name; };
    if (std::any_of(wanted.xattrs.begin(), wanted.xattrs.end(), is_it)) continue;
    // A default label of a security module cannot be removed, and need not be.
    if (remove(name) != 0 && errno != ENODATA && name.compare(0, 9, "security.") != 0)
      return failure("cannot remove an attribute of", path_);
  }
  for (const auto& [name, value] : wanted.xattrs) {
    if (mirrored(name) && set(name, value) != 0)
      return failure(fmt::format("cannot set {} of", mirror::escape(name)), path_);
  }
  return {};
}

}  // namespace clusterd::live
