// Losses, halts and excludes.
#include <gtest/gtest.h>

#include "mirror/exclude.hpp"
#include "mirror/halt.hpp"
#include "mirror/loss.hpp"

namespace clusterd::mirror {
namespace {

Entry entry(int64_t mtime, char type = 'f') {
  Entry e;
  e.type = type;
  e.mode = 0644;
  e.size = 10;
  e.mtime_ns = e.ctime_ns = mtime;
  e.inode = 3;
  e.path = "/srv/a";
  return e;
}

TEST(Loss, ACandidateIsWhatDiffersFromTheLastMirroredState) {
  const Entry v1 = entry(1), v2 = entry(2);
  EXPECT_FALSE(candidate(&v1, &v1));
  EXPECT_EQ(candidate(&v1, &v2)->change, Candidate::Change::kChanged);
  EXPECT_EQ(candidate(nullptr, &v2)->change, Candidate::Change::kCreated);
  EXPECT_EQ(candidate(&v1, nullptr)->change, Candidate::Change::kDeleted);
  Entry back_dated = v1;  // written, and its time set back
  back_dated.ctime_ns = 9;
  const Entry doubtful = unproven(v1);
  EXPECT_EQ(candidate(&doubtful, &v1)->change, Candidate::Change::kCreated);
  EXPECT_EQ(candidate(&doubtful, nullptr)->change, Candidate::Change::kDeleted);
  EXPECT_TRUE(candidate(&v1, &back_dated));
  Entry folder = entry(1, 'd'), later = entry(2, 'd');
  EXPECT_FALSE(candidate(&folder, &later)) << "a folder's time changes with each entry";
  later.mode = 0700;
  EXPECT_TRUE(candidate(&folder, &later));
}

TEST(Loss, IsWhatTheResyncTookBack) {
  const Entry v1 = entry(1), v2 = entry(2), theirs = entry(3);
  const auto changed = *candidate(&v1, &v2), created = *candidate(nullptr, &v2),
             deleted = *candidate(&v1, nullptr);
  EXPECT_FALSE(is_lost(changed, &v2, false)) << "left alone: it had reached the peer after all";
  EXPECT_TRUE(is_lost(changed, &theirs, false));
  EXPECT_TRUE(is_lost(changed, nullptr, false));
  EXPECT_TRUE(is_lost(changed, &v2, true)) << "a version in the backup set was taken away";
  EXPECT_TRUE(is_lost(created, nullptr, false));
  EXPECT_FALSE(is_lost(created, &v2, false));
  EXPECT_TRUE(is_lost(deleted, &v1, false)) << "it came back";
  EXPECT_FALSE(is_lost(deleted, nullptr, false));
  Entry relinked = v2;
  relinked.ctime_ns = 99;
  relinked.inode = 99;
  EXPECT_FALSE(is_lost(changed, &relinked, false));
  Entry reowned = v2;
  reowned.uid = 5;
  EXPECT_TRUE(is_lost(changed, &reowned, false));
}

TEST(Loss, CandidatesAreReadAsTheyWereWritten) {
  const Entry v1 = entry(1), v2 = entry(2);
  for (const auto& c : {*candidate(&v1, &v2), *candidate(nullptr, &v2), *candidate(&v1, nullptr)}) {
    std::string line = write_candidate(c);
    ASSERT_EQ(line.back(), '\n');
    line.pop_back();
    const auto back = parse_candidate(line);
    ASSERT_TRUE(back.has_value());
    EXPECT_EQ(*back, c);
  }
  for (const char* line : {"", "-\t-", "-", "f 644 0 0 1 2 3 4 /a\tf 644 0 0 1 2 3 4 /b", "x\t-"}) {
    EXPECT_FALSE(parse_candidate(line).has_value()) << line;
  }
}

struct Halt : ::testing::Test {
  Halt() {
    RootNow root;
    root.path = "/srv/data";
    root.wants_directory = root.exists = true;
    root.record = {"/srv/data", 'd', 5, "/srv", "ext4", 3};
    now.roots = {root};
    now.mounts = {"/srv/data/disk"};
    now.boot = "one";
    last.roots = {root.record};
    last.mounts = now.mounts;
    last.boot = "one";
  }
  RootsNow now;
  ManifestHeader last;
  std::string reason() { return halt_reason(now, &last).value_or(""); }
};

TEST_F(Halt, NotIfAllIsAsItWas) {
  EXPECT_EQ(reason(), "");
  now.roots[0].record.files = 1;
  EXPECT_EQ(reason(), "") << "fewer files are no disaster";
}
TEST_F(Halt, IfTheRootIsMissingEvenTheFirstTime) {
  now.roots[0].exists = false;
  EXPECT_EQ(halt_reason(now, nullptr), "/srv/data does not exist");
}
TEST_F(Halt, IfTheRootIsNoDirectoryButShouldBe) {
  now.roots[0].record.type = 'l';
  EXPECT_EQ(halt_reason(now, nullptr), "/srv/data is not a directory, but a symbolic link");
}
TEST_F(Halt, IfItsTypeHasChanged) {
  now.roots[0].wants_directory = false;
  now.roots[0].record.type = 'f';
  EXPECT_EQ(reason(), "/srv/data was a directory and is a file now");
}
TEST_F(Halt, IfTheFileSystemIsNotMounted) {
  now.roots[0].record.mount_point = "/";
  EXPECT_NE(reason().find("is it not mounted?"), std::string::npos);
}
TEST_F(Halt, IfAnotherDeviceIsMountedButNotAfterABoot) {
  now.roots[0].record.device = 6;
  EXPECT_NE(reason().find("another file system is mounted at /srv"), std::string::npos);
  now.boot = "two";
  EXPECT_EQ(reason(), "");
}
TEST_F(Halt, IfItIsEmptied) {
  now.roots[0].record.files = 0;
  EXPECT_EQ(reason(), "/srv/data held 3 files at the last run and is empty now");
  last.roots[0].files = 0;
  EXPECT_EQ(reason(), "");
}
TEST_F(Halt, IfAFileSystemBelowItIsNotMounted) {
  now.mounts.clear();
  EXPECT_EQ(reason(), "/srv/data/disk was a mounted file system at the last run and is not mounted now");
  last.mounts = {"/srv/data2"};
  EXPECT_EQ(reason(), "") << "not below a root of this mirror any more";
}
TEST_F(Halt, ARootThatIsNewInTheConfigurationHasNoPast) {
  last.roots.clear();
  now.roots[0].record.files = 0;
  EXPECT_EQ(reason(), "");
}

TEST(Exclude, ReadsPatternsAsRsyncDoes) {
  const auto hit = [](const char* pattern, const char* path, bool directory = false) {
    return excluded({pattern}, path, directory);
  };
  EXPECT_TRUE(hit("*.tmp", "/srv/a.tmp"));
  EXPECT_TRUE(hit("*.tmp", "/srv/.tmp"));
  EXPECT_FALSE(hit("*.tmp", "/srv/a.tmp.txt"));
  EXPECT_FALSE(hit("*.tmp", "/srv/a.tmp/b"));
  EXPECT_TRUE(hit("cache/", "/srv/cache", true));
  EXPECT_FALSE(hit("cache/", "/srv/cache", false));
  EXPECT_TRUE(hit("/srv/x", "/srv/x"));
  EXPECT_FALSE(hit("/x", "/srv/x"));
  EXPECT_TRUE(hit("b/*.o", "/srv/a/b/c.o"));
  EXPECT_FALSE(hit("b/*.o", "/srv/a/b/d/c.o"));
  EXPECT_FALSE(hit("b/*.o", "/srv/ab/c.o"));
  EXPECT_TRUE(hit("/srv/**/c.o", "/srv/a/b/c.o"));
  EXPECT_FALSE(hit("/srv/*/c.o", "/srv/a/b/c.o"));
  EXPECT_TRUE(hit("[a-c]?.x", "/b1.x"));
  EXPECT_FALSE(hit("[!a-c]?.x", "/b1.x"));
  EXPECT_TRUE(hit("a*b*c", "/a__b_bc"));
  EXPECT_TRUE(hit("\\*", "/*"));
  EXPECT_FALSE(hit("\\*", "/a"));
  EXPECT_FALSE(hit("[", "/["));
  EXPECT_FALSE(hit("", "/a"));
}

TEST(Exclude, EndsOnHostilePatterns) {
  const std::string path = "/" + std::string(200, 'a');
  EXPECT_FALSE(wildcard_match("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", path.substr(1)));
  EXPECT_FALSE(wildcard_match("**a**a**a**a**a**a**a**a**a**b", path));
}

}  // namespace
}  // namespace clusterd::mirror
