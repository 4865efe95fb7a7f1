// The control socket's bytes before anything else: HTTP, from a client that writes what it likes, in pieces
// as it likes, and hangs up. The first byte chooses the size of the pieces.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <memory>

#include "alike/words.hpp"
#include "daemon/control_server.hpp"
#include "targets.hpp"

namespace clusterd::fuzz {

namespace {

class Backend final : public ControlBackend {
 public:
  std::string status() override { return "{}"; }
  std::optional<std::string> decisions(const std::string& service, size_t /*limit*/) override {
    require(service.size() <= 8192, "no name is longer than a header");
    if (service == "none") return std::nullopt;
    return "{}";
  }
  std::string events(uint64_t /*after*/) override { return "{}"; }
  std::string check() override { return "{}"; }
  void command(const CommandRequest& request, pid_t pid, std::function<void(CommandAnswer)> answer) override {
    require(pid == ::getpid(), "the kernel says who asks");
    answer({request.service != "web", "text"});
  }
  CommandAnswer likeness(const std::string& report) override {
    return {alike::report_from(report).has_value(), "text"};
  }
};

// The server lives on between inputs, as it does in the daemon; each input is a connection of its own.
class Server {
 public:
  Server() : server_(loop_, backend_) {
    path_ = "/tmp/clusterd-fuzz-" + std::to_string(::getpid()) + ".sock";
    require(server_.listen(path_).has_value(), "the server listens");
  }
  ~Server() { ::unlink(path_.c_str()); }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  [[nodiscard]] int connect() const {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.c_str(), path_.size());
    require(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0, "it accepts");
    return fd;
  }
  void run_until(const std::function<bool()>& done, const char* what) {
    require(loop_.run_until(done, std::chrono::seconds(20)), what);
  }
  // Lets it do what there is to do, without waiting for more.
  void turn() {
    for (int i = 0; i < 2; ++i) {
      bool ran = false;
      loop_.post([&ran] { ran = true; });
      run_until([&ran] { return ran; }, "the server goes on");
    }
  }
  [[nodiscard]] const ControlServer& server() const { return server_; }

 private:
  EventLoop loop_;
  Backend backend_;
  ControlServer server_;
  std::string path_;
};

// Takes what has come; true at the end of the stream.
bool drain(int fd, std::string& into) {
  char chunk[16384];
  while (true) {
    const ssize_t n = ::recv(fd, chunk, sizeof chunk, 0);
    if (n <= 0) return n == 0 || (errno != EAGAIN && errno != EINTR);
    into.append(chunk, static_cast<size_t>(n));
  }
}

}  // namespace

void fuzz_http(Bytes input) {
  static Server server;
  Feed feed(input);
  const uint8_t pace = feed.byte();
  const size_t piece = pace < 128 ? SIZE_MAX : size_t{1} << (pace & 7U);
  const auto before = server.server().stats();
  const int fd = server.connect();
  std::string answers;
  bool ended = false;
  server.run_until([&] { return server.server().stats().accepted > before.accepted; }, "a client is let in");
  for (Bytes rest = feed.rest(); !rest.empty() && !ended;) {
    const ssize_t n = ::send(fd, rest.data(), std::min(piece, rest.size()), MSG_NOSIGNAL);
    if (n > 0) rest = rest.subspan(static_cast<size_t>(n));
    if (n < 0 && errno != EAGAIN && errno != EINTR) break;  // the server has hung up, which is its right
    server.turn();
    ended = drain(fd, answers);
  }
  ::shutdown(fd, SHUT_WR);
  server.run_until(
      [&] { return (ended = ended || drain(fd, answers)) && server.server().connections() == 0; },
      "a client that hangs up is forgotten");
  ::close(fd);
  require(answers.empty() || answers.starts_with("HTTP/1.1 "), "only HTTP comes back");
  const auto after = server.server().stats();
  require(after.dropped == before.dropped, "nobody had to wait for a timeout");
}

}  // namespace clusterd::fuzz
