// What an administrator orders of a service's mirrors, from the command to the answer and the notice.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bench.hpp"

namespace clusterd {
namespace {

using testing::Bench;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Kind = MirrorReport::Kind;
using Outcome = MirrorReport::Outcome;

// An active node with two live mirrors and one by rsync.
class MirrorOrders : public ::testing::Test {
 protected:
  MirrorOrders() {
    auto& mirrors = bench_.config.services.front().mirrors;
    mirrors.resize(3);
    mirrors.at(0).name = "files";
    mirrors.at(1).name = "mail";
    mirrors.at(2).name = "copies";
    for (auto& mirror : mirrors) mirror.paths = {"/srv/" + mirror.name + "/"};
    mirrors.at(0).live = mirrors.at(1).live = true;
    bench_.become_active();
    EXPECT_EQ(bench_.role(), Role::kActive);
  }

  void report(size_t mirror, Kind kind, Outcome outcome, MirrorScrub scrub = {}) {
    MirrorReport event;
    event.service = Bench::web;
    event.mirror = MirrorId(mirror);
    event.epoch = bench_.disk.services.front().epoch;
    event.kind = kind;
    event.outcome = outcome;
    event.scrub = std::move(scrub);
    bench_.step(event);
  }
  void follow(size_t mirror) { report(mirror, Kind::kResync, Outcome::kDone); }

  // The orders that the command leads to: of which mirror, of which kind.
  std::vector<std::pair<size_t, Kind>> order(Command::Kind kind, const std::string& mirror = "") {
    const Actions actions =
        bench_.node->step(bench_.now, Command{kind, 7, Bench::web, std::nullopt, mirror, {}});
    EXPECT_EQ(actions.replies.size(), 1U);
    if (!actions.replies.empty()) answer_ = actions.replies.front();
    std::vector<std::pair<size_t, Kind>> out;
    for (const auto& each : actions.mirror_orders) out.emplace_back(each.mirror.at(), each.kind);
    return out;
  }

  // Answered as soon as the disk has it.
  bool confirms(const std::string& mirror) {
    bench_.replies.clear();
    bench_.step(Command{Command::Kind::kMirrorConfirm, 8, Bench::web, std::nullopt, mirror, {}});
    EXPECT_EQ(bench_.replies.size(), 1U);
    return !bench_.replies.empty() && bench_.replies.front().ok;
  }

  std::vector<std::string> told(const std::string& kind) {
    std::vector<std::string> out;
    for (const Notice& notice : bench_.notices) {
      if (notice.kind == kind) out.push_back(notice.text);
    }
    return out;
  }

