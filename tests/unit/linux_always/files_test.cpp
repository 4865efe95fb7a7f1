// The always mirror on a real file system: looking, taking, keeping, remembering.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "linux/always/install.hpp"
#include "linux/always/store.hpp"
#include "linux/always/tree.hpp"

namespace clusterd::always {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Key;
using testing::UnorderedElementsAre;

class Files : public testing::Test {
 protected:
  Files() {
    char name[] = "/var/tmp/always-test-XXXXXX";
    root_ = ::mkdtemp(name);
    fs::create_directories(root_ + "/site/sub");
    config_.paths = {root_ + "/hosts", root_ + "/site/"};
    config_.exclude = {"*.bak"};
  }
  ~Files() override { fs::remove_all(root_); }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(root_ + "/" + name, std::ios::binary) << text;
  }
  [[nodiscard]] std::string read(const std::string& path) const {
    const std::ifstream stream(path.front() == '/' ? path : root_ + "/" + path, std::ios::binary);
    std::stringstream text;
    text << stream.rdbuf();
    return text.str();
  }
  [[nodiscard]] std::string at(const std::string& name) const { return root_ + "/" + name; }
  // Two looks: what is there counts.
  Stand looked() {
    static_cast<void>(look());
    return look();
  }
  // As long after the one before as it takes.
  Stand look() { return tree_.look(config_, now_ms_ += kSettleMs); }
  [[nodiscard]] Entry now(const std::string& name) const {
    Owners owners;
    const Place place = place_of(at(name));
    const Fd folder(open_without_symlinks(place.folder, O_RDONLY | O_DIRECTORY));
    return folder.get() < 0 ? Entry() : look_at(folder.get(), place.name, owners).entry;
  }
  [[nodiscard]] Entry file(const std::string& content, uint32_t mode = 0644) const {
    Entry entry;
    entry.kind = Kind::kFile;
    entry.mode = mode;
    entry.uid = ::getuid();
    entry.gid = ::getgid();
    entry.content = digest_of(content);
    entry.size = content.size();
    entry.mtime_ns = int64_t{1'000'000'000} * 1'000'000'000;
    return entry;
  }
  [[nodiscard]] Result<std::string> take(const std::string& name, const Entry& to,
                                         const std::string& content = "") const {
    return install({at(name), to, now(name), content}, store());
  }
  [[nodiscard]] Store store() const { return Store(root_); }

  std::string root_;
  AlwaysConfig config_;
  Tree tree_;
  int64_t now_ms_ = 0;
};

TEST_F(Files, WhatIsListedIsSeenAndNothingElse) {
  write("hosts", "a");
  write("other", "b");
  write("site/x", "c");
  write("site/x.bak", "d");
  write("site/sub/y", "e");
  fs::create_symlink("/etc/shadow", at("site/link"));
  ::mkfifo(at("site/fifo").c_str(), 0600);
  const Stand stand = looked();
  EXPECT_EQ(stand.halted, "");
  EXPECT_THAT(stand.entries,
              UnorderedElementsAre(Key(at("hosts")), Key(at("site")), Key(at("site/x")), Key(at("site/sub")),
                                   Key(at("site/sub/y")), Key(at("site/link")), Key(at("site/fifo"))));
  EXPECT_EQ(stand.entries.at(at("site/fifo")).kind, Kind::kSpecial);
  EXPECT_EQ(stand.entries.at(at("site/link")).content, "/etc/shadow");
  EXPECT_EQ(stand.entries.at(at("hosts")).content, digest_of("a"));
}

TEST_F(Files, AChangeCountsWhenItIsSeenTwice) {
  write("hosts", "a");
  write("site/x", "x");
  EXPECT_NE(look().halted, "") << "after one look nothing is known";
  EXPECT_EQ(look().entries.at(at("hosts")).content, digest_of("a"));
  write("hosts", "long");
  fs::remove(at("site/x"));
  Stand stand = look();
  EXPECT_FALSE(stand.settled);
  EXPECT_EQ(stand.entries.at(at("hosts")).content, digest_of("a"));
  EXPECT_TRUE(stand.entries.contains(at("site/x")));
  stand = look();
  EXPECT_FALSE(stand.settled);
  EXPECT_EQ(stand.entries.at(at("hosts")).content, digest_of("long"));
  EXPECT_TRUE(stand.entries.contains(at("site/x")));
  now_ms_ += kQuietMs;
  stand = look();
  EXPECT_TRUE(stand.settled);
  EXPECT_FALSE(stand.entries.contains(at("site/x")));
}

// Else the other node would be told of a few after a few, and never of more than half at once (S10).
TEST_F(Files, WhatIsEmptiedSlowlyIsGoneAtOnce) {
  for (int n = 0; n < 20; ++n) write("site/" + std::to_string(n), "x");
  const size_t all = looked().entries.size();
  for (int n = 0; n < 20; ++n) {
    fs::remove(at("site/" + std::to_string(n)));
    EXPECT_EQ(look().entries.size(), all);
  }
  now_ms_ += kQuietMs;
  EXPECT_EQ(look().entries.size(), all - 20);
}

TEST_F(Files, TwoLooksInOneMomentAreAsOne) {
  write("hosts", "a");
  write("site/x", "x");
  static_cast<void>(looked());
  write("hosts", "long");
  fs::remove(at("site/x"));
  for (int n = 0; n < 3; ++n) {
    const Stand stand = tree_.look(config_, now_ms_ + 10 + n);
    EXPECT_FALSE(stand.settled);
    EXPECT_EQ(stand.entries.at(at("hosts")).content, digest_of("a"));
    EXPECT_TRUE(stand.entries.contains(at("site/x")));
  }
  tree_.trust(at("hosts"));
  EXPECT_EQ(tree_.look(config_, now_ms_ + 20).entries.at(at("hosts")).content, digest_of("long"));
}

TEST_F(Files, WhatIsPutAwayForAMomentIsNotDeleted) {
  write("hosts", "a");
  static_cast<void>(looked());
  fs::remove(at("hosts"));
  EXPECT_TRUE(look().entries.contains(at("hosts")));
  write("hosts", "b");
  EXPECT_EQ(look().entries.at(at("hosts")).content, digest_of("a"));
  EXPECT_EQ(look().entries.at(at("hosts")).content, digest_of("b"));
}

TEST_F(Files, WhatChangesJustAfterTheStartStandsForNothing) {
  write("hosts", "a");
  write("site/x", "x");
  static_cast<void>(look());
  write("hosts", "and longer");
  fs::remove(at("site/x"));
  const Stand stand = look();
  EXPECT_EQ(stand.entries.at(at("hosts")).kind, Kind::kOpaque);
  EXPECT_EQ(stand.entries.at(at("site/x")).kind, Kind::kOpaque);
  EXPECT_EQ(look().entries.at(at("hosts")).content, digest_of("and longer"));
}

TEST_F(Files, NothingIsFollowedAndWhatCannotBeCarriedSaysSo) {
  fs::create_directories(at("real"));
  fs::create_directory_symlink(at("real"), at("way"));
  config_.paths = {at("way/hosts"), at("way/"), at("site")};
  const Stand stand = looked();
  for (const char* name : {"way/hosts", "way", "site"}) {
    ASSERT_TRUE(stand.entries.contains(at(name))) << name;
    EXPECT_EQ(stand.entries.at(at(name)).kind, Kind::kOpaque) << name;
  }
  EXPECT_THAT(stand.entries.at(at("way/hosts")).content, HasSubstr("symbolic link on the way"));
  EXPECT_THAT(stand.entries.at(at("site")).content, HasSubstr("without \"/\" at its end"));
}

TEST_F(Files, TooMuchIsSaidAndNothingIsCarried) {
  write("hosts", std::string(kMaxFileBytes + 1, 'x'));
  EXPECT_THAT(looked().entries.at(at("hosts")).content, HasSubstr("longer than 4 MiB"));
  fs::remove(at("hosts"));
  for (int n = 0; n < 17; ++n) {
    write("site/" + std::to_string(n), "");
    fs::resize_file(at("site/" + std::to_string(n)), kMaxFileBytes);  // with a hole: no disk is needed
  }
  static_cast<void>(look());
  const Stand stand = look();
  EXPECT_THAT(stand.halted, HasSubstr("64 MiB"));
  EXPECT_TRUE(stand.entries.empty());
}

TEST_F(Files, AFileIsReplacedAndWhatItWasIsKept) {
  write("hosts", "before");
  const auto kept = take("hosts", file("after", 0600), "after");
  ASSERT_TRUE(kept) << kept.error().message;
  EXPECT_EQ(read("hosts"), "after");
  EXPECT_TRUE(same(now("hosts"), file("after", 0600)));
  EXPECT_EQ(now("hosts").mtime_ns, file("after").mtime_ns);
  EXPECT_EQ(read(*kept), "before");
  EXPECT_FALSE(fs::exists(at(kTemporary)));
}

TEST_F(Files, FilesFoldersAndLinksTakeEachOthersPlace) {
  Entry link, folder, none;
  link.kind = Kind::kLink;
  link.content = "nowhere";
  folder.kind = Kind::kFolder;
  folder.mode = 0750;
  const std::vector<Entry> kinds{none, file("f"), link, folder};
  for (const Entry& from : kinds) {
    for (const Entry& to : kinds) {
      SCOPED_TRACE(std::string(name(from.kind)) + " to " + name(to.kind));
      const auto first = take("site/x", from, "f"), second = take("site/x", to, "f");
      ASSERT_TRUE(first) << first.error().message;
      ASSERT_TRUE(second) << second.error().message;
      EXPECT_TRUE(same(now("site/x"), to));
      EXPECT_EQ(second->empty(), from.kind == Kind::kAbsent || from.kind == Kind::kFolder);
    }
  }
}

TEST_F(Files, WhatHasChangedMeanwhileStays) {
  write("hosts", "before");
  const Entry seen = now("hosts");
  write("hosts", "edited meanwhile");
  const auto done = install({at("hosts"), file("after"), seen, "after"}, store());
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Code::kRetry);
  EXPECT_EQ(read("hosts"), "edited meanwhile");
  const auto created = install({at("hosts"), file("after"), Entry(), "after"}, store());
  ASSERT_FALSE(created);
  EXPECT_EQ(read("hosts"), "edited meanwhile");
  const auto gone = install({at("hosts"), Entry(), seen, ""}, store());
  ASSERT_FALSE(gone);
  EXPECT_EQ(read("hosts"), "edited meanwhile");
}

