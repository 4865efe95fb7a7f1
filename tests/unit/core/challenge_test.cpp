// Question and answer between two daemons: who is proven to live, who is not, and who has ended.
#include "core/challenge.hpp"

#include <gtest/gtest.h>

namespace clusterd {
namespace {

using Verdict = Challenge::Verdict;

Challenge asking(uint64_t first) {
  return Challenge([next = first]() mutable { return next++; });
}

TEST(Challenge, ABootIsProvenOnceItHasEchoedTheQuestion) {
  Challenge a = asking(100);
  Challenge b = asking(200);
  EXPECT_EQ(b.judge(BootId{1}, a.words()), Verdict::kUnproven);
  EXPECT_EQ(b.proven(), BootId{});
  EXPECT_EQ(a.judge(BootId{2}, b.words()), Verdict::kProvenNow);
  EXPECT_EQ(a.proven(), BootId{2});
  EXPECT_EQ(b.judge(BootId{1}, a.words()), Verdict::kProvenNow);
  EXPECT_EQ(b.judge(BootId{1}, a.words()), Verdict::kProven);
}

TEST(Challenge, ARecordingProvesNothing) {
  Challenge a = asking(100);
  const Challenge::Words recorded{1, 100};
  EXPECT_EQ(a.judge(BootId{2}, recorded), Verdict::kProvenNow);
  Challenge restarted = asking(300);
  EXPECT_EQ(restarted.judge(BootId{2}, recorded), Verdict::kUnproven);
}

TEST(Challenge, AnEndedBootIsNeverProvenAgain) {
  Challenge a = asking(100);
  EXPECT_EQ(a.judge(BootId{2}, {1, 100}), Verdict::kProvenNow);
  EXPECT_EQ(a.judge(BootId{3}, {5, 0}), Verdict::kUnproven);
  EXPECT_EQ(a.judge(BootId{2}, {1, 100}), Verdict::kProven) << "until the next one is proven";
  EXPECT_EQ(a.judge(BootId{3}, {5, 101}), Verdict::kProvenNow);
  EXPECT_EQ(a.judge(BootId{2}, {9, 102}), Verdict::kEnded);
  EXPECT_EQ(a.words().echoes, 5U) << "the question of an ended daemon is not echoed";
}

}  // namespace
}  // namespace clusterd
