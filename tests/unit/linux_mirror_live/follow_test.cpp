// The follower alone. Needs root (fanotify on a file system); skipped without.
#include "linux/mirror/live/follow.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>

namespace clusterd::live {
namespace {

namespace fs = std::filesystem;

class Follow : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    char name[] = "/var/tmp/cdt-follow-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    root_ = name;
    for (const char* folder : {"mirrored", "elsewhere"}) fs::create_directories(root_ + "/" + folder);
    auto anchors = Anchors::open({root_ + "/mirrored"}, {});
    ASSERT_TRUE(anchors);
    anchors_ = std::make_unique<Anchors>(std::move(*anchors));
    auto follower = Follower::start(*anchors_, exclude_, [this](std::vector<Hint> hints) {
      const std::lock_guard lock(mutex_);
      for (const Hint& hint : hints) seen_.push_back(hint.path);
    });
    ASSERT_TRUE(follower) << follower.error().message;
    follower_ = std::move(*follower);
  }
  void TearDown() override {
    follower_.reset();
    if (!root_.empty()) fs::remove_all(root_);
  }
  bool has_seen(const std::string& path) {
    const std::lock_guard lock(mutex_);
    return std::find(seen_.begin(), seen_.end(), path) != seen_.end();
  }

  std::string root_;
  const std::vector<std::string> exclude_;
  std::unique_ptr<Anchors> anchors_;
  std::mutex mutex_;
  std::vector<std::string> seen_;
  std::unique_ptr<Follower> follower_;
};

TEST_F(Follow, WhatWasChangedBeforeADrainIsKnownAfterIt) {
  for (int i = 0; i < 200; ++i) {
    const std::string path = root_ + "/mirrored/" + std::to_string(i);
    std::ofstream(path) << i;
    follower_->drain();
    ASSERT_TRUE(has_seen(path)) << path;
    ASSERT_LE(follower_->delivered(), std::chrono::steady_clock::now());
  }
}

// A drain waits for what was changed before it, not for a queue that is empty: on a busy file system nobody
// ever sees that. There are always more hints here than the follower has read.
TEST_F(Follow, ADrainEndsWhileOthersWriteWithoutAPause) {
  std::atomic<bool> stop = false;
  std::atomic<int> writing = 0;
  std::vector<std::thread> writers;
  for (int i = 0; i < 4; ++i) {
    writers.emplace_back([&, i] {
      std::vector<Fd> files;  // hints of one file alone would become one
      for (int n = 0; n < 200; ++n) {
        const std::string name = root_ + "/elsewhere/" + std::to_string(i) + "." + std::to_string(n);
        files.emplace_back(::open(name.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
      }
      ++writing;
      while (!stop) {
        for (const Fd& file : files) (void)!::pwrite(file.get(), "x", 1, 0);
      }
    });
  }
  while (writing < 4) std::this_thread::yield();
  for (int i = 0; i < 50; ++i) {
    const std::string path = root_ + "/mirrored/" + std::to_string(i);
    std::ofstream(path) << i;
    follower_->drain();
    EXPECT_TRUE(has_seen(path)) << path;
  }
  stop = true;
  for (auto& writer : writers) writer.join();
}

}  // namespace
}  // namespace clusterd::live
