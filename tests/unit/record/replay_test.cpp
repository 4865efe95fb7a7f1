// Replays of what two nodes did, whole, with gaps, in parts, damaged and tampered with.
#include "record/replay.hpp"

#include <gtest/gtest.h>

#include "unit/record/two_nodes.hpp"

namespace clusterd {
namespace {

using record::FileReader;
using record::FileWriter;
using record::Gap;
using record::Head;
using record::ItemWriter;
using record::Replay;
using record::Snapshot;
using testing::TwoNodes;

using Bytes = std::vector<uint8_t>;

// Records node 0 of a world, a new part on demand.
class Recording {
 public:
  explicit Recording(uint64_t seed) : world(seed) {
    world.before = [this](size_t node, Instant now, const Event& event) {
      if (node != 0) return;
      if (parts.empty()) begin(now);
      if (lose > 0) return;
      items_.event(now, event);
    };
    world.on_step = [this](size_t node, Instant now, const Event& event, const Actions& actions) {
      if (node != 0) return;
      ++steps;
      if (lose > 0) {
        ++lost_;
        if (--lose == 0) {
          items_.gap(Gap{now, lost_});
          items_.snapshot(Snapshot{now, world.node(0).snapshot()});
        }
        return;
      }
      record::Outcome outcome = record::outcome_of(actions);
      if (change) change(event, outcome);
      items_.outcome(outcome);
      if (items_.size() > 20'000) flush(now);
    };
  }
  void flush(Instant now) {
    const auto block = file_.items(items_.take());
    parts.back().insert(parts.back().end(), block.begin(), block.end());
    items_.begin(now);
  }
  void next_part() {
    flush(world.now());
    begin(world.now());
  }

  TwoNodes world;
  std::vector<Bytes> parts;
  uint64_t steps = 0;
  uint64_t lose = 0;  // so many steps from now on are not recorded
  std::function<void(const Event&, record::Outcome&)> change;

 private:
  void begin(Instant now) {
    Head head;
    head.core = record::core_hash();
    head.layout = record::event_layout();
    head.node = "serv1";
    head.boot = BootId{1};
    head.part = parts.size();
    head.now = now;
    head.state.services.resize(2);
    head.state.hosts.resize(2);
    if (head.part > 0) head.snapshot = world.node(0).snapshot();
    parts.push_back(file_.begin(head));
    items_.begin(now);
  }
  FileWriter file_;
  ItemWriter items_;
  uint64_t lost_ = 0;
};

record::ReplayReport replay(const Config& config, const std::vector<Bytes>& parts, size_t from = 0) {
  Replay replay(config, [](const record::ToldLine& /*line*/) {});
  for (size_t i = from; i < parts.size(); ++i) {
    auto reader = FileReader::open(parts[i]);
    EXPECT_TRUE(reader) << reader.error().message;
    const auto done = replay.part(*reader);
    EXPECT_TRUE(done) << done.error().message;
  }
  return replay.report();
}

TEST(Replay, ReproducesEveryStep) {
  Recording recording(1);
  recording.world.run(std::chrono::minutes(5));
  recording.flush(recording.world.now());
  const auto report = replay(recording.world.config(0), recording.parts);
  EXPECT_FALSE(report.difference) << report.difference->event << report.difference->why;
  EXPECT_FALSE(report.damage);
  EXPECT_EQ(report.steps, recording.steps);
  EXPECT_GT(report.decisions, 3U);
}

TEST(Replay, GoesOnBehindAGap) {
  Recording recording(2);
  recording.world.run(std::chrono::minutes(1));
  recording.lose = 500;
  recording.world.run(std::chrono::minutes(2));
  recording.flush(recording.world.now());
  const auto report = replay(recording.world.config(0), recording.parts);
  EXPECT_FALSE(report.difference) << report.difference->event << report.difference->why;
  EXPECT_EQ(report.gaps, 1U);
  EXPECT_EQ(report.lost, 500U);
  EXPECT_EQ(report.steps + 500, recording.steps);
}

TEST(Replay, TakesPartsTogetherAndAlone) {
  Recording recording(3);
  for (int i = 0; i < 3; ++i) {
    recording.world.run(std::chrono::minutes(1));
    recording.next_part();
  }
  recording.world.run(std::chrono::minutes(1));
  recording.flush(recording.world.now());
  ASSERT_EQ(recording.parts.size(), 4U);
  const auto whole = replay(recording.world.config(0), recording.parts);
  EXPECT_FALSE(whole.difference) << whole.difference->event << whole.difference->why;
  EXPECT_EQ(whole.steps, recording.steps);
  const auto last = replay(recording.world.config(0), recording.parts, 3);
  EXPECT_FALSE(last.difference);
  EXPECT_GT(last.steps, 0U);
  EXPECT_LT(last.steps, whole.steps);
}

TEST(Replay, StopsAtTheFirstOtherOutcome) {
  Recording recording(4);
  uint64_t told = 0;
  recording.change = [&told](const Event& /*event*/, record::Outcome& outcome) {
    if (!outcome.told.empty() && ++told == 4) outcome.told[0] += " or so";
  };
  recording.world.run(std::chrono::minutes(1));
  recording.flush(recording.world.now());
  const auto report = replay(recording.world.config(0), recording.parts);
  ASSERT_TRUE(report.difference);
  EXPECT_LT(report.steps, recording.steps);
  EXPECT_EQ(report.steps, report.difference->step);
  EXPECT_NE(report.difference->recorded.told, report.difference->replayed.told);
  EXPECT_FALSE(report.difference->event.empty());
}

// A forger with new checksums: one unit that crashed is said to have stopped in good order.
TEST(Replay, NoticesAnEventThatWasForged) {
  Recording recording(5);
  recording.world.run(std::chrono::minutes(3));
  recording.flush(recording.world.now());
  const auto read = record::decode(recording.parts[0]);
  ASSERT_TRUE(read);
  FileWriter file;
  Bytes forged = file.begin(read->head);
  ItemWriter items;
  items.begin(read->head.now);
  bool done = false;
  for (const auto& item : read->items) {
    auto step = std::get<record::Step>(item);
    auto* report = std::get_if<UnitReport>(&step.event);
    if (!done && report != nullptr && report->outcome == UnitReport::Outcome::kStarted) {
      report->outcome = UnitReport::Outcome::kCrashed;
      done = true;
    }
    items.event(step.now, step.event);
    items.outcome(*step.outcome);
  }
  ASSERT_TRUE(done);
  const auto block = file.items(items.take());
  forged.insert(forged.end(), block.begin(), block.end());
  EXPECT_TRUE(replay(recording.world.config(0), {forged}).difference);
}

TEST(Replay, GoesUpToTheDamage) {
  Recording recording(6);
  recording.world.run(std::chrono::minutes(3));
  recording.flush(recording.world.now());
  auto parts = recording.parts;
  parts[0][parts[0].size() / 2] ^= 1U;
  const auto changed = replay(recording.world.config(0), parts);
  EXPECT_TRUE(changed.damage);
  EXPECT_FALSE(changed.difference);
  EXPECT_GT(changed.steps, 0U);
  EXPECT_LT(changed.steps, recording.steps);
}

TEST(Replay, RefusesToBeginWithANodeOfAnotherProgram) {
  Recording recording(7);
  recording.world.run(std::chrono::seconds(30));
  recording.next_part();
  recording.flush(recording.world.now());
  auto head = record::decode(recording.parts[1])->head;
  head.core = "0123456789abcdef";
  FileWriter file;
  const Bytes bytes = file.begin(head);
  auto reader = FileReader::open(bytes);
  ASSERT_TRUE(reader);
  Replay replay(recording.world.config(0), [](const record::ToldLine& /*line*/) {});
  const auto done = replay.part(*reader);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Code::kRefused);
}

}  // namespace
}  // namespace clusterd
