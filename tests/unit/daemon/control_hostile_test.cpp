// The control server against clients that are slow, greedy, many or malformed. Whatever they do, others are
// served, and the loop that carries the heartbeats turns.
#include <fcntl.h>
#include <sys/resource.h>

#include "control_bench.hpp"

namespace clusterd {
namespace {

using namespace std::string_literals;  // they do not end at a NUL
using namespace testing;               // NOLINT: control_bench.hpp

class ControlHostile : public ControlServerTest {
 protected:
  // Counts how many requests are handled between two turns of somebody else on the loop (a heartbeat's timer,
  // say). It posts itself again each time, so it has its turn once per round of the loop.
  class Heart {
   public:
    Heart(EventLoop& loop, const ControlServer& server) : loop_(loop), server_(server) { beat(); }
    [[nodiscard]] uint64_t beats() const { return *beats_; }
    [[nodiscard]] uint64_t most_requests_between() const { return *most_; }
    ~Heart() { *alive_ = false; }
    Heart(const Heart&) = delete;
    Heart& operator=(const Heart&) = delete;

   private:
    void beat() {
      loop_.post([this, alive = alive_] {
        if (!*alive) return;
        const uint64_t now = server_.stats().requests;
        *most_ = std::max(*most_, now - last_);
        last_ = now;
        ++*beats_;
        beat();
      });
    }
    EventLoop& loop_;
    const ControlServer& server_;
    uint64_t last_ = 0;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    std::shared_ptr<uint64_t> beats_ = std::make_shared<uint64_t>(0), most_ = std::make_shared<uint64_t>(0);
  };

