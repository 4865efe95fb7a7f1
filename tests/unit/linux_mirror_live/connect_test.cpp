// From the source's Connector over `serve` to `accept`, with real processes and sockets.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <thread>

#include "linux/mirror/live/live_mirrors.hpp"
#include "linux/net/socket.hpp"
#include "two_ends.hpp"

namespace clusterd {
namespace {

using std::chrono::milliseconds;

std::vector<std::byte> text(std::string_view words) {
  const auto bytes = std::as_bytes(std::span(words));
  return {bytes.begin(), bytes.end()};
}

std::string echoed(Channel& channel, std::string_view words) {
  if (auto ok = channel.send(text(words)); !ok) return ok.error().message;
  auto answer = channel.receive();
  if (!answer) return answer.error().message;
  if (!*answer) return "the end";
  return std::string(reinterpret_cast<const char*>((*answer)->data()), (*answer)->size());
}

Fd dial(const std::string& from, const std::string& to, int port) {
  Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto own = net::socket_address(*IpAddress::parse(from), 0, 0);
  const auto other = net::socket_address(*IpAddress::parse(to), static_cast<uint16_t>(port), 0);
  if (::bind(socket.get(), own.get(), own.length) != 0) socket.reset();
  if (::connect(socket.get(), other.get(), other.length) != 0) socket.reset();
  return socket;
}

bool closed_by_other(const Fd& socket) {
  char byte = 0;
  return ::recv(socket.get(), &byte, 1, 0) <= 0;
}

class ConnectTest : public ::testing::Test {
 protected:
  TwoEnds ends;
  std::unique_ptr<Connector> connector(uint64_t epoch = 4) {
    return std::make_unique<Connector>(ends.source, ServiceId(0), MirrorId(0), Epoch{epoch});
  }
  // In the place of serv2's server on the better link.
  Fd listen_deaf() {
    Fd deaf(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    ::setsockopt(deaf.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    const auto where =
        net::socket_address(*IpAddress::parse("10.98.1.2"), static_cast<uint16_t>(ends.port), 0);
    EXPECT_EQ(::bind(deaf.get(), where.get(), where.length), 0);
    EXPECT_EQ(::listen(deaf.get(), 8), 0);
    return deaf;
  }
};

TEST_F(ConnectTest, ThePermittedSourceSpeaksWithTheTarget) {
  ends.serve();
  auto one = connector();
  auto channel = ends.connect(*one);
  ASSERT_TRUE(channel) << channel.error().message;
  EXPECT_EQ(echoed(**channel, "hello"), "hello");
  const auto asked = ends.daemon->requests();
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_NE(asked.front().find("\"epoch\":4"), std::string::npos) << asked.front();
}

TEST_F(ConnectTest, TheDaemonsRefusalArrivesInWords) {
  ends.daemon->allow = false;
  ends.serve();
  auto one = connector();
  auto channel = ends.connect(*one);
  ASSERT_FALSE(channel);
  EXPECT_EQ(channel.error().code, Code::kRefused);
  EXPECT_EQ(channel.error().message, "serv2 refuses: web is active on this node at epoch 9");
}

TEST_F(ConnectTest, OtherPathsAreRefused) {
  ends.serve();
  auto one = connector();
  ASSERT_TRUE(ends.connect(*one));  // the server has read its configuration
  ends.configure("exclude = [\"*.tmp\"]\n");
  ends.source.services.front().mirrors.front().exclude = {"*.bak"};
  auto channel = connector()->connect();
  ASSERT_FALSE(channel);
  EXPECT_EQ(channel.error().message,
            "serv2 refuses: mirror data of web has other paths or excludes on this node");
}

TEST_F(ConnectTest, OwnersByNameOnOneNodeAloneAreRefused) {
  ends.serve();
  auto one = connector();
  ASSERT_TRUE(ends.connect(*one));
  ends.source.services.front().mirrors.front().ids = Ids::kName;
  auto channel = connector()->connect();
  ASSERT_FALSE(channel);
  EXPECT_EQ(channel.error().message,
            "serv2 refuses: mirror data of web carries owners by name there, and by number on this node");
}

TEST_F(ConnectTest, AnotherSecretDoesNotGetIn) {
  ends.serve();
  auto one = connector();
  ASSERT_TRUE(ends.connect(*one));
  ends.write("other.key", std::string(64, 'b') + "\n");
  ::chmod((ends.root + "/other.key").c_str(), 0600);
  ends.source.secret_file = ends.root + "/other.key";
  auto channel = connector()->connect();
  ASSERT_FALSE(channel);
  EXPECT_EQ(ends.daemon->requests().size(), 1U);
}

// The target's process of the first connection is ended: nobody waits for it any more.
TEST_F(ConnectTest, ANewConnectionTakesThePlaceOfAnOldOne) {
  ends.serve();
  auto one = connector(), two = connector();
  auto first = ends.connect(*one);
  ASSERT_TRUE(first);
  auto second = two->connect();
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ(echoed(**second, "second"), "second");
  auto nothing = (*first)->receive();
  EXPECT_FALSE(nothing && *nothing);
}

TEST_F(ConnectTest, WhoComesFromElsewhereIsClosedAtOnce) {
  ends.serve();
  auto one = connector();
  ASSERT_TRUE(ends.connect(*one));
  const Fd stranger = dial("127.0.0.1", "10.98.1.2", ends.port);
  ASSERT_TRUE(stranger.valid());
  EXPECT_TRUE(closed_by_other(stranger));
  // The peer's address of another link is not good either.
  const Fd crossed = dial("10.98.2.1", "10.98.1.2", ends.port);
  ASSERT_TRUE(crossed.valid());
  EXPECT_TRUE(closed_by_other(crossed));
}

TEST_F(ConnectTest, WhoSaysNothingOrNonsenseIsClosedAndHoldsNobodyUp) {
  ends.serve();
  auto one = connector();
  ASSERT_TRUE(ends.connect(*one));
  std::vector<Fd> silent;
  for (int i = 0; i < 20; ++i) silent.push_back(dial("10.98.1.1", "10.98.1.2", ends.port));
  const Fd nonsense = dial("10.98.2.1", "10.98.2.2", ends.port);
  const std::string_view words = "GET / HTTP/1.1\r\n\r\n";
  ::send(nonsense.get(), words.data(), words.size(), MSG_NOSIGNAL);
  EXPECT_TRUE(closed_by_other(nonsense));
  for (const Fd& socket : silent) {
    EXPECT_TRUE(!socket.valid() || closed_by_other(socket));
  }
  auto channel = ends.connect(*one);
  ASSERT_TRUE(channel) << channel.error().message;
  EXPECT_EQ(echoed(**channel, "still here"), "still here");
}

TEST_F(ConnectTest, StopEndsAConnectAndAChannel) {
  ends.serve();
  auto one = connector();
  auto channel = ends.connect(*one);
  ASSERT_TRUE(channel);
  std::thread stopper([&] { one->stop(); });
  EXPECT_FALSE((*channel)->receive());
  stopper.join();
  EXPECT_EQ(one->connect().error().message, "cancelled");
}

// On the better link somebody else listens who never says a word; then he goes.
TEST_F(ConnectTest, GoesOverAnotherLinkAndBackToTheBetterOne) {
  Fd deaf = listen_deaf();
  ends.serve();
  auto one = connector();
  auto channel = ends.connect(*one);
  ASSERT_TRUE(channel) << channel.error().message;
  EXPECT_EQ(echoed(**channel, "worse"), "worse");
  deaf.reset();
  auto nothing = (*channel)->receive();  // until the transport moves
  EXPECT_FALSE(nothing && *nothing);
  channel = one->connect();
  ASSERT_TRUE(channel) << channel.error().message;
  EXPECT_EQ(echoed(**channel, "better"), "better");
}

// ---- what the agent makes of orders ----

struct Seen {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::string> what;
  void say(const std::string& word) {
    const std::lock_guard lock(mutex);
    what.push_back(word);
    changed.notify_all();
  }
  std::vector<std::string> await(size_t count) {
    std::unique_lock lock(mutex);
    changed.wait_for(lock, std::chrono::seconds(20), [&] { return what.size() >= count; });
    return what;
  }
};

class NotedSource : public FollowingSource {
 public:
  NotedSource(Seen& seen, LiveSetup setup, LiveSource::Connect connect)
      : seen_(seen), setup_(std::move(setup)), connect_(std::move(connect)) {
    seen_.say("made at " + std::to_string(setup_.epoch.value));
  }
  ~NotedSource() override { seen_.say("ended at " + std::to_string(setup_.epoch.value)); }
  void order(const MirrorOrder& order) override {
    if (order.kind == MirrorReport::Kind::kFollow) return seen_.say("follow");
    auto channel = connect_();
    seen_.say(channel ? echoed(**channel, "connected") : channel.error().message);
  }

 private:
  Seen& seen_;
  LiveSetup setup_;
  LiveSource::Connect connect_;
};

MirrorOrder order(MirrorReport::Kind kind, uint64_t epoch) {
  return {ServiceId(0), MirrorId(0), kind, Epoch{epoch}, false};
}

TEST_F(ConnectTest, ASourceLivesForATenure) {
  using Kind = MirrorReport::Kind;
  ends.serve();
  auto warm = connector();
  ASSERT_TRUE(ends.connect(*warm));
  Seen seen;
  {
    LiveMirrors mirrors(
        ends.source, {},
        [&](LiveSetup setup, LiveSource::Connect connect, const auto& /*report*/) {
          return std::make_unique<NotedSource>(seen, std::move(setup), std::move(connect));
        },
        [](const MirrorReport&) {});
    mirrors.order(order(Kind::kFollow, 4));
    mirrors.order(order(Kind::kResync, 4));
    EXPECT_EQ(seen.await(3), (std::vector<std::string>{"made at 4", "follow", "connected"}));
    mirrors.order(order(Kind::kFollow, 6));
    seen.await(6);
    mirrors.cancel(ServiceId(0));
    seen.await(7);
    mirrors.order(order(Kind::kRun, 6));
    seen.await(9);
  }
  EXPECT_EQ(seen.await(10),
            (std::vector<std::string>{"made at 4", "follow", "connected", "ended at 4", "made at 6", "follow",
                                      "ended at 6", "made at 6", "connected", "ended at 6"}));
}

// Nobody is there to connect with, and the connect takes long: the cancel does not wait for it.
TEST_F(ConnectTest, ACancelEndsAConnectThatHangs) {
  const Fd deaf = listen_deaf();
  Seen seen;
  LiveMirrors mirrors(
      ends.source, {},
      [&](LiveSetup setup, LiveSource::Connect connect, const auto& /*report*/) {
        return std::make_unique<NotedSource>(seen, std::move(setup), std::move(connect));
      },
      [](const MirrorReport&) {});
  mirrors.order(order(MirrorReport::Kind::kRun, 4));
  seen.await(1);
  mirrors.cancel(ServiceId(0));
  EXPECT_EQ(seen.await(3).at(1), "cancelled");
}

}  // namespace
}  // namespace clusterd
