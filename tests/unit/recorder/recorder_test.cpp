// The flight recorder against a real folder.
#include "linux/record/recorder.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>

#include "unit/record/two_nodes.hpp"

namespace clusterd {
namespace {

namespace fs = std::filesystem;
using record::Gap;
using record::Snapshot;
using record::Step;

class RecorderTest : public ::testing::Test {
 protected:
  RecorderTest() {
    std::string pattern = (fs::temp_directory_path() / "clusterd-record-XXXXXX").string();
    folder = ::mkdtemp(pattern.data());
  }
  ~RecorderTest() override { fs::remove_all(folder); }

  std::unique_ptr<Recorder> make(uint64_t max_bytes) {
    RecorderOptions options;
    options.folder = folder + "/record";
    options.max_bytes = max_bytes;
    options.head.node = "serv1";
    return std::make_unique<Recorder>(
        std::move(options), [this] { return world.node(0).snapshot(); },
        [this] { return WallTime(world.now().time_since_epoch()); },
        [this](Severity /*severity*/, const std::string& text) {
          const std::lock_guard lock(mutex);
          said.push_back(text);
        });
  }

  // Lets the recorder see node 0. It never falls behind here: what is tested is what it writes.
  void attach(Recorder& recorder) {
    world.before = [&recorder](size_t node, Instant now, const Event& event) {
      if (node == 0) recorder.event(now, event);
    };
    world.on_step = [this, &recorder](size_t node, Instant /*now*/, const Event& /*event*/,
                                      const Actions& actions) {
      if (node != 0) return;
      recorder.outcome(actions);
      if (++steps % 100 == 0) recorder.wait();
    };
  }

  std::vector<record::Recording> read() const {
    std::vector<std::string> files;
    for (const auto& entry : fs::directory_iterator(folder + "/record")) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    std::vector<record::Recording> out;
    for (const auto& file : files) {
      std::ifstream in(file, std::ios::binary);
      const std::string text{std::istreambuf_iterator<char>(in), {}};
      const std::vector<uint8_t> bytes(text.begin(), text.end());
      auto one = record::decode(bytes);
      EXPECT_TRUE(one) << file << ": " << one.error().message;
      if (!one) continue;
      EXPECT_FALSE(one->damage) << file << ": " << *one->damage;
      out.push_back(std::move(*one));
    }
    return out;
  }

  static size_t steps_in(const record::Recording& part) {
    return static_cast<size_t>(
        std::count_if(part.items.begin(), part.items.end(),
                      [](const record::Item& item) { return std::holds_alternative<Step>(item); }));
  }

  std::string folder;
  testing::TwoNodes world{5};
  size_t steps = 0;
  std::mutex mutex;
  std::vector<std::string> said;
};

TEST_F(RecorderTest, WritesEveryStepAndItsOutcome) {
  auto recorder = make(64 << 20);
  attach(*recorder);
  world.run(std::chrono::minutes(1));
  recorder.reset();
  const auto parts = read();
  ASSERT_EQ(parts.size(), 1U);
  EXPECT_EQ(parts[0].head.part, 0U);
  EXPECT_TRUE(parts[0].head.snapshot.empty());
  EXPECT_EQ(steps_in(parts[0]), steps);
  ASSERT_TRUE(std::holds_alternative<Step>(parts[0].items.front()));
  EXPECT_TRUE(std::holds_alternative<Started>(std::get<Step>(parts[0].items.front()).event));
  EXPECT_TRUE(said.empty());
  const auto mode = fs::status(folder + "/record").permissions();
  EXPECT_EQ(mode & fs::perms::others_all, fs::perms::none);
}

TEST_F(RecorderTest, LaterPartsBeginWithTheNodeAndOldOnesGo) {
  auto recorder = make(1 << 20);
  attach(*recorder);
  world.run(std::chrono::hours(1));
  recorder.reset();
  const auto parts = read();
  ASSERT_GT(parts.size(), 2U);
  EXPECT_GT(parts.front().head.part, 0U) << "the first parts should have made room";
  uint64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(folder + "/record")) bytes += entry.file_size();
  EXPECT_LE(bytes, uint64_t{1} << 20U);
  for (size_t i = 0; i < parts.size(); ++i) {
    EXPECT_EQ(parts[i].head.part, parts[0].head.part + i);
    EXPECT_EQ(parts[i].head.lost_before, 0U);
    EXPECT_TRUE(Node::restored(world.config(0), parts[i].head.snapshot));
  }
}

TEST_F(RecorderTest, LastWordsHoldTheStepInWhichTheDaemonEnded) {
  auto recorder = make(64 << 20);
  attach(*recorder);
  world.run(std::chrono::seconds(5));
  recorder->event(world.now(), Command{});
  recorder->last_words();
  recorder->wait();
  const auto parts = read();
  ASSERT_EQ(parts.size(), 1U);
  EXPECT_EQ(steps_in(parts[0]), steps + 1);
  const auto& last = std::get<Step>(parts[0].items.back());
  EXPECT_FALSE(last.outcome);
  EXPECT_TRUE(std::holds_alternative<Command>(last.event));
}

TEST_F(RecorderTest, PausesWhenItCannotWriteAndSaysWhatIsMissing) {
  std::ofstream(folder + "/record") << "in the way\n";
  auto recorder = make(64 << 20);
  attach(*recorder);
  world.run(std::chrono::seconds(20));
  recorder->wait();
  const size_t lost_at_least = steps;
  {
    const std::lock_guard lock(mutex);
    ASSERT_EQ(said.size(), 1U) << "it is said once";
    EXPECT_NE(said[0].find("pauses"), std::string::npos);
  }
  fs::remove(folder + "/record");
  world.run(std::chrono::seconds(30));
  recorder.reset();
  ASSERT_EQ(said.size(), 2U);
  const auto parts = read();
  ASSERT_EQ(parts.size(), 1U);
  EXPECT_GT(parts[0].head.part, 0U);
  EXPECT_FALSE(parts[0].head.snapshot.empty());
  EXPECT_FALSE(parts[0].head.lost_why.empty());
  uint64_t lost = parts[0].head.lost_before;
  for (const auto& item : parts[0].items) {
    if (const auto* gap = std::get_if<Gap>(&item)) lost += gap->steps;
  }
  EXPECT_GE(lost, lost_at_least);
  EXPECT_EQ(lost + steps_in(parts[0]), steps);
}

}  // namespace
}  // namespace clusterd
