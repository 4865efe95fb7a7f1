// Two nodes agree on a version, or on the former one, whichever of them dies or is cut off at whatever
// instant.
#include "versions/agree.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace clusterd::versions {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Version version(uint64_t number, char digest) {
  return {number,   std::string(32, digest), number * 1000 + static_cast<uint64_t>(digest), "serv1", 0,
          "applied"};
}

const Version kOne = version(1, 'a'), kTwo = version(2, 'b');

Record settled_at(const Version& current) {
  Record record;
  record.settle(current);
  return record;
}

Record in_phase(Phase phase, bool peer_has = true, bool ran = true) {
  Record record = settled_at(kOne);
  Change change;
  change.from = kOne;
  change.to = kTwo;
  change.owner = "serv1";
  change.phase = phase;
  change.arbitration = true;
  change.peer_has = peer_has;
  change.ran = ran && phase == Phase::kTrying;
  record.change = change;
  record.highest = 2;
  return record;
}

Facts facts(const std::string& self, uint64_t running, int64_t now_ms = 1000) {
  Facts out;
  out.self = self;
  out.running = running;
  out.now_ms = now_ms;
  return out;
}

TEST(Record, IsReadAsItWasWritten) {
  Record record = in_phase(Phase::kTrying);
  record.clear_of = 1;
  record.placing = true;
  record.last = "\"quoted\"\n";
  record.conflict = "both";
  const auto back = record_from(encoded(record));
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, record);
  for (const std::string bad :
       {"", "{}", "[]", R"({"format":2,"history":[]})", R"({"format":1,"history":[{}]})"})
    EXPECT_FALSE(record_from(bad)) << bad;
}

TEST(Record, OnlyFilesOfAConfigurationAreTaken) {
  EXPECT_EQ(refusal_of({{"cluster.toml", ""}, {"services/web.toml", ""}}), "");
  EXPECT_NE(refusal_of({{"services/web.toml", ""}}), "");
  for (const char* name :
       {"secret.key", "services/../x.toml", "../cluster.toml", "services/a/b.toml", "services/.toml"})
    EXPECT_NE(refusal_of({{"cluster.toml", ""}, {name, ""}}), "") << name;
  EXPECT_NE(refusal_of({{"cluster.toml", std::string(kMaxSetBytes + 1, 'x')}}), "");
  EXPECT_NE(digest_of({{"a", "bc"}}), digest_of({{"ab", "c"}}));
}

TEST(LineDiff, ShowsWhatChangedWithALittleAround) {
  EXPECT_THAT(line_diff("a\nb\nc\nd\ne\nf\n", "a\nb\nc\nd\nX\nf\n", 1),
              ElementsAre("  d", "- e", "+ X", "  f"));
  EXPECT_THAT(line_diff("a\n", "a\n"), IsEmpty());
}

TEST(Owner, TellsTheOtherNodeBeforeItActivatesItself) {
  EXPECT_EQ(decide(in_phase(Phase::kTrying, false), facts("serv1", kOne.hash)).what, Do::kActivatePeer);
  EXPECT_EQ(decide(in_phase(Phase::kTrying, true, false), facts("serv1", kOne.hash)).what, Do::kActivate);
  EXPECT_EQ(decide(in_phase(Phase::kTrying, true, false), facts("serv1", kTwo.hash)).what, Do::kActivate)
      << "versions that differ only in what the hash leaves out are activated, too";
}

