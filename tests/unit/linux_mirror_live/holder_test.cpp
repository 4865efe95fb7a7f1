// What `serve` and its `accept`s say to each other of unfinished files.
#include "linux/mirror/live/holder.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <thread>

namespace clusterd::live {
namespace {

class HolderTest : public ::testing::Test {
 protected:
  HolderTest() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()), 0);
    accept_ = Fd(ends[0]);
    serve_ = Fd(ends[1]);
  }
  static Fd file_with(const std::string& text) {
    Fd file(::open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    EXPECT_EQ(::write(file.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
    return file;
  }
  static std::string text_of(const Fd& file) {
    std::string text(100, '\0');
    const ssize_t n = ::pread(file.get(), text.data(), text.size(), 0);
    text.resize(static_cast<size_t>(std::max<ssize_t>(n, 0)));
    return text;
  }
  void say(const std::string& words) {
    ASSERT_EQ(::send(accept_.get(), words.data(), words.size(), 0), static_cast<ssize_t>(words.size()));
  }
  bool answer() { return held_.answer(serve_.get(), known_); }
  void hold(const std::string& mirror, const std::string& path, const std::string& text) {
    Holder(accept_.get(), "web", mirror).hold({path, file_with(text)});
    EXPECT_TRUE(answer());
  }
  std::optional<Unfinished> take(const std::string& mirror) {
    std::thread server([this] {
      while (!answer()) std::this_thread::yield();
    });
    auto taken = Holder(accept_.get(), "web", mirror).take();
    server.join();
    return taken;
  }

  Fd accept_, serve_;
  HeldFiles held_;
  bool known_ = true;
};

TEST_F(HolderTest, GivesBackWhatItWasGivenOnce) {
  hold("data", "/srv/a\nb", "half of it");
  const auto taken = take("data");
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->path, "/srv/a\nb");
  EXPECT_EQ(text_of(taken->file), "half of it");
  EXPECT_FALSE(take("data"));
}

TEST_F(HolderTest, HoldsTheLastOneOfEachMirror) {
  hold("data", "/srv/a", "first");
  hold("data", "/srv/b", "second");
  hold("more", "/srv/c", "third");
  EXPECT_EQ(text_of(take("data")->file), "second");
  EXPECT_EQ(text_of(take("more")->file), "third");
}

TEST_F(HolderTest, LetsGoOfWhatNobodyCameFor) {
  hold("data", "/srv/a", "old");
  held_.expire(HeldFiles::Clock::now() + kHeldFor + std::chrono::seconds(1));
  EXPECT_FALSE(take("data"));
}

TEST_F(HolderTest, HoldsNoMoreThanAgreed) {
  for (size_t i = 0; i <= kMostHeld; ++i) hold("m" + std::to_string(i), "/srv/a", "x");
  EXPECT_FALSE(take("m" + std::to_string(kMostHeld)));
  EXPECT_TRUE(take("m0"));
}

TEST_F(HolderTest, ListensToNobodyWhoIsNotKnown) {
  known_ = false;
  say(std::string("take\0web\0data", 13));
  EXPECT_FALSE(answer());
  say("+");
  EXPECT_TRUE(answer());
  EXPECT_TRUE(known_);
}

TEST_F(HolderTest, NonsenseIsTheEnd) {
  for (const std::string& words : {std::string("hold\0web\0data\0/srv/a", 20), std::string("hold"),
                                   std::string("what?"), std::string("take"), std::string(200'000, 'x')}) {
    say(words);
    EXPECT_FALSE(answer()) << words.substr(0, 20);
  }
  Holder(accept_.get(), "web", "data");
  accept_.reset();
  EXPECT_FALSE(answer());
}

TEST_F(HolderTest, WithoutAnybodyToHoldItIsForgotten) {
  Holder nobody;
  nobody.hold({"/srv/a", file_with("x")});
  EXPECT_FALSE(nobody.take());
}

}  // namespace
}  // namespace clusterd::live
