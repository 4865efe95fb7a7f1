// Two nodes with the same code, with different ones, and somebody in the middle.
#include "pair/handshake.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sodium.h>

#include <deque>

#include "pair/code.hpp"
#include "pair/handover.hpp"
#include "pair/sealed.hpp"

namespace clusterd::pair {
namespace {

using testing::HasSubstr;

Random random_of(uint8_t seed) {
  Random random;
  random.nonce.fill(seed);
  random.scalar.fill(static_cast<uint8_t>(seed + 100));
  return random;
}

struct Two {
  Two(const std::string& joining_code, const std::string& waiting_code)
      : joining(Role::kJoining, joining_code, "serv2", random_of(1)),
        waiting(Role::kWaiting, waiting_code, "serv1", random_of(2)) {}

  // Lets them talk; `change` may alter the frame number n.
  void talk(const std::function<void(size_t, std::string&)>& change = nullptr) {
    std::string frame = joining.first();
    for (size_t n = 0; n < 10 && !frame.empty(); ++n) {
      if (change) change(n, frame);
      frames.push_back(frame);
      const bool to_waiting = n % 2 == 0;
      Step& step = to_waiting ? of_waiting : of_joining;
      if (step.failure != Failure::kNone || step.done) break;
      step = (to_waiting ? waiting : joining).take(frame);
      frame = step.send;
    }
  }
  Handshake joining, waiting;
  Step of_joining, of_waiting;
  std::vector<std::string> frames;
};

TEST(Handshake, TheSameCodeGivesTheSameKey) {
  Two two("7K4MQ9XR", "7K4MQ9XR");
  two.talk();
  EXPECT_TRUE(two.of_joining.done);
  EXPECT_TRUE(two.of_waiting.done);
  EXPECT_EQ(two.joining.key(), two.waiting.key());
  EXPECT_EQ(two.joining.peer_name(), "serv1");
  EXPECT_EQ(two.waiting.peer_name(), "serv2");
  for (const std::string& frame : two.frames) EXPECT_EQ(frame.find("7K4M"), std::string::npos);
}

TEST(Handshake, AnotherCodeIsRefusedBeforeTheWaitingNodeHasConfirmed) {
  Two two("7K4MQ9XR", "7K4MQ9XS");
  two.talk();
  EXPECT_EQ(two.of_waiting.failure, Failure::kWrongCode);
  EXPECT_EQ(two.of_joining.failure, Failure::kRefused);
  EXPECT_EQ(two.frames.back(), Handshake::refusal()) << "nothing that depends on the waiting node's code";
}

TEST(Handshake, EachChangedBitIsNoticed) {
  for (size_t frame = 0; frame < 6; ++frame) {
    for (const size_t at : {size_t{0}, size_t{20}, size_t{32}}) {
      Two two("7K4MQ9XR", "7K4MQ9XR");
      two.talk([&](size_t n, std::string& text) {
        if (n == frame) text[at] = static_cast<char>(text[at] ^ 1);
      });
      EXPECT_FALSE(two.of_joining.done && two.of_waiting.done) << frame << " " << at;
    }
  }
}

TEST(Handshake, OwnWordsAreNoPeer) {
  Handshake joining(Role::kJoining, "7K4MQ9XR", "serv2", random_of(1));
  EXPECT_EQ(joining.take(joining.first()).failure, Failure::kStranger);
}

TEST(Handshake, WeakSharesEndIt) {
  Two two("7K4MQ9XR", "7K4MQ9XR");
  two.talk([](size_t n, std::string& text) {
    if (n == 2) text = "s" + std::string(32, '\0');
  });
  EXPECT_EQ(two.of_waiting.failure, Failure::kBadShare);
}

TEST(Handshake, AnyBytesAreSurvived) {
  uint32_t state = 7;
  const auto next = [&] { return static_cast<uint8_t>((state = state * 1664525U + 1013904223U) >> 24U); };
  for (int i = 0; i < 2000; ++i) {
    Handshake waiting(Role::kWaiting, "7K4MQ9XR", "serv1", random_of(2));
    for (int k = 0; k < 4; ++k) {
      std::string frame(next() % 100, '\0');
      for (char& c : frame) c = static_cast<char>(next());
      if (!frame.empty() && k % 2 == 0) frame[0] = "hscr"[next() % 4];
      EXPECT_FALSE(waiting.take(frame).done);
    }
  }
}

TEST(Sealed, MessagesArriveOnceInOrderAndUnchanged) {
  SessionKey key{};
  key.fill(9);
  Sealed joining(key, Role::kJoining);
  Sealed waiting(key, Role::kWaiting);
  ASSERT_TRUE(waiting.take_header(joining.header()));
  const std::string one = joining.seal("one");
  const std::string two = joining.seal("two");
  EXPECT_EQ(one.find("one"), std::string::npos);
  EXPECT_FALSE(waiting.open(two)) << "out of order";
  EXPECT_EQ(waiting.open(one), "one");
  EXPECT_FALSE(waiting.open(one)) << "again";
  std::string changed = two;
  changed[3] = static_cast<char>(changed[3] ^ 1);
  EXPECT_FALSE(waiting.open(changed));
  EXPECT_EQ(waiting.open(two), "two");
  EXPECT_FALSE(waiting.open("short"));
}

TEST(Sealed, NothingIsReadWithAnotherKeyOrInTheWrongDirection) {
  SessionKey key{};
  key.fill(9);
  SessionKey other{};
  Sealed joining(key, Role::kJoining);
  Sealed stranger(other, Role::kWaiting);
  Sealed mirror(key, Role::kJoining);
  const std::string header = joining.header();
  const std::string frame = joining.seal("secret");
  ASSERT_TRUE(stranger.take_header(header) && mirror.take_header(header));
  EXPECT_FALSE(stranger.open(frame));
  EXPECT_FALSE(mirror.open(frame));
}

TEST(Code, IsTypedAsPeopleType) {
  EXPECT_EQ(shown("7K4MQ9XR"), "7K4M-Q9XR");
  EXPECT_EQ(typed(" 7k4m q9xr\n"), "7K4MQ9XR");
  EXPECT_EQ(typed("oil0-0000"), "01100000");
  EXPECT_FALSE(typed("7K4M-Q9X"));
  EXPECT_FALSE(typed("7K4M-Q9XRR"));
  EXPECT_FALSE(typed("7K4M-Q9X!"));
  const std::string code = code_from({0, 31, 32, 255, 7, 8, 9, 10});
  EXPECT_EQ(typed(shown(code)), code);
}

TEST(Handover, AboutComesBackAsItWas) {
  About about;
  about.machine.name = "serv2";
  about.machine.nics = {{"eth0", {*Prefix::parse("192.168.1.12/24"), *Prefix::parse("fd00::12/64")}, false}};
  about.version = "0.1.0";
  about.clock_s = 1'700'000'000;
  about.host_keys = {"ssh-ed25519 AAAAC3Nz"};
  const auto back = about_from(encoded(about));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->machine.nics[0].addresses, about.machine.nics[0].addresses);
  EXPECT_EQ(back->host_keys, about.host_keys);
  EXPECT_EQ(back->clock_s, about.clock_s);
}

TEST(Handover, WhatDoesNotBelongIsRefused) {
  EXPECT_FALSE(about_from("{}"));
  EXPECT_FALSE(about_from(R"({"kind":"about","name":"a b","nics":[]})"));
  EXPECT_FALSE(about_from(R"({"kind":"about","name":"a","nics":[{"name":"eth0/../x"}]})"));
  const auto keys = about_from(
      R"({"kind":"about","name":"a","nics":[],"host_keys":["ssh-rsa A\nevil","* x","ssh-rsa AA"]})");
  ASSERT_TRUE(keys);
  EXPECT_EQ(keys->host_keys, setup::Lines{"ssh-rsa AA"});
  for (const char* name :
       {"../x", "services/../../x.toml", "services/.toml", "/etc/passwd", "services/a.toml.bak", "x"})
    EXPECT_FALSE(is_cluster_file(name)) << name;
  EXPECT_FALSE(files_from(encoded(ConfigTexts{{"cluster.toml", ""}, {"secret.key", ""}, {"../x", ""}})));
  EXPECT_FALSE(files_from(encoded(ConfigTexts{{"cluster.toml", ""}}))) << "without the secret";
  EXPECT_TRUE(
      files_from(encoded(ConfigTexts{{"cluster.toml", "x"}, {"secret.key", "y"}, {"services/a.toml", ""}})));
}

TEST(Handover, AClockThatIsAnHourOffIsToldOf) {
  EXPECT_EQ(clock_note(2, "serv2"), "");
  EXPECT_THAT(clock_note(-3600, "serv2"), HasSubstr("the clock of serv2 is 3600 s behind"));
  EXPECT_THAT(clock_note(3600, "serv2"), HasSubstr("3600 s ahead"));
  EXPECT_THAT(clock_note(3600, "serv2"), HasSubstr("timedatectl set-ntp true"));
  EXPECT_THAT(clock_note(INT64_MIN, "serv2"), HasSubstr("behind"));
}

TEST(Handover, FingerprintsTellFilesApart) {
  const std::string one = fingerprint({{"a", "b"}});
  EXPECT_EQ(one.size(), 19U);
  EXPECT_NE(one, fingerprint({{"a", "c"}}));
  EXPECT_NE(fingerprint({{"a", "bc"}}), fingerprint({{"ab", "c"}}));
}

}  // namespace
}  // namespace clusterd::pair