TEST(Owner, AcceptsOnlyAfterTheTrialAndInContact) {
  Facts seen = facts("serv1", kTwo.hash, 59'000);
  seen.agrees = true;
  seen.last_contact_ms = 59'000;
  seen.peer = PeerWord{in_phase(Phase::kTrying), kTwo.hash, false};
  EXPECT_EQ(decide(in_phase(Phase::kTrying), seen).what, Do::kNothing);
  seen.now_ms = 61'000;
  seen.last_contact_ms = 61'000;
  EXPECT_EQ(decide(in_phase(Phase::kTrying), seen).what, Do::kAccept);
  seen.agrees = false;
  EXPECT_EQ(decide(in_phase(Phase::kTrying), seen).what, Do::kNothing);
  seen.now_ms = 77'000;
  EXPECT_EQ(decide(in_phase(Phase::kTrying), seen).what, Do::kReturn);
}

TEST(Owner, ReturnsWhenTheOtherNodeCannotGoOn) {
  Facts seen = facts("serv1", kTwo.hash);
  seen.peer = PeerWord{in_phase(Phase::kReturning), kOne.hash, false};
  seen.peer->record.change->failed = "clusterd does not start with it";
  const Decision decision = decide(in_phase(Phase::kTrying), seen);
  EXPECT_EQ(decision.what, Do::kReturn);
  EXPECT_EQ(decision.why, "clusterd does not start with it");
}

TEST(Other, StaysInDoubtAndFollowsTheOwnersWord) {
  const Record mine = in_phase(Phase::kTrying);
  Facts seen = facts("serv2", kTwo.hash, 3'600'000);
  EXPECT_EQ(decide(mine, seen).what, Do::kNothing) << "no answer is no word";
  seen.peer = PeerWord{in_phase(Phase::kTrying), kTwo.hash, false};
  EXPECT_EQ(decide(mine, seen).what, Do::kNothing);
  seen.peer->record = settled_at(kOne);
  seen.peer->record.settle(kTwo);
  EXPECT_EQ(decide(mine, seen).what, Do::kAccept);
  seen.peer->record = in_phase(Phase::kReturning);
  EXPECT_EQ(decide(mine, seen).what, Do::kReturn);
  seen.peer->record = settled_at(kOne);
  EXPECT_EQ(decide(mine, seen).what, Do::kReturn);
}

TEST(Return, HoldsBackUntilTheOtherNodeHasLeftTheVersion) {
  const Record mine = in_phase(Phase::kReturning);
  EXPECT_TRUE(holds_back(mine));
  Facts seen = facts("serv1", kTwo.hash);
  EXPECT_EQ(decide(mine, seen).what, Do::kActivate);
  seen.running = kOne.hash;
  EXPECT_EQ(decide(mine, seen).what, Do::kNothing) << "no word of the other node";
  seen.peer = PeerWord{in_phase(Phase::kTrying), kTwo.hash, false};
  EXPECT_EQ(decide(mine, seen).what, Do::kNothing);
  seen.peer = PeerWord{in_phase(Phase::kReturning), kTwo.hash, false};
  EXPECT_EQ(decide(mine, seen).what, Do::kNothing) << "its daemon still runs with it";
  seen.peer->running = kOne.hash;
  EXPECT_EQ(decide(mine, seen).what, Do::kSettle);
}

TEST(FailedStart, ReturnsOnlyIfItNeverRan) {
  Record record = in_phase(Phase::kTrying, true, false);
  EXPECT_TRUE(return_from_failed_start(record, "no"));
  EXPECT_EQ(record.change->phase, Phase::kReturning);
  EXPECT_EQ(record.in_place()->number, 1U);
  record = in_phase(Phase::kTrying);
  record.change->ran = true;
  EXPECT_FALSE(return_from_failed_start(record, "no")) << "the other node may have accepted it";
}

TEST(Settled, ANodeThatWasAwayTakesWhatDescendsFromItsOwn) {
  Facts seen = facts("serv2", kOne.hash);
  seen.peer = PeerWord{settled_at(kOne), kTwo.hash, false};
  EXPECT_EQ(decide(settled_at(kOne), seen).what, Do::kNothing);
  seen.peer->record.settle(kTwo);
  EXPECT_EQ(decide(settled_at(kOne), seen).what, Do::kFetch);
  seen.edited = true;
  EXPECT_EQ(decide(settled_at(kOne), seen).what, Do::kConflict) << "what a person wrote is not overwritten";
}

TEST(Settled, TwoHistoriesAreAConflictThatIsToldOnce) {
  Record mine = settled_at(kOne);
  mine.settle(version(2, 'c'));
  Facts seen = facts("serv2", mine.current()->hash);
  seen.peer = PeerWord{settled_at(kOne), kTwo.hash, false};
  seen.peer->record.settle(kTwo);
  const Decision decision = decide(mine, seen);
  EXPECT_EQ(decision.what, Do::kConflict);
  EXPECT_THAT(decision.why, HasSubstr("--overwrite"));
  mine.conflict = decision.why;
  EXPECT_EQ(decide(mine, seen).what, Do::kNothing);
}

TEST(Settled, FilesCopiedToBothNodesByHandBecomeAVersion) {
  Facts seen = facts("serv1", 4711);
  seen.agrees = true;
  seen.peer = PeerWord{settled_at(kOne), 4711, true};
  EXPECT_EQ(decide(settled_at(kOne), seen).what, Do::kAdopt);
  seen.peer->running = kOne.hash;
  EXPECT_EQ(decide(settled_at(kOne), seen).what, Do::kNothing);
}

// Both nodes' decisions carried out in a small world that cuts, kills and refuses to start at random, and in
// the end lets go of them: they must have come to the same version, and nobody may have been free to take
// over while the daemons ran with different ones.
struct OneNode {
  Record record;
  uint64_t running = 0;
  bool hold = false;  // as the daemon was told
  int64_t last_contact = 0;
};

class SmallWorld {
 public:
  explicit SmallWorld(unsigned seed) : dice_(seed) {
    for (OneNode& node : nodes_) {
      node.record = settled_at(kOne);
      node.running = kOne.hash;
    }
    nodes_[0].record = in_phase(Phase::kTrying, false, false);
    nodes_[0].hold = true;
    nodes_[1].record = in_phase(Phase::kPrepared);
    fails_[0] = one_in(6);
    fails_[1] = one_in(6);
    compatible_ = one_in(2);
  }

  void run() {
    for (now_ = 0; now_ < 400'000; now_ += 500) {
      wild_ = now_ < 150'000;
      if (one_in(20)) cut_ = wild_ && one_in(2);
      if (!wild_) cut_ = false;
      for (size_t n = 0; n < 2; ++n) {
        if (wild_ && one_in(12)) continue;  // killed, and started again later: the record is all it has
        if (one_in(30)) nodes_[n].last_contact = now_;
        tick(n);
        judge();
      }
    }
    EXPECT_EQ(nodes_[0].record.change, std::nullopt);
    EXPECT_EQ(nodes_[1].record.change, std::nullopt);
    EXPECT_EQ(nodes_[0].running, nodes_[1].running);
    EXPECT_EQ(nodes_[0].record.current()->hash, nodes_[0].running);
    EXPECT_EQ(nodes_[1].record.current()->hash, nodes_[1].running);
    EXPECT_FALSE(nodes_[0].hold || nodes_[1].hold);
  }
  [[nodiscard]] bool accepted() const { return nodes_[0].record.current()->number == 2; }

 private:
  bool one_in(unsigned n) { return dice_() % n == 0; }

  // A daemon that does not hear the other one must not be free to take over from it while it may serve.
  void judge() {
    if (nodes_[0].running == nodes_[1].running || nodes_[0].running == 0 || nodes_[1].running == 0) return;
    EXPECT_TRUE(nodes_[0].hold && nodes_[1].hold) << "at " << now_;
  }

  void tick(size_t n) {
    OneNode &self = nodes_[n], &peer = nodes_[1 - n];
    Facts seen = facts(n == 0 ? "serv1" : "serv2", self.running, now_);
    seen.since_ms = self.record.change ? self.record.change->since_ms : 0;
    seen.agrees = !cut_ && self.running == peer.running && self.running != 0 &&
                  (compatible_ || self.running == kOne.hash || !wild_);
    const bool answers = !cut_ && !(wild_ && one_in(4));
    if (answers) seen.peer = PeerWord{peer.record, peer.running, false};
    if (seen.agrees && self.record.change && self.running == self.record.change->to.hash)
      self.last_contact = now_;
    seen.last_contact_ms = self.last_contact;
    act(n, decide(self.record, seen));
  }

  void act(size_t n, const Decision& decision) {
    OneNode &self = nodes_[n], &peer = nodes_[1 - n];
    auto& change = self.record.change;
    switch (decision.what) {
      case Do::kAbandon:
        change.reset();
        break;
      case Do::kActivatePeer:
        if (cut_ || (wild_ && one_in(3))) break;
        if (!peer.record.change || peer.record.change->phase == Phase::kReturning) {
          change->failed = "given up";
          break;
        }
        if (peer.record.change->phase == Phase::kPrepared) {
          peer.hold = true;
          peer.record.change->phase = Phase::kTrying;
          peer.record.change->since_ms = now_;
        }
        if (wild_ && one_in(3)) break;  // the answer is lost
        change->peer_has = true;
        change->since_ms = now_;
        break;
      case Do::kActivate: {
        const bool tries = change && change->phase == Phase::kTrying;
        if (tries && fails_[n] && return_from_failed_start(self.record, "does not start")) {
          self.running = kOne.hash;
          break;
        }
        self.running = self.record.in_place()->hash;
        if (change) change->ran = tries;
        break;
      }
      case Do::kAccept:
        self.record.settle(change->to);
        change.reset();
        self.hold = false;
        break;
      case Do::kReturn:
        change->phase = Phase::kReturning;
        change->failed = decision.why;
        change->since_ms = now_;
        break;
      case Do::kSettle:
        change.reset();
        self.hold = false;
        break;
      case Do::kNothing:
      case Do::kNoConflict:
        break;
      case Do::kFetch:
      case Do::kAdopt:
      case Do::kConflict:
        ADD_FAILURE() << "not in one change: " << decision.why;
    }
  }

  std::mt19937 dice_;
  std::array<OneNode, 2> nodes_;
  std::array<bool, 2> fails_{};
  bool compatible_ = true, cut_ = false, wild_ = true;
  int64_t now_ = 0;
};

TEST(Agreement, BothNodesComeToTheSameVersionWhateverBreaks) {
  size_t accepted = 0;
  for (unsigned seed = 1; seed <= 600 && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    SmallWorld world(seed);
    world.run();
    accepted += world.accepted() ? 1U : 0U;
  }
  EXPECT_GT(accepted, 60U);
  EXPECT_LT(accepted, 540U);
}

}  // namespace
}  // namespace clusterd::versions
