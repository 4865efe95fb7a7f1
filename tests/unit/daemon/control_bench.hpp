// A control server with a backend that does nothing, and clients that write what they like.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "daemon/control_server.hpp"

namespace clusterd::testing {

using std::chrono::milliseconds;
using std::chrono::seconds;

class FakeBackend final : public ControlBackend {
 public:
  std::string status() override { return page; }
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
  CommandAnswer likeness(const std::string& report) override {
    reports.push_back(report);
    return {report != "refused", "text"};
  }
  std::vector<std::string> reports;
  std::string page = "{\"node\":\"serv1\"}";
  bool hold = false;
  std::vector<CommandRequest> requests;
  std::vector<pid_t> callers;
  std::vector<std::function<void(CommandAnswer)>> held;
};

// Numbers that no group of this machine needs to have.
inline constexpr AccessGroups kGroups{4001, 4002};

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
  [[nodiscard]] int fd() const { return fd_; }
  // False: nothing was taken, because the server reads no more or has hung up.
  bool send(const std::string& bytes) {
    return ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT) > 0;
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

inline std::string get(const std::string& target, const std::string& more = "") {
  return "GET " + target + " HTTP/1.1\r\nHost: x\r\n" + more + "\r\n";
}
inline std::string post(const std::string& body, const std::string& target = "/v1/command") {
  return "POST " + target + " HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

class ControlServerTest : public ::testing::Test {
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
  void serve(ControlLimits limits = {}, const AccessGroups& groups = kGroups) {
    server_ = std::make_unique<ControlServer>(loop_, backend_, limits, groups);
    ASSERT_TRUE(server_->listen(path_).has_value());
  }
  // Runs the server until `client` has received `text`.
  ::testing::AssertionResult gets(Client& client, const std::string& text) {
    if (loop_.run_until([&] { return client.has(text); }, seconds(20))) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << "received only: " << client.received;
  }
  bool until(const std::function<bool()>& done) { return loop_.run_until(done, seconds(20)); }
  // The server still works for a well-behaved client.
  ::testing::AssertionResult serves() {
    // On a machine that stalls, a test's short time limits may hit the well-behaved, too: he asks again.
    for (int attempt = 0; attempt < 20; ++attempt) {
      Client good(path_);
      good.send(get("/v1/status"));
      if (!until([&] { return good.has("{\"node\":\"serv1\"}") || good.closed(); })) break;
      if (good.has("{\"node\":\"serv1\"}")) return ::testing::AssertionSuccess();
    }
    return ::testing::AssertionFailure() << "nobody is served";
  }

  EventLoop loop_;
  FakeBackend backend_;
  std::unique_ptr<ControlServer> server_;
  std::string folder_, path_;
};

}  // namespace clusterd::testing
