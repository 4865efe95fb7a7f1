#include "linux/mirror/live/tls_channel.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <future>
#include <random>
#include <stdexcept>
#include <thread>

namespace clusterd {
namespace {

using std::chrono::milliseconds;
using Bytes = std::vector<std::byte>;

constexpr milliseconds kPatience{20'000};

TlsKey key(uint8_t fill) {
  TlsKey out;
  out.fill(fill);
  return out;
}

Bytes noise(size_t n, unsigned seed) {
  std::mt19937_64 random(seed);
  Bytes out(n);
  for (auto& b : out) b = static_cast<std::byte>(random());
  return out;
}

std::pair<Fd, Fd> sockets() {
  std::array<int, 2> pair{};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()), 0);
  return {Fd(pair[0]), Fd(pair[1])};
}

struct Sessions {
  Result<TlsSession> source, target;
};
Sessions handshake(const TlsKey& source_key, const TlsKey& target_key) {
  auto [a, b] = sockets();
  auto accept = std::async(std::launch::async, [&target_key, b = std::move(b)]() mutable {
    return TlsSession::start(std::move(b), TlsSide::kTarget, target_key, kPatience);
  });
  auto source = TlsSession::start(std::move(a), TlsSide::kSource, source_key, kPatience);
  if (!source) source = tl::unexpected(source.error());  // its socket is closed: the target notices
  return {std::move(source), accept.get()};
}

struct Ends {
  std::unique_ptr<Channel> source, target;
};
Ends connect(TlsChannelOptions source = {}, TlsChannelOptions target = {}) {
  Sessions sessions = handshake(key(1), key(1));
  if (!sessions.source || !sessions.target) throw std::runtime_error("no handshake");
  return {tls_channel(std::move(*sessions.source), source), tls_channel(std::move(*sessions.target), target)};
}

TEST(TlsKeyTest, IsOfTheSecretTheClusterAndTheDirection) {
  Secret secret{}, other{};
  other.fill(9);
  const TlsKey base = derive_tls_key(secret, "office", "serv1", "serv2");
  EXPECT_EQ(base, derive_tls_key(secret, "office", "serv1", "serv2"));
  EXPECT_NE(base, derive_tls_key(secret, "office", "serv2", "serv1"));
  EXPECT_NE(base, derive_tls_key(secret, "office2", "serv1", "serv2"));
  EXPECT_NE(base, derive_tls_key(secret, "office", "serv1s", "erv2"));
  EXPECT_NE(base, derive_tls_key(other, "office", "serv1", "serv2"));
}

TEST(TlsSessionTest, OnlyTheSameKeyOpens) {
  const Sessions good = handshake(key(1), key(1));
  EXPECT_TRUE(good.source) << good.source.error().message;
  EXPECT_TRUE(good.target) << good.target.error().message;
  const Sessions bad = handshake(key(1), key(2));
  EXPECT_FALSE(bad.source);
  EXPECT_FALSE(bad.target);
}

TEST(TlsSessionTest, RefusesWhatIsNoTls) {
  auto [a, b] = sockets();
  const std::string_view text = "GET / HTTP/1.1\r\nHost: nobody\r\n\r\n";
  ASSERT_EQ(::send(b.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  auto session = TlsSession::start(std::move(a), TlsSide::kTarget, key(1), kPatience);
  ASSERT_FALSE(session);
  EXPECT_EQ(session.error().code, Code::kRefused);
}

TEST(TlsSessionTest, GivesUpOnOneWhoSaysNothing) {
  auto [a, b] = sockets();
  auto session = TlsSession::start(std::move(a), TlsSide::kTarget, key(1), milliseconds(20));
  ASSERT_FALSE(session);
  EXPECT_EQ(session.error().code, Code::kRetry);
}

TEST(TlsChannelTest, MessagesArriveWholeAndInOrderInBothDirections) {
  Ends ends = connect();
  const std::vector<size_t> sizes = {0, 1, 700, 65536, kMaxChannelMessage, 0, 3, 16 * 1024, 100'000};
  const auto exchange = [&](Channel& channel, unsigned own, unsigned theirs) {
    std::thread sender([&] {
      for (unsigned i = 0; i < sizes.size(); ++i) EXPECT_TRUE(channel.send(noise(sizes[i], own + i)));
    });
    for (unsigned i = 0; i < sizes.size(); ++i) {
      auto got = channel.receive();
      if (!got || !*got) {
        ADD_FAILURE() << "message " << i << " has not arrived";
        break;
      }
      EXPECT_EQ(**got, noise(sizes[i], theirs + i));
    }
    sender.join();
  };
  std::thread other([&] { exchange(*ends.target, 100, 1); });
  exchange(*ends.source, 1, 100);
  other.join();
}

// Between two ends: passes on what comes, counts what the source says, and stops when it is told to.
class Relay {
 public:
  Relay() : source_(sockets()), target_(sockets()), thread_([this] { pass(); }) {}
  ~Relay() { stop(); }
  Ends connect(TlsChannelOptions source, TlsChannelOptions target) {
    auto accept = std::async(std::launch::async, [this] {
      return TlsSession::start(std::move(target_.second), TlsSide::kTarget, key(1), kPatience);
    });
    auto one = TlsSession::start(std::move(source_.first), TlsSide::kSource, key(1), kPatience);
    auto two = accept.get();
    if (!one || !two) throw std::runtime_error("no handshake");
    return {tls_channel(std::move(*one), source), tls_channel(std::move(*two), target)};
  }
  void stop() {
    passing_ = false;
    if (thread_.joinable()) thread_.join();
  }
  [[nodiscard]] size_t bytes() const { return bytes_; }

 private:
  void pass() {
    std::vector<char> buffer(65536);
    const int a = source_.second.get(), b = target_.first.get();
    while (passing_) {
      std::array<pollfd, 2> fds = {{{a, POLLIN, 0}, {b, POLLIN, 0}}};
      ::poll(fds.data(), fds.size(), 10);
      for (const auto& [from, to] : {std::pair(a, b), std::pair(b, a)}) {
        const ssize_t n = ::recv(from, buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (n <= 0) continue;
        if (from == a) bytes_ += static_cast<size_t>(n);
        (void)::send(to, buffer.data(), static_cast<size_t>(n), MSG_NOSIGNAL);
      }
    }
  }

  std::pair<Fd, Fd> source_, target_;
  std::atomic<bool> passing_ = true;
  std::atomic<size_t> bytes_ = 0;
  std::thread thread_;
};

// What is sent with a limit of bandwidth finds the wire busy, and is compressed then.
TEST(TlsChannelTest, CompressesWhereTheWireIsSlowAndLosesNothing) {
  TlsChannelOptions slow;
  slow.bandwidth = 4 * 1024 * 1024;
  Relay relay;
  Ends ends = relay.connect(slow, {});
  const Bytes text(200'000, std::byte{'x'});
  std::thread sender([&] {
    for (int i = 0; i < 200; ++i) EXPECT_TRUE(ends.source->send(text));
  });
  for (int i = 0; i < 200; ++i) {
    auto got = ends.target->receive();
    ASSERT_TRUE(got && *got);
    ASSERT_EQ(**got, text);
  }
  sender.join();
  EXPECT_LT(relay.bytes(), 20'000'000U);  // of 40
}

TEST(TlsChannelTest, ASlowReceiverHoldsTheSenderBackAndIsNotTakenForDead) {
  TlsChannelOptions quick;
  quick.beacon = milliseconds(5);
  quick.silence = milliseconds(400);
  Ends ends = connect(quick, quick);
  std::atomic<size_t> sent = 0;
  std::thread sender([&] {
    for (int i = 0; i < 40; ++i) {
      EXPECT_TRUE(ends.source->send(noise(kMaxChannelMessage, 1)));
      ++sent;
    }
  });
  std::this_thread::sleep_for(milliseconds(1200));  // three times what would be taken for death
  EXPECT_LT(sent, 30U);
  for (int i = 0; i < 40; ++i) {
    auto got = ends.target->receive();
    ASSERT_TRUE(got && *got);
  }
  sender.join();
}

TEST(TlsChannelTest, SilenceIsABreak) {
  TlsChannelOptions quick;
  quick.beacon = milliseconds(20);
  quick.silence = milliseconds(300);
  Relay relay;
  Ends ends = relay.connect(quick, quick);
  ASSERT_TRUE(ends.source->send(noise(10, 1)));
  ASSERT_TRUE(ends.target->receive());
  relay.stop();
  for (auto* end : {ends.source.get(), ends.target.get()}) {
    auto got = end->receive();
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, Code::kRetry);
    EXPECT_FALSE(end->send(noise(1, 1)));
  }
}

TEST(TlsChannelTest, WhatWasSentBeforeACloseArrives) {
  Ends ends = connect();
  for (unsigned i = 0; i < 3; ++i) ASSERT_TRUE(ends.source->send(noise(300'000, i)));
  ends.source->close();
  for (unsigned i = 0; i < 3; ++i) {
    auto got = ends.target->receive();
    ASSERT_TRUE(got && *got);
    EXPECT_EQ(**got, noise(300'000, i));
  }
  auto got = ends.target->receive();
  ASSERT_TRUE(got);
  EXPECT_FALSE(*got);
  EXPECT_EQ(ends.source->send(noise(1, 1)).error().code, Code::kRetry);
  EXPECT_EQ(ends.source->receive().error().code, Code::kRetry);
}

TEST(TlsChannelTest, CloseWakesASenderAndAReceiver) {
  Ends ends = connect();
  std::thread receiver([&] { EXPECT_FALSE(ends.source->receive()); });
  std::thread sender([&] {
    while (ends.source->send(noise(kMaxChannelMessage, 0))) {  // nobody receives: it blocks
    }
  });
  ends.source->close();
  receiver.join();
  sender.join();
}

// Whoever has the key can still send nonsense (a bug, another version).
TEST(TlsChannelTest, RefusesWhatIsNoMessage) {
  const std::vector<std::vector<uint8_t>> nonsense = {
      {9, 0, 0, 0, 0},                                  // no such type
      {0, 1, 0, 0x10, 0},                               // too long
      {2, 1, 0, 0, 0, 0},                               // a beacon that carries something
      {1, 3, 0, 0, 0, 1, 2, 3},                         // compressed, without its length
      {1, 8, 0, 0, 0, 255, 255, 255, 255, 1, 2, 3, 4},  // … that expands to too much
      {1, 8, 0, 0, 0, 100, 0, 0, 0, 1, 2, 3, 4},        // … and is none of zstd's
  };
  for (const auto& bytes : nonsense) {
    Sessions sessions = handshake(key(1), key(1));
    ASSERT_TRUE(sessions.source && sessions.target);
    auto target = tls_channel(std::move(*sessions.target), {});
    const SilentPipes silent;
    ASSERT_EQ(sessions.source->write(std::as_bytes(std::span(bytes))).bytes, bytes.size());
    auto got = target->receive();
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, Code::kCorrupt);
  }
}

TEST(TlsChannelTest, RefusesToSendWhatIsTooLong) {
  Ends ends = connect();
  EXPECT_EQ(ends.source->send(noise(kMaxChannelMessage + 1, 0)).error().code, Code::kRefused);
}

}  // namespace
}  // namespace clusterd
