#include "linux/always/place.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "mirror/escape.hpp"

namespace clusterd::always {

namespace {

constexpr size_t kMaxNameRecord = 1 << 20;

// The name of an owner: getpwuid_r and getgrgid_r want room, and say so by ERANGE.
template <class Record, class Ask, class Name>
std::string name_of(const Ask& ask, const Name& name) {
  std::vector<char> room(4096);
  Record record{};
  Record* found = nullptr;
  while (ask(&record, room.data(), room.size(), &found) == ERANGE && room.size() < kMaxNameRecord)
    room.resize(2 * room.size());
  return found == nullptr ? "" : name(*found);
}

std::string link_target(int folder, const std::string& name) {
  std::array<char, kMaxPathBytes + 1> target{};
  const ssize_t size = ::readlinkat(folder, name.c_str(), target.data(), target.size());
  return size <= 0 || static_cast<size_t>(size) > kMaxPathBytes
             ? ""
             : std::string(target.data(), static_cast<size_t>(size));
}

// And makes it durable: what the other node may take must not be gone after a power cut.
bool read_all(int fd, std::string& content) {
  std::array<char, 64 * 1024> buffer{};
  while (true) {
    const ssize_t n = ::read(fd, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    if (n == 0) return ::fsync(fd) == 0;
    content.append(buffer.data(), static_cast<size_t>(n));
    if (content.size() > kMaxFileBytes) return true;
  }
}

}  // namespace

Place place_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

tl::unexpected<Error> failed(const std::string& what, const std::string& path) {
  const int error = errno;
  return fail(Code::kRefused, fmt::format("{} {}: {}", what, mirror::escape(path), std::strerror(error)));
}

const std::string& Owners::user(uid_t uid) {
  const auto [at, fresh] = users_.try_emplace(uid);
  if (fresh)
    at->second = name_of<passwd>([&](passwd* record, char* room, size_t size,
                                     passwd** found) { return ::getpwuid_r(uid, record, room, size, found); },
                                 [](const passwd& record) { return std::string(record.pw_name); });
  return at->second;
}

const std::string& Owners::group(gid_t gid) {
  const auto [at, fresh] = groups_.try_emplace(gid);
  if (fresh)
    at->second =
        name_of<::group>([&](::group* record, char* room, size_t size,
                             ::group** found) { return ::getgrgid_r(gid, record, room, size, found); },
                         [](const ::group& record) { return std::string(record.gr_name); });
  return at->second;
}

Entry entry_of(const struct stat& info, int folder, const std::string& name, Owners& owners) {
  Entry entry;
  entry.uid = info.st_uid;
  entry.gid = info.st_gid;
  entry.user = owners.user(info.st_uid);
  entry.group = owners.group(info.st_gid);
  if (S_ISDIR(info.st_mode)) {
    entry.kind = Kind::kFolder;
    entry.mode = info.st_mode & 07777U;
    return entry;
  }
  entry.mtime_ns = nanoseconds(info.st_mtim);
  if (S_ISLNK(info.st_mode)) {
    entry.kind = Kind::kLink;
    entry.content = link_target(folder, name);
    return entry.content.empty() ? opaque("it is a symbolic link that cannot be read") : entry;
  }
  if (!S_ISREG(info.st_mode)) {
    entry.kind = Kind::kSpecial;
    return entry;
  }
  entry.kind = Kind::kFile;
  entry.mode = info.st_mode & 07777U;
  entry.size = static_cast<uint64_t>(info.st_size);
  return entry;
}

Found glance_at(int folder, const std::string& name, Owners& owners) {
  Found found;
  struct stat info {};
  if (::fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno != ENOENT)
      found.entry = opaque(fmt::format("it cannot be looked at: {}", std::strerror(errno)));
    return found;
  }
  found.signature = Signature(info);
  found.ctime_ns = nanoseconds(info.st_ctim);
  found.entry = entry_of(info, folder, name, owners);
  if (found.entry.kind == Kind::kFile && found.entry.size > kMaxFileBytes)
    found.entry = opaque("it is longer than 4 MiB");
  return found;
}

Found look_at(int folder, const std::string& name, Owners& owners) {
  Found found = glance_at(folder, name, owners);
  if (found.entry.kind != Kind::kFile) return found;
  const Fd fd(::openat(folder, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat info {};
  if (fd.get() < 0 || ::fstat(fd.get(), &info) != 0 || !read_all(fd.get(), found.content)) {
    found.entry = opaque(fmt::format("it cannot be read: {}", std::strerror(errno)));
  } else if (found.content.size() > kMaxFileBytes) {
    found.entry = opaque("it is longer than 4 MiB");
  } else {
    // Replaced or written meanwhile: whoever compares this with a later look sees that it was.
    found.signature = Signature(info);
    found.ctime_ns = nanoseconds(info.st_ctim);
    found.entry.content = digest_of(found.content);
    found.entry.size = found.content.size();
  }
  return found;
}

}  // namespace clusterd::always
