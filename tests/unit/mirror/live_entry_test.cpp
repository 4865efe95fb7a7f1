// What is equal: entries, digests and hashes, and the plan that follows from it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "mirror/live/digest.hpp"
#include "mirror/live/entry.hpp"
#include "mirror/live/plan.hpp"

namespace clusterd::mirror::live {
namespace {

using testing::ElementsAre;
using Kind = Step::Kind;

Status file() {
  Status s;
  s.mode = 0640;
  s.uid = 1;
  s.gid = 2;
  s.size = 3;
  s.mtime_ns = 4;
  s.ctime_ns = 5;
  s.inode = 6;
  return s;
}

// `file()` with one thing changed, for each thing that a status says.
std::vector<std::pair<const char*, Status>> changes(const Status& from) {
  std::vector<std::pair<const char*, Status>> out;
  const auto add = [&](const char* what, auto change) {
    out.emplace_back(what, from);
    change(out.back().second);
  };
  add("type", [](Status& s) { s.type = s.type == 'p' ? 's' : 'p'; });
  add("mode", [](Status& s) { ++s.mode; });
  add("uid", [](Status& s) { ++s.uid; });
  add("gid", [](Status& s) { ++s.gid; });
  add("size", [](Status& s) { ++s.size; });
  add("mtime", [](Status& s) { ++s.mtime_ns; });
  add("ctime", [](Status& s) { ++s.ctime_ns; });
  add("inode", [](Status& s) { ++s.inode; });
  add("rdev", [](Status& s) { ++s.rdev; });
  add("flags", [](Status& s) { s.flags |= kImmutable; });
  return out;
}

std::vector<std::string> noticed(const Status& from, const std::function<bool(const Status&)>& equal) {
  EXPECT_TRUE(equal(from));
  std::vector<std::string> out;
  for (const auto& [what, changed] : changes(from)) {
    if (!equal(changed)) out.emplace_back(what);
  }
  return out;
}

TEST(LiveEntry, IsUnchangedIfNothingHasTouchedIt) {
  const auto with = [](const Status& s) {
    return noticed(s, [entry = to_entry(s, "/x")](const Status& now) { return is_unchanged(entry, now); });
  };
  EXPECT_THAT(with(file()), ElementsAre("type", "mode", "uid", "gid", "size", "mtime", "ctime", "inode"));
  Status folder = file();
  folder.type = 'd';  // its own times and size follow from its names
  EXPECT_THAT(with(folder), ElementsAre("type", "mode", "uid", "gid", "ctime", "inode"));
  EXPECT_EQ(to_entry(folder, "/x").path, "/x");
  EXPECT_EQ(to_entry(folder, "/x").type, 'd');
}

TEST(LiveEntry, HasTheSameAttributesIfAllThatIsMirroredIsEqual) {
  const auto with = [](const Status& s) {
    return noticed(s, [&](const Status& now) { return same_attributes(s, now); });
  };
  EXPECT_THAT(with(file()), ElementsAre("type", "mode", "uid", "gid", "size", "mtime", "rdev", "flags"));
  Status link = file();
  link.type = 'l';  // has no mode of its own
  EXPECT_THAT(with(link), ElementsAre("type", "uid", "gid", "size", "mtime", "rdev", "flags"));
}

TEST(LiveEntry, LiesWithinAFolderOnlyBehindItsSlash) {
  EXPECT_TRUE(is_within("/a", "/a"));
  EXPECT_TRUE(is_within("/a/b", "/a"));
  EXPECT_FALSE(is_within("/ab", "/a"));
  EXPECT_FALSE(is_within("/b/a", "/a"));
  EXPECT_FALSE(is_within("/a", "/a/b"));
}

Hash digest_of(const Status& s) {
  DirectoryDigest digest(7);
  digest.add("x", s, "");
  return digest.finish();
}

TEST(LiveDigest, NoticesAllThatIsMirrored) {
  const auto with = [](const Status& s) {
    return noticed(s, [&](const Status& now) { return digest_of(now) == digest_of(s); });
  };
  EXPECT_THAT(with(file()), ElementsAre("type", "mode", "uid", "gid", "size", "mtime", "rdev", "flags"));
  Status link = file();
  link.type = 'l';
  EXPECT_THAT(with(link), ElementsAre("type", "uid", "gid", "size", "mtime", "rdev", "flags"));
  Status folder = file();
  folder.type = 'd';  // its size is its filesystem's own
  EXPECT_THAT(with(folder), ElementsAre("type", "mode", "uid", "gid", "mtime", "rdev", "flags"));
}

TEST(LiveDigest, OfALargeDirectoryNoticesEachOfItsNames) {
  constexpr int kNames = 5000;  // more than is hashed in one go
  const auto digest = [](int changed) {
    DirectoryDigest out(7);
    for (int i = 0; i < kNames; ++i) {
      Status s = file();
      if (i == changed) ++s.mtime_ns;
      out.add("a-name-of-some-length-" + std::to_string(i), s, "");
    }
    return out.finish();
  };
  const Hash plain = digest(-1);
  EXPECT_EQ(plain, digest(-1));
  for (const int i : {0, 1, 1000, kNames / 2, kNames - 1}) EXPECT_NE(plain, digest(i)) << i;
}

TEST(LiveDigest, OnceUnequalStaysUnequal) {
  DirectoryDigest digest(7);
  digest.add("a", file(), "");
  digest.add_changed();
  digest.add("b", file(), "");
  EXPECT_EQ(digest.finish(), kUnequal);
  DirectoryDigest moved = std::move(digest);
  EXPECT_EQ(moved.finish(), kUnequal);
  moved = DirectoryDigest(7);
  moved.add("x", file(), "");
  EXPECT_EQ(moved.finish(), digest_of(file()));
  EXPECT_NE(moved.finish(), kUnequal);
}

TEST(LiveDigest, TraitsAreComparedWhateverTheirOrder) {
  const Traits traits{"to", {{"user.a", "1"}, {"user.b", "2"}}};
  EXPECT_EQ(hash_of(traits, 7), hash_of(Traits{"to", {{"user.b", "2"}, {"user.a", "1"}}}, 7));
  EXPECT_NE(hash_of(traits, 7), hash_of(traits, 8));
  EXPECT_NE(hash_of(traits, 7), hash_of(Traits{"too", traits.xattrs}, 7));
  EXPECT_NE(hash_of(traits, 7), hash_of(Traits{"to", {{"user.a", "1"}}}, 7));
  // Where a name ends and its value begins is part of it.
  EXPECT_NE(hash_of(Traits{"", {{"ab", "c"}}}, 7), hash_of(Traits{"", {{"a", "bc"}}}, 7));
  EXPECT_EQ(hash_of("bytes", 7), hash_of("bytes", 7));
  EXPECT_NE(hash_of("bytes", 7), hash_of("byteS", 7));
  EXPECT_NE(hash_of("bytes", 7), hash_of("bytes", 8));
}

TEST(LiveDigest, TheOrderOfFoldersIsStrict) {
  for (const char* path : {"", "/a", "/a/b"}) EXPECT_FALSE(finished_before(path, path)) << path;
  EXPECT_TRUE(finished_before("/a/b", "/ab"));
  EXPECT_FALSE(finished_before("/ab", "/a/b"));
}

// --- plans

Kind planned(const SourceName& here, const Listed& there) {
  return plan_directory({here}, {there}).front().kind;
}

TEST(LivePlan, AnUnchangedFileIsEqualIfItsAttributesAre) {
  SourceName here{"x", file(), false, ""};
  Listed there{"x", file(), false, {}, ""};
  EXPECT_EQ(planned(here, there), Kind::kEqual);
  here.status.mode = 0600;
  EXPECT_EQ(planned(here, there), Kind::kAttributes);
  here.status.mtime_ns = 99;
  EXPECT_EQ(planned(here, there), Kind::kHash);
  here.status.size = 99;
  EXPECT_EQ(planned(here, there), Kind::kContents);
}

TEST(LivePlan, AFileThatHasChangedAtTheTargetIsLookedAtToo) {
  SourceName here{"x", file(), false, ""};
  Listed there{"x", file(), true, {}, ""};
  EXPECT_EQ(planned(here, there), Kind::kHash);
  there.status.mtime_ns = 99;
  EXPECT_EQ(planned(here, there), Kind::kContents);
}

TEST(LivePlan, NamesOfOneFileAreJoinedAndSplit) {
  SourceName here{"x", file(), false, "/a"};
  Listed there{"x", file(), false, {}, "/a"};
  EXPECT_EQ(planned(here, there), Kind::kEqual);  // the file is looked at under its first name
  here.status.size = 99;
  EXPECT_EQ(planned(here, there), Kind::kEqual);
  here.status = file();
  there.leader = "";
  EXPECT_EQ(planned(here, there), Kind::kLink);
  here.leader = "";
  there.leader = "/a";
  EXPECT_EQ(planned(here, there), Kind::kContents);
}

TEST(LivePlan, WhatIsNoFileIsMade) {
  SourceName here{"x", file(), false, ""};
  here.status.type = 'd';
  Listed there{"x", here.status, false, {}, ""};
  EXPECT_EQ(planned(here, there), Kind::kEqual);
  there.changed = true;
  EXPECT_EQ(planned(here, there), Kind::kMake);
  there.changed = false;
  there.status.mode = 0;
  EXPECT_EQ(planned(here, there), Kind::kMake);
  // The leader of a directory means nothing, and so it is no reason to link it.
  there = Listed{"x", here.status, false, {}, "/a"};
  EXPECT_EQ(planned(here, there), Kind::kMake);
  EXPECT_EQ(plan_directory({here}, {}).front().kind, Kind::kMake);
  here.status.type = 'f';
  EXPECT_EQ(plan_directory({here}, {}).front().kind, Kind::kContents);
}

TEST(LivePlan, GoesThroughBothSidesInOrder) {
  const auto here = [](const char* name) { return SourceName{name, file(), false, ""}; };
  const auto there = [](const char* name) { return Listed{name, file(), false, {}, ""}; };
  std::vector<std::string> steps;
  for (const Step& step :
       plan_directory({here("a"), here("c"), here("d")}, {there("b"), there("c"), there("e")}))
    steps.push_back(step.name + (step.kind == Kind::kEqual      ? "="
                                 : step.kind == Kind::kContents ? "+"
                                 : step.kind == Kind::kRemove   ? "-"
                                                                : "?"));
  EXPECT_THAT(steps, ElementsAre("a+", "b-", "c=", "d+", "e-"));
}

}  // namespace
}  // namespace clusterd::mirror::live
