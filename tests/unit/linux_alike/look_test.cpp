// What a service needs, looked at on a real file system; systemd's part is told by the test.
#include "linux/alike/look.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace clusterd::alike {
namespace {

namespace fs = std::filesystem;
using always::Entry;
using always::Kind;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Key;
using testing::UnorderedElementsAre;

class ToldLook final : public Look {
 public:
  std::map<std::string, Result<UnitFiles>> told;

 protected:
  Result<UnitFiles> unit_files(const std::string& unit) override { return told.at(unit); }
};

class Looking : public testing::Test {
 protected:
  Looking() {
    char name[] = "/var/tmp/alike-test-XXXXXX";
    root_ = ::mkdtemp(name);
    fs::create_directories(root_ + "/conf/sub");
  }
  ~Looking() override { fs::remove_all(root_); }

  [[nodiscard]] std::string at(const std::string& name) const { return root_ + "/" + name; }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(at(name), std::ios::binary) << text;
  }
  Items look(Wanted wanted) { return look_.at({{"web", std::move(wanted)}}).services.at("web").items; }
  Items look_at(std::vector<std::string> paths) {
    Wanted wanted;
    wanted.paths = std::move(paths);
    return look(wanted);
  }
  Entry one(const std::string& name) {
    const Items items = look_at({at(name)});
    return items.at(at(name)).entry;
  }

  std::string root_;
  ToldLook look_;
};

TEST_F(Looking, AFileIsWhatItContainsAndNothingIsAbsent) {
  write("a", "content");
  EXPECT_EQ(one("a").kind, Kind::kFile);
  EXPECT_EQ(one("a").content, always::digest_of("content"));
  EXPECT_EQ(one("a").size, 7U);
  EXPECT_EQ(one("b").kind, Kind::kAbsent);
  EXPECT_EQ(one("a/below a file").kind, Kind::kAbsent);
}

TEST_F(Looking, WhatIsListedByNameIsFollowed) {
  write("real", "content");
  fs::create_symlink("real", at("link"));
  fs::create_symlink("nowhere", at("broken"));
  EXPECT_EQ(one("link").content, always::digest_of("content"));
  EXPECT_EQ(one("broken").kind, Kind::kAbsent);
}

TEST_F(Looking, AFolderIsWalkedAndNoLinkInItIsFollowed) {
  write("secret", "not listed");
  write("conf/a", "a");
  write("conf/sub/b", "b");
  fs::create_symlink(at("secret"), at("conf/link"));
  fs::create_directory_symlink("/etc", at("conf/sub/etc"));
  ASSERT_EQ(::mkfifo(at("conf/pipe").c_str(), 0600), 0);
  const Items items = look_at({at("conf/")});
  EXPECT_THAT(items, UnorderedElementsAre(Key(at("conf")), Key(at("conf/a")), Key(at("conf/sub")),
                                          Key(at("conf/sub/b")), Key(at("conf/link")),
                                          Key(at("conf/sub/etc")), Key(at("conf/pipe"))));
  EXPECT_EQ(items.at(at("conf")).entry.kind, Kind::kFolder);
  EXPECT_EQ(items.at(at("conf/link")).entry.kind, Kind::kLink);
  EXPECT_EQ(items.at(at("conf/link")).entry.content, at("secret"));
  EXPECT_EQ(items.at(at("conf/pipe")).entry.kind, Kind::kSpecial) << "and nobody has waited for it";
}

TEST_F(Looking, AFifoInPlaceOfAFileIsNotWaitedFor) {
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  EXPECT_EQ(one("pipe").kind, Kind::kSpecial);
}

TEST_F(Looking, AFolderAndAFileAreListedEachInItsWay) {
  write("a", "a");
  EXPECT_THAT(one("conf").content, HasSubstr("listed without \"/\""));
  EXPECT_EQ(look_at({at("a/")}).at(at("a")).entry.kind, Kind::kOpaque);
}

