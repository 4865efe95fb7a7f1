// Dirty names: how hints merge, what moves along with a rename, what is sought by its object, and the bounds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mirror/live/dirty.hpp"

namespace clusterd::mirror::live {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Instant at(int ms) { return Instant(std::chrono::milliseconds(ms)); }

std::map<std::string, DirtyName> all_of(DirtySet& dirty) {
  std::map<std::string, DirtyName> out;
  for (auto& [path, name] : dirty.take(Instant::max(), SIZE_MAX)) out.emplace(path, name);
  return out;
}

std::vector<std::string> paths(const std::vector<std::pair<std::string, DirtyName>>& taken) {
  std::vector<std::string> out;
  for (const auto& [path, name] : taken) out.push_back(path);
  return out;
}

TEST(LiveDirtyNames, HintsOfOneNameMerge) {
  DirtySet dirty;
  dirty.mark("/x", kAttributes, at(5), at(20));
  dirty.mark("/x", kContents, at(3), at(30));
  EXPECT_EQ(dirty.size(), 1U);
  auto x = all_of(dirty)["/x"];
  EXPECT_EQ(x.marks, kAttributes | kContents);
  EXPECT_EQ(x.since, at(3));
  EXPECT_EQ(x.due, at(20));
  EXPECT_TRUE(dirty.empty());
}

TEST(LiveDirtyNames, WhatIsAskedOfThem) {
  DirtySet dirty;
  EXPECT_EQ(dirty.next_due(), std::nullopt);
  EXPECT_EQ(dirty.oldest(), std::nullopt);
  dirty.mark("/a", kContents, at(2), at(40));
  dirty.mark("/b", kAttributes, at(1), at(50));
  dirty.mark("/c", kAttributes, at(3), at(30));
  EXPECT_EQ(dirty.next_due(), at(30));
  EXPECT_EQ(dirty.oldest(), at(1));
  EXPECT_TRUE(dirty.holds("/a"));
  EXPECT_FALSE(dirty.holds("/d"));
  EXPECT_EQ(dirty.contents_wanted("/a"), at(2));
  EXPECT_FALSE(dirty.contents_wanted("/b"));
  EXPECT_FALSE(dirty.contents_wanted("/d"));
  dirty.finished("/a");
  dirty.finished("/d");
  EXPECT_FALSE(dirty.contents_wanted("/a"));
  EXPECT_TRUE(dirty.holds("/a"));
  EXPECT_FALSE(dirty.holds("/d"));
}

TEST(LiveDirtyNames, AreTakenWhenTheyAreDueInTreeOrder) {
  DirtySet dirty;
  for (const char* path : {"/b", "/a/x", "/a", "/a-", "/c"}) dirty.mark(path, kContents, at(1), at(10));
  dirty.mark("/late", kContents, at(1), at(11));
  EXPECT_THAT(paths(dirty.take(at(9), 100)), IsEmpty());
  EXPECT_THAT(paths(dirty.take(at(10), 3)), ElementsAre("/a", "/a/x", "/a-"));
  EXPECT_THAT(paths(dirty.take(at(10), 100)), ElementsAre("/b", "/c"));
  dirty.mark("/young", kContents, at(5), at(10));
  EXPECT_THAT(paths(dirty.take(at(20), 100, at(4))), ElementsAre("/late"));
  EXPECT_THAT(paths(dirty.take(at(20), 100, at(5))), ElementsAre("/young"));
}

TEST(LiveDirtyNames, SayWhenTheNextOneIsDue) {
  DirtySet dirty;
  dirty.mark("/a", kContents, at(1), at(10));
  dirty.mark("/b", kContents, at(1), at(20));
  dirty.mark("/c", kContents, at(1), at(10));
  EXPECT_EQ(dirty.next_due(), at(10));
  EXPECT_THAT(paths(dirty.take(at(10), 1)), ElementsAre("/a"));
  EXPECT_EQ(dirty.next_due(), at(10));  // more than was asked for
  const auto taken = dirty.take(at(10), 1);
  EXPECT_EQ(dirty.next_due(), at(20));
  dirty.put_back("/c", taken.at(0).second, at(15));
  EXPECT_EQ(dirty.next_due(), at(15));
  EXPECT_THAT(paths(dirty.take(at(30), 9, at(0))), IsEmpty());  // too young
  EXPECT_EQ(dirty.next_due(), at(15));
  dirty.hasten(at(12));
  EXPECT_EQ(dirty.next_due(), at(12));
  EXPECT_THAT(paths(dirty.take(at(12), 9)), ElementsAre("/b", "/c"));
  EXPECT_EQ(dirty.next_due(), std::nullopt);
  dirty.mark("/d", kContents, at(1), at(40));
  EXPECT_EQ(dirty.next_due(), at(40));
}

TEST(LiveDirtyNames, FoldersThatAreNewAreMadeFirst) {
  DirtySet dirty;
  dirty.created("/a", 0, "A", at(1), at(1));
  dirty.mark("/a/b", kAttributes, at(1), at(1));
  dirty.created("/a/b/c", 0, "C", at(1), at(1));
  dirty.created("/a/b/c/d", 0, "D", at(1), at(1));
  EXPECT_THAT(dirty.created_above("/a/b/c/d"), ElementsAre("/a", "/a/b/c"));
  EXPECT_THAT(dirty.created_above("/a"), IsEmpty());
  EXPECT_THAT(dirty.created_above("/other/x/y"), IsEmpty());
  EXPECT_TRUE(dirty.is_created("/a"));
  EXPECT_FALSE(dirty.is_created("/a/b"));
  EXPECT_FALSE(dirty.is_created("/z"));
  dirty.deleted("/a", at(2), at(2));
  EXPECT_FALSE(dirty.is_created("/a"));
}

TEST(LiveDirtyNames, NothingIsLeftOfWhatIsCleared) {
  DirtySet dirty;
  dirty.mark("/x", kContents, at(1), at(1), "F");
  dirty.deleted("/x", at(1), at(1));
  dirty.renamed("/a", "/b", false, "A", at(1), at(1));
  EXPECT_FALSE(dirty.empty());
  EXPECT_TRUE(dirty.has_renames());
  dirty.clear();
  EXPECT_TRUE(dirty.empty());
  EXPECT_THAT(dirty.take_renames(), IsEmpty());
  EXPECT_THAT(dirty.take_orphans().objects, IsEmpty());
  // Nor of what the hints said was at a path: this rename fits.
  dirty.renamed("/b", "/c", false, "another", at(2), at(2));
  const auto renames = dirty.take_renames();
  ASSERT_EQ(renames.size(), 1U);
  EXPECT_EQ(renames[0].since, at(2));
}

// --- orphans

TEST(LiveDirtyOrphans, AreOnlyWhatHadChanged) {
  DirtySet dirty;
  dirty.created("/x", 0, "F", at(1), at(1));  // nothing but its name
  dirty.created("/x", 0, "G", at(2), at(2));
  EXPECT_THAT(dirty.take_orphans().objects, IsEmpty());
  dirty.mark("/x", kAttributes, at(3), at(3), "G");
  dirty.mark("/x", kAttributes, at(3), at(3), "G");
  EXPECT_THAT(dirty.take_orphans().objects, IsEmpty());
  dirty.created("/x", 0, "H", at(4), at(4));
  auto orphans = dirty.take_orphans().objects;
  ASSERT_EQ(orphans.size(), 1U);
  EXPECT_EQ(orphans["G"].marks & (kAttributes | kName), kAttributes | kName);
  EXPECT_EQ(orphans["G"].since, at(1));
}

TEST(LiveDirtyOrphans, OfOneObjectMerge) {
  DirtySet dirty;
  dirty.orphaned("F", kContents, at(5));
  dirty.orphaned("F", kAttributes, at(3));
  dirty.orphaned("F", kAttributes, at(9));
  auto orphans = dirty.take_orphans();
  ASSERT_EQ(orphans.objects.size(), 1U);
  EXPECT_EQ(orphans.objects["F"].marks, kContents | kAttributes);
  EXPECT_EQ(orphans.objects["F"].since, at(3));
  EXPECT_FALSE(orphans.too_many);
}

TEST(LiveDirtyOrphans, TooManyAreToldOf) {
  DirtySet dirty;
  for (size_t i = 0; i < DirtySet::kMaxMarks; ++i) dirty.orphaned(std::to_string(i), kContents, at(1));
  auto orphans = dirty.take_orphans();
  EXPECT_EQ(orphans.objects.size(), DirtySet::kMaxMarks);
  EXPECT_FALSE(orphans.too_many);
  for (size_t i = 0; i <= DirtySet::kMaxMarks; ++i) dirty.orphaned(std::to_string(i), kContents, at(1));
  orphans = dirty.take_orphans();
  EXPECT_EQ(orphans.objects.size(), DirtySet::kMaxMarks);
  EXPECT_TRUE(orphans.too_many);
  EXPECT_FALSE(dirty.take_orphans().too_many);
}

// --- what was taken and is not done

TEST(LiveDirtyPutBack, MergesWithWhatHasComeMeanwhile) {
  DirtySet dirty;
  dirty.mark("/x", kContents, at(1), at(1), "F");
  const auto taken = dirty.take(at(1), 10);
  ASSERT_EQ(taken.size(), 1U);
  // Nothing has come: it is as it was, only later.
  dirty.put_back("/x", taken[0].second, at(50));
  EXPECT_EQ(dirty.next_due(), at(50));
  EXPECT_EQ(dirty.oldest(), at(1));
  // A hint that does not say what is there: it is still what it was.
  (void)dirty.take(at(50), 10);
  dirty.mark("/x", kAttributes, at(20), at(30));
  dirty.put_back("/x", taken[0].second, at(50));
  EXPECT_EQ(dirty.next_due(), at(30));
  EXPECT_EQ(dirty.oldest(), at(1));
  auto x = all_of(dirty)["/x"];
  EXPECT_EQ(x.object, "F");
  EXPECT_EQ(x.marks, kContents | kAttributes);
  EXPECT_THAT(dirty.take_orphans().objects, IsEmpty());
  // A hint of the same object, and one that was put back without an object.
  dirty.mark("/x", kAttributes, at(20), at(30), "F");
  dirty.put_back("/x", taken[0].second, at(10));
  EXPECT_EQ(dirty.next_due(), at(10));
  dirty.put_back("/x", DirtyName{.marks = kName, .since = at(15)}, at(10));
  EXPECT_EQ(all_of(dirty)["/x"].object, "F");
  EXPECT_THAT(dirty.take_orphans().objects, IsEmpty());
}

// --- renames

TEST(LiveDirtyRenames, OfAFolderMergeWhatIsMarkedOnBothSides) {
  DirtySet dirty;
  dirty.created("/d/both", kContents, "new", at(3), at(30));
  (void)dirty.take_renames();
  dirty.mark("/e/both", kAttributes, at(5), at(20));
  dirty.created("/d/new", 0, "N", at(3), at(3));
  dirty.created("/e/new", 0, "M", at(1), at(40));
  dirty.mark("/d/old", kAttributes, at(3), at(3));
  dirty.created("/e/old", 0, "O", at(1), at(40));
  dirty.renamed("/d", "/e", true, "D", at(6), at(6));
  auto names = all_of(dirty);
  // The target may have had something at that name: it is not taken to be new.
  EXPECT_FALSE(names["/e/both"].created);
  EXPECT_EQ(names["/e/both"].marks, kName | kContents | kAttributes);
  EXPECT_EQ(names["/e/both"].object, "new");
  EXPECT_EQ(names["/e/both"].since, at(3));
  EXPECT_EQ(names["/e/both"].due, at(20));
  EXPECT_TRUE(names["/e/new"].created);
  EXPECT_EQ(names["/e/new"].object, "M");
  EXPECT_FALSE(names["/e/old"].created);
  EXPECT_EQ(names.count("/d/both"), 0U);
}

TEST(LiveDirtyRenames, LeadWhereTheFolderGoesThatTheyLedInto) {
  DirtySet dirty;
  dirty.created("/new", 0, "N", at(1), at(1));
  dirty.renamed("/old", "/new/x", false, "X", at(2), at(2));
  dirty.renamed("/other", "/elsewhere", false, "O", at(2), at(2));
  dirty.renamed("/new", "/final", true, "N", at(3), at(3));
  const auto renames = dirty.take_renames();
  ASSERT_EQ(renames.size(), 2U);
  EXPECT_EQ(renames[0].from, "/old");
  EXPECT_EQ(renames[0].to, "/final/x");
  EXPECT_EQ(renames[1].to, "/elsewhere");
  auto names = all_of(dirty);
  EXPECT_TRUE(names["/final"].created);
  EXPECT_EQ(names["/final"].marks & kSubtree, kSubtree);
  EXPECT_EQ(names.count("/new/x"), 0U);
}

TEST(LiveDirtyRenames, OfAFileThatIsStillToBeSentAreUnfinished) {
  DirtySet dirty;
  dirty.mark("/x", kContents, at(1), at(1));
  dirty.mark("/y", kAttributes, at(1), at(1));
  dirty.mark("/d", kContents, at(1), at(1));
  dirty.renamed("/x", "/x2", false, "X", at(2), at(2));
  dirty.renamed("/y", "/y2", false, "Y", at(2), at(2));
  dirty.renamed("/d", "/d2", true, "D", at(2), at(2));
  const auto renames = dirty.take_renames();
  ASSERT_EQ(renames.size(), 3U);
  EXPECT_TRUE(renames[0].unfinished);
  EXPECT_FALSE(renames[1].unfinished);
  EXPECT_FALSE(renames[2].unfinished);
  EXPECT_TRUE(renames[2].directory);
}

TEST(LiveDirtyRenames, WithoutAnObjectAreNotBelievedWhereOneWasSeen) {
  DirtySet dirty;
  dirty.created("/x", 0, "F", at(1), at(1));
  dirty.renamed("/x", "/y", false, "", at(2), at(2));
  EXPECT_FALSE(dirty.has_renames());
  auto names = all_of(dirty);
  for (const char* path : {"/x", "/y"})
    EXPECT_EQ(names[path].marks & (kName | kAttributes | kContents | kSubtree),
              kName | kAttributes | kContents | kSubtree)
        << path;
}

TEST(LiveDirtyRenames, CarryWhatIsKnownOfWhatLiesBelow) {
  DirtySet dirty;
  dirty.created("/d/x", 0, "F", at(1), at(1));
  dirty.renamed("/d", "/e", true, "D", at(2), at(2));
  (void)all_of(dirty);
  dirty.renamed("/e/x", "/y", false, "another", at(3), at(3));  // F is there, so this never happened
  EXPECT_EQ(dirty.take_renames().size(), 1U);
  EXPECT_EQ(all_of(dirty)["/y"].marks & kContents, kContents);
  // And of what was at the old name nothing is known: it has gone.
  dirty.created("/d/x", 0, "F", at(4), at(4));
  dirty.renamed("/d", "/e", true, "D", at(5), at(5));
  dirty.renamed("/d/x", "/z", false, "F", at(6), at(6));
  EXPECT_EQ(dirty.take_renames().size(), 2U);
}

TEST(LiveDirtyRenames, OutOfASuspectFolderAreComparedWholly) {
  DirtySet dirty;
  dirty.mark("/a/b", kSubtree, at(3), at(90));
  dirty.mark("/a", kSubtree, at(5), at(90));
  dirty.mark("/q", kAttributes, at(1), at(90));
  dirty.renamed("/a/b/x", "/y", true, "X", at(7), at(7));
  dirty.renamed("/q/x", "/z", true, "Z", at(7), at(7));
  auto names = all_of(dirty);
  EXPECT_EQ(names["/y"].marks & (kContents | kSubtree), kContents | kSubtree);
  EXPECT_EQ(names["/y"].since, at(3));  // as old as the oldest doubt
  EXPECT_EQ(names["/z"].marks & (kContents | kSubtree), 0);
  EXPECT_EQ(names["/z"].since, at(7));
}

TEST(LiveDirtyRenames, WithinAFolderDoNotLeaveIt) {
  DirtySet dirty;
  dirty.renamed("/d/x", "/d/y", false, "X", at(1), at(1));
  EXPECT_THAT(dirty.now("/d", 0), ElementsAre("/d"));
  EXPECT_THAT(dirty.now("/d/x", 0), ElementsAre("/d/y"));
  EXPECT_THAT(dirty.now("/other", 0), ElementsAre("/other"));
  dirty.forget(0);
  EXPECT_THAT(dirty.now("/d/x", 0), ElementsAre("/d/y"));
  dirty.forget(1);
  dirty.forget(99);  // more than there ever were
  EXPECT_THAT(dirty.now("/d/x", 0), IsEmpty());
  EXPECT_THAT(dirty.now("/d/x", 1), ElementsAre("/d/x"));
}

TEST(LiveDirtyRenames, BeyondTheBoundAreLookedAtInstead) {
  DirtySet dirty;
  for (size_t i = 0; i < DirtySet::kMaxRenames; ++i)
    dirty.renamed("/a" + std::to_string(i), "/b" + std::to_string(i), false, "A", at(1), at(1));
  dirty.renamed("/file", "/file2", false, "F", at(2), at(2));
  dirty.renamed("/dir", "/dir2", true, "D", at(2), at(2));
  EXPECT_EQ(dirty.take_renames().size(), DirtySet::kMaxRenames);
  auto names = all_of(dirty);
  EXPECT_EQ(names["/b0"].marks & (kContents | kSubtree), 0);
  EXPECT_EQ(names["/file2"].marks & (kContents | kSubtree), kContents);
  EXPECT_EQ(names["/dir2"].marks & (kContents | kSubtree), kSubtree);
}

TEST(LiveDirtyRenames, MovedIsWhatLiesWithin) {
  EXPECT_EQ(moved("/a", "/a", "/b"), "/b");
  EXPECT_EQ(moved("/a/x", "/a", "/b/c"), "/b/c/x");
  EXPECT_EQ(moved("/ab", "/a", "/b"), std::nullopt);
  EXPECT_EQ(moved("/", "/a", "/b"), std::nullopt);
}

// --- bounds

// A set that holds as many names as it may, in ten directories.
DirtySet full() {
  DirtySet dirty;
  for (size_t i = 0; i < DirtySet::kMaxMarks; ++i)
    dirty.mark("/d" + std::to_string(i % 10) + "/f" + std::to_string(i), kAttributes, at(3), at(90));
  EXPECT_EQ(dirty.size(), DirtySet::kMaxMarks);
  return dirty;
}

void expect_folded(DirtySet& dirty, const std::string& path, bool objects) {
  EXPECT_EQ(dirty.take_orphans().too_many, objects) << path;
  EXPECT_FALSE(dirty.has_renames());
  auto names = all_of(dirty);
  EXPECT_LE(names.size(), 12U);
  EXPECT_EQ(names["/d0"].marks & kSubtree, kSubtree);
  EXPECT_EQ(names["/d0"].since, at(3));
  ASSERT_EQ(names.count(path), 1U) << path;
  EXPECT_EQ(names[path].marks & (kName | kSubtree), kName | kSubtree);
}

TEST(LiveDirtyBounds, HoldWhateverTheHint) {
  const DirtySet most = full();
  DirtySet dirty = most;
  dirty.mark("/top", kContents, at(5), at(5));  // a root that is a file stays itself
  expect_folded(dirty, "/top", false);
  dirty = most;
  dirty.created("/new/x", 0, "X", at(5), at(5));
  expect_folded(dirty, "/new", true);
  dirty = most;
  dirty.deleted("/gone/x", at(5), at(5));
  expect_folded(dirty, "/gone", false);
  dirty = most;
  dirty.renamed("/from/x", "/to/x", false, "", at(5), at(5));
  expect_folded(dirty, "/from", false);
}

}  // namespace
}  // namespace clusterd::mirror::live
