// The control server against clients that do not mean well.
#include "daemon/control_server.hpp"

#include <fstream>

#include "control_bench.hpp"

namespace clusterd {
namespace {

using namespace testing;  // NOLINT: control_bench.hpp

TEST_F(ControlServerTest, AnswersEveryPage) {
  serve();
  Client client(path_);
  client.send(get("/v1/status"));
  EXPECT_TRUE(gets(client, "200 OK"));
  client.send(get("/v1/decisions?service=we%62&limit=3"));  // the connection is kept
  EXPECT_TRUE(gets(client, "web:3"));
  client.send(get("/v1/events?after=41"));
  EXPECT_TRUE(gets(client, "after 41"));
  client.send(get("/v1/check"));
  EXPECT_TRUE(until([&] { return server_->stats().requests == 4; }));
  EXPECT_EQ(server_->connections(), 1U);
}

TEST_F(ControlServerTest, ReplacesTheSocketOfADeadDaemonButNoFile) {
  serve();
  server_.reset();
  serve();
  EXPECT_TRUE(serves());
  server_.reset();
  ::unlink(path_.c_str());
  std::ofstream(path_) << "precious";
  server_ = std::make_unique<ControlServer>(loop_, backend_);
  const auto result = server_->listen(path_);
  ASSERT_FALSE(result.has_value());
  EXPECT_NE(result.error().message.find("not a socket"), std::string::npos);
}

TEST_F(ControlServerTest, PassesOrdersOnAndTellsTheAnswer) {
  serve();
  Client client(path_);
  client.send(post(R"({"kind":"move","service":"web","node":"serv2"})"));
  EXPECT_TRUE(gets(client, R"({"ok":true,"text":"text of the core"})"));
  ASSERT_EQ(backend_.requests.size(), 1U);
  EXPECT_EQ(backend_.requests[0].kind, Command::Kind::kMove);
  EXPECT_EQ(backend_.requests[0].service, "web");
  EXPECT_EQ(backend_.requests[0].node, "serv2");
  EXPECT_EQ(backend_.callers[0], ::getpid());
  client.send(post(R"({"kind":"mirror-receive","service":"refused","epoch":7})"));
  EXPECT_TRUE(gets(client, "409 Conflict"));
  EXPECT_EQ(backend_.requests[1].epoch, 7U);
}

TEST_F(ControlServerTest, PassesReportsOfLikenessOn) {
  serve();
  Client client(path_);
  client.send(post(R"({"services":{}})", "/v1/likeness"));
  EXPECT_TRUE(gets(client, R"({"ok":true,"text":"text"})"));
  EXPECT_EQ(backend_.reports, std::vector<std::string>{R"({"services":{}})"});
  Client wrong(path_);
  wrong.send(post("refused", "/v1/likeness"));
  EXPECT_TRUE(gets(wrong, "400 Bad Request"));
  Client reader(path_);
  reader.send(get("/v1/likeness"));
  EXPECT_TRUE(gets(reader, "405 Method Not Allowed"));
}

TEST_F(ControlServerTest, RefusesNonsense) {
  serve();
  for (const std::string& body :
       {std::string("{}"), std::string("[1]"), std::string("{\"kind\":\"explode\"}"),
        std::string("{\"kind\":7}"), std::string("{\"kind\":\"move\",\"epoch\":-1}"),
        std::string("{\"kind\":\"move\",\"colour\":\"red\"}"), std::string("{\"kind\":\"move\""),
        std::string(60000, '['), std::string("\0\1\2", 3)}) {
    Client client(path_);
    client.send(post(body));
    EXPECT_TRUE(gets(client, "400 Bad Request")) << body.substr(0, 40);
  }
  EXPECT_TRUE(backend_.requests.empty());
}

TEST_F(ControlServerTest, RefusesWrongPagesMethodsAndNumbers) {
  serve();
  const std::vector<std::pair<std::string, std::string>> cases = {
      {get("/"), "404 Not Found"},
      {get("/v1/../etc/passwd"), "404 Not Found"},
      {get("/v1/decisions?service=nothing"), "404 Not Found"},
      {get("/v1/decisions?limit=many"), "400 Bad Request"},
      {get("/v1/events?after=-3"), "400 Bad Request"},
      {get("/v1/command"), "405 Method Not Allowed"},
      {"DELETE /v1/status HTTP/1.1\r\nHost: x\r\n\r\n", "405 Method Not Allowed"},
      {"BREW /v1/status HTTP/1.1\r\nHost: x\r\n\r\n", "405 Method Not Allowed"},
  };
  for (const auto& [request, answer] : cases) {
    Client client(path_);
    client.send(request);
    EXPECT_TRUE(gets(client, answer)) << request;
    EXPECT_TRUE(until([&, c = &client] { return c->closed(); })) << request;
  }
}

TEST_F(ControlServerTest, SurvivesGarbage) {
  serve();
  std::string noise;
  unsigned random = 12345;
  for (int i = 0; i < 4000; ++i) {
    random = random * 1103515245U + 12345U;
    noise += static_cast<char>(random >> 16U);
  }
  for (const std::string& bytes :
       {noise, std::string("\r\n\r\n\r\n\r\n"), std::string(3000, '\0'), std::string("GET\r\n\r\n"),
        std::string("POST /v1/command HTTP/1.1\r\n"
                    "Content-Length: 99999999999999999999\r\n\r\n")}) {
    Client client(path_);
    client.send(bytes);
    EXPECT_TRUE(until([&, c = &client] { return c->closed(); }));
  }
  EXPECT_TRUE(serves());
  EXPECT_TRUE(backend_.requests.empty());
}

TEST_F(ControlServerTest, RefusesHugeRequests) {
  serve();
  Client header(path_);
  header.send(get("/v1/status", "X-Long: " + std::string(20000, 'a') + "\r\n"));
  EXPECT_TRUE(gets(header, "431 "));
  Client body(path_);
  body.send("POST /v1/command HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" +
            std::string(70000, 'a'));
  EXPECT_TRUE(gets(body, "413 "));
  Client chunked(path_);
  chunked.send("POST /v1/command HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n11170\r\n" +
               std::string(70000, 'a') + "\r\n0\r\n\r\n");
  EXPECT_TRUE(gets(chunked, "413 "));
  EXPECT_TRUE(serves());
}

TEST_F(ControlServerTest, DropsHalfRequestsAfterTheirTime) {
  ControlLimits limits;
  limits.idle = milliseconds(50);
  serve(limits);
  Client half(path_);
  half.send("POST /v1/command HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"kind\"");
  Client silent(path_);
  EXPECT_TRUE(until([&] { return half.closed() && silent.closed() && server_->stats().dropped == 2; }));
  EXPECT_EQ(server_->connections(), 0U);
}

TEST_F(ControlServerTest, ManyConnectionsLockNobodyOut) {
  serve();
  std::vector<std::unique_ptr<Client>> crowd;
  for (int i = 0; i < 100; ++i) {
    crowd.push_back(std::make_unique<Client>(path_));
    ASSERT_TRUE(crowd.back()->connected());
    const auto expected = static_cast<uint64_t>(i + 1);
    ASSERT_TRUE(until([&] { return server_->stats().accepted == expected; }));
  }
  EXPECT_EQ(server_->connections(), 32U);
  EXPECT_TRUE(serves());
  EXPECT_TRUE(crowd.front()->closed());  // the oldest had to go
  EXPECT_FALSE(crowd.back()->closed());
}

TEST_F(ControlServerTest, KeepsConnectionsThatWaitForAnAnswer) {
  ControlLimits limits;
  limits.max_connections = 2;
  serve(limits);
  backend_.hold = true;
  Client waits(path_);
  waits.send(post(R"({"kind":"stop-services"})"));
  ASSERT_TRUE(until([&] { return backend_.held.size() == 1; }));
  Client first(path_);
  Client second(path_);
  EXPECT_TRUE(until([&] { return first.closed(); }));
  EXPECT_FALSE(waits.closed());
  backend_.held[0]({true, "handed over"});
  EXPECT_TRUE(gets(waits, "handed over"));
}

TEST_F(ControlServerTest, SaysSoWhenNoAnswerComes) {
  ControlLimits limits;
  limits.command = milliseconds(50);
  serve(limits);
  backend_.hold = true;
  Client client(path_);
  client.send(post(R"({"kind":"stop-services"})"));
  EXPECT_TRUE(gets(client, "504 Gateway Timeout"));
  backend_.held[0]({true, "late"});  // must not be taken for the answer to something else
  client.send(get("/v1/status"));
  EXPECT_TRUE(gets(client, "serv1"));
  EXPECT_FALSE(client.has("late"));
}

TEST_F(ControlServerTest, AnswerAfterTheClientOrTheServerWentAway) {
  serve();
  backend_.hold = true;
  {
    Client client(path_);
    client.send(post(R"({"kind":"stop-services"})"));
    ASSERT_TRUE(until([&] { return backend_.held.size() == 1; }));
  }
  backend_.held[0]({true, "nobody listens"});
  EXPECT_TRUE(until([&] { return server_->connections() == 0; }));
  Client client(path_);
  client.send(post(R"({"kind":"stop-services"})"));
  ASSERT_TRUE(until([&] { return backend_.held.size() == 2; }));
  server_.reset();
  backend_.held[1]({true, "no server either"});
  EXPECT_TRUE(until([&] { return client.closed(); }));
}

}  // namespace
}  // namespace clusterd
