// What is mounted where, in the calling thread's mount namespace (/proc/thread-self/mountinfo).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace clusterd {

struct MountPoint {
  uint64_t id = 0, parent = 0;
  std::string device;  // "8:1"
  std::string root;    // what of that device's file system is mounted: "/", or a folder
  std::string point;   // where; a later one covers an earlier one at the same place
  std::string filesystem;
  bool read_only = false;  // this mount; its file system may be read-only besides
};

// In the order in which the kernel names them; empty if they cannot be read.
[[nodiscard]] std::vector<MountPoint> read_mounts();

// A folder that was mounted onto itself, by the guard or by the mirror's own view (guard.hpp): a path means
// the same there with and without it.
[[nodiscard]] bool is_bind_of_itself(const MountPoint& mount, const std::vector<MountPoint>& all);

[[nodiscard]] const MountPoint* find_mount(uint64_t id, const std::vector<MountPoint>& all);
// The mount, and what is mounted below it.
[[nodiscard]] std::vector<const MountPoint*> mounts_from(uint64_t id, const std::vector<MountPoint>& all);
// Read-only, and a bind mount of its folder onto itself.
[[nodiscard]] bool is_guard(const MountPoint& mount, const std::vector<MountPoint>& all);

[[nodiscard]] bool is_inside(const std::string& path, const std::string& folder);  // or the folder itself

}  // namespace clusterd