TEST_F(Files, ALinkOnTheWayLeadsNowhere) {
  fs::create_directories(at("elsewhere"));
  fs::remove_all(at("site/sub"));
  fs::create_directory_symlink(at("elsewhere"), at("site/sub"));
  const auto done = install({at("site/sub/y"), file("x"), Entry(), "x"}, store());
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Code::kRefused);
  EXPECT_TRUE(fs::is_empty(at("elsewhere")));
}

TEST_F(Files, AContentThatIsNotTheAnnouncedOneIsNotTaken) {
  write("hosts", "before");
  EXPECT_FALSE(take("hosts", file("after"), "something else"));
  EXPECT_EQ(read("hosts"), "before");
}

TEST_F(Files, ADirectoryWithFilesThatAreNotCarriedIsNotRemoved) {
  write("site/sub/x.bak", "own");
  const auto done = take("site/sub", Entry());
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message, HasSubstr("not empty"));
  EXPECT_EQ(read("site/sub/x.bak"), "own");
}

TEST_F(Files, AnOwnerIsNeverReplacedByAStranger) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  Entry to = file("x");
  to.user = "root";
  to.uid = 12345;  // the number that root would have there
  ASSERT_TRUE(take("site/x", to, "x"));
  EXPECT_EQ(now("site/x").uid, 0U);
  to.user = "nobody-of-this-name";
  to.uid = 54321;  // nobody has it here
  ASSERT_TRUE(take("site/y", to, "x"));
  EXPECT_EQ(now("site/y").uid, 54321U);
  to.uid = 1;  // daemon's
  const auto refused = take("site/z", to, "x");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("create the user nobody-of-this-name"));
  EXPECT_FALSE(fs::exists(at("site/z")));
}

