#include "ctl/client.hpp"

#include <poll.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>

namespace clusterd::ctl {

namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kMaxAnswer = 16 * 1024 * 1024;

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

std::string user_name() {
  const passwd* entry = ::getpwuid(::geteuid());
  return entry != nullptr ? entry->pw_name : "NAME";
}

std::string why_unreachable(const std::string& path, int error) {
  switch (error) {
    case ENOENT:
    case ECONNREFUSED:
      return "clusterd does not run on this node (" + path + ": " + std::strerror(error) +
             ")\n  start it:            systemctl start clusterd\n  why it ended:        journalctl -u "
             "clusterd -n 50";
    default:
      return "clusterd is not reachable (" + path + ": " + std::strerror(error) + ")";
  }
}

// The kernel has refused what the daemon would refuse, too.
Answer not_allowed(const std::string& path, int error) {
  const std::string name = user_name();
  return {kForbidden, boost::json::serialize(boost::json::object{
                          {"ok", false},
                          {"text", "you may not ask clusterd (" + path + ": " + std::strerror(error) +
                                       "); be root, or let root run \"usermod -aG clusterd " + name +
                                       "\" (may look) or \"usermod -aG clusterd-admin " + name +
                                       "\" (may also give orders), and log in again"}})};
}

// Waits until the socket is ready, or the time is over.
bool ready(int fd, short events, Clock::time_point end) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
  pollfd poller{fd, events, 0};
  return left > 0 && ::poll(&poller, 1, static_cast<int>(left)) > 0;
}

}  // namespace

tl::expected<Answer, std::string> parse_answer(const std::string& bytes) {
  const size_t header_end = bytes.find("\r\n\r\n");
  constexpr std::string_view kVersion = "HTTP/1.1 ";
  int status = 0;
  if (header_end == std::string::npos || bytes.compare(0, kVersion.size(), kVersion) != 0 ||
      std::from_chars(bytes.data() + kVersion.size(), bytes.data() + header_end, status).ec != std::errc{}) {
    return tl::unexpected<std::string>(
        "clusterd gave no answer (it ended meanwhile, or had too many clients); try again");
  }
  return Answer{status, bytes.substr(header_end + 4)};
}

tl::expected<Answer, std::string> Client::get(const std::string& target) const {
  return ask("GET " + target + " HTTP/1.1\r\nHost: clusterd\r\nConnection: close\r\n\r\n",
             std::chrono::seconds(5));
}

tl::expected<Answer, std::string> Client::post(const std::string& target, const std::string& body) const {
  return ask("POST " + target +
                 " HTTP/1.1\r\nHost: clusterd\r\nConnection: close\r\nContent-Type: application/json\r\n" +
                 "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body,
             std::chrono::seconds(130));  // more than the daemon itself takes to say that it has no answer
}

tl::expected<Answer, std::string> Client::ask(const std::string& request, std::chrono::seconds limit) const {
  const auto end = Clock::now() + limit;
  const std::string silent =
      "clusterd does not answer (frozen, or far too busy?)\n  look at it:  journalctl -u clusterd -n 50";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.size() >= sizeof address.sun_path) return tl::unexpected(path_ + ": too long for a socket");
  std::memcpy(address.sun_path, path_.c_str(), path_.size());
  const Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (fd.get() < 0 || ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == EACCES || errno == EPERM) return not_allowed(path_, errno);
    return tl::unexpected(why_unreachable(path_, errno));
  }
  size_t sent = 0;
  while (sent < request.size()) {
    if (!ready(fd.get(), POLLOUT, end)) return tl::unexpected(silent);
    const ssize_t n =
        ::send(fd.get(), request.data() + sent, request.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN && errno != EINTR) break;  // it may have answered before it closed
    if (n > 0) sent += static_cast<size_t>(n);
  }
  std::string bytes;
  const auto chunk = std::make_unique<char[]>(65536);
  while (bytes.size() < kMaxAnswer) {
    if (!ready(fd.get(), POLLIN, end)) return tl::unexpected(silent);
    const ssize_t n = ::recv(fd.get(), chunk.get(), 65536, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    bytes.append(chunk.get(), static_cast<size_t>(n));
  }
  return parse_answer(bytes);
}

}  // namespace clusterd::ctl
