// The recording's codec: round trips of everything, and what happens to bytes that were changed.
#include <gtest/gtest.h>

#include <set>

#include "record/file.hpp"
#include "unit/record/random_values.hpp"

namespace clusterd {
namespace {

using record::FileWriter;
using record::Gap;
using record::Head;
using record::Item;
using record::ItemWriter;
using record::Outcome;
using record::Snapshot;
using record::Step;
using testing::RandomValues;

Head some_head() {
  Head head;
  head.version = "1.2.3";
  head.core = record::core_hash();
  head.layout = record::event_layout();
  head.node = "serv1";
  head.boot = BootId{77};
  head.part = 3;
  head.now = Instant(std::chrono::hours(5));
  head.wall = WallTime(std::chrono::hours(500'000));
  head.without_gate = true;
  head.lost_before = 4;
  head.lost_why = "No space left on device";
  head.config = {{"cluster.toml", "[cluster]\n"}, {"services/web.toml", ""}};
  head.state.locked = true;
  head.state.lock_reason = "tests";
  head.snapshot = {1, 2, 3, 200};
  return head;
}

Outcome random_outcome(RandomValues& random) {
  Outcome out;
  if (random.once_in(2)) return out;
  out.kinds = static_cast<uint32_t>(random.below(UINT32_MAX)) | 1U;
  random(out.digest);
  if (random.once_in(3)) random(out.told);
  return out;
}

// Heartbeats of one life, as they come: most differ in the numbers only.
Event next_heartbeat(RandomValues& random, Heartbeat& last) {
  ++last.sequence;
  last.ack.sequence += random.below(2);
  last.wall += std::chrono::milliseconds(100) + Duration(static_cast<int64_t>(random.below(1000)));
  last.lineage_of = static_cast<uint16_t>(random.below(3));
  last.lineage.assign(last.lineage_of, Epoch{7});
  if (random.once_in(20)) random(last);
  HeartbeatReceived out;
  out.link = LinkId(random.below(2));
  if (random.once_in(5)) random(out.relay);
  out.heartbeat = last;
  return out;
}

struct Sample {
  std::vector<uint8_t> bytes;
  std::vector<Item> items;
};

Sample make(uint64_t seed, size_t steps) {
  RandomValues random(seed);
  Sample out;
  FileWriter file;
  out.bytes = file.begin(some_head());
  ItemWriter writer;
  Instant now(std::chrono::hours(5));
  Heartbeat last;
  writer.begin(now);
  const auto flush = [&] {
    const auto block = file.items(writer.take());
    out.bytes.insert(out.bytes.end(), block.begin(), block.end());
    writer.begin(now);
  };
  for (size_t i = 0; i < steps; ++i) {
    now += Duration(static_cast<int64_t>(random.below(200'000'000)));
    if (random.once_in(50)) {
      out.items.emplace_back(Gap{now, random.below(100)});
      writer.gap(std::get<Gap>(out.items.back()));
      out.items.emplace_back(Snapshot{now, std::vector<uint8_t>(random.below(300), 9)});
      writer.snapshot(std::get<Snapshot>(out.items.back()));
      continue;
    }
    Step step{now, random.once_in(2) ? next_heartbeat(random, last) : random.event(), random_outcome(random)};
    if (auto* received = std::get_if<HeartbeatReceived>(&step.event); received && random.once_in(3))
      received->heartbeat = last;  // once more, over another path
    writer.event(now, step.event);
    writer.outcome(*step.outcome);
    out.items.emplace_back(std::move(step));
    if (random.once_in(25)) flush();
  }
  flush();
  return out;
}

std::vector<uint8_t> bytes_of(const Item& item) { return testing::bytes_of(item); }

TEST(Codec, EverythingComesBackAsItWas) {
  std::set<size_t> kinds;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    const Sample sample = make(seed, 400);
    const auto read = record::decode(sample.bytes);
    ASSERT_TRUE(read) << read.error().message;
    ASSERT_FALSE(read->damage) << *read->damage;
    ASSERT_EQ(read->items.size(), sample.items.size());
    for (size_t i = 0; i < sample.items.size(); ++i) {
      ASSERT_EQ(bytes_of(read->items[i]), bytes_of(sample.items[i])) << "seed " << seed << " item " << i;
      if (const auto* step = std::get_if<Step>(&sample.items[i])) kinds.insert(step->event.index());
    }
  }
  EXPECT_EQ(kinds.size(), std::variant_size_v<Event>) << "not every kind of event was tried";
}

TEST(Codec, HeadComesBackAsItWas) {
  FileWriter file;
  const auto bytes = file.begin(some_head());
  const auto read = record::decode(bytes);
  ASSERT_TRUE(read) << read.error().message;
  const Head& head = read->head;
  const Head want = some_head();
  EXPECT_EQ(head.version, want.version);
  EXPECT_EQ(head.node, want.node);
  EXPECT_EQ(head.boot, want.boot);
  EXPECT_EQ(head.part, want.part);
  EXPECT_EQ(head.now, want.now);
  EXPECT_EQ(head.wall, want.wall);
  EXPECT_EQ(head.without_gate, want.without_gate);
  EXPECT_EQ(head.lost_before, want.lost_before);
  EXPECT_EQ(head.lost_why, want.lost_why);
  EXPECT_EQ(head.config, want.config);
  EXPECT_EQ(head.state, want.state);
  EXPECT_EQ(head.snapshot, want.snapshot);
}

// Whatever happens to the bytes: what is still read is a beginning of what was written, and nothing else.
void expect_prefix(std::span<const uint8_t> bytes, const Sample& sample, const std::string& what) {
  const auto read = record::decode(bytes);
  if (!read) return;
  ASSERT_LE(read->items.size(), sample.items.size()) << what;
  for (size_t i = 0; i < read->items.size(); ++i)
    ASSERT_EQ(bytes_of(read->items[i]), bytes_of(sample.items[i])) << what;
}

TEST(Codec, TruncationAtEveryLengthIsNoticed) {
  const Sample sample = make(1, 60);
  size_t whole = 0;
  for (size_t length = 0; length < sample.bytes.size(); ++length) {
    const auto cut = std::span(sample.bytes).first(length);
    expect_prefix(cut, sample, "length " + std::to_string(length));
    const auto read = record::decode(cut);
    if (read && !read->damage) ++whole;
  }
  EXPECT_LE(whole, 60U) << "only a cut between two blocks may look like an end";
}

TEST(Codec, EveryChangedBitIsNoticed) {
  const Sample sample = make(2, 40);
  auto bytes = sample.bytes;
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (unsigned bit = 0; bit < 8; bit += 3) {
      bytes[i] = static_cast<uint8_t>(bytes[i] ^ (1U << bit));
      const std::string what = "byte " + std::to_string(i);
      expect_prefix(bytes, sample, what);
      const auto read = record::decode(bytes);
      EXPECT_TRUE(!read || read->damage) << what;
      bytes[i] = static_cast<uint8_t>(bytes[i] ^ (1U << bit));
    }
  }
}

TEST(Codec, RemovedAndExchangedBlocksAreNoticed) {
  FileWriter file;
  const auto head = file.begin(some_head());
  std::vector<std::vector<uint8_t>> blocks;
  for (int i = 0; i < 3; ++i) {
    ItemWriter writer;
    writer.begin(Instant(std::chrono::hours(i)));
    writer.event(Instant(std::chrono::hours(i)), Tick{});
    writer.outcome({});
    blocks.push_back(file.items(writer.take()));
  }
  const auto joined = [&](std::initializer_list<size_t> order) {
    auto out = head;
    for (const size_t i : order) out.insert(out.end(), blocks[i].begin(), blocks[i].end());
    return out;
  };
  EXPECT_FALSE(record::decode(joined({0, 1, 2}))->damage);
  EXPECT_TRUE(record::decode(joined({0, 2}))->damage);
  EXPECT_TRUE(record::decode(joined({1, 0, 2}))->damage);
  EXPECT_TRUE(record::decode(joined({0, 0, 1}))->damage);
}

// Items whose checksum is right but which make no sense: a reader of hostile files must survive them.
TEST(Codec, RandomItemsAreRefusedOrRead) {
  RandomValues random(3);
  for (int round = 0; round < 20'000; ++round) {
    std::vector<uint8_t> raw(random.below(80));
    for (auto& byte : raw) byte = static_cast<uint8_t>(random.below(256));
    record::ItemReader reader(raw);
    for (int i = 0; i < 100; ++i) {
      const auto item = reader.next();
      if (!item || !*item) break;
    }
  }
}

TEST(Codec, AStepWithoutOutcomeIsTheLastThingTheNodeSaw) {
  FileWriter file;
  auto bytes = file.begin(some_head());
  ItemWriter writer;
  writer.begin(Instant(std::chrono::hours(1)));
  writer.event(Instant(std::chrono::hours(1)), Tick{});
  const auto block = file.items(writer.take());
  bytes.insert(bytes.end(), block.begin(), block.end());
  const auto read = record::decode(bytes);
  ASSERT_TRUE(read);
  ASSERT_EQ(read->items.size(), 1U);
  EXPECT_FALSE(std::get<Step>(read->items[0]).outcome);
}

TEST(Codec, OtherLayoutsAreRefusedByName) {
  Head head = some_head();
  head.layout ^= 1U;
  FileWriter file;
  const auto read = record::decode(file.begin(head));
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Code::kRefused);
  EXPECT_NE(read.error().message.find("1.2.3"), std::string::npos);
}

TEST(Outcome, DiffersWithEveryMemberOfTheActions) {
  EXPECT_EQ(record::outcome_of(Actions{}), Outcome{});
  RandomValues random(4);
  for (int round = 0; round < 200; ++round) {
    Actions actions;
    random(actions);
    const Outcome before = record::outcome_of(actions);
    actions.exit = !actions.exit;
    EXPECT_NE(record::outcome_of(actions).digest, before.digest);
    actions.exit = !actions.exit;
    actions.set_gates.push_back({ServiceId(1), Instant(Duration(5))});
    const Outcome with_gate = record::outcome_of(actions);
    EXPECT_NE(with_gate.digest, before.digest);
    actions.set_gates.back().deadline += Duration(1);
    EXPECT_NE(record::outcome_of(actions).digest, with_gate.digest);
  }
}

}  // namespace
}  // namespace clusterd
