// Who owns files in a tree, and what this node's files of users say. Owners are given by root alone.
#include "linux/alike/owners_in_trees.hpp"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "linux/ids/id_files.hpp"

namespace clusterd::alike {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;

class InTrees : public testing::Test {
 protected:
  InTrees() {
    char name[] = "/var/tmp/owners-test-XXXXXX";
    root_ = ::mkdtemp(name);
  }
  ~InTrees() override { fs::remove_all(root_); }
  [[nodiscard]] std::string at(const std::string& name) const { return root_ + "/" + name; }
  void write(const std::string& name, const std::string& text) const {
    fs::create_directories(fs::path(at(name)).parent_path());
    std::ofstream(at(name), std::ios::binary) << text;
  }
  void own(const std::string& name, uid_t uid, gid_t gid) const {
    write(name, "");
    ASSERT_EQ(::chown(at(name).c_str(), uid, gid), 0);
  }
  std::string root_;
};

TEST_F(InTrees, OwnersAreFoundButThoseOfWhatIsExcluded) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  own("a/f", 1001, 50);
  own("a/b/c/d/deep", 1002, 0);
  own("a/x.tmp", 1003, 0);
  own("other", 1004, 0);
  fs::create_symlink(at("other"), at("a/link"));
  OwnersInTrees trees;
  const Owners found = trees.of({{{at("a") + "/"}, {"*.tmp"}}});
  EXPECT_THAT(found.users, ElementsAre(0, 1001, 1002));
  EXPECT_THAT(found.groups, ElementsAre(0, 50));
  EXPECT_THAT(trees.of({{{at("other"), at("absent")}, {}}}).users, ElementsAre(1004));
}

TEST_F(InTrees, ALargeTreeIsLookedAtFromAbove) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  for (size_t i = 0; i < kMaxLookedAt + 100; ++i) write("a/many/f" + std::to_string(i), "");
  own("a/near", 1001, 0);
  own("a/many/deeper/far", 1002, 0);
  OwnersInTrees trees;
  EXPECT_THAT(trees.of({{{at("a") + "/"}, {}}}).users, ElementsAre(0, 1001));
}

TEST_F(InTrees, TheFilesOfUsersAreReadAgainWhenTheyHaveChanged) {
  IdFiles ids(root_);
  EXPECT_FALSE(ids.refresh()) << "there are none";
  write("passwd", "web:x:1001:1001::/:\n");
  write("group", "web:x:1001:\n");
  EXPECT_TRUE(ids.refresh().value());
  EXPECT_FALSE(ids.refresh().value());
  write("new", "web:x:1001:1001::/:\n");
  fs::rename(at("new"), at("passwd"));
  EXPECT_FALSE(ids.refresh().value()) << "it says the same";
  write("new", "web:x:1002:1001::/:\n");
  fs::rename(at("new"), at("passwd"));
  EXPECT_TRUE(ids.refresh().value());
  EXPECT_EQ(ids.table().users.front().number, 1002U);
  fs::remove(at("group"));
  EXPECT_FALSE(ids.refresh());
  EXPECT_EQ(ids.table().users.size(), 1U) << "what was known stays known";
}

}  // namespace
}  // namespace clusterd::alike
