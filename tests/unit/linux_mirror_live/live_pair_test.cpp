// Both ends of a live mirror with real files: compare, follow, breaks and kills, resync with a loss report,
// halts, and frames of a source that means ill. Needs root (mount namespaces); skipped without.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <thread>

#include "linux/mirror/backups.hpp"
#include "linux/mirror/live/outbox.hpp"
#include "linux/mirror/live/target.hpp"
#include "tools/mirror_two.hpp"

namespace clusterd {
namespace {

namespace fs = std::filesystem;
namespace ml = mirror::live;
using Kind = MirrorReport::Kind;
using Outcome = MirrorReport::Outcome;

class LivePair : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    char name[] = "/var/tmp/cdt-live-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    root_ = name;
    for (const char* folder : {"s", "t", "state"}) fs::create_directories(root_ + "/" + folder);
  }
  void TearDown() override {
    two_.reset();
    if (!root_.empty()) fs::remove_all(root_);
  }

  void start(uint64_t epoch = 1, uint64_t scrub_rate = uint64_t{1} << 30) {
    two_.reset();
    two_ = std::make_unique<MirrorTwo>(
        TwoSetup{root_ + "/s", root_ + "/t", root_ + "/state", {}, true, epoch, scrub_rate});
  }
  // The target was the source: roles are swapped.
  void start_back(uint64_t epoch) {
    two_.reset();
    fs::rename(root_ + "/state/source", root_ + "/state/x");
    fs::rename(root_ + "/state/target", root_ + "/state/source");
    fs::rename(root_ + "/state/x", root_ + "/state/target");
    // Both nodes know the files by one path: the folders change places, too.
    fs::rename(root_ + "/s", root_ + "/x");
    fs::rename(root_ + "/t", root_ + "/s");
    fs::rename(root_ + "/x", root_ + "/t");
    start(epoch);
  }
  // The same, with owners by name: each node has its own table (`ids`).
  void start_by_name(uint64_t epoch = 1) {
    two_.reset();
    two_ = std::make_unique<MirrorTwo>(TwoSetup{.source = root_ + "/s",
                                                .target = root_ + "/t",
                                                .state = root_ + "/state",
                                                .exclude = {},
                                                .epoch = epoch,
                                                .ids = Ids::kName,
                                                .ids_dir = root_ + "/ids"});
  }
  // Replaced, as useradd does.
  void ids(const std::string& side, const std::string& passwd, const std::string& group = "") const {
    write("ids/" + side + "/new", "root:x:0:0::/:\n" + passwd);
    fs::rename(at("ids/" + side + "/new"), at("ids/" + side + "/passwd"));
    write("ids/" + side + "/new", "root:x:0:\n" + group);
    fs::rename(at("ids/" + side + "/new"), at("ids/" + side + "/group"));
  }
  [[nodiscard]] std::string owner(const std::string& path) const {
    struct stat st {};
    if (::lstat(at(path).c_str(), &st) != 0) return "absent";
    return std::to_string(st.st_uid) + ":" + std::to_string(st.st_gid);
  }
  void give(const std::string& path, uid_t uid, gid_t gid) const {
    EXPECT_EQ(::lchown(at(path).c_str(), uid, gid), 0);
  }
  MirrorReport order(Kind kind, bool confirmed = false) { return two_->order(kind, confirmed); }
  void expect_done(Kind kind) {
    const MirrorReport r = order(kind);
    EXPECT_EQ(r.outcome, Outcome::kDone) << r.detail;
  }
  std::string at(const std::string& path) const { return root_ + "/" + path; }
  void write(const std::string& path, const std::string& text) const {
    fs::create_directories(fs::path(at(path)).parent_path());
    std::ofstream(at(path), std::ios::binary) << text;
  }
  [[nodiscard]] std::string read(const std::string& path) const {
    std::ifstream in(at(path), std::ios::binary);
    std::stringstream text;
    text << in.rdbuf();
    return text.str();
  }
  [[nodiscard]] std::string differences() const {
    const std::string command =
        "rsync -aHAXS --numeric-ids --delete -n -i --checksum " + at("s") + "/ " + at("t") + "/ 2>&1";
    std::string out;
    FILE* pipe = ::popen(command.c_str(), "r");
    char chunk[4096];
    while (const size_t n = ::fread(chunk, 1, sizeof chunk, pipe)) out.append(chunk, n);
    ::pclose(pipe);
    return out;
  }

  std::string root_;
  std::unique_ptr<MirrorTwo> two_;
};

