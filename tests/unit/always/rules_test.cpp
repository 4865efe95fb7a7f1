// What is done with a file, from what both nodes have and what they last agreed on.
#include "always/rules.hpp"

#include <gmock/gmock.h>

namespace clusterd::always {
namespace {

using testing::HasSubstr;

const AlwaysConfig kListed{{"/etc/hosts", "/etc/site/"}, {"*.bak", "cache/"}};
const Names kNames{"serv1", "serv2"};
const Names kOtherNames{"serv2", "serv1"};

Entry file(const std::string& content) {
  Entry entry;
  entry.kind = Kind::kFile;
  entry.mode = 0644;
  entry.content = digest_of(content);
  entry.size = content.size();
  return entry;
}

Entry folder() {
  Entry entry;
  entry.kind = Kind::kFolder;
  entry.mode = 0755;
  return entry;
}

Entry link(const std::string& to) {
  Entry entry;
  entry.kind = Kind::kLink;
  entry.content = to;
  return entry;
}

Entry opaque() {
  Entry entry;
  entry.kind = Kind::kOpaque;
  entry.content = "it cannot be read";
  return entry;
}

Entry with_mode(Entry entry, uint32_t mode) {
  entry.mode = mode;
  return entry;
}

struct Two {
  Word mine, theirs;
  Two() {
    mine.store = theirs.seen = {"A", 3};
    theirs.store = mine.seen = {"B", 5};
  }
  Two& here(const std::string& path, const Entry& entry) {
    if (entry.there()) mine.entries[path] = entry;
    return *this;
  }
  Two& there(const std::string& path, const Entry& entry) {
    if (entry.there()) theirs.entries[path] = entry;
    return *this;
  }
  Two& agreed(const std::string& path, const Entry& entry, uint64_t number = 1) {
    mine.agreed[path] = theirs.agreed[path] = {entry, number, false};
    return *this;
  }
  [[nodiscard]] std::vector<Finding> judged() const { return judge(kListed, kNames, mine, theirs); }
  [[nodiscard]] std::vector<Finding> judged_there() const {
    return judge(kListed, kOtherNames, theirs, mine);
  }
};

Verdict verdict(const std::vector<Finding>& findings, const std::string& path) {
  for (const Finding& finding : findings)
    if (finding.path == path) return finding.verdict;
  ADD_FAILURE() << path << " was not judged";
  return Verdict::kAgree;
}

std::string why(const std::vector<Finding>& findings, const std::string& path) {
  for (const Finding& finding : findings)
    if (finding.path == path) return finding.why;
  return "";
}

Verdict mirrored(Verdict verdict) {
  if (verdict == Verdict::kTake) return Verdict::kWait;
  return verdict == Verdict::kWait ? Verdict::kTake : verdict;
}

struct Row {
  const char* what;
  Entry mine, theirs;
  std::optional<Agreement> mine_agreed, theirs_agreed;
  Verdict verdict;
};

const Entry kNone, kOld = file("old"), kNew = file("new"), kOther = file("other");
using Maybe = std::optional<Agreement>;
Maybe at(const Entry& entry, uint64_t number, bool decided = false) {
  return Agreement{entry, number, decided};
}

const Row kRows[] = {
    {"equal, never met", kOld, kOld, {}, {}, Verdict::kAgree},
    {"different at the first meeting", kOld, kNew, {}, {}, Verdict::kConflict},
    {"there alone at the first meeting", kNone, kNew, {}, {}, Verdict::kTake},
    {"edited there", kOld, kNew, at(kOld, 1), at(kOld, 1), Verdict::kTake},
    {"only its mode was changed there", kOld, with_mode(kOld, 0600), at(kOld, 1), at(kOld, 1),
     Verdict::kTake},
    {"became a link there", kOld, link("old"), at(kOld, 1), at(kOld, 1), Verdict::kTake},
    {"edited on both", kNew, kOther, at(kOld, 1), at(kOld, 1), Verdict::kConflict},
    {"the same edit on both", kNew, kNew, at(kOld, 1), at(kOld, 1), Verdict::kAgree},
    {"edited here, deleted there", kNew, kNone, at(kOld, 1), at(kOld, 1), Verdict::kConflict},
    {"only the other node knows the last agreement", kOld, kNew, {}, at(kOld, 1), Verdict::kTake},
    {"edited again before this node had noted the last agreement", kOther, kNew, at(kOld, 1), at(kNew, 2),
     Verdict::kWait},
    {"this node stands as before the last agreement", kOld, kNew, at(kOld, 1), at(kNew, 2),
     Verdict::kConflict},
    {"the same, and a human has decided for it", kOld, kNew, at(kOld, 1), at(kNew, 2, true), Verdict::kWait},
    {"agreements of one number that contradict each other", kOld, kNew, at(kOld, 1), at(kNew, 1),
     Verdict::kConflict},
    {"deleted, and made anew there", kNone, kNew, at(kNone, 2), at(kOld, 1), Verdict::kTake},
    {"cannot be read here", opaque(), kNew, at(kOld, 1), at(kOld, 1), Verdict::kRefused},
    {"cannot be read there", kOld, opaque(), at(kOld, 1), at(kOld, 1), Verdict::kRefused},
};

TEST(Rules, Table) {
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.what);
    Two two;
    // Beside it, enough that is well: nothing has vanished at once.
    for (const char* path : {"/etc/site/a", "/etc/site/b", "/etc/site/c"})
      two.here(path, kOld).there(path, kOld).agreed(path, kOld);
    const std::string path = "/etc/site/x";
    two.here(path, row.mine).there(path, row.theirs);
    if (row.mine_agreed) two.mine.agreed[path] = *row.mine_agreed;
    if (row.theirs_agreed) two.theirs.agreed[path] = *row.theirs_agreed;
    EXPECT_EQ(verdict(two.judged(), path), row.verdict);
    // Both nodes judge alike: where one takes, the other one waits.
    EXPECT_EQ(verdict(two.judged_there(), path), mirrored(row.verdict));
  }
}

