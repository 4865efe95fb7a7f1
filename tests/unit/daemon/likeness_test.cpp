// What the daemon keeps, and writes to the log, of what clusterd-config tells it of the services' likeness.
#include "daemon/likeness.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <array>

namespace clusterd {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class LikenessTest : public testing::Test {
 protected:
  LikenessTest() {
    if (::pipe(pipe_.data()) != 0) std::abort();
    config_.self = NodeId(size_t{1});
    config_.nodes[0].name = "serv1";
    config_.nodes[1].name = "serv2";
    config_.services.resize(2);
    config_.services[0].name = "mail";
    config_.services[1].name = "web";
    status_.services.resize(2);
    status_.services[1].here = Role::kStandby;
    log_ = std::make_unique<Log>(false, pipe_[1]);
    known_ = std::make_unique<LikenessKnown>(config_, *log_);
    file_.kind = always::Kind::kFile;
    file_.mode = 0755;
    file_.content = always::digest_of("x");
  }
  ~LikenessTest() override {
    log_.reset();
    ::close(pipe_[0]);
    if (pipe_[1] >= 0) ::close(pipe_[1]);
  }
  bool take(const alike::Items& mine, const alike::Items& theirs) {
    const alike::Service here{"w", mine}, there{"w", theirs};
    return known_->take(encoded(alike::Report{{"web", compare(here, &there)}}), status_).ok;
  }
  // All that was written; nothing is after that.
  std::string logged() {
    log_.reset();
    ::close(std::exchange(pipe_[1], -1));
    std::string all;
    std::array<char, 4096> chunk{};
    for (ssize_t n = 0; (n = ::read(pipe_[0], chunk.data(), chunk.size())) > 0;)
      all.append(chunk.data(), static_cast<size_t>(n));
    return all;
  }

  std::array<int, 2> pipe_{};
  Config config_;
  Status status_;
  always::Entry file_;
  std::unique_ptr<Log> log_;
  std::unique_ptr<LikenessKnown> known_;
};

TEST_F(LikenessTest, EachChangeIsLoggedOnceByTheStandby) {
  const alike::Items one{{"/a", {alike::What::kFile, file_}}}, none{{"/a", {alike::What::kFile, {}}}};
  EXPECT_TRUE(take(one, one));
  EXPECT_TRUE(take(none, one));
  EXPECT_TRUE(take(none, one));
  EXPECT_TRUE(take(one, one));
  EXPECT_EQ(logged(),
            "<4>standby-differs: web: serv2 could take it over, but: /a is not on serv2\n"
            "<5>standby-alike: web: what it needs is alike on serv2 and serv1 again\n");
}

TEST_F(LikenessTest, AnOwnersNumbersAreToldAsTheyAreOnEachNode) {
  alike::Word here, there;
  here.services["web"].owners.users = {1001};
  here.numbers = {true, {{"app", 1001}}, {}};
  there.services["web"];
  there.numbers = {true, {{"app", 1005}}, {}};
  const alike::Likeness likeness = compare("web", here, &there);
  ASSERT_EQ(likeness.differences.size(), 1U);
  EXPECT_TRUE(known_->take(encoded(alike::Report{{"web", likeness}}), status_).ok);
  // This is serv2.
  EXPECT_EQ(
      logged(),
      "<4>standby-differs: web: serv2 could take it over, but: user app is number 1005 on serv1, and 1001 "
      "on serv2\n");
}

TEST_F(LikenessTest, BothNodesUseTheSameWords) {
  always::Entry other = file_;
  other.mode = 0700;
  const alike::Difference here{alike::What::kFile, "/a", file_, other},
      there{alike::What::kFile, "/a", other, file_};
  Config theirs = config_;
  theirs.self = NodeId(size_t{0});
  EXPECT_EQ(text_of(config_, here), "/a differs (serv1: mode 0700, serv2: mode 0755)");
  EXPECT_EQ(text_of(theirs, there), text_of(config_, here));
}

TEST_F(LikenessTest, TheActiveNodeLogsNothing) {
  status_.services[1].here = Role::kActive;
  EXPECT_TRUE(take({{"/a", {alike::What::kFile, file_}}}, {{"/a", {alike::What::kFile, {}}}}));
  EXPECT_EQ(known_->report().at("web").differ, 1U) << "but knows it for `status`";
  EXPECT_EQ(logged(), "");
}

TEST_F(LikenessTest, WhatIsNotComparedIsNoNewsOfWhatIsAlike) {
  EXPECT_TRUE(take({{"/a", {alike::What::kFile, file_}}}, {{"/a", {alike::What::kFile, {}}}}));
  EXPECT_TRUE(known_->take(encoded(alike::Report{{"web", {false, "away", 0, 0, {}, {}}}}), status_).ok);
  EXPECT_TRUE(take({{"/a", {alike::What::kFile, file_}}}, {{"/a", {alike::What::kFile, {}}}}));
  EXPECT_EQ(logged(), "<4>standby-differs: web: serv2 could take it over, but: /a is not on serv1\n");
}

TEST_F(LikenessTest, MissingProgramsAreForTheCore) {
  EXPECT_TRUE(take({{"/a", {alike::What::kProgram, {}}}}, {{"/a", {alike::What::kProgram, file_}}}));
  EXPECT_THAT(known_->lacks(), ElementsAre(IsEmpty(), ElementsAre("/a does not exist")));
  EXPECT_EQ(logged(), "") << "the core tells of it";
}

TEST_F(LikenessTest, AProgramThatDifferedAndIsGoneIsNotAlikeAgain) {
  always::Entry other = file_;
  other.mode = 0711;
  const alike::Items theirs{{"/a", {alike::What::kProgram, file_}}};
  EXPECT_TRUE(take({{"/a", {alike::What::kProgram, other}}}, theirs));
  EXPECT_TRUE(take({{"/a", {alike::What::kProgram, {}}}}, theirs));
  EXPECT_TRUE(take(theirs, theirs));
  EXPECT_EQ(logged(),
            "<4>standby-differs: web: serv2 could take it over, but: /a differs (serv1: mode 0755, serv2: "
            "mode 0711)\n"
            "<5>standby-alike: web: what it needs is alike on serv2 and serv1 again\n");
}

TEST_F(LikenessTest, OfManyTheFirstAreNamed) {
  alike::Items mine, theirs;
  for (char name = 'a'; name < 'h'; ++name) {
    mine[std::string("/") + name] = {alike::What::kFile, file_};
    theirs[std::string("/") + name] = {alike::What::kFile, {}};
  }
  EXPECT_TRUE(take(mine, theirs));
  EXPECT_THAT(logged(),
              HasSubstr("/a is not on serv1; /b is not on serv1; /c is not on serv1; and 4 more\n"));
}

TEST_F(LikenessTest, WhatIsNoReportChangesNothing) {
  EXPECT_TRUE(take({{"/a", {alike::What::kFile, file_}}}, {{"/a", {alike::What::kFile, {}}}}));
  for (const char* text : {"", "{", "[]", R"({"services":{"web":7}})"})
    EXPECT_FALSE(known_->take(text, status_).ok);
  EXPECT_EQ(known_->report().at("web").differ, 1U);
  const alike::Report unknown{{"no such service", {true, "", 0, 0, {}, {}}}};
  EXPECT_TRUE(known_->take(encoded(unknown), status_).ok);
}

}  // namespace
}  // namespace clusterd