  Bench bench_;
  Reply answer_;
};

TEST_F(MirrorOrders, AScrubIsOfTheLiveMirrorsThatFollow) {
  follow(0);
  follow(1);
  EXPECT_THAT(order(Command::Kind::kMirrorScrub),
              ElementsAre(std::pair(0, Kind::kScrub), std::pair(1, Kind::kScrub)));
  EXPECT_TRUE(answer_.ok);
  EXPECT_THAT(order(Command::Kind::kMirrorScrub, "mail"), ElementsAre(std::pair(1, Kind::kScrub)));
  EXPECT_TRUE(answer_.ok);
  EXPECT_THAT(order(Command::Kind::kMirrorScrub, "copies"), IsEmpty());
  EXPECT_FALSE(answer_.ok);
  EXPECT_THAT(answer_.text, HasSubstr("only live mirrors"));
  EXPECT_THAT(order(Command::Kind::kMirrorScrub, "none"), IsEmpty());
  EXPECT_FALSE(answer_.ok);
  EXPECT_THAT(answer_.text, HasSubstr("no mirror none"));
}

// What is refused has not begun.
TEST_F(MirrorOrders, AScrubIsOrderedOrRefusedAsAWhole) {
  follow(0);
  EXPECT_THAT(order(Command::Kind::kMirrorScrub), IsEmpty());
  EXPECT_FALSE(answer_.ok);
  EXPECT_THAT(answer_.text, HasSubstr("mail does not follow"));
  EXPECT_THAT(order(Command::Kind::kMirrorScrub, "files"), ElementsAre(std::pair(0, Kind::kScrub)));
  EXPECT_TRUE(answer_.ok);
}

TEST_F(MirrorOrders, TheEndOfAScrubIsTold) {
  follow(0);
  MirrorScrub scrub;
  scrub.running = true;
  scrub.files = 10;
  report(0, Kind::kResync, Outcome::kProgress, scrub);
  EXPECT_THAT(told("mirror-proved"), IsEmpty());
  scrub.running = false;
  scrub.ended = true;
  report(0, Kind::kResync, Outcome::kProgress, scrub);
  ASSERT_EQ(told("mirror-proved").size(), 1U);
  EXPECT_THAT(told("mirror-proved").back(), HasSubstr("10 files are equal"));
  EXPECT_THAT(told("mirror-proved").back(), Not(HasSubstr("not compared")));
  EXPECT_THAT(told("mirror-differed"), IsEmpty());
  scrub.differed = 1;
  scrub.skipped = 3;
  scrub.found = "/srv/files/x";
  report(0, Kind::kResync, Outcome::kProgress, scrub);
  ASSERT_EQ(told("mirror-differed").size(), 1U);
  EXPECT_THAT(told("mirror-differed").back(), HasSubstr("1 of 10 files differed"));
  EXPECT_THAT(told("mirror-differed").back(), HasSubstr("/srv/files/x; 3 changed meanwhile"));
  EXPECT_EQ(told("mirror-proved").size(), 1U);
}

TEST_F(MirrorOrders, APauseStopsWhatIsLiveAndIsEndedByName) {
  follow(0);
  EXPECT_THAT(order(Command::Kind::kMirrorPause, "none"), IsEmpty());
  EXPECT_FALSE(answer_.ok);
  EXPECT_THAT(order(Command::Kind::kMirrorResume, "files"), IsEmpty());
  EXPECT_FALSE(answer_.ok);
  EXPECT_THAT(answer_.text, HasSubstr("no mirror of web is paused"));
  EXPECT_THAT(order(Command::Kind::kMirrorPause, "files"), ElementsAre(std::pair(0, Kind::kPause)));
  EXPECT_TRUE(answer_.ok);
  EXPECT_THAT(order(Command::Kind::kMirrorPause, "files"), IsEmpty());  // it is paused already
  EXPECT_THAT(order(Command::Kind::kMirrorScrub, "files"), IsEmpty());
  EXPECT_FALSE(answer_.ok);
  // The others: one that has nothing to pause, since nothing of it runs by itself.
  EXPECT_THAT(order(Command::Kind::kMirrorPause), ElementsAre(std::pair(1, Kind::kPause)));
  EXPECT_THAT(order(Command::Kind::kMirrorResume, "none"), IsEmpty());
  EXPECT_FALSE(answer_.ok);
  (void)order(Command::Kind::kMirrorResume, "copies");
  EXPECT_TRUE(answer_.ok);
  const auto mirrors = bench_.node->status().services.front().mirrors;
  EXPECT_EQ(mirrors.at(0).state, MirrorStatus::State::kPaused);
  EXPECT_EQ(mirrors.at(1).state, MirrorStatus::State::kPaused);
  EXPECT_NE(mirrors.at(2).state, MirrorStatus::State::kPaused);
}

TEST_F(MirrorOrders, WhatIsHaltedTwiceIsConfirmedOnce) {
  report(0, Kind::kResync, Outcome::kHalted);
  report(0, Kind::kResync, Outcome::kHalted);
  EXPECT_EQ(told("mirror-halted").size(), 2U);
  EXPECT_FALSE(confirms("mail"));
  EXPECT_TRUE(confirms("files"));
  EXPECT_FALSE(confirms("files"));
}

}  // namespace
}  // namespace clusterd
