// Nodes as bytes: whoever goes on from a snapshot decides as the one that it was taken of.
#include <gtest/gtest.h>

#include "record/format.hpp"
#include "unit/record/two_nodes.hpp"

namespace clusterd {
namespace {

using testing::RandomValues;
using testing::TwoNodes;

TEST(Snapshot, ANodeMadeOfItDecidesTheSame) {
  uint64_t decisions = 0;
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    TwoNodes world(seed);
    RandomValues random(seed);
    std::optional<Node> shadow;
    size_t steps = 0;
    bool differs = false;
    world.on_step = [&](size_t i, Instant now, const Event& event, const Actions& actions) {
      if (i != 0 || differs) return;
      ++steps;
      if (shadow) {
        const auto here = record::outcome_of(actions);
        const auto there = record::outcome_of(shadow->step(now, event));
        differs = here != there;
        decisions += actions.decisions.size();
        ASSERT_EQ(here.told, there.told)
            << "seed " << seed << " step " << steps << " " << record::event_text(event);
        ASSERT_EQ(here, there) << "seed " << seed << " step " << steps << " " << record::event_text(event)
                               << ": " << record::kinds_text(here.kinds) << " | "
                               << record::kinds_text(there.kinds);
      }
      // Now of the node itself, now of its shadow: what is lost in one of many steps must show, too.
      if (shadow && !random.once_in(200)) return;
      const auto bytes = shadow && random.once_in(2) ? shadow->snapshot() : world.node(0).snapshot();
      shadow = Node::restored(world.config(0), bytes);
      ASSERT_TRUE(shadow) << "seed " << seed << " step " << steps;
      ASSERT_EQ(shadow->snapshot(), bytes);
    };
    world.run(std::chrono::minutes(4));
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(decisions, 100U) << "too little happened for this test to say anything";
}

TEST(Snapshot, OtherBytesAreRefused) {
  TwoNodes world(1);
  world.run(std::chrono::seconds(5));
  const auto bytes = world.node(0).snapshot();
  EXPECT_TRUE(Node::restored(world.config(0), bytes));
  EXPECT_FALSE(Node::restored(world.config(0), {}));
  EXPECT_FALSE(Node::restored(world.config(0), std::span(bytes).first(bytes.size() - 1)));
  Config other = world.config(0);
  other.services.pop_back();
  EXPECT_FALSE(Node::restored(other, bytes));
  auto longer = bytes;
  longer.push_back(0);
  EXPECT_FALSE(Node::restored(world.config(0), longer));
}

}  // namespace
}  // namespace clusterd