TEST_F(LivePair, CopiesAndFollows) {
  write("s/a/x", "one");
  write("s/a/b/y", std::string(700'000, 'y'));
  fs::create_hard_link(at("s/a/x"), at("s/a/x2"));
  fs::create_symlink("x", at("s/a/link"));
  ASSERT_EQ(::mkfifo(at("s/a/fifo").c_str(), 0640), 0);
  start();
  expect_done(Kind::kRun);
  EXPECT_EQ(differences(), "");
  write("s/a/new", "two");
  fs::rename(at("s/a/b"), at("s/moved"));
  fs::remove(at("s/a/fifo"));
  write("s/moved/y", std::string(700'000, 'y') + "z");
  expect_done(Kind::kFlush);
  EXPECT_EQ(differences(), "");
}

TEST_F(LivePair, ARenamedTreeIsNotSentAgain) {
  for (int i = 0; i < 50; ++i) write("s/tree/f" + std::to_string(i), std::string(20'000, 'x'));
  start();
  expect_done(Kind::kRun);
  fs::rename(at("s/tree"), at("s/other"));
  const MirrorReport r = order(Kind::kFlush);
  EXPECT_EQ(r.outcome, Outcome::kDone);
  EXPECT_EQ(r.bytes, 0U);
  EXPECT_EQ(differences(), "");
}

TEST_F(LivePair, AnUnchangedTreeCostsDigests) {
  for (int i = 0; i < 100; ++i) write("s/d" + std::to_string(i % 5) + "/f" + std::to_string(i), "text");
  start();
  expect_done(Kind::kRun);
  start();  // both ends anew
  const MirrorReport r = order(Kind::kRun);
  EXPECT_EQ(r.outcome, Outcome::kDone) << r.detail;
  EXPECT_EQ(r.files, 0U);
  EXPECT_EQ(r.bytes, 0U);
}

// Whoever orders a flush waits for what was changed before, and not for what is renamed all the time.
TEST_F(LivePair, AFlushEndsWhileFoldersAreRenamedWithoutAPause) {
  fs::create_directories(at("s/busy"));
  start();
  expect_done(Kind::kRun);
  std::atomic<bool> stop = false;
  std::atomic<int> turns = 0;
  std::thread renaming([&] {
    for (int i = 0; !stop; i = (i + 1) % 50) {
      const std::string one = at("s/busy/" + std::to_string(i)), next = at("s/busy/" + std::to_string(i + 1));
      fs::create_directories(one + "/a/b");
      std::ofstream(one + "/a/b/file") << i;
      fs::remove_all(next);
      fs::rename(one, next);
      ++turns;
    }
  });
  for (int i = 0; i < 20; ++i) {
    const int begun = turns;
    while (turns < begun + 50) std::this_thread::yield();
    const std::string name = "/before" + std::to_string(i);
    write("s" + name, "text");
    expect_done(Kind::kFlush);
    EXPECT_EQ(read("t" + name), "text");
  }
  stop = true;
  renaming.join();
  expect_done(Kind::kFlush);
  EXPECT_EQ(differences(), "");
}

TEST_F(LivePair, ASameSizeRewriteWithItsOldTimeIsFound) {
  write("s/f", "before");
  start();
  expect_done(Kind::kRun);
  two_.reset();
  struct stat st {};
  ASSERT_EQ(::stat(at("s/f").c_str(), &st), 0);
  write("s/f", "after!");
  const timespec times[2] = {st.st_atim, st.st_mtim};
  ASSERT_EQ(::utimensat(AT_FDCWD, at("s/f").c_str(), times, 0), 0);
  start();
  expect_done(Kind::kRun);
  EXPECT_EQ(read("t/f"), "after!");
}

TEST_F(LivePair, NamesAreSoughtAnewWhenThereIsAnotherOne) {
  write("s/x", "text");
  start();
  expect_done(Kind::kRun);
  fs::create_hard_link(at("s/x"), at("s/y"));
  expect_done(Kind::kFlush);
  EXPECT_TRUE(fs::equivalent(at("t/x"), at("t/y")));
  fs::remove(at("s/y"));
  expect_done(Kind::kRun);                     // nobody takes note of a file with one name
  fs::create_hard_link(at("s/x"), at("s/z"));  // so many names as when they were sought
  expect_done(Kind::kFlush);
  EXPECT_TRUE(fs::equivalent(at("t/x"), at("t/z")));
}

TEST_F(LivePair, ACompareJoinsNamesWhoseFirstOneIsInALaterFolder) {
  write("s/a/deep/x", "text");
  fs::create_hard_link(at("s/a/deep/x"), at("s/b"));
  start();
  expect_done(Kind::kRun);
  for (const char* name : {"a/deep/x", "b"}) {
    fs::remove(at(std::string("t/") + name));
    write(std::string("t/") + name, "text");
    fs::last_write_time(at(std::string("t/") + name), fs::last_write_time(at(std::string("s/") + name)));
  }
  expect_done(Kind::kRun);
  EXPECT_TRUE(fs::equivalent(at("t/a/deep/x"), at("t/b")));
  EXPECT_EQ(differences(), "");
}

TEST_F(LivePair, WhatIsMadeAnewIsNoOtherNameOfWhatWasThere) {
  const auto inode = [&](const char* name) {
    struct stat st {};
    EXPECT_EQ(::lstat(at(name).c_str(), &st), 0);
    return st.st_ino;
  };
  fs::create_symlink("somewhere", at("s/a"));
  fs::create_hard_link(at("s/a"), at("s/b"));
  start();
  expect_done(Kind::kRun);
  EXPECT_EQ(inode("t/a"), inode("t/b"));
  fs::remove(at("s/a"));
  fs::create_symlink("somewhere", at("s/a"));
  expect_done(Kind::kFlush);
  EXPECT_NE(inode("t/a"), inode("t/b"));
  EXPECT_EQ(differences(), "");
}

TEST_F(LivePair, ACompareSplitsWhatIsJoinedAtTheTargetAlone) {
  // Alike but for that.
  const timespec times[2] = {{1, 2}, {3, 4}};
  for (const char* name : {"s/a", "s/b"}) {
    fs::create_symlink("somewhere", at(name));
    ASSERT_EQ(::utimensat(AT_FDCWD, at(name).c_str(), times, AT_SYMLINK_NOFOLLOW), 0);
  }
  start();
  expect_done(Kind::kRun);
  fs::remove(at("t/b"));
  fs::create_hard_link(at("t/a"), at("t/b"));
  expect_done(Kind::kRun);
  struct stat a {
  }, b{};
  ASSERT_EQ(::lstat(at("t/a").c_str(), &a), 0);
  ASSERT_EQ(::lstat(at("t/b").c_str(), &b), 0);
  EXPECT_NE(a.st_ino, b.st_ino);
  EXPECT_EQ(differences(), "");
}

// A large file whose connection breaks in the middle.
class BrokenTransfer : public LivePair {
 protected:
  static constexpr size_t kSize = size_t{48} << 20;
  static constexpr size_t kBreak = size_t{32} << 20;

  static std::string noise(size_t size, unsigned seed) {
    std::mt19937_64 random(seed);
    std::string text(size, '\0');
    for (size_t i = 0; i + 8 <= size; i += 8) {
      const uint64_t word = random();
      std::memcpy(text.data() + i, &word, 8);
    }
    return text;
  }
  // Both are equal, with one file; then `change` is sent, breaks, and goes on after `meanwhile`. What went
  // over the wire.
  uint64_t sent(
      const std::function<void()>& change, const std::function<void()>& meanwhile = [] {}) {
    write("s/other", "nothing");
    start();
    expect_done(Kind::kRun);
    const uint64_t before = two_->wire_bytes();
    two_->break_after(kBreak);
    change();
    await_break();
    meanwhile();
    two_->find_peer();
    expect_done(Kind::kRun);
    EXPECT_EQ(differences(), "");
    return two_->wire_bytes() - before;
  }
  // At once and whole: nothing is sent of it before.
  void put(const std::string& path, const std::string& text) const {
    write("aside", text);
    fs::rename(at("aside"), at(path));
  }
  void await_break() const {
    while (two_->unasked().empty()) ::usleep(1000);
  }
};

TEST_F(BrokenTransfer, GoesOnWhereItBroke) {
  const uint64_t wire = sent([&] { put("s/large", noise(kSize, 1)); });
  EXPECT_LT(wire, kSize + (size_t{4} << 20));
}

TEST_F(BrokenTransfer, AnotherVersionIsBuiltUponWhatIsThere) {
  std::string text = noise(kSize, 2);
  const uint64_t wire = sent([&] { put("s/large", text); },
                             [&] {
                               text.replace(size_t{8} << 20, 20, "a word in the middle");
                               put("s/large", text + noise(size_t{2} << 20, 3));
                             });
  EXPECT_LT(wire, kSize + (size_t{8} << 20));
}

// Blocks that occur again and again are copied from where they had been, and it may have been written over.
TEST_F(BrokenTransfer, WhatHasBeenWrittenOverIsNotCopied) {
  const std::string block = noise(size_t{1} << 20, 4);
  std::string text = noise(kSize, 5);
  text.replace(0, block.size(), block);
  text.replace(size_t{20} << 20, block.size(), block);
  (void)sent([&] { put("s/large", text); },
             [&] {
               std::string other = noise(size_t{2} << 20, 6) + text.substr(size_t{1} << 20);
               other.replace(size_t{30} << 20, block.size(), block);
               put("s/large", other);
             });
}

TEST_F(BrokenTransfer, AVersionWithEverythingShiftedArrivesToo) {
  const std::string text = noise(kSize, 9);
  (void)sent([&] { put("s/large", text); }, [&] { put("s/large", "some words before" + text); });
}

TEST_F(BrokenTransfer, WhatIsRenamedMeanwhileArrivesToo) {
  (void)sent([&] { put("s/large", noise(kSize, 10)); }, [&] { fs::rename(at("s/large"), at("s/renamed")); });
}

TEST_F(BrokenTransfer, WhatIsGoneMeanwhileIsNotKept) {
  (void)sent([&] { put("s/large", noise(kSize, 7)); }, [&] { fs::remove(at("s/large")); });
  put("s/large", noise(size_t{8} << 20, 8));
  expect_done(Kind::kRun);
  EXPECT_EQ(differences(), "");
}

// A large file to which something happens when half of it has been sent.
class ChangedWhileSent : public BrokenTransfer {
 protected:
  void expect_equal_after(const std::function<void()>& meanwhile) {
    write("s/folder/large", "an older version");
    write("s/folder/other", "nothing");
    start();
    expect_done(Kind::kRun);
    std::atomic<bool> happened = false;
    two_->when_sent(kSize / 2, [&] {
      meanwhile();
      happened = true;
    });
    put("s/folder/large", noise(kSize, 11));
    while (!happened) ::usleep(1000);
    expect_done(Kind::kFlush);
    EXPECT_EQ(differences(), "");
  }
};

TEST_F(ChangedWhileSent, ARenamedFileArrivesWhole) {
  expect_equal_after([&] { fs::rename(at("s/folder/large"), at("s/folder/renamed")); });
}

TEST_F(ChangedWhileSent, ItsOldNameMayBeTakenAtOnce) {
  expect_equal_after([&] {
    fs::rename(at("s/folder/large"), at("s/folder/renamed"));
    put("s/folder/large", noise(size_t{4} << 20, 12));
  });
}

TEST_F(ChangedWhileSent, ItMayTakeThePlaceOfAnother) {
  expect_equal_after([&] { fs::rename(at("s/folder/large"), at("s/folder/other")); });
}

TEST_F(ChangedWhileSent, TwoFilesMayChangeTheirNames) {
  expect_equal_after([&] {
    const int swapped = ::renameat2(AT_FDCWD, at("s/folder/large").c_str(), AT_FDCWD,
                                    at("s/folder/other").c_str(), RENAME_EXCHANGE);
    EXPECT_EQ(swapped, 0);
  });
}

TEST_F(ChangedWhileSent, ItsFolderMayBeRenamedAndMadeAnew) {
  expect_equal_after([&] {
    fs::rename(at("s/folder"), at("s/moved"));
    write("s/folder/large", "another one");
  });
}

TEST_F(ChangedWhileSent, AnotherMayTakeItsPlace) {
  expect_equal_after([&] { put("s/folder/large", noise(kSize, 13)); });
}

TEST_F(ChangedWhileSent, ItMayBeWrittenInTheMiddleOrCutOff) {
  expect_equal_after([&] {
    std::fstream file(at("s/folder/large"), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(1000);
    file << "written behind the reader's back";
  });
  two_.reset();
  expect_equal_after([&] { fs::resize_file(at("s/folder/large"), kSize / 4); });
}

TEST_F(ChangedWhileSent, ItMayBeRemoved) {
  expect_equal_after([&] { fs::remove(at("s/folder/large")); });
}

TEST_F(LivePair, AfterKillsAndBreaksARunMakesBothEqual) {
  start();
  expect_done(Kind::kRun);
  std::mt19937 random(5);
  for (int round = 0; round < 6; ++round) {
    std::thread writer([&, seed = random()] {
      std::mt19937 dice(static_cast<unsigned>(seed));
      for (int i = 0; i < 60; ++i) {
        const std::string folder = "s/d" + std::to_string(dice() % 4);
        write(folder + "/f" + std::to_string(dice() % 20),
              std::string(dice() % 9000, static_cast<char>('a' + i % 26)));
        std::error_code ignored;
        if (i % 7 == 0) fs::rename(at(folder), at("s/e" + std::to_string(dice() % 4)), ignored);
        if (i % 11 == 0) fs::remove_all(at("s/e" + std::to_string(dice() % 4)), ignored);
      }
    });
    if (round % 2 == 0)
      two_->kill_target();
    else
      two_->break_connection();
    writer.join();
    expect_done(Kind::kRun);
    EXPECT_EQ(differences(), "") << "round " << round;
  }
}

class ReturnOfThePeer : public LivePair {
 protected:
  void SetUp() override {
    LivePair::SetUp();
    if (IsSkipped()) return;
    for (int i = 0; i < 400; ++i) write("s/folder" + std::to_string(i) + "/f", "text");
    start();
    expect_done(Kind::kRun);
  }
  uint64_t wire_of_a_run() {
    const uint64_t before = two_->wire_bytes();
    expect_done(Kind::kRun);
    return two_->wire_bytes() - before;
  }
  static constexpr uint64_t kDigests = 400 * 40;  // a compare sends more than that
};

TEST_F(ReturnOfThePeer, CostsWhatHasChanged) {
  two_->lose_peer();
  write("s/folder1/f", "changed");
  write("s/folder2/new", "made");
  fs::remove(at("s/folder3/f"));
  fs::rename(at("s/folder4"), at("s/renamed"));
  two_->find_peer();
  EXPECT_LT(wire_of_a_run(), kDigests / 4);
  EXPECT_EQ(differences(), "");
  EXPECT_GT(wire_of_a_run(), kDigests);  // an order to run while it follows is an order to compare
  EXPECT_EQ(differences(), "");
}

// Every name says that it was written.
TEST_F(ReturnOfThePeer, SendsAFileOfManyNamesOnce) {
  constexpr size_t kSize = 100'000;
  std::mt19937 random(7);
  std::string text(kSize, '\0');
  for (char& c : text) c = static_cast<char>(random());
  write("s/folder1/many", text);
  for (int i = 0; i < 40; ++i)
    fs::create_hard_link(at("s/folder1/many"), at("s/folder" + std::to_string(i) + "/name"));
  expect_done(Kind::kRun);
  two_->lose_peer();
  for (int i = 0; i < 40; ++i)
    std::ofstream(at("s/folder" + std::to_string(i) + "/name"), std::ios::app) << "written by its name " << i;
  two_->find_peer();
  EXPECT_LT(wire_of_a_run(), 2 * kSize);
  EXPECT_EQ(differences(), "");
}

// The order to remove the old folder is lost with the connection, and what is there now has the same name.
TEST_F(ReturnOfThePeer, EmptiesAFolderThatWasMadeAnew) {
  two_->swallow();
  const uint64_t before = two_->wire_bytes();
  fs::rename(at("s/folder5"), at("taken out"));  // nobody says what was in it
  write("s/folder5/new", "made");
  while (two_->wire_bytes() == before) std::this_thread::yield();
  two_->lose_peer();
  two_->find_peer();
  expect_done(Kind::kFlush);
  EXPECT_EQ(differences(), "");
}

// What nobody vouches for is compared.
TEST_F(ReturnOfThePeer, ComparesEverythingIfTheTargetWasKilled) {
  two_->kill_target();
  two_->lose_peer();
  write("t/folder7/f", "wrong");
  two_->find_peer();
  EXPECT_GT(wire_of_a_run(), kDigests);
  EXPECT_EQ(differences(), "");
}

TEST_F(ReturnOfThePeer, ComparesEverythingIfTheSourceIsANewOne) {
  write("t/folder7/f", "wrong");
  start();
  EXPECT_GT(wire_of_a_run(), kDigests);
  EXPECT_EQ(differences(), "");
}

TEST_F(ReturnOfThePeer, HaltsAtAnEmptiedRoot) {
  two_->lose_peer();
  for (const auto& entry : fs::directory_iterator(at("s"))) fs::remove(entry.path() / "f");
  two_->find_peer();
  EXPECT_EQ(order(Kind::kRun).outcome, Outcome::kHalted);
  EXPECT_EQ(read("t/folder9/f"), "text");
}

// A root that held no file gets its first one, which arrives; no answer comes back, and the root is emptied.
class EmptiedUnheard : public LivePair {
 protected:
  void SetUp() override {
    LivePair::SetUp();
    if (IsSkipped()) return;
    fs::create_directories(at("s/folder"));
    start();
    expect_done(Kind::kRun);
    two_->swallow();
    const uint64_t before = two_->wire_bytes();
    write("s/file", std::string(5000, 'f'));
    while (two_->wire_bytes() < before + 5000) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    write("t/file", std::string(5000, 'f'));
    fs::remove(at("s/file"));
  }
};

TEST_F(EmptiedUnheard, HaltsWhenTheConnectionReturns) {
  two_->break_connection();
  EXPECT_EQ(order(Kind::kRun).outcome, Outcome::kHalted);
  EXPECT_EQ(read("t/file").size(), 5000U);
}

TEST_F(EmptiedUnheard, HaltsWhenTheSourceIsANewOne) {
  start();
  EXPECT_EQ(order(Kind::kRun).outcome, Outcome::kHalted);
  EXPECT_EQ(read("t/file").size(), 5000U);
  EXPECT_EQ(order(Kind::kRun, true).outcome, Outcome::kDone);
  EXPECT_FALSE(fs::exists(at("t/file")));
}

TEST_F(LivePair, AFolderOfAnEmptiedRootIsNotComparedToItsDisaster) {
  // Nobody has said that what the target alone has was deleted here.
  write("s/d/f", "text");
  start();
  expect_done(Kind::kRun);
  // Whoever hears of the deletion before there is the new folder carries it as what it is: then once more.
  for (int round = 0; round < 100; ++round) {
    write("s/d/f", "text");
    expect_done(Kind::kFlush);
    write("t/d/more", "known to the target alone");
    fs::remove_all(at("s/d"));
    fs::create_directories(at("s/d"));
    if (order(Kind::kFlush).outcome != Outcome::kHalted) continue;
    EXPECT_EQ(read("t/d/more"), "known to the target alone");
    return;
  }
  FAIL() << "it never halted";
}

TEST_F(ReturnOfThePeer, ForgetsNothingOfManyBreaks) {
  std::mt19937 random(11);
  for (int round = 0; round < 6; ++round) {
    std::thread writer([&, seed = random()] {
      std::mt19937 dice(static_cast<unsigned>(seed));
      const auto any = [&] {
        return "s/folder" + std::to_string(dice() % 6) + "/g" + std::to_string(dice() % 9);
      };
      for (int i = 0; i < 150; ++i) {
        std::error_code ignored;
        switch (dice() % 4) {
          case 0:
            fs::remove_all(at(any()), ignored);
            break;
          case 1:
            fs::rename(at(any()), at(any()), ignored);
            break;
          case 2:
            write(any() + "d/f", std::string(dice() % 700'000, 'x'));
            break;
          default:
            write(any(), std::string(dice() % 9000, static_cast<char>('a' + i % 26)));
        }
      }
    });
    if (round % 2 == 0) {
      two_->swallow();
      writer.join();
    }
    two_->lose_peer();
    two_->find_peer();
    if (writer.joinable()) writer.join();
    expect_done(Kind::kFlush);
    EXPECT_EQ(differences(), "") << "round " << round;
  }
}

TEST_F(ReturnOfThePeer, AfterAPauseCostsWhatHasChanged) {
  two_->pause();
  write("s/folder1/f", "changed");
  fs::remove(at("s/folder3/f"));
  EXPECT_EQ(read("t/folder1/f"), "text");
  EXPECT_LT(wire_of_a_run(), kDigests / 4);
  EXPECT_EQ(differences(), "");
}

TEST_F(LivePair, APauseBreaksACompareOff) {
  for (int i = 0; i < 50; ++i) write("s/f" + std::to_string(i), std::string(100'000, 'x'));
  start();
  two_->begin(Kind::kRun);
  two_->pause();
  expect_done(Kind::kRun);
  EXPECT_EQ(differences(), "");
}

class Scrubbing : public LivePair {
 protected:
  // What was written just now is left out: until it is compared, too.
  MirrorReport scrub_all() {
    MirrorReport report = two_->scrub();
    while (report.scrub.skipped > 0) report = two_->scrub();
    return report;
  }
  // As a disk does it: nothing is told of it, neither by the time nor by anybody.
  void damage(const std::string& path, off_t offset) const {
    struct stat st {};
    ASSERT_EQ(::stat(at(path).c_str(), &st), 0);
    const Fd fd(::open(at(path).c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_EQ(::pwrite(fd.get(), "!", 1, offset), 1);
    const timespec times[2] = {st.st_atim, st.st_mtim};
    ASSERT_EQ(::utimensat(AT_FDCWD, at(path).c_str(), times, 0), 0);
  }
};

TEST_F(Scrubbing, FindsAndRepairsWhatNothingElseSees) {
  write("s/a/small", "small");
  write("s/a/large", std::string(5'000'000, 'l'));
  write("s/empty", "");
  start();
  expect_done(Kind::kRun);
  MirrorReport report = scrub_all();
  EXPECT_EQ(report.scrub.differed, 0U);
  EXPECT_EQ(report.scrub.files, 3U);
  EXPECT_EQ(report.scrub.bytes, 5'000'005U);
  EXPECT_EQ(report.scrub.total, 5'000'005U);
  const int64_t proved = report.scrub.proved;
  EXPECT_GT(proved, 0);
  damage("t/a/small", 2);
  damage("t/a/large", 3'000'000);
  expect_done(Kind::kFlush);
  EXPECT_NE(differences(), "");
  report = two_->scrub();
  EXPECT_EQ(report.scrub.differed, 2U) << "skipped " << report.scrub.skipped;
  EXPECT_EQ(report.scrub.found, at("s/a/large") + ", " + at("s/a/small"));
  EXPECT_EQ(report.scrub.proved, proved);  // not anew
  expect_done(Kind::kFlush);
  EXPECT_EQ(differences(), "");
  report = scrub_all();
  EXPECT_EQ(report.scrub.differed, 0U);
  EXPECT_GE(report.scrub.proved, proved);
  start();  // remembered
  expect_done(Kind::kRun);
  EXPECT_EQ(order(Kind::kFlush).scrub.proved, report.scrub.proved);
}

TEST_F(Scrubbing, TakesNoChangeForADifference) {
  for (int i = 0; i < 40; ++i) write("s/f" + std::to_string(i), std::string(30'000, 'x'));
  start();
  expect_done(Kind::kRun);
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    std::mt19937 dice(3);
    while (!stop) {
      write("s/f" + std::to_string(dice() % 40), std::string(30'000, static_cast<char>('a' + dice() % 26)));
    }
  });
  for (int i = 0; i < 3; ++i) EXPECT_EQ(two_->scrub().scrub.differed, 0U);
  stop = true;
  writer.join();
  expect_done(Kind::kFlush);
  EXPECT_EQ(scrub_all().scrub.differed, 0U);
}

TEST_F(Scrubbing, GoesOnWhereABrokenConnectionEndedIt) {
  for (int i = 0; i < 60; ++i) write("s/f" + std::to_string(i), std::string(30'000, 'x'));
  start();
  expect_done(Kind::kRun);
  (void)scrub_all();
  start(1, 600'000);  // 1.8 MB in three seconds
  expect_done(Kind::kRun);
  damage("t/f9", 200);  // the last one
  two_->begin_scrub();
  while (!two_->last_progress() || two_->last_progress()->scrub.files < 20) std::this_thread::yield();
  const uint64_t before = two_->last_progress()->scrub.files;
  two_->break_connection();
  const MirrorReport report = two_->await_scrub();
  EXPECT_EQ(report.scrub.files, 60U) << "broken after " << before;
  EXPECT_EQ(report.scrub.differed, 1U);
}

TEST_F(LivePair, AReturningNodeLosesNothing) {
  write("s/both", "both have this");
  write("s/mine", "agreed");
  start();
  expect_done(Kind::kRun);
  two_.reset();
  // The source died after changes that did not get through; the other one has served since.
  write("s/mine", "not mirrored");
  write("s/fresh", "neither");
  write("t/both", "the new active node wrote this");
  start_back(2);
  // A plain run becomes a resync by itself. Confirmed: with the roles, what is mounted where has changed
  // places in this test.
  const MirrorReport run = order(Kind::kRun, true);
  EXPECT_EQ(run.outcome, Outcome::kDone) << run.detail;
  EXPECT_EQ(differences(), "");
  EXPECT_EQ(run.lost, 2U);
  ASSERT_FALSE(run.backup_set.empty());
  const std::string set = "state/target/backups/web/" + run.backup_set + "/files" + root_;
  EXPECT_EQ(read(set + "/s/mine"), "not mirrored");
  EXPECT_EQ(read(set + "/s/fresh"), "neither");
  EXPECT_EQ(read(set + "/s/both"), "both have this");
}

TEST_F(LivePair, AnEmptiedRootHaltsTheMirror) {
  write("s/a", "1");
  write("s/b", "2");
  start();
  expect_done(Kind::kRun);
  two_.reset();
  fs::remove(at("s/a"));
  fs::remove(at("s/b"));
  start();
  EXPECT_EQ(order(Kind::kRun).outcome, Outcome::kHalted);
  EXPECT_EQ(read("t/a"), "1");
  const MirrorReport confirmed = order(Kind::kRun, true);
  EXPECT_EQ(confirmed.outcome, Outcome::kDone) << confirmed.detail;
  EXPECT_FALSE(fs::exists(at("t/a")));
}

class ByName : public LivePair {
 protected:
  void SetUp() override {
    LivePair::SetUp();
    if (IsSkipped()) return;
    ids("source", "web42:x:1001:1001::/:\nbob:x:1002:1002::/:\n", "web42:x:1001:\nbob:x:1002:\n");
    ids("target", "bob:x:1001:1001::/:\nweb42:x:2005:2005::/:\n", "bob:x:1001:\nweb42:x:2005:\n");
  }
};

TEST_F(ByName, OwnersArriveByNameAndAreFollowed) {
  write("s/d/small", "one");
  write("s/d/large", std::string(700'000, 'y'));
  fs::create_symlink("small", at("s/d/link"));
  for (const char* path : {"s/d", "s/d/small", "s/d/large", "s/d/link"}) give(path, 1001, 1001);
  write("s/of-bob", "bob's");
  give("s/of-bob", 1002, 1001);
  write("s/nameless", "nobody's");
  give("s/nameless", 70'000, 0);
  start_by_name();
  expect_done(Kind::kRun);
  for (const char* path : {"t/d", "t/d/small", "t/d/large", "t/d/link"}) EXPECT_EQ(owner(path), "2005:2005");
  EXPECT_EQ(owner("t/of-bob"), "1001:2005");
  EXPECT_EQ(owner("t/nameless"), "70000:0");
  give("s/d/small", 1002, 1002);
  write("s/new", "new");
  give("s/new", 1001, 0);
  write("s/d/large", std::string(700'000, 'y') + "z");
  expect_done(Kind::kFlush);
  EXPECT_EQ(owner("t/d/small"), "1001:1001");
  EXPECT_EQ(owner("t/new"), "2005:0");
  EXPECT_EQ(owner("t/d/large"), "2005:2005");
  EXPECT_EQ(read("t/d/large"), read("s/d/large"));
}

TEST_F(ByName, WhatIsTheSameByNameIsNotSentAgain) {
  for (int i = 0; i < 500; ++i) {
    const std::string path = "s/d" + std::to_string(i % 5) + "/f" + std::to_string(i);
    write(path, "text");
    give(path, i % 2 == 0 ? 1001 : 1002, 1001);
  }
  give("s/d1", 1001, 1001);
  start_by_name();
  expect_done(Kind::kRun);
  start_by_name();  // both ends anew
  const MirrorReport r = order(Kind::kRun);
  EXPECT_EQ(r.outcome, Outcome::kDone) << r.detail;
  EXPECT_EQ(r.files, 0U);
  EXPECT_EQ(r.bytes, 0U);
  EXPECT_LT(two_->wire_bytes(), 4000U) << "digests alone: nothing is listed";
  // The way back: the other node's numbers are the source's now, and nothing has changed there either.
  two_.reset();
  fs::rename(at("ids/source"), at("ids/x"));
  fs::rename(at("ids/target"), at("ids/source"));
  fs::rename(at("ids/x"), at("ids/target"));
  start_back(2);
  start_by_name(2);
  const MirrorReport back = order(Kind::kResync, true);  // the roots are mounted otherwise in this test
  EXPECT_EQ(back.outcome, Outcome::kDone) << back.detail;
  EXPECT_EQ(back.files, 0U);
  EXPECT_EQ(back.lost, 0U);
  EXPECT_EQ(owner("s/d0/f0"), "2005:2005");
  EXPECT_EQ(owner("t/d0/f0"), "1001:1001");
}

TEST_F(ByName, TheSameNumberWithAnotherNameDiffers) {
  write("s/f", "text");
  write("t/f", "text");
  give("s/f", 1001, 0);  // web42
  give("t/f", 1001, 0);  // bob
  fs::last_write_time(at("t/f"), fs::last_write_time(at("s/f")));
  start_by_name();
  expect_done(Kind::kRun);
  EXPECT_EQ(owner("t/f"), "2005:0");
}

TEST_F(ByName, AnUnknownUserIsRefusedInWordsUntilHeExists) {
  ids("source", "web42:x:1001:1001::/:\nalice:x:1003:1003::/:\n");
  ids("target", "eve:x:1003:1003::/:\n");
  write("s/plain", "root's");
  write("s/of-alice", "hers");
  write("s/large", std::string(700'000, 'y'));
  fs::create_directories(at("s/d"));
  for (const char* path : {"s/of-alice", "s/large", "s/d"}) give(path, 1003, 0);
  start_by_name();
  const MirrorReport r = order(Kind::kRun);
  EXPECT_EQ(r.outcome, Outcome::kFailed);
  EXPECT_NE(r.detail.find("user alice does not exist on serv2: create it there, or write ids = \"numeric\""),
            std::string::npos)
      << r.detail;
  EXPECT_EQ(r.detail.substr(0, 20), "3 files wait at serv") << r.detail;
  EXPECT_EQ(owner("t/plain"), "0:0");
  for (const char* path : {"t/of-alice", "t/large", "t/d"}) EXPECT_EQ(owner(path), "absent") << path;
  ids("target", "eve:x:1003:1003::/:\nalice:x:3000:3000::/:\n");
  // They are tried again by themselves; a flush does not wait for what is in trouble.
  MirrorReport flushed = order(Kind::kFlush);
  for (int i = 0; i < 80 && flushed.outcome != Outcome::kDone; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    flushed = order(Kind::kFlush);
  }
  EXPECT_EQ(flushed.outcome, Outcome::kDone) << flushed.detail;
  for (const char* path : {"t/of-alice", "t/large", "t/d"}) EXPECT_EQ(owner(path), "3000:0") << path;
}

// What is refused is not taken away either, and is in the backup set once it is.
TEST_F(ByName, AResyncIsNotThroughBeforeEveryOwnerIsKnown) {
  ids("source", "alice:x:1003:1003::/:\n");
  write("s/f", "the active node's");
  write("t/f", "the returned node's");
  give("s/f", 1003, 0);
  start_by_name();
  const MirrorReport r = order(Kind::kResync);
  EXPECT_EQ(r.outcome, Outcome::kFailed);
  EXPECT_NE(r.detail.find("user alice does not exist on serv2"), std::string::npos) << r.detail;
  EXPECT_EQ(read("t/f"), "the returned node's");
  ids("target", "alice:x:3000:3000::/:\n");
  expect_done(Kind::kResync);
  EXPECT_EQ(read("t/f"), "the active node's");
  EXPECT_EQ(owner("t/f"), "3000:0");
  size_t kept = 0;
  for (const auto& entry : fs::recursive_directory_iterator(at("state/target/backups")))
    if (entry.path().filename() == "f")
      kept += read(fs::relative(entry.path(), root_)) == "the returned node's";
  EXPECT_EQ(kept, 1U);
}

TEST_F(ByName, AUserWhoIsCreatedAtTheSourceIsToldBeforeHisFirstFile) {
  write("s/f", "text");
  start_by_name();
  expect_done(Kind::kRun);
  ids("target", "carol:x:5000:5000::/:\n");
  ids("source", "carol:x:4000:4000::/:\n");
  write("s/of-carol", "hers");
  give("s/of-carol", 4000, 0);
  expect_done(Kind::kFlush);
  EXPECT_EQ(owner("t/of-carol"), "5000:0");
}

TEST_F(ByName, ALargeTableGoesOverInParts) {
  std::string passwd;
  for (int i = 0; i < 2'500; ++i)
    passwd += "user" + std::to_string(i) + ":x:" + std::to_string(10'000 + i) + ":0::/:\n";
  ids("source", passwd);
  ids("target", "user2499:x:77:0::/:\n");
  write("s/f", "text");
  give("s/f", 12'499, 0);
  start_by_name();
  expect_done(Kind::kRun);
  EXPECT_EQ(owner("t/f"), "77:0");
}

// A source that means ill: nothing outside of the roots changes, whatever it says.
class HostileSource : public LivePair {
 protected:
  // Sends the frames to a target of its own; returns its frames.
  std::vector<ml::TargetFrame> tell(
      const std::vector<ml::SourceFrame>& frames, const std::function<void()>& afterwards = [] {},
      Ids ids = Ids::kNumeric) {
    auto pair = channel_pair();
    EXPECT_TRUE(pair.has_value());
    MirrorConfig mirror;
    mirror.name = "data";
    mirror.paths = {at("t") + "/"};
    mirror.ids = ids;
    ServiceConfig service;
    service.name = "web";
    MirrorPaths paths;
    paths.state_dir = at("state/target");
    paths.node = "serv2";
    fs::create_directories(paths.state_dir);
    std::thread target([&] {
      (void)serve_live(*pair->second, {service, mirror, paths, Epoch(1), "serv1"});
      pair->second->close();
      afterwards();  // as the target: with all that it may do, and no more
    });
    live::Outbox<ml::SourceFrame> out(*pair->first);
    (void)out.put(ml::Hello{});
    (void)out.flush();
    for (const auto& frame : frames) (void)out.put(frame);
    (void)out.flush();
    std::vector<ml::TargetFrame> answers;
    uint64_t last = 0;
    for (const auto& frame : frames) {
      std::visit(
          [&](const auto& f) {
            if constexpr (requires { f.number; }) last = f.number;
          },
          frame);
    }
    for (bool acked = last == 0; !acked;) {
      auto message = pair->first->receive();
      if (!message || !*message) break;
      ByteReader in(live::bytes_of(**message));
      for (auto frame = ml::read_target_frame(in); frame && *frame; frame = ml::read_target_frame(in)) {
        const auto* ack = std::get_if<ml::Acked>(&**frame);
        acked = acked || (ack && ack->number >= last);
        answers.push_back(std::move(**frame));
      }
    }
    pair->first->close();
    target.join();
    return answers;
  }
  static ml::Status plain() {
    ml::Status s;
    s.mode = 0644;
    return s;
  }
  static size_t failures(const std::vector<ml::TargetFrame>& answers) {
    return static_cast<size_t>(std::count_if(answers.begin(), answers.end(), [](const auto& frame) {
      return std::holds_alternative<ml::Failed>(frame);
    }));
  }
};

TEST_F(HostileSource, WritesOnlyBelowTheRoots) {
  write("outside", "safe");
  fs::create_directories(at("out"));
  ml::Status link = plain();
  link.type = 'l';
  const auto answers =
      tell({ml::WholeFile{1, at("evil"), plain(), {}, {}}, ml::Remove{2, at("outside")},
            ml::Make{3, at("t/door"), link, {at("out"), {}}},
            ml::WholeFile{4, at("t/door/evil"), plain(), {}, {}}, ml::Rename{5, at("t/door"), at("escaped")},
            ml::Link{6, at("outside"), at("t/inside")}, ml::Remove{7, at("t")}});
  EXPECT_EQ(failures(answers), 6U);
  EXPECT_EQ(read("outside"), "safe");
  EXPECT_TRUE(fs::is_empty(at("out")));
  EXPECT_FALSE(fs::exists(at("evil")));
  EXPECT_FALSE(fs::exists(at("escaped")));
  EXPECT_TRUE(fs::is_symlink(at("t/door")));
}

// Not the resolution of paths alone: a target that was taken over by its source can write nowhere else.
TEST_F(HostileSource, TheTargetItselfIsConfined) {
  if (::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION) < 2)
    GTEST_SKIP() << "no Landlock in this kernel";
  write("outside", "safe");
  fs::create_directories(at("t/folder"));
  const auto error = [](const std::string& path, int flags) {
    const Fd fd(::open(path.c_str(), flags | O_CLOEXEC, 0600));
    return fd.valid() ? 0 : errno;
  };
  tell({ml::WholeFile{1, at("t/f"), plain(), {}, {}}}, [&] {
    EXPECT_EQ(error(at("outside"), O_WRONLY | O_TRUNC), EACCES);
    EXPECT_EQ(error(at("new"), O_WRONLY | O_CREAT), EACCES);
    EXPECT_EQ(error(at("state/target/new"), O_WRONLY | O_CREAT), EACCES);
    EXPECT_NE(::rename(at("t/f").c_str(), at("escaped").c_str()), 0);
    EXPECT_EQ(error(at("t/folder/new"), O_WRONLY | O_CREAT), 0);
    EXPECT_EQ(error(at("state/target/mirror/new"), O_WRONLY | O_CREAT), 0);
    EXPECT_EQ(error(at("outside"), O_RDONLY), 0);
  });
  EXPECT_EQ(read("outside"), "safe");
}

TEST_F(HostileSource, PartsThatDoNotFitAreNoFile) {
  write("t/f", "old");
  ml::Status big = plain();
  big.size = 100;
  const std::vector<uint8_t> bytes(50, 1);
  const auto answers =
      tell({ml::FileBegin{at("t/f"), big, {}, ml::FileBegin::Base::kKnown, 3}, ml::FileEnd{1, true},
            ml::FileBegin{at("t/f"), big, {}, ml::FileBegin::Base::kNone, 0}, ml::FileData{80, bytes},
            ml::FileEnd{2, true}, ml::FileCopy{0, 0, 1}, ml::FileEnd{3, true}});
  EXPECT_EQ(failures(answers), 2U);
  EXPECT_EQ(read("t/f"), "old");
}

TEST_F(HostileSource, OwnersBeforeTheirNamesAreRefused) {
  const auto by_name = [&](const std::vector<ml::SourceFrame>& frames) {
    return tell(
        frames, [] {}, Ids::kName);
  };
  ml::Status big = plain(), folder = plain();
  big.size = 5;
  folder.type = 'd';
  EXPECT_EQ(failures(by_name(
                {ml::WholeFile{1, at("t/f"), plain(), {}, {}}, ml::Make{2, at("t/d"), folder, {}},
                 ml::FileBegin{at("t/g"), big, {}, ml::FileBegin::Base::kNone, 0}, ml::FileEnd{3, true}})),
            3U);
  EXPECT_TRUE(fs::is_empty(at("t")));
  // A table without its end is none; without its beginning, or with more than a node may have, it is
  // nonsense.
  EXPECT_EQ(failures(by_name({ml::Names{true, false, {}}, ml::WholeFile{1, at("t/f"), plain(), {}, {}}})),
            1U);
  EXPECT_EQ(failures(by_name({ml::Names{false, true, {}}, ml::WholeFile{1, at("t/f"), plain(), {}, {}}})), 0U)
      << "it has ended before";
  std::vector<ml::SourceFrame> endless;
  for (size_t i = 0; i <= ml::kMaxIds / ml::kMaxNames + 1; ++i)
    endless.push_back(ml::Names{i == 0, false, {std::vector<ml::NamedId>(ml::kMaxNames, {1, "x"}), {}}});
  endless.push_back(ml::WholeFile{1, at("t/f"), plain(), {}, {}});
  EXPECT_EQ(failures(by_name(endless)), 0U) << "it has ended before";
  tell({ml::Names{}, ml::WholeFile{1, at("t/f"), plain(), {}, {}}});  // nobody has asked for them
  EXPECT_TRUE(fs::is_empty(at("t")));
}

TEST_F(HostileSource, NonsenseEndsTheTarget) {
  EXPECT_EQ(failures(tell({ml::Digest{at("t"), {}}})), 0U);  // without a compare
  auto pair = channel_pair();
  MirrorConfig mirror;
  mirror.paths = {at("t") + "/"};
  ServiceConfig service;
  std::thread target([&] {
    EXPECT_NE(serve_live(*pair->second, {service, mirror, {}, Epoch(1), "serv1"}), 0);
  });
  const std::vector<std::byte> garbage(1000, std::byte{0xee});
  EXPECT_TRUE(pair->first->send(garbage));
  target.join();
}

}  // namespace
}  // namespace clusterd