TEST_F(Files, AsManyCopiesAsAreWantedAreKept) {
  for (int n = 0; n < 25; ++n) {
    ASSERT_TRUE(take("hosts", file(std::to_string(n)), std::to_string(n)));
  }
  std::set<std::string> kept;
  for (const auto& one : fs::recursive_directory_iterator(at("always/replaced")))
    if (one.is_regular_file()) kept.insert(read(one.path().string()));
  EXPECT_EQ(kept.size(), 20U);
  EXPECT_TRUE(kept.contains("23"));
  EXPECT_FALSE(kept.contains("3"));
  // What cannot be taken is tried again and again; that does not push out the others.
  const auto once = store().keep(at("hosts"), file("24"), "24"),
             again = store().keep(at("hosts"), file("24"), "24");
  EXPECT_EQ(*once, *again);
}

TEST_F(Files, ADamagedStoreBeginsAnewWithAnotherName) {
  auto stored = store().load();
  ASSERT_TRUE(stored);
  EXPECT_FALSE(stored->store.id.empty());
  stored->agreed["/etc/hosts"] = {file("x"), 1, false};
  ++stored->store.turn;
  ASSERT_TRUE(store().save(*stored));
  EXPECT_EQ(*store().load(), *stored);
  const std::string text = read("always/agreed.json");
  for (const size_t length : {size_t{0}, size_t{1}, text.size() / 2, text.size() - 3}) {
    write("always/agreed.json", text.substr(0, length));
    const auto fresh = store().load();
    ASSERT_TRUE(fresh);
    EXPECT_NE(fresh->store.id, stored->store.id);
    EXPECT_TRUE(fresh->agreed.empty());
    EXPECT_TRUE(fs::exists(at("always/agreed.json.damaged")));
  }
}

}  // namespace
}  // namespace clusterd::always
