#include "core/unnumbered_probes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace clusterd {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr auto kOwn = AskedAs::kOwnAddress;
constexpr auto kNobody = AskedAs::kNobody;
constexpr Duration kPeriod = milliseconds(200);
constexpr Duration kRoundTrip = milliseconds(1);

class UnnumberedProbesTest : public ::testing::Test {
 protected:
  // A probe, a period after the one before it; what came of it.
  struct Probe {
    Instant sent;
    std::vector<AskedAs> as;
    std::optional<Instant> counts;  // the newest probe that counts as answered
  };
  enum class Host { kAnswers, kKnowsOnlyTheAddress, kSilent };
  Probe probe(Host host) {
    now_ += kPeriod;
    Probe out{now_, probes_.ask(now_), std::nullopt};
    for (const AskedAs as : out.as) probes_.left(as, now_);
    for (const AskedAs as : out.as) {
      if (host == Host::kSilent || (host == Host::kKnowsOnlyTheAddress && as == kNobody)) continue;
      const auto counts = probes_.answered(as, now_ + kRoundTrip);
      EXPECT_TRUE(!counts || *counts <= now_);
      out.counts = std::max(out.counts, counts);
    }
    return out;
  }

  UnnumberedProbes probes_{milliseconds(350)};
  Instant now_ = Instant{} + std::chrono::hours(1);
};

TEST_F(UnnumberedProbesTest, AskInTheOwnNameAsLongAsNothingIsLost) {
  for (int i = 0; i < 50; ++i) {
    const Probe p = probe(Host::kAnswers);
    EXPECT_THAT(p.as, ElementsAre(kOwn));
    EXPECT_EQ(p.counts, p.sent);
  }
}

// What nemesis saw: a host that answers, and that for ever looks as if it had not answered for the time of
// the lost probes.
TEST_F(UnnumberedProbesTest, LostOnesMakeTheNextAnswerLookOlderAndNoMore) {
  (void)probe(Host::kAnswers);
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(probe(Host::kSilent).counts);
  const Probe first = probe(Host::kAnswers);
  EXPECT_EQ(first.counts, first.sent - 4 * kPeriod) << "it might be a late answer to the first one";
  const Probe second = probe(Host::kAnswers);
  EXPECT_THAT(second.as, ElementsAre(kOwn, kNobody));
  EXPECT_EQ(second.counts, second.sent);
  for (int i = 0; i < 50; ++i) {
    const Probe p = probe(Host::kAnswers);
    EXPECT_THAT(p.as, ElementsAre(kNobody));
    EXPECT_EQ(p.counts, p.sent);
  }
}

TEST_F(UnnumberedProbesTest, ALossInTheOtherNameLeadsBack) {
  (void)probe(Host::kSilent);
  for (int i = 0; i < 20; ++i) (void)probe(Host::kAnswers);
  (void)probe(Host::kSilent);
  const Probe first = probe(Host::kAnswers);
  EXPECT_EQ(first.counts, first.sent - kPeriod);
  const Probe second = probe(Host::kAnswers);
  EXPECT_THAT(second.as, ElementsAre(kOwn));
  EXPECT_EQ(second.counts, second.sent);
}

TEST_F(UnnumberedProbesTest, WithLossesInBothNamesAnAnswerIsNeverTakenForThatOfAYoungerProbe) {
  (void)probe(Host::kSilent);
  for (int i = 0; i < 2; ++i) (void)probe(Host::kAnswers);
  (void)probe(Host::kSilent);  // in the other name
  for (int i = 0; i < 3; ++i) {
    const Probe p = probe(Host::kAnswers);
    EXPECT_THAT(p.as, ElementsAre(kNobody)) << "the own one is not yet free of lost ones";
    EXPECT_EQ(p.counts, p.sent - kPeriod);
  }
}

TEST_F(UnnumberedProbesTest, AHostThatKnowsOnlyTheAddressIsLeftInPeaceUntilNothingCanBeMistaken) {
  for (int i = 0; i < 3; ++i) (void)probe(Host::kSilent);
  int asked_otherwise = 0;
  int rested = 0;
  for (int i = 0; i < 40; ++i) {
    const Probe p = probe(Host::kKnowsOnlyTheAddress);
    asked_otherwise += p.as.size() > 1 ? 1 : 0;
    rested += p.as.empty() ? 1 : 0;
  }
  EXPECT_EQ(asked_otherwise, 1);
  EXPECT_EQ(rested, 10) << "two seconds";
  const Probe p = probe(Host::kKnowsOnlyTheAddress);
  EXPECT_EQ(p.counts, p.sent);
}

TEST_F(UnnumberedProbesTest, OneThatLooksALittleOlderIsNotLeftInPeace) {
  (void)probe(Host::kSilent);
  for (int i = 0; i < 40; ++i) {
    const Probe p = probe(Host::kKnowsOnlyTheAddress);
    EXPECT_FALSE(p.as.empty());
    EXPECT_EQ(p.counts, p.sent - kPeriod);
  }
}

TEST_F(UnnumberedProbesTest, AHostThatNoLongerAnswersToTheOtherNameIsAskedInTheOwnOne) {
  (void)probe(Host::kSilent);
  for (int i = 0; i < 20; ++i) (void)probe(Host::kAnswers);
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(probes_.in_vain());
    EXPECT_FALSE(probe(Host::kKnowsOnlyTheAddress).counts);
  }
  EXPECT_TRUE(probes_.in_vain());
  const Probe p = probe(Host::kKnowsOnlyTheAddress);
  EXPECT_EQ(p.counts, p.sent);
}

// The daemon stood still; a tick of its timer comes before the answer that has waited.
TEST_F(UnnumberedProbesTest, AnAnswerThatWaitedIsNotThatOfAProbeThatWasSentSince) {
  (void)probes_.ask(now_);
  probes_.left(kOwn, now_);
  const Instant received = now_ + kRoundTrip;
  now_ += std::chrono::seconds(3);
  (void)probes_.ask(now_);
  probes_.left(kOwn, now_);
  EXPECT_FALSE(probes_.answered(kOwn, received));
  EXPECT_EQ(probes_.answered(kOwn, now_ + kRoundTrip), now_);
}

TEST_F(UnnumberedProbesTest, AnAnswerToNoProbeCountsForNone) {
  EXPECT_FALSE(probes_.answered(kOwn, now_));
  (void)probes_.ask(now_);
  probes_.left(kOwn, now_);
  EXPECT_FALSE(probes_.answered(kNobody, now_));
  EXPECT_FALSE(probes_.answered(kOwn, now_ + UnnumberedProbes::kLatestAnswer + Duration(1)));
}

}  // namespace
}  // namespace clusterd
