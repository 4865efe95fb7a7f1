// Both sides of a compare walk at the same time: what the target needs for that leaves while the source still
// walks, and does not wait for a message to be full.
#include "linux/mirror/live/source_compare.hpp"

#include <gtest/gtest.h>

#include <condition_variable>
#include <filesystem>
#include <mutex>

#include "linux/mirror/live/record.hpp"

namespace clusterd::live {
namespace {

namespace fs = std::filesystem;
namespace ml = mirror::live;

// Keeps what has left, message by message.
class Recorded : public Channel {
 public:
  Result<void> send(std::span<const std::byte> message) override {
    ByteReader in(bytes_of(message));
    std::vector<ml::SourceFrame> frames;
    while (true) {
      auto frame = ml::read_source_frame(in);
      EXPECT_TRUE(frame.has_value());
      if (!frame || !*frame) break;
      frames.push_back(std::move(**frame));
    }
    unsent_.push_back(std::move(frames));
    return {};
  }
  Result<void> flush() override {
    std::move(unsent_.begin(), unsent_.end(), std::back_inserter(left));
    unsent_.clear();
    return {};
  }
  Result<std::optional<std::vector<std::byte>>> receive() override { return fail(Code::kRetry, "nowhere"); }
  void close() override {}

  std::vector<std::vector<ml::SourceFrame>> left;

 private:
  std::vector<std::vector<ml::SourceFrame>> unsent_;
};

class SourceWalk : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/var/tmp/cdt-compare-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    folder_ = name;
    mirror_.paths = {folder_ + "/s/"};
    fs::create_directory(folder_ + "/s");
  }
  void TearDown() override {
    if (!folder_.empty()) fs::remove_all(folder_);
  }
  // All messages of a walk, in their order.
  std::vector<std::vector<ml::SourceFrame>> walk() {
    auto anchors = Anchors::open(root_paths(mirror_), {});
    EXPECT_TRUE(anchors.has_value());
    AgreementStore store(folder_ + "/manifest");
    Links links;
    Recorded channel;
    Outbox<ml::SourceFrame> out(channel);
    std::mutex mutex;
    std::condition_variable wake;
    bool walked = false;
    SourceCompare compare(*anchors, mirror_, store, links, 1, out, {}, [&] {
      const std::lock_guard lock(mutex);
      walked = true;
      wake.notify_all();
    });
    std::unique_lock lock(mutex);
    wake.wait(lock, [&] { return walked; });
    EXPECT_FALSE(compare.error().has_value());
    return channel.left;
  }

  std::string folder_;
  MirrorConfig mirror_;
};

TEST_F(SourceWalk, IsToldOfBeforeItBegins) {
  const auto messages = walk();
  ASSERT_GE(messages.size(), 2U);
  ASSERT_EQ(messages.front().size(), 1U);
  EXPECT_TRUE(std::holds_alternative<ml::CompareBegin>(messages.front().front()));
  EXPECT_TRUE(std::holds_alternative<ml::CompareEnd>(messages.back().back()));
}

TEST_F(SourceWalk, SendsDigestsWhileItGoesOn) {
  for (int i = 0; i < 300; ++i) fs::create_directory(folder_ + "/s/" + std::to_string(i));
  size_t digests = 0;
  for (const auto& message : walk()) {
    EXPECT_LE(message.size(), 100U);
    for (const auto& frame : message)
      if (std::holds_alternative<ml::Digest>(frame)) ++digests;
  }
  EXPECT_EQ(digests, 302U);  // the root, and what holds the roots
}

}  // namespace
}  // namespace clusterd::live