TEST(Rules, AFileInADirectoryIsDeletedWithTheOthersStillThere) {
  Two two;
  for (const char* path : {"/etc/site/a", "/etc/site/b"})
    two.here(path, kOld).there(path, kOld).agreed(path, kOld);
  two.here("/etc/site/c", kOld).agreed("/etc/site/c", kOld);
  EXPECT_EQ(verdict(two.judged(), "/etc/site/c"), Verdict::kTake);
  EXPECT_EQ(verdict(two.judged_there(), "/etc/site/c"), Verdict::kWait);
}

TEST(Rules, WhatVanishedAtOnceWaitsForAHuman) {
  Two two;
  two.here("/etc/site", folder()).there("/etc/site", folder()).agreed("/etc/site", folder());
  two.here("/etc/site/a", kOld).there("/etc/site/a", kOld).agreed("/etc/site/a", kOld);
  for (const char* path : {"/etc/site/b", "/etc/site/c"}) two.here(path, kOld).agreed(path, kOld);
  auto findings = two.judged();
  for (const char* path : {"/etc/site/b", "/etc/site/c"}) {
    EXPECT_EQ(verdict(findings, path), Verdict::kConflict);
    EXPECT_THAT(why(findings, path), HasSubstr("2 of 3 files of /etc/site have vanished on serv2 at once"));
    EXPECT_EQ(verdict(two.judged_there(), path), Verdict::kConflict);
  }
  // What was edited there meanwhile goes its way.
  two.theirs.entries["/etc/site/a"] = kNew;
  EXPECT_EQ(verdict(two.judged(), "/etc/site/a"), Verdict::kTake);
}

TEST(Rules, AListedPathThatHasVanishedWaitsForAHuman) {
  Two two;
  two.here("/etc/hosts", kOld).agreed("/etc/hosts", kOld);
  EXPECT_EQ(verdict(two.judged(), "/etc/hosts"), Verdict::kConflict);
  EXPECT_THAT(why(two.judged(), "/etc/hosts"), HasSubstr("/etc/hosts has vanished on serv2"));
  EXPECT_EQ(verdict(two.judged_there(), "/etc/hosts"), Verdict::kConflict);
  // A directory whose place a link has taken, with all that was in it.
  Two other;
  other.here("/etc/site", folder()).there("/etc/site", link("/srv/site")).agreed("/etc/site", folder());
  for (const char* path : {"/etc/site/a", "/etc/site/b", "/etc/site/c"})
    other.here(path, kOld).agreed(path, kOld);
  for (const char* path : {"/etc/site", "/etc/site/a"})
    EXPECT_EQ(verdict(other.judged(), path), Verdict::kConflict) << path;
}

TEST(Rules, BelowWhatOneNodeCannotLookIntoNothingIsDone) {
  Two two;
  two.here("/etc/site", opaque()).there("/etc/site", folder()).agreed("/etc/site", folder());
  two.there("/etc/site/a", kOld).agreed("/etc/site/a", kOld);
  EXPECT_EQ(verdict(two.judged(), "/etc/site/a"), Verdict::kRefused);
  EXPECT_EQ(verdict(two.judged_there(), "/etc/site/a"), Verdict::kRefused);
}

