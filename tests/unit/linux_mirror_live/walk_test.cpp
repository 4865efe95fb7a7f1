#include "linux/mirror/live/walk.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

namespace clusterd::live {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kNothing;  // is excluded

size_t open_descriptors() {
  const fs::directory_iterator all("/proc/self/fd");
  return static_cast<size_t>(std::distance(begin(all), end(all)));
}

class WalkTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/var/tmp/cdt-walk-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    root_ = name;
    for (int i = 0; i < 20; ++i) {
      for (int j = 0; j < 20; ++j) fs::create_directories(fmt::format("{}/{}/{}", root_, i, j));
    }
  }
  void TearDown() override { fs::remove_all(root_); }

  std::string root_;
};

TEST_F(WalkTest, EntersAndLeavesEveryDirectoryOnce) {
  auto anchors = Anchors::open({root_}, {});
  ASSERT_TRUE(anchors);
  const size_t before = open_descriptors();
  size_t entries = 0;
  size_t left = 0;
  {
    TreeWalk walk(*anchors, {root_}, kNothing);
    while (true) {
      auto step = walk.next();
      ASSERT_TRUE(step);
      if (step->kind == TreeWalk::Step::Kind::kEnd) break;
      ++(step->kind == TreeWalk::Step::Kind::kEntry ? entries : left);
    }
  }
  EXPECT_EQ(entries, 1U + 20 + 400);
  EXPECT_EQ(left, entries);
  EXPECT_EQ(open_descriptors(), before);
}

// As a compare does whose connection breaks: what was read ahead must not stay open for ever.
TEST_F(WalkTest, OneThatIsGivenUpLeavesNothingOpen) {
  auto anchors = Anchors::open({root_}, {});
  ASSERT_TRUE(anchors);
  const size_t before = open_descriptors();
  {
    TreeWalk walk(*anchors, {root_}, kNothing);
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(walk.next());
    while (open_descriptors() < before + 100) std::this_thread::yield();
  }
  EXPECT_EQ(open_descriptors(), before);
}

}  // namespace
}  // namespace clusterd::live
