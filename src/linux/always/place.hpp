// What stands at one path on this machine, without following any symbolic link. For src/linux/always, and for
// src/linux/alike, which looks at more and carries nothing.
#pragma once

#include <sys/stat.h>

#include <map>
#include <string>

#include "always/entry.hpp"
#include "base/result.hpp"
#include "linux/fd.hpp"

namespace clusterd::always {

// What is being written, beside its place; at most one in each folder, and nobody's file.
inline constexpr const char* kTemporary = ".clusterd-always.new";

struct Place {
  std::string folder, name;
};
[[nodiscard]] Place place_of(const std::string& path);

[[nodiscard]] tl::unexpected<Error> failed(const std::string& what, const std::string& path);  // uses errno

// Tells whether a file is still the one that was read. Its last change of status is no part: a rename is one.
struct Signature {
  dev_t dev = 0;
  ino_t ino = 0;
  off_t size = 0;
  int64_t mtime_ns = 0;
  mode_t mode = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  explicit Signature() = default;
  explicit Signature(const struct stat& info)
      : dev(info.st_dev),
        ino(info.st_ino),
        size(S_ISDIR(info.st_mode) ? 0 : info.st_size),
        mtime_ns(S_ISDIR(info.st_mode) ? 0 : info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec),
        mode(info.st_mode),
        uid(info.st_uid),
        gid(info.st_gid) {}
  bool operator==(const Signature&) const = default;
};

// The names of owners. Asks the name service, which may take its time.
class Owners {
 public:
  [[nodiscard]] const std::string& user(uid_t uid);
  [[nodiscard]] const std::string& group(gid_t gid);

 private:
  std::map<uid_t, std::string> users_;
  std::map<gid_t, std::string> groups_;
};

[[nodiscard]] inline int64_t nanoseconds(const timespec& time) {
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

// What is known without opening it: of a file there is no digest yet, nor is its size judged. `info` is of
// `name` in the folder.
[[nodiscard]] Entry entry_of(const struct stat& info, int folder, const std::string& name, Owners& owners);

// What stands at `name` in the folder, with its content read, and on disk when this returns. A folder's
// entries are no part of it.
struct Found {
  Entry entry;
  Signature signature;
  int64_t ctime_ns = 0;
  std::string content;  // of a file
};
[[nodiscard]] Found look_at(int folder, const std::string& name, Owners& owners);
// The same without the content of a file: its digest is empty.
[[nodiscard]] Found glance_at(int folder, const std::string& name, Owners& owners);

}  // namespace clusterd::always
