#include "mirror/live/entry.hpp"

namespace clusterd::mirror::live {

Entry to_entry(const Status& status, std::string path) {
  Entry e;
  e.type = status.type;
  e.mode = status.mode;
  e.uid = status.uid;
  e.gid = status.gid;
  e.size = status.size;
  e.mtime_ns = status.mtime_ns;
  e.ctime_ns = status.ctime_ns;
  e.inode = status.inode;
  e.path = std::move(path);
  return e;
}

bool is_unchanged(const Entry& agreed, const Status& now) {
  // A directory's change time moves with every entry in it, so its attributes have to speak for it. Its
  // extended attributes hide behind them: the ctime of a directory that is otherwise the same says "look".
  return agreed.type == now.type && agreed.inode == now.inode && agreed.ctime_ns == now.ctime_ns &&
         agreed.mode == now.mode && agreed.uid == now.uid && agreed.gid == now.gid &&
         (now.type == 'd' || (agreed.size == now.size && agreed.mtime_ns == now.mtime_ns));
}

bool same_version(const Status& a, const Status& b) {
  return a.size == b.size && a.mtime_ns == b.mtime_ns && a.ctime_ns == b.ctime_ns && a.inode == b.inode;
}

bool same_attributes(const Status& a, const Status& b) {
  return a.type == b.type && (a.type == 'l' || a.mode == b.mode) && a.uid == b.uid && a.gid == b.gid &&
         a.size == b.size && a.mtime_ns == b.mtime_ns && a.rdev == b.rdev && a.flags == b.flags;
}

bool is_within(std::string_view path, std::string_view folder) {
  return path.size() >= folder.size() && path.compare(0, folder.size(), folder) == 0 &&
         (path.size() == folder.size() || path[folder.size()] == '/');
}

}  // namespace clusterd::mirror::live