TEST(Rules, ASocketIsOfNoConcernUnlessItHasTakenAFilesPlace) {
  Entry socket;
  socket.kind = Kind::kSpecial;
  Two two;
  EXPECT_TRUE(two.here("/etc/site/x", socket).judged().empty());
  EXPECT_TRUE(two.judged_there().empty());
  two.agreed("/etc/site/x", kOld);
  EXPECT_EQ(verdict(two.judged(), "/etc/site/x"), Verdict::kRefused);
  two.there("/etc/site/x", kOld);
  EXPECT_EQ(verdict(two.judged(), "/etc/site/x"), Verdict::kRefused);
  EXPECT_EQ(verdict(two.judged_there(), "/etc/site/x"), Verdict::kRefused);
}

TEST(Rules, AHumansDecisionHoldsAndIsThenAnAgreementAsAnyOther) {
  for (const bool mine_holds : {true, false}) {
    Two two;
    two.here("/etc/hosts", kNew).there("/etc/hosts", kOther).agreed("/etc/hosts", kOld, 7);
    const auto decided = kept(two.judged(), two.mine, two.theirs, "/etc/hosts", mine_holds);
    ASSERT_TRUE(decided);
    two.mine.agreed = *decided;
    EXPECT_EQ(verdict(two.judged(), "/etc/hosts"), mine_holds ? Verdict::kWait : Verdict::kTake);
    EXPECT_EQ(verdict(two.judged_there(), "/etc/hosts"), mine_holds ? Verdict::kTake : Verdict::kWait);
    two.mine.entries["/etc/hosts"] = two.theirs.entries["/etc/hosts"] = mine_holds ? kNew : kOther;
    two.mine.agreed = noted(two.judged(), two.mine, two.theirs, "fresh").agreed;
    EXPECT_FALSE(two.mine.agreed.at("/etc/hosts").decided);
    EXPECT_EQ(two.mine.agreed.at("/etc/hosts").number, 9U);
  }
}

TEST(Rules, AHumanMayConfirmThatADirectoryWasEmptied) {
  Two two;
  for (const char* path : {"/etc/site/a", "/etc/site/b"}) two.here(path, kOld).agreed(path, kOld);
  EXPECT_EQ(verdict(two.judged(), "/etc/site/a"), Verdict::kConflict);
  Two emptied = two, filled = two;
  emptied.mine.agreed = *kept(two.judged(), two.mine, two.theirs, "/etc/site", false);
  EXPECT_EQ(verdict(emptied.judged(), "/etc/site/a"), Verdict::kTake);
  filled.mine.agreed = *kept(two.judged(), two.mine, two.theirs, "/etc/site", true);
  EXPECT_EQ(verdict(filled.judged_there(), "/etc/site/b"), Verdict::kTake);
  EXPECT_FALSE(kept(two.judged(), two.mine, two.theirs, "/etc/hosts", true)) << "there is no conflict";
}

TEST(Rules, ADecisionDoesNotHoldForWhatIsEditedAfterIt) {
  Two two;
  two.here("/etc/hosts", kNew).there("/etc/hosts", kOther);
  two.mine.agreed = *kept(two.judged(), two.mine, two.theirs, "/etc/hosts", true);
  two.theirs.entries["/etc/hosts"] = file("and once more");
  EXPECT_EQ(verdict(two.judged(), "/etc/hosts"), Verdict::kConflict);
}

// Both nodes record by themselves; whatever the order, they end with the same and say nothing more.
TEST(Rules, AgreementsMeet) {
  Two two;
  two.here("/etc/hosts", kOld).there("/etc/hosts", kOld);
  two.theirs.agreed = noted(two.judged_there(), two.theirs, two.mine, "fresh").agreed;
  two.mine.agreed = noted(two.judged(), two.mine, two.theirs, "fresh").agreed;
  EXPECT_EQ(two.mine.agreed, two.theirs.agreed);
  EXPECT_EQ(two.mine.agreed.at("/etc/hosts").number, 1U);
  EXPECT_EQ(noted(two.judged(), two.mine, two.theirs, "fresh").agreed, two.mine.agreed);
}

TEST(Rules, ThatAFileIsGoneIsForgottenInTheEnd) {
  Two two;
  two.agreed("/etc/site/a", kOld);
  two.mine.agreed = noted(two.judged(), two.mine, two.theirs, "fresh").agreed;
  EXPECT_EQ(two.mine.agreed.at("/etc/site/a"), (Agreement{kNone, 2, false}));
  two.theirs.agreed = noted(two.judged_there(), two.theirs, two.mine, "fresh").agreed;
  EXPECT_TRUE(two.theirs.agreed.empty());
  two.mine.agreed = noted(two.judged(), two.mine, two.theirs, "fresh").agreed;
  EXPECT_TRUE(two.mine.agreed.empty());
}

