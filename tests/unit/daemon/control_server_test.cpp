// The control server against clients that do not mean well.
#include "daemon/control_server.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <string>
#include <vector>

namespace clusterd {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class FakeBackend final : public ControlBackend {
 public:
  std::string status() override { return "{\"node\":\"serv1\"}"; }
  std::optional<std::string> decisions(const std::string& service, size_t limit) override {
    if (service == "nothing") return std::nullopt;
    return service + ":" + std::to_string(limit);
  }
  std::string events(uint64_t after) override { return "after " + std::to_string(after); }
  std::string check() override { return "{}"; }
  void command(const CommandRequest& request, pid_t pid, std::function<void(CommandAnswer)> answer) override {
    requests.push_back(request);
    callers.push_back(pid);
    if (hold) {
      held.push_back(std::move(answer));
    } else {
      answer({request.service != "refused", "text of the core"});
    }
  }
  bool hold = false;
  std::vector<CommandRequest> requests;
  std::vector<pid_t> callers;
  std::vector<std::function<void(CommandAnswer)>> held;
};

// A client that writes what it likes and reads what comes, without blocking.
class Client {
 public:
  explicit Client(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size());
    connected_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  ~Client() { ::close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  [[nodiscard]] bool connected() const { return connected_; }
  void send(const std::string& bytes) {
    (void)!::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  // Collects what has come; true once the server has closed the connection.
  bool closed() {
    char chunk[65536];
    while (true) {
      const ssize_t n = ::recv(fd_, chunk, sizeof chunk, MSG_DONTWAIT);
      if (n > 0) {
        received.append(chunk, static_cast<size_t>(n));
      } else {
        return n == 0 || (errno != EAGAIN && errno != EINTR);
      }
    }
  }
  bool has(const std::string& text) {
    closed();
    return received.find(text) != std::string::npos;
  }
  std::string received;

 private:
  int fd_;
  bool connected_ = false;
};

std::string get(const std::string& target, const std::string& more = "") {
  return "GET " + target + " HTTP/1.1\r\nHost: x\r\n" + more + "\r\n";
}
std::string post(const std::string& body) {
  return "POST /v1/command HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

class ControlServerTest : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/cdt-daemon-XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    folder_ = folder;
    path_ = folder_ + "/control.sock";
  }
  void TearDown() override {
    server_.reset();
    ::unlink(path_.c_str());
    ::rmdir(folder_.c_str());
  }
  void serve(ControlLimits limits = {}) {
    server_ = std::make_unique<ControlServer>(loop_, backend_, limits);
    ASSERT_TRUE(server_->listen(path_).has_value());
  }
  // Runs the server until `client` has received `text`.
  testing::AssertionResult gets(Client& client, const std::string& text) {
    if (loop_.run_until([&] { return client.has(text); }, seconds(20))) return testing::AssertionSuccess();
    return testing::AssertionFailure() << "received only: " << client.received;
  }
  bool until(const std::function<bool()>& done) { return loop_.run_until(done, seconds(20)); }
  // The server still works for a well-behaved client.
  testing::AssertionResult serves() {
    Client good(path_);
    good.send(get("/v1/status"));
    return gets(good, "{\"node\":\"serv1\"}");
  }

  EventLoop loop_;
  FakeBackend backend_;
  std::unique_ptr<ControlServer> server_;
  std::string folder_, path_;
};

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

TEST_F(ControlServerTest, SocketIsPrivate) {
  serve();
  struct stat info {};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777U, 0660U);
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

TEST_F(ControlServerTest, StrangersGetNothing) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
  serve();
  ASSERT_EQ(::chmod(folder_.c_str(), 0755), 0);
  ASSERT_EQ(::chmod(path_.c_str(), 0666), 0);  // were it not for the mode, the kernel's word still counts
  const pid_t child = ::fork();
  if (child == 0) {
    if (::setgid(65534) != 0 || ::setuid(65534) != 0) ::_exit(9);
    Client client(path_);
    client.send(post(R"({"kind":"stop-services"})"));
    for (int i = 0; i < 2000 && !client.closed(); ++i) ::usleep(5000);
    ::_exit(client.received.find("403 Forbidden") != std::string::npos ? 0 : 1);
  }
  int status = -1;
  bool ended = false;
  EXPECT_TRUE(until([&] { return ended = ended || ::waitpid(child, &status, WNOHANG) == child; }));
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(backend_.requests.empty());
}

}  // namespace
}  // namespace clusterd
