// The pure part of the live mirror: frames, digests, plans, dirty names, deltas, the log of the agreement.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "mirror/live/agreement.hpp"
#include "mirror/live/delta.hpp"
#include "mirror/live/digest.hpp"
#include "mirror/live/dirty.hpp"
#include "mirror/live/plan.hpp"

namespace clusterd::mirror::live {
namespace {

using testing::ElementsAre;

Instant at(int ms) { return Instant(std::chrono::milliseconds(ms)); }

Status file(uint64_t size, int64_t mtime, uint64_t inode = 1) {
  Status s;
  s.mode = 0644;
  s.size = size;
  s.mtime_ns = mtime;
  s.inode = inode;
  return s;
}

// --- frames

TEST(LiveFrames, AreReadBackAsTheyWere) {
  std::vector<uint8_t> bytes;
  const std::vector<uint8_t> content = {1, 2, 3};
  WholeFile whole{9, "/srv/a", file(3, -5), {"", {{"user.x", std::string("a\0b", 3)}}}, content};
  write_frame(bytes, SourceFrame(whole));
  write_frame(bytes, SourceFrame(Rename{10, "/srv/a", "/srv/\xff\n"}));
  ByteReader in(bytes);
  auto first = read_source_frame(in), second = read_source_frame(in), end = read_source_frame(in);
  ASSERT_TRUE(first && *first && second && *second && end && !*end);
  const auto& back = std::get<WholeFile>(**first);
  EXPECT_EQ(back.path, "/srv/a");
  EXPECT_EQ(back.traits, whole.traits);
  EXPECT_EQ(back.status.mtime_ns, -5);
  EXPECT_THAT(std::vector<uint8_t>(back.content.begin(), back.content.end()), ElementsAre(1, 2, 3));
  EXPECT_EQ(std::get<Rename>(**second).to, "/srv/\xff\n");
}

TEST(LiveFrames, RefuseWhatLeadsElsewhere) {
  for (const char* path : {"relative", "/a/../b", "/a//b", "/", "", "/a/.", "/a/"}) {
    std::vector<uint8_t> bytes;
    write_frame(bytes, SourceFrame(Remove{1, path}));
    ByteReader in(bytes);
    EXPECT_FALSE(read_source_frame(in)) << path;
  }
  std::vector<uint8_t> huge = {1};  // a compare of 2^60 scopes
  ByteWriter(huge).number(uint64_t{1} << 60U);
  ByteReader in(huge);
  EXPECT_FALSE(read_source_frame(in));
}

// --- digests

TEST(LiveDigest, TellsWhatStatxTells) {
  const auto digest = [](const Status& s, std::string_view name = "x", std::string_view leader = "") {
    DirectoryDigest d(7);
    d.add(name, s, leader);
    return d.finish();
  };
  const Hash plain = digest(file(1, 2));
  EXPECT_EQ(plain, digest(file(1, 2, 99)));  // inodes are a node's own
  EXPECT_NE(plain, digest(file(2, 2)));
  EXPECT_NE(plain, digest(file(1, 3)));
  EXPECT_NE(plain, digest(file(1, 2), "y"));
  EXPECT_NE(plain, digest(file(1, 2), "x", "/other"));
  DirectoryDigest changed(7);
  changed.add_changed();
  EXPECT_EQ(changed.finish(), kUnequal);
}

TEST(LiveDigest, FoldersAreFinishedAfterWhatIsInThem) {
  std::vector<std::string> paths = {"", "/a", "/a/x", "/a/x/y", "/ab", "/a-b", "/b"};
  std::shuffle(paths.begin(), paths.end(), std::mt19937(1));
  std::sort(paths.begin(), paths.end(), finished_before);
  EXPECT_THAT(paths, ElementsAre("/a/x/y", "/a/x", "/a", "/a-b", "/ab", "/b", ""));
}

// --- plans

TEST(LivePlan, LooksCloserOnlyWhereSomethingHasChanged) {
  using Kind = Step::Kind;
  const auto both = [](SourceName here, Listed there) {
    return plan_directory({here}, {there}).front().kind;
  };
  SourceName here{"x", file(5, 100), false, ""};
  Listed there{"x", file(5, 100, 77), false, {}, ""};
  EXPECT_EQ(both(here, there), Kind::kEqual);
  here.changed = true;
  EXPECT_EQ(both(here, there), Kind::kHash);  // the same size, the same time: only contents can tell
  here.status.mtime_ns = 101;
  EXPECT_EQ(both(here, there), Kind::kContents);
  there.status.type = 'd';
  EXPECT_EQ(both(here, there), Kind::kContents);
  here.leader = "/a";
  EXPECT_EQ(both(here, there), Kind::kLink);
  EXPECT_EQ(plan_directory({}, {there}).front().kind, Kind::kRemove);
  EXPECT_EQ(plan_directory({here}, {}).front().kind, Kind::kLink);
}

TEST(LivePlan, SplitsWhatIsJoinedAtTheTargetAlone) {
  using Kind = Step::Kind;
  SourceName here{"x", file(0, 100), false, ""};
  here.status.type = 'p';
  Listed there{"x", here.status, false, {}, "/a"};
  EXPECT_EQ(plan_directory({here}, {there}).front().kind, Kind::kSplit);
  here.leader = "/b";
  EXPECT_EQ(plan_directory({here}, {there}).front().kind, Kind::kLink);
  here.leader = "/a";
  EXPECT_EQ(plan_directory({here}, {there}).front().kind, Kind::kEqual);
  here.status.type = 'd';
  here.leader = "";
  EXPECT_EQ(plan_directory({here}, {there}).front().kind, Kind::kMake);
}

// --- dirty names

TEST(LiveDirty, MarksMoveWithWhatIsRenamed) {
  DirtySet dirty;
  dirty.mark("/d/x", kContents, at(1), at(1));
  dirty.renamed("/d", "/e", true, "D", at(2), at(2));
  const auto renames = dirty.take_renames();
  ASSERT_EQ(renames.size(), 1U);
  EXPECT_EQ(renames[0].to, "/e");
  std::vector<std::string> paths;
  for (const auto& [path, name] : dirty.take(at(5), 100)) paths.push_back(path);
  EXPECT_THAT(paths, ElementsAre("/d", "/e", "/e/x"));
}

TEST(LiveDirty, ANewFileThatIsRenamedIsSentUnderItsLastName) {
  DirtySet dirty;
  dirty.created("/tmp", 0, "F", at(1), at(1));
  dirty.mark("/tmp", kContents, at(1), at(1));
  dirty.renamed("/tmp", "/final", false, "F", at(2), at(2));
  EXPECT_TRUE(dirty.take_renames().empty());
  const auto due = dirty.take(at(5), 100);
  ASSERT_EQ(due.size(), 2U);
  EXPECT_EQ(due[0].first, "/final");
  EXPECT_TRUE(due[0].second.created);
  EXPECT_EQ(due[0].second.marks & kContents, kContents);
}

TEST(LiveDirty, SwapsAreThreeRenames) {
  DirtySet dirty;
  dirty.renamed("/a", "/t", false, "A", at(1), at(1));
  dirty.renamed("/b", "/a", false, "B", at(1), at(1));
  dirty.renamed("/t", "/b", false, "A", at(1), at(1));
  EXPECT_EQ(dirty.take_renames().size(), 3U);
}

TEST(LiveDirty, AChainThatDoesNotFitIsNotBelieved) {
  DirtySet dirty;
  dirty.renamed("/a", "/b", false, "A", at(1), at(1));
  dirty.renamed("/b", "/a", false, "B", at(1), at(1));  // the second half of an exchange
  EXPECT_EQ(dirty.take_renames().size(), 1U);
  bool looked_at = false;
  for (const auto& [path, name] : dirty.take(at(5), 100))
    looked_at = looked_at || (path == "/a" && (name.marks & kContents) != 0);
  EXPECT_TRUE(looked_at);
}

TEST(LiveDirty, AFileThatIsRenamedBeforeItIsSentIsFinishedFirst) {
  // Else its new name, which may be that of another file until then, would show it half written.
  DirtySet dirty;
  dirty.mark("/d/new", kContents, at(1), at(1), "F");
  dirty.renamed("/d/new", "/d/old", false, "F", at(2), at(2));
  const auto renames = dirty.take_renames();
  ASSERT_EQ(renames.size(), 1U);
  EXPECT_TRUE(renames[0].unfinished);
  dirty.finished("/d/old");
  for (const auto& [path, name] : dirty.take(at(5), 100)) EXPECT_EQ(name.marks & kContents, 0) << path;
}

std::map<std::string, uint8_t> marks_of(DirtySet& dirty) {
  std::map<std::string, uint8_t> marks;
  for (const auto& [path, name] : dirty.take(at(5), 100)) marks[path] = name.marks;
  return marks;
}

TEST(LiveDirty, AFolderMadeAnewUnderTheNameOfAnotherIsCompared) {
  // What was in the deleted one has no hints that can be placed.
  DirtySet dirty;
  dirty.deleted("/d", at(1), at(1));
  dirty.created("/d", kAttributes, "D2", at(2), at(2));
  EXPECT_EQ(marks_of(dirty)["/d"] & kSubtree, kSubtree);
  dirty.renamed("/d", "/e", true, "D2", at(3), at(3));
  dirty.created("/d", kAttributes, "D3", at(4), at(4));
  EXPECT_EQ(marks_of(dirty)["/d"] & kSubtree, kSubtree);
}

TEST(LiveDirty, WhereANewFileHasBeenMeanwhileTheTargetMayHaveAFolder) {
  // An exchange of a new file for a folder; the file then goes on, and a folder takes the name.
  DirtySet dirty;
  dirty.created("/new", 0, "F", at(1), at(1));
  dirty.renamed("/new", "/d", false, "F", at(2), at(2));
  dirty.renamed("/d", "/new", true, "D", at(2), at(2));
  dirty.renamed("/d", "/last", false, "F", at(3), at(3));
  dirty.created("/d", kAttributes, "D2", at(4), at(4));
  EXPECT_EQ(marks_of(dirty)["/d"] & kSubtree, kSubtree);
}

TEST(LiveDirty, ANewFolderThatIsRenamedIsCompared) {
  DirtySet dirty;
  dirty.created("/d", kAttributes, "D", at(1), at(1));
  dirty.renamed("/d", "/e", true, "D", at(2), at(2));
  EXPECT_TRUE(dirty.take_renames().empty());
  EXPECT_EQ(marks_of(dirty)["/e"] & kSubtree, kSubtree);
}

TEST(LiveDirty, WhatLeavesASuspectFolderIsSuspectToo) {
  DirtySet dirty;
  dirty.mark("/d", kSubtree, at(1), at(1));
  dirty.renamed("/d/a/x", "/x", true, "X", at(2), at(2));
  auto due = dirty.take(at(5), 100, at(1));  // as long as that, too
  ASSERT_EQ(due.size(), 2U);
  EXPECT_EQ(due[1].first, "/x");
  EXPECT_EQ(due[1].second.marks & kSubtree, kSubtree);
  dirty.renamed("/other", "/y", true, "Y", at(2), at(2));
  EXPECT_EQ(marks_of(dirty)["/y"] & kSubtree, 0);
}

TEST(LiveDirty, APathOfBeforeIsTranslated) {
  DirtySet dirty;
  const uint64_t before = dirty.heard();
  EXPECT_THAT(dirty.now("/d/x", before), ElementsAre("/d/x"));
  dirty.renamed("/d", "/e", true, "D", at(1), at(1));
  const uint64_t between = dirty.heard();
  dirty.renamed("/e/x", "/y", false, "X", at(2), at(2));
  EXPECT_THAT(dirty.now("/d/x", before), ElementsAre("/y"));
  EXPECT_THAT(dirty.now("/e/x", between), ElementsAre("/y"));
  EXPECT_THAT(dirty.now("/d/x", between), ElementsAre("/d/x"));  // another one
  // All that was once below it: what has left it, too.
  EXPECT_THAT(dirty.now("/d", before), ElementsAre("/e", "/y"));
  EXPECT_THAT(dirty.now("/d", dirty.heard()), ElementsAre("/d"));
  // Half of an exchange moves nothing along: both names are compared.
  dirty.renamed("/y", "/e/z", false, "other", at(3), at(3));
  EXPECT_EQ(dirty.heard(), between + 1);
  dirty.forget(between);
  EXPECT_TRUE(dirty.now("/d/x", before).empty());
  EXPECT_THAT(dirty.now("/e/x", between), ElementsAre("/y"));
}

TEST(LiveDirty, SoManyRenamesAreNotKnownAnyMore) {
  DirtySet dirty;
  for (size_t i = 0; i <= DirtySet::kMaxRenames; ++i)
    dirty.renamed("/a" + std::to_string(i), "/a" + std::to_string(i + 1), false, "A", at(1), at(1));
  EXPECT_TRUE(dirty.now("/a0", 0).empty());
  EXPECT_THAT(dirty.now("/a1", 1), ElementsAre("/a" + std::to_string(DirtySet::kMaxRenames + 1)));
}

TEST(LiveDirty, WhatIsLookedForInVainGoesAlongWithTheRename) {
  DirtySet dirty;
  dirty.created("/d/a/file", kContents, "F", at(1), at(1));
  auto taken = dirty.take(at(1), 100);
  ASSERT_EQ(taken.size(), 1U);
  dirty.put_back("/d/a/file", taken[0].second, at(2));
  dirty.renamed("/d", "/e", true, "D", at(2), at(2));
  bool found = false;
  for (const auto& [path, name] : dirty.take(at(5), 100))
    found = found || (path == "/e/a/file" && (name.marks & kContents) != 0 && name.created);
  EXPECT_TRUE(found);
}

TEST(LiveDirty, TheMarksOfAnExchangeStayAndBothNamesAreCompared) {
  DirtySet dirty;
  dirty.mark("/a/x", kContents, at(1), at(1));
  dirty.renamed("/a", "/b", true, "A", at(1), at(1));
  dirty.renamed("/b", "/a", false, "B", at(1), at(1));
  auto marks = marks_of(dirty);
  EXPECT_EQ(marks["/b/x"] & kContents, kContents);
  EXPECT_EQ(marks["/a"] & kSubtree, kSubtree);
  EXPECT_EQ(marks["/b"] & kSubtree, kSubtree);
}

TEST(LiveDirty, AFileChangedByANameThatIsGoneIsSoughtByItsObject) {
  DirtySet dirty;
  dirty.mark("/one", kContents, at(1), at(1), "F");
  dirty.deleted("/one", at(2), at(2));
  EXPECT_EQ(dirty.take_orphans().objects.count("F"), 1U);
  dirty.mark("/two", kContents, at(3), at(3), "G");
  dirty.mark("/new", kContents, at(3), at(3), "H");
  dirty.renamed("/new", "/two", false, "H", at(4), at(4));
  EXPECT_EQ(dirty.take_orphans().objects.count("G"), 1U);
  EXPECT_TRUE(dirty.take_orphans().objects.empty());
}

TEST(LiveDirty, WhatWasTakenIsSoughtByItsObjectIfAnotherIsThereByNow) {
  DirtySet dirty;
  dirty.mark("/one", kContents, at(1), at(1), "F");
  const auto taken = dirty.take(at(1), 100);
  ASSERT_EQ(taken.size(), 1U);
  dirty.created("/one", 0, "G", at(2), at(2));
  dirty.put_back("/one", taken[0].second, at(3));
  auto orphans = dirty.take_orphans().objects;
  EXPECT_EQ(orphans["F"].marks & kContents, kContents);
  EXPECT_EQ(dirty.take(at(5), 100)[0].second.object, "G");
  dirty.deleted("/one", at(6), at(6));
  dirty.put_back("/one", taken[0].second, at(7));
  EXPECT_EQ(dirty.take_orphans().objects.count("F"), 1U);
  (void)dirty.take(at(9), 100);
  dirty.put_back("/one", taken[0].second, at(7));
  EXPECT_TRUE(dirty.take_orphans().objects.empty());
}

TEST(LiveDirty, AMarkOfANameThatARenameLeadsToIsKept) {
  // Who has looked at the file by its new name, before the rename was heard of, does not know what was there.
  DirtySet dirty;
  dirty.mark("/new", kContents, at(1), at(1));
  dirty.renamed("/old", "/new", false, "F", at(2), at(2));
  EXPECT_EQ(marks_of(dirty)["/new"] & kContents, kContents);
}

TEST(LiveDirty, AFlushTakesWhatItWaitsForAndNothingYounger) {
  DirtySet dirty;
  dirty.mark("/z", kContents, at(1), at(90));
  dirty.hasten(at(2));
  for (int i = 0; i < 10; ++i) dirty.mark("/a" + std::to_string(i), kContents, at(3), at(3));
  const auto due = dirty.take(at(5), 5, at(2));
  ASSERT_EQ(due.size(), 1U);
  EXPECT_EQ(due[0].first, "/z");
}

TEST(LiveDirty, TooManyNamesBecomeSubtrees) {
  DirtySet dirty;
  for (size_t i = 0; i <= DirtySet::kMaxMarks; ++i)
    dirty.mark("/d" + std::to_string(i % 10) + "/f" + std::to_string(i), kContents, at(1), at(1));
  EXPECT_EQ(dirty.size(), 10U);
  EXPECT_FALSE(dirty.take_orphans().too_many);
  for (const auto& [path, name] : dirty.take(at(5), 100)) EXPECT_NE(name.marks & kSubtree, 0) << path;
}

TEST(LiveDirty, WhatIsCompactedMayBeAFileThatHasOtherNames) {
  DirtySet dirty;
  for (size_t i = 0; i <= DirtySet::kMaxMarks; ++i)
    dirty.mark("/d/f" + std::to_string(i), kContents, at(1), at(1), i == 0 ? "F" : "");
  EXPECT_TRUE(dirty.take_orphans().too_many);
}

// --- deltas

struct Rebuilt : DeltaSink {
  const std::vector<uint8_t>& old;
  std::vector<uint8_t> made;
  size_t literal = 0;
  explicit Rebuilt(const std::vector<uint8_t>& from) : old(from) {}
  Result<void> copy(uint64_t from, uint64_t to, uint64_t length) override {
    EXPECT_EQ(to, made.size());
    made.insert(made.end(), old.begin() + static_cast<ptrdiff_t>(from),
                old.begin() + static_cast<ptrdiff_t>(from + length));
    return {};
  }
  Result<void> data(uint64_t offset, std::span<const uint8_t> bytes) override {
    EXPECT_EQ(offset, made.size());
    made.insert(made.end(), bytes.begin(), bytes.end());
    literal += bytes.size();
    return {};
  }
};

TEST(LiveDelta, SendsWhatIsNew) {
  std::mt19937 random(3);
  std::vector<uint8_t> old(300'000);
  for (auto& byte : old) byte = static_cast<uint8_t>(random());
  const auto reader = [](const std::vector<uint8_t>& from) {
    return [&from](uint64_t offset, std::span<uint8_t> into) -> Result<void> {
      std::copy_n(from.begin() + static_cast<ptrdiff_t>(offset), into.size(), into.begin());
      return {};
    };
  };
  const auto sums = sum_blocks(old.size(), 7, reader(old));
  ASSERT_TRUE(sums && sums->consistent());
  const auto literals = [&](const std::vector<uint8_t>& now) {
    Rebuilt sink(old);
    EXPECT_TRUE(DeltaFinder(*sums, 7).find(0, now.size(), reader(now), sink));
    EXPECT_EQ(sink.made, now);
    return sink.literal;
  };
  EXPECT_EQ(literals(old), 0U);
  auto patched = old;
  patched[150'000] ^= 1U;
  EXPECT_LE(literals(patched), sums->block_size);
  auto longer = old;
  longer.insert(longer.begin() + 1000, {1, 2, 3});
  EXPECT_LE(literals(longer), 2 * sums->block_size);
  auto grown = old;
  grown.insert(grown.end(), 10'000, 7);
  EXPECT_LE(literals(grown), 10'000 + sums->block_size);
  EXPECT_LE(literals({old.begin() + 100'000, old.end()}), 2 * sums->block_size);
  EXPECT_EQ(literals({}), 0U);
}

// --- the log

Entry entry(const std::string& path, uint64_t inode) {
  Entry e;
  e.path = path;
  e.inode = inode;
  return e;
}

std::vector<std::string> played(const std::vector<Entry>& manifest, const std::vector<std::string>& lines) {
  Overlay overlay;
  for (std::string line : lines) {
    line.pop_back();
    EXPECT_TRUE(overlay.take(line)) << line;
  }
  const auto stream_of = [](std::vector<Entry> entries) -> EntryStream {
    return [entries = std::move(entries), i = size_t{0}]() mutable -> Result<std::optional<Entry>> {
      return i == entries.size() ? std::optional<Entry>() : std::optional<Entry>(entries[i++]);
    };
  };
  const auto stream =
      std::move(overlay).over(stream_of(manifest), [&](const std::vector<std::string>& paths) {
        std::vector<Entry> some;
        for (const Entry& e : manifest) {
          if (std::any_of(paths.begin(), paths.end(), [&](const auto& p) { return is_within(e.path, p); }))
            some.push_back(e);
        }
        return stream_of(std::move(some));
      });
  std::vector<std::string> out;
  while (true) {
    auto next = stream();
    EXPECT_TRUE(next.has_value());
    if (!next || !*next) return out;
    out.push_back((*next)->path + ":" + std::to_string((*next)->inode));
  }
}

TEST(LiveAgreement, TheLogIsPlayedOverTheManifest) {
  const std::vector<Entry> manifest = {entry("/a", 1), entry("/a/x", 2), entry("/a/y", 3), entry("/b", 4)};
  EXPECT_THAT(played(manifest, {write_agreed(entry("/a/x", 9)), write_agreed(entry("/a/z", 5))}),
              ElementsAre("/a:1", "/a/x:9", "/a/y:3", "/a/z:5", "/b:4"));
  EXPECT_THAT(played(manifest, {write_gone("/a"), write_agreed(entry("/a/x", 9))}),
              ElementsAre("/a/x:9", "/b:4"));
  EXPECT_THAT(played(manifest, {write_agreed(entry("/a/x", 9)), write_gone("/a")}), ElementsAre("/b:4"));
  EXPECT_THAT(played(manifest, {write_moved("/a", "/c"), write_agreed(entry("/c/y", 7))}),
              ElementsAre("/b:4", "/c:1", "/c/x:2", "/c/y:7"));
  EXPECT_THAT(played(manifest, {write_leaving("/a/x"), write_leaving("/c")}),
              ElementsAre("/a:1", "/a/x:0", "/a/y:3", "/b:4"));
}

TEST(LiveAgreement, ADamagedLineEndsTheLog) {
  Overlay overlay;
  for (const char* line : {"", "+", "+ f 644", "- relative", "- /a/../b", "> /a", "> /a\t/a/b", "x /a"})
    EXPECT_FALSE(overlay.take(line)) << line;
  EXPECT_TRUE(overlay.empty());
}

}  // namespace
}  // namespace clusterd::mirror::live