  std::vector<std::unique_ptr<Client>> crowd(size_t count) {
    std::vector<std::unique_ptr<Client>> clients;
    const uint64_t before = server_->stats().accepted;
    for (size_t i = 0; i < count; ++i) {
      clients.push_back(std::make_unique<Client>(path_));
      EXPECT_TRUE(clients.back()->connected());
      EXPECT_TRUE(until([&] { return server_->stats().accepted == before + i + 1; }));
    }
    return clients;
  }
};

TEST_F(ControlHostile, AByteNowAndThenIsNoRequest) {
  ControlLimits limits;
  limits.idle = milliseconds(500);
  serve(limits);
  Client slow(path_);
  const std::string request = get("/v1/status", "X: " + std::string(7000, 'x'));
  size_t sent = 0;
  // Each byte comes in time, the whole would take seconds.
  std::unique_ptr<Timer> timer;
  const std::function<void()> next = [&] {
    slow.send(request.substr(sent++, 1));
    if (sent < request.size()) timer = loop_.at(EventLoop::now() + milliseconds(1), next);
  };
  next();
  EXPECT_TRUE(until([&] { return slow.closed() && server_->stats().dropped == 1; }));
  timer.reset();
  EXPECT_LT(sent, request.size());
  EXPECT_EQ(server_->connections(), 0U);
  EXPECT_TRUE(serves());
}

TEST_F(ControlHostile, WhoNeverReadsTheAnswerIsDropped) {
  ControlLimits limits;
  limits.idle = milliseconds(500);
  serve(limits);
  backend_.page = std::string(4 << 20, 'x');  // more than the socket's buffers take
  Client deaf(path_);
  deaf.send(get("/v1/status"));
  ASSERT_TRUE(until([&] { return server_->stats().requests == 1; }));
  backend_.page = R"({"node":"serv1"})";
  EXPECT_TRUE(serves()) << "others do not wait for him";
  EXPECT_TRUE(until([&] { return server_->stats().dropped == 1; }));
}

TEST_F(ControlHostile, WhoNeverReadsCannotAskForMore) {
  serve();
  backend_.page = std::string(1 << 20, 'x');
  Client deaf(path_);
  std::string many;
  for (int i = 0; i < 500; ++i) many += get("/v1/status");
  deaf.send(many);
  Heart heart(loop_, *server_);
  ASSERT_TRUE(until([&] { return heart.beats() > 2000; }));
  EXPECT_EQ(server_->stats().requests, 1U) << "one answer at a time lies in memory";
  backend_.page = R"({"node":"serv1"})";
  EXPECT_TRUE(serves());
}

// Endless requests on connections that are kept: everybody has one turn in a round of the loop.
TEST_F(ControlHostile, GreedyClientsDelayNobody) {
  ControlLimits limits;
  serve(limits);
  auto clients = crowd(limits.max_connections);
  std::string many;
  for (int i = 0; i < 50; ++i) many += get("/v1/status");
  Heart heart(loop_, *server_);
  EXPECT_TRUE(until([&] {
    for (auto& client : clients) {
      client->send(many);
      (void)client->closed();
      client->received.clear();
    }
    return server_->stats().requests > 5000;
  }));
  EXPECT_GT(heart.beats(), 0U);
  EXPECT_LE(heart.most_requests_between(), 2 * limits.max_connections);
}

TEST_F(ControlHostile, ManyClientsAtOnceAreAllServed) {
  serve();
  auto clients = crowd(32);
  for (auto& client : clients) client->send(get("/v1/status", "Connection: close\r\n"));
  size_t answered = 0;
  EXPECT_TRUE(until([&] {
    answered = 0;
    for (auto& client : clients) answered += client->has(R"({"node":"serv1"})") ? 1U : 0U;
    return answered == clients.size();
  })) << answered;
  EXPECT_TRUE(until([&] { return server_->connections() == 0; }));
}

TEST_F(ControlHostile, OrdersThatWaitLeavePlacesForQuestions) {
  ControlLimits limits;
  limits.max_connections = 8;
  limits.max_waiting = 6;
  serve(limits);
  backend_.hold = true;
  auto waiting = crowd(6);
  for (auto& client : waiting) client->send(post(R"({"kind":"stop-services"})"));
  ASSERT_TRUE(until([&] { return backend_.held.size() == 6; }));
  Client one_more(path_);
  one_more.send(post(R"({"kind":"stop-services"})"));
  EXPECT_TRUE(gets(one_more, "503 Service Unavailable"));
  EXPECT_EQ(backend_.held.size(), 6U);
  EXPECT_TRUE(serves());
  auto silent = crowd(20);
  EXPECT_TRUE(serves()) << "also among people who hold connections open";
  backend_.held[0]({true, "done"});
  EXPECT_TRUE(gets(*waiting[0], "done"));
  Client next(path_);
  next.send(post(R"({"kind":"stop-services"})"));
  EXPECT_TRUE(until([&] { return backend_.held.size() == 7; }));
}

// The daemon has no descriptor left for anybody. It does not spin, and serves as before once it has one.
TEST_F(ControlHostile, WithoutDescriptorsItWaitsForOne) {
  serve();
  auto held = crowd(3);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  auto outside = std::make_unique<Client>(path_);  // it is not accepted yet
  const int next = ::fcntl(0, F_DUPFD_CLOEXEC, 0);
  ASSERT_GE(next, 0);
  ::close(next);
  rlimit none = before;
  none.rlim_cur = static_cast<rlim_t>(next);  // the next number is one too many
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  outside->send(get("/v1/status"));
  held[0]->send(get("/v1/status"));
  EXPECT_TRUE(gets(*held[0], "serv1")) << "those who are there are served";
  Heart heart(loop_, *server_);
  EXPECT_TRUE(until([&] { return heart.beats() > 1000; })) << "the loop turns";
  EXPECT_EQ(server_->stats().accepted, 3U);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(gets(*outside, "serv1"));
}

TEST_F(ControlHostile, MalformedRequestsAreRefusedEach) {
  serve();
  std::string headers;
  for (int i = 0; i < 3000; ++i) headers += "a" + std::to_string(i) + ": b\r\n";
  const std::string body = R"({"kind":"stop-services"})";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {get("/v1/status", headers), "431 "},
      {"GET /" + std::string(9000, 'a') + " HTTP/1.1\r\n\r\n", "431 "},
      {"GET /v1/status HTTP/2.0\r\n\r\n", "400 "},
      {"GET /v1/st\0tus HTTP/1.1\r\n\r\n"s, "400 "},
      {"GET  /v1/status HTTP/1.1\r\n\r\n", "400 "},
      {"GET /v1/status HTTP/1.1\nHost: x\n\n", "400 "},
      {"GET /v1/status HTTP/1.1\r\nX\r\n\r\n", "400 "},
      {"GET /v1/status HTTP/1.1\r\nX: a\0b\r\n\r\n"s, "400 "},
      {"POST /v1/command HTTP/1.1\r\nContent-Length: -1\r\n\r\n" + body, "400 "},
      {"POST /v1/command HTTP/1.1\r\nContent-Length: 24\r\nContent-Length: 2\r\n\r\n" + body, "400 "},
      {"POST /v1/command HTTP/1.1\r\nContent-Length: 24\r\nTransfer-Encoding: chunked\r\n\r\n" + body,
       "400 "},
      {"POST /v1/command HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "400 "},
      {"POST /v1/command HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", "4"},
      {"POST /v1/command HTTP/1.1\r\n\r\n", "400 "},
  };
  for (const auto& [request, answer] : cases) {
    Client client(path_);
    client.send(request);
    EXPECT_TRUE(gets(client, "HTTP/1.1 " + answer)) << request.substr(0, 60);
    EXPECT_TRUE(until([&, c = &client] { return c->closed(); })) << request.substr(0, 60);
  }
  EXPECT_TRUE(backend_.requests.empty());
  EXPECT_TRUE(serves());
}

TEST_F(ControlHostile, BodiesThatAreNoTextAreRefused) {
  serve();
  std::string deep = R"({"kind":)";
  for (int i = 0; i < 20'000; ++i) deep += "[";
  for (const std::string& body :
       {deep, std::string("{\"kind\":\"\xff\"}"), std::string("{\"kind\":\"\xc3\"}"),
        std::string("{\"kind\":\"\xed\xa0\x80\"}"), std::string("{\"kind\":\"\\ud800\"}"),
        "{\"kind\":\"move\0\"}"s, std::string("\xef\xbb\xbf{\"kind\":\"move\"}"),
        std::string("{\"kind\":\"move\"}{}"), std::string("{\"kind\":\"move\",\"epoch\":1e400}"),
        std::string("{\"kind\":\"move\",\"epoch\":18446744073709551616}"),
        "{\"kind\":\"move\",\"text\":\"" + std::string(1025, 'a') + "\"}"}) {
    Client client(path_);
    client.send(post(body));
    EXPECT_TRUE(gets(client, "400 Bad Request")) << body.substr(0, 40);
  }
  EXPECT_TRUE(backend_.requests.empty());
  // A NUL that JSON can carry is part of the name, and ends nothing.
  Client client(path_);
  client.send(post(R"({"kind":"move","service":"web\u0000","text":"\ud83d\ude00"})"));
  ASSERT_TRUE(gets(client, "200 OK"));
  EXPECT_EQ(backend_.requests.at(0).service, "web\0"s);
}

}  // namespace
}  // namespace clusterd