TEST_F(Looking, TooManyFilesAreOneWordAndTakeNoRoomFromTheRest) {
  fs::create_directory(at("many"));
  for (size_t i = 0; i < kMaxItems; ++i) write("many/" + std::to_string(i), "");
  write("conf/a", "a");
  const Items items = look_at({at("many/"), at("conf/")});
  EXPECT_EQ(items.at(at("many")).entry.kind, Kind::kOpaque);
  EXPECT_EQ(items.at(at("many")).entry.content, "there is too much in it");
  EXPECT_TRUE(items.contains(at("conf/a")));
  EXPECT_EQ(items.size(), 4U);
}

TEST_F(Looking, WhatIsTooLongIsNotRead) {
  write("sparse", "");
  fs::resize_file(at("sparse"), kMaxFileBytes + 1);
  EXPECT_EQ(one("sparse").content, "it is longer than 512 MiB");
  EXPECT_EQ(look_.bytes_read(), 0U);
}

TEST_F(Looking, ContentIsReadOnceUntilItChanges) {
  // Long ago: what was changed within the last moments is read again, as its times may not tell.
  const std::string old = "/usr/bin/env";
  const Items first = look_at({old});
  const uint64_t read = look_.bytes_read();
  EXPECT_GT(read, 0U);
  EXPECT_EQ(look_at({old}), first);
  EXPECT_EQ(look_.bytes_read(), read);
}

TEST_F(Looking, AChangeWithinTheSameMomentIsSeen) {
  write("a", "one");
  const Entry before = one("a");
  struct stat info {};
  ASSERT_EQ(::stat(at("a").c_str(), &info), 0);
  write("a", "two");
  const timespec times[2] = {info.st_atim, info.st_mtim};
  ASSERT_EQ(::utimensat(AT_FDCWD, at("a").c_str(), times, 0), 0);
  EXPECT_NE(one("a").content, before.content) << "the same size and time of change of content";
}

TEST_F(Looking, AUnitIsItsFileItsDropInsAndItsPrograms) {
  write("web.service", "[Service]");
  write("x.conf", "[Service]");
  write("web", "program");
  UnitFiles files{
      "loaded", at("web.service"), "", {at("x.conf"), "/run/systemd/system/web.service.d/y.conf"}, {}};
  files.programs = {{at("web"), false}, {at("prepare"), true}, {at("gone"), false}};
  look_.told.emplace("web.service", files);
  Wanted wanted;
  wanted.units = {"web.service"};
  const Items items = look(wanted);
  EXPECT_THAT(items, UnorderedElementsAre(Key("web.service"), Key(at("x.conf")), Key(at("web")),
                                          Key(at("prepare")), Key(at("gone"))))
      << "what lies in /run is gone after a boot";
  EXPECT_EQ(items.at("web.service").entry.content, always::digest_of("[Service]"));
  EXPECT_EQ(items.at(at("x.conf")).what, What::kDropIn);
  EXPECT_EQ(items.at(at("prepare")).what, What::kFile) << "it may fail";
  EXPECT_TRUE(is_lack(items.at(at("gone")).what, items.at(at("gone")).entry));
}

TEST_F(Looking, AUnitThatIsNotThereIsAbsentAndOneThatIsMaskedOpaque) {
  look_.told.emplace("a.service", UnitFiles{"not-found", "", "", {}, {}});
  look_.told.emplace("b.service", UnitFiles{"masked", "/dev/null", "", {}, {}});
  Wanted wanted;
  wanted.units = {"a.service", "b.service"};
  const Items items = look(wanted);
  EXPECT_EQ(items.at("a.service").entry.kind, Kind::kAbsent);
  EXPECT_EQ(items.at("b.service").entry.content, "it is masked");
}

TEST_F(Looking, WhatSystemdSaidLastHoldsWhileItDoesNotAnswer) {
  const Result<UnitFiles> silent = fail(Code::kRetry, "no answer");
  look_.told.emplace("a.service", silent);
  Wanted wanted;
  wanted.units = {"a.service"};
  EXPECT_THAT(look(wanted), IsEmpty()) << "nothing is known of it";
  look_.told.insert_or_assign("a.service", UnitFiles{"not-found", "", "", {}, {}});
  EXPECT_THAT(look(wanted), UnorderedElementsAre(Key("a.service")));
  look_.told.insert_or_assign("a.service", silent);
  EXPECT_THAT(look(wanted), UnorderedElementsAre(Key("a.service")));
}

}  // namespace
}  // namespace clusterd::alike