TEST(Rules, AStoreThatWasLostOrPutBackIsFoundOut) {
  Two two;
  two.agreed("/etc/hosts", kOld);
  EXPECT_TRUE(stores_match(two.mine, two.theirs));
  Two lost = two;
  lost.theirs.store = {"C", 0};
  EXPECT_FALSE(stores_match(lost.mine, lost.theirs));
  EXPECT_FALSE(stores_match(lost.theirs, lost.mine));
  Two put_back = two;
  put_back.theirs.store.turn = 4;
  EXPECT_FALSE(stores_match(put_back.mine, put_back.theirs));
  EXPECT_FALSE(stores_match(put_back.theirs, put_back.mine));
  // It goes on as another one: else it would soon have counted as far as the one that was seen.
  const Stored after = noted(put_back.judged_there(), put_back.theirs, put_back.mine, "fresh");
  EXPECT_EQ(after.store, (StoreMark{"fresh", 0}));
  EXPECT_TRUE(after.agreed.empty());
  EXPECT_TRUE(noted(put_back.judged(), put_back.mine, put_back.theirs, "fresh").agreed.empty());
  Two gone_on = two;
  gone_on.theirs.store.turn = 9;
  EXPECT_TRUE(stores_match(gone_on.mine, gone_on.theirs));
  Word first, second;
  first.store = {"A", 0};
  second.store = {"B", 0};
  EXPECT_TRUE(stores_match(first, second)) << "the first meeting";
}

TEST(Rules, OwnersAreKnownByNameOrByNumber) {
  Entry a = kOld, b = kOld;
  a.uid = 110;
  a.user = "samba";
  b.uid = 120;
  b.user = "samba";
  EXPECT_TRUE(same(a, b));
  b = a;
  b.user.clear();
  EXPECT_TRUE(same(a, b)) << "unknown there, and the same number";
  b.user = "postfix";
  EXPECT_FALSE(same(a, b)) << "somebody else who has that number there";
}

TEST(Rules, WhatIsListedAndNotExcluded) {
  EXPECT_TRUE(covers(kListed, "/etc/hosts", false));
  EXPECT_TRUE(covers(kListed, "/etc/site", true));
  EXPECT_TRUE(covers(kListed, "/etc/site/deep/er", false));
  for (const char* path : {"/etc/passwd", "/etc/hosts/x", "/etc/site-2", "/etc", "/etc/site/a.bak"})
    EXPECT_FALSE(covers(kListed, path, false)) << path;
  EXPECT_FALSE(covers(kListed, "/etc/site/cache", true));
  EXPECT_FALSE(covers(kListed, "/etc/site/cache/x", false));
}

TEST(Rules, AWordThatReachesBeyondWhatIsListedIsRefused) {
  const auto fault = [](const std::string& path, const Entry& entry) {
    Word word;
    word.entries[path] = entry;
    return fault_of(kListed, word);
  };
  EXPECT_EQ(fault("/etc/site/a", kOld), "");
  for (const char* path : {"/etc/shadow", "/etc/site/../shadow", "/etc/site/./a", "/etc/site//a",
                           "/etc/site/", "etc/hosts", "", "/", "/etc/site/a.bak", "/etc/site/cache/x"})
    EXPECT_NE(fault(path, kOld), "") << path;
  EXPECT_NE(fault(std::string("/etc/site/a\0b", 13), kOld), "");
  EXPECT_NE(fault("/etc/site/" + std::string(kMaxPathBytes, 'x'), kOld), "");
  EXPECT_NE(fault("/etc/site/a", with_mode(kOld, 010000)), "");
  EXPECT_NE(fault("/etc/site/a", link("")), "");
  EXPECT_NE(fault("/etc/site/a", kNone), "");
  Entry bad = kOld;
  bad.content = "0123";
  EXPECT_NE(fault("/etc/site/a", bad), "");
  bad = kOld;
  bad.size = kMaxFileBytes + 1;
  EXPECT_NE(fault("/etc/site/a", bad), "");
  bad = kOld;
  bad.uid = UINT32_MAX;
  EXPECT_NE(fault("/etc/site/a", bad), "");
  Word much;
  for (int n = 0; n < 17; ++n) {
    Entry big = kOld;
    big.size = kMaxFileBytes;
    much.entries["/etc/site/" + std::to_string(n)] = big;
  }
  EXPECT_NE(fault_of(kListed, much), "");
}

TEST(Rules, WhatIsToldOfManyConflictsIsShort) {
  Two two;
  EXPECT_EQ(stuck(two.judged()), "");
  for (int n = 0; n < 100; ++n)
    two.here("/etc/site/" + std::to_string(n) + std::string(200, 'x'), kOld)
        .there("/etc/site/" + std::to_string(n) + std::string(200, 'x'), kNew);
  const std::string text = stuck(two.judged());
  EXPECT_THAT(text, HasSubstr("; and 99 more"));
  EXPECT_LE(text.size(), 1024U);
}

}  // namespace
}  // namespace clusterd::always
