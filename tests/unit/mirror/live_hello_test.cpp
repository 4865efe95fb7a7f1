#include "mirror/live_hello.hpp"

#include <gtest/gtest.h>

namespace clusterd::mirror {
namespace {

Hello example() { return {"office", "serv1", "serv2", "web", "data", 7, 0x1234567890abcdefULL}; }

TEST(LiveHelloTest, IsReadAsItWasWritten) {
  auto hello = decode_hello(encode(example()));
  ASSERT_TRUE(hello);
  EXPECT_EQ(*hello, example());
  const Answer refused{Answer::Verdict::kRefused, "web is active on this node"};
  auto answer = decode_answer(encode(refused));
  ASSERT_TRUE(answer);
  EXPECT_EQ(*answer, refused);
}

TEST(LiveHelloTest, RefusesWhatWasNotWrittenSo) {
  const auto whole = encode(example());
  for (size_t n = 0; n < whole.size(); ++n) EXPECT_FALSE(decode_hello(std::span(whole).first(n))) << n;
  auto longer = whole;
  longer.push_back(std::byte{0});
  EXPECT_EQ(decode_hello(longer).error().code, Code::kCorrupt);
  auto other = whole;
  other[0] = std::byte{0};
  EXPECT_EQ(decode_hello(other).error().code, Code::kCorrupt);
  auto answer = encode(Answer{});
  answer[5] = std::byte{4};  // no such verdict
  EXPECT_FALSE(decode_answer(answer));
  Hello endless = example();
  endless.service = std::string(256, 'x');
  EXPECT_FALSE(decode_hello(encode(endless)));
}

TEST(LiveHelloTest, AnotherVersionIsRefusedInWords) {
  auto bytes = encode(example());
  bytes[4] = std::byte{kLiveVersion + 1};
  const auto hello = decode_hello(bytes);
  ASSERT_FALSE(hello);
  EXPECT_EQ(hello.error().code, Code::kRefused);
  EXPECT_NE(hello.error().message.find("same version"), std::string::npos);
}

// A node that knows no owners by name reads the version, and says so; it must not take names for numbers.
TEST(LiveHelloTest, OwnersByNameNeedANewerVersion) {
  EXPECT_EQ(encode(example())[4], std::byte{kNumericVersion});
  Hello hello = example();
  hello.ids = Ids::kName;
  const auto bytes = encode(hello);
  EXPECT_EQ(bytes[4], std::byte{kLiveVersion});
  const auto back = decode_hello(bytes);
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, hello);
  EXPECT_EQ(encode(Answer{})[4], std::byte{kNumericVersion}) << "an older source understands it";
}

TEST(LiveHelloTest, ALongReasonIsCut) {
  const auto answer = decode_answer(encode(Answer{Answer::Verdict::kBusy, std::string(100'000, 'x')}));
  ASSERT_TRUE(answer);
  EXPECT_LE(answer->reason.size(), 2000U);
}

TEST(LiveHelloTest, TheHashIsOfWhatIsMirrored) {
  MirrorConfig mirror;
  mirror.paths = {"/srv/a/", "/srv/b/"};
  const uint64_t base = hash_of(mirror);
  EXPECT_EQ(base, hash_of(mirror));
  auto other = mirror;
  other.paths = {"/srv/a/"};
  other.exclude = {"/srv/b/"};
  EXPECT_NE(base, hash_of(other));
  other = mirror;
  other.remove = false;
  EXPECT_NE(base, hash_of(other));
  other = mirror;
  other.bandwidth = 5;
  EXPECT_EQ(base, hash_of(other));
}

}  // namespace
}  // namespace clusterd::mirror
