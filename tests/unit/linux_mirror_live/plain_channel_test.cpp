#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <thread>

#include "linux/mirror/live/channel.hpp"

namespace clusterd {
namespace {

std::vector<std::byte> bytes_of(size_t n, unsigned seed) {
  std::vector<std::byte> out(n);
  for (size_t i = 0; i < n; ++i) out[i] = static_cast<std::byte>(i * 7 + seed);
  return out;
}

struct Raw {  // a channel, and the bare socket at its other end
  std::unique_ptr<Channel> channel;
  Fd socket;
};
Raw raw_pair() {
  std::array<int, 2> pair{};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()), 0);
  return {plain_channel(Fd(pair[0])), Fd(pair[1])};
}

TEST(PlainChannel, MessagesArriveWholeAndInOrder) {
  auto pair = channel_pair();
  ASSERT_TRUE(pair);
  const std::vector<size_t> sizes = {0, 1, 4, 65536, kMaxChannelMessage, 0, 3};
  std::thread sender([&] {
    for (size_t i = 0; i < sizes.size(); ++i) {
      EXPECT_TRUE(pair->first->send(bytes_of(sizes[i], static_cast<unsigned>(i))));
    }
    EXPECT_TRUE(pair->first->flush());
  });
  for (size_t i = 0; i < sizes.size(); ++i) {
    auto got = pair->second->receive();
    ASSERT_TRUE(got && *got);
    EXPECT_EQ(**got, bytes_of(sizes[i], static_cast<unsigned>(i)));
  }
  sender.join();
}

TEST(PlainChannel, SendersDoNotMixTheirMessages) {
  auto pair = channel_pair();
  ASSERT_TRUE(pair);
  constexpr unsigned kSenders = 4, kEach = 200;
  std::vector<std::thread> senders;
  for (unsigned s = 0; s < kSenders; ++s) {
    senders.emplace_back([&, s] {
      for (unsigned i = 0; i < kEach; ++i) EXPECT_TRUE(pair->first->send(bytes_of(5000 + s, s)));
    });
  }
  for (unsigned i = 0; i < kSenders * kEach; ++i) {
    auto got = pair->second->receive();
    ASSERT_TRUE(got && *got);
    ASSERT_GE((*got)->size(), 5000U);
    EXPECT_EQ(**got, bytes_of((*got)->size(), static_cast<unsigned>((*got)->size() - 5000)));
  }
  for (auto& sender : senders) sender.join();
}

TEST(PlainChannel, CloseIsAnOrderlyEndForTheOther) {
  auto pair = channel_pair();
  ASSERT_TRUE(pair);
  ASSERT_TRUE(pair->first->send(bytes_of(10, 1)));
  pair->first->close();
  auto got = pair->second->receive();
  ASSERT_TRUE(got && *got);
  got = pair->second->receive();
  ASSERT_TRUE(got);
  EXPECT_FALSE(*got);
  EXPECT_EQ(pair->first->send(bytes_of(1, 1)).error().code, Code::kRetry);
  EXPECT_EQ(pair->first->flush().error().code, Code::kRetry);
  EXPECT_EQ(pair->first->receive().error().code, Code::kRetry);
}

TEST(PlainChannel, CloseWakesASenderAndAReceiver) {
  auto pair = channel_pair();
  ASSERT_TRUE(pair);
  std::thread receiver([&] { EXPECT_FALSE(pair->first->receive()); });
  std::thread sender([&] {
    while (pair->first->send(bytes_of(kMaxChannelMessage, 0))) {  // nobody reads: it blocks
    }
  });
  pair->first->close();
  receiver.join();
  sender.join();
}

TEST(PlainChannel, RefusesWhatIsTooLong) {
  auto pair = channel_pair();
  ASSERT_TRUE(pair);
  EXPECT_EQ(pair->first->send(bytes_of(kMaxChannelMessage + 1, 0)).error().code, Code::kRefused);
  Raw raw = raw_pair();
  const std::array<unsigned char, 4> length = {1, 0, 0x10, 0};
  ASSERT_EQ(::send(raw.socket.get(), length.data(), length.size(), 0), 4);
  EXPECT_EQ(raw.channel->receive().error().code, Code::kCorrupt);
}

TEST(PlainChannel, AnEndInTheMiddleIsABreak) {
  for (const size_t sent : {0U, 2U, 4U, 7U}) {
    Raw raw = raw_pair();
    const std::array<unsigned char, 7> some = {10, 0, 0, 0, 1, 2, 3};
    ASSERT_EQ(::send(raw.socket.get(), some.data(), sent, 0), static_cast<ssize_t>(sent));
    raw.socket.reset();
    auto got = raw.channel->receive();
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, Code::kRetry);
  }
}

}  // namespace
}  // namespace clusterd
