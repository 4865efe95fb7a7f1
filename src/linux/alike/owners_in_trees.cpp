#include "linux/alike/owners_in_trees.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <deque>
#include <memory>
#include <string>

#include "always/entry.hpp"
#include "mirror/exclude.hpp"

namespace clusterd::alike {

namespace {

constexpr int kPause = 100;  // times as long as a look

struct Closer {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

class Walk {
 public:
  explicit Walk(Owners& found) : found_(found) {}

  void root(const std::string& path, const Tree& tree) { look(AT_FDCWD, path, path, tree); }

  void go_down() {
    while (!folders_.empty() && left_ > 0) {
      const auto [path, tree] = std::move(folders_.front());
      folders_.pop_front();
      const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
      const std::unique_ptr<DIR, Closer> dir(fd < 0 ? nullptr : ::fdopendir(fd));
      if (!dir) continue;  // gone, or no folder any more: the next look sees what it is
      while (const dirent* item = left_ > 0 ? ::readdir(dir.get()) : nullptr) {
        const std::string name = item->d_name;
        if (name != "." && name != "..") look(::dirfd(dir.get()), name, path + "/" + name, *tree);
      }
    }
  }

 private:
  void look(int folder, const std::string& name, const std::string& path, const Tree& tree) {
    --left_;
    struct stat info {};
    if (::fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) != 0) return;
    const bool is_folder = S_ISDIR(info.st_mode);
    if (mirror::excluded(tree.exclude, path, is_folder)) return;
    add(found_.users, info.st_uid);
    add(found_.groups, info.st_gid);
    if (is_folder && folders_.size() < kMaxLookedAt) folders_.emplace_back(path, &tree);
  }

  static void add(std::set<uint32_t>& numbers, uint32_t number) {
    if (numbers.size() < kMaxOwners) numbers.insert(number);
  }

  Owners& found_;
  std::deque<std::pair<std::string, const Tree*>> folders_;
  size_t left_ = kMaxLookedAt;
};

}  // namespace

const Owners& OwnersInTrees::of(const std::vector<Tree>& trees) {
  const auto begun = Clock::now();
  if (trees == trees_ && begun < next_) return found_;
  trees_ = trees;
  found_ = {};
  Walk walk(found_);
  for (const Tree& tree : trees_)
    for (const std::string& path : tree.paths) walk.root(always::bare(path), tree);
  walk.go_down();
  next_ = Clock::now() + kPause * (Clock::now() - begun);
  return found_;
}

}  // namespace clusterd::alike
