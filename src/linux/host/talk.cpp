#include "linux/host/talk.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "linux/socket_address.hpp"

namespace clusterd {

namespace {

constexpr size_t kLengthBytes = 4;

int ms_left(TalkClock::time_point end) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - TalkClock::now()).count();
  return left <= 0 ? 0 : static_cast<int>(std::min<int64_t>(left, 3'600'000));
}

std::string text_of(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = {};
  const void* bytes =
      address.ss_family == AF_INET
          ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in&>(address).sin_addr)
          : static_cast<const void*>(&reinterpret_cast<const sockaddr_in6&>(address).sin6_addr);
  ::inet_ntop(address.ss_family, bytes, text, sizeof text);
  const std::string all(text);
  return all.rfind("::ffff:", 0) == 0 ? all.substr(7) : all;
}

tl::unexpected<Error> gone(const std::string& peer, const char* why) {
  return fail(Code::kRetry, fmt::format("{}: {}", peer, why));
}

}  // namespace

Result<Talk> Talk::connect(const IpAddress& address, uint16_t port, std::chrono::seconds limit) {
  Fd fd(::socket(address.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.get() < 0) return gone(address.text(), std::strerror(errno));
  const net::SocketAddress to = net::socket_address(address, port, 0);
  int error = 0;
  if (::connect(fd.get(), to.get(), to.length) != 0) error = errno;
  if (error == EINPROGRESS) {
    pollfd poller{fd.get(), POLLOUT, 0};
    error = ETIMEDOUT;
    socklen_t size = sizeof error;
    if (::poll(&poller, 1, static_cast<int>(limit.count()) * 1000) > 0)
      ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  }
  if (error != 0) return gone(address.text(), std::strerror(error));
  const int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return Talk(std::move(fd), address.text());
}

Result<Talk> Talk::connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return fail(Code::kConfig, path + ": too long for a socket");
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (fd.get() < 0 || ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail(errno == EACCES ? Code::kRefused : Code::kRetry, path + ": " + std::strerror(errno));
  return Talk(std::move(fd), path);
}

Result<void> Talk::wait(short events, TalkClock::time_point end) {
  pollfd poller{fd_.get(), events, 0};
  int got = 0;
  do {
    got = ::poll(&poller, 1, ms_left(end));
  } while (got < 0 && errno == EINTR && ms_left(end) > 0);
  if (got > 0) return {};
  return gone(peer_, "it does not answer");
}

Result<void> Talk::send(const std::string& frame, TalkClock::time_point end) {
  const auto length = static_cast<uint32_t>(frame.size());
  std::string all;
  for (int shift = 24; shift >= 0; shift -= 8) all += static_cast<char>((length >> shift) & 0xffU);
  all += frame;
  for (size_t sent = 0; sent < all.size();) {
    if (auto ready = wait(POLLOUT, end); !ready) return ready;
    const ssize_t n = ::send(fd_.get(), all.data() + sent, all.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n <= 0) return gone(peer_, "the connection ended");
    sent += static_cast<size_t>(n);
  }
  return {};
}

Result<void> Talk::read_all(char* data, size_t size, TalkClock::time_point end) {
  for (size_t got = 0; got < size;) {
    if (auto ready = wait(POLLIN, end); !ready) return ready;
    const ssize_t n = ::recv(fd_.get(), data + got, size - got, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n <= 0) return gone(peer_, "the connection ended");
    got += static_cast<size_t>(n);
  }
  return {};
}

Result<std::string> Talk::receive(size_t most, TalkClock::time_point end) {
  std::array<char, kLengthBytes> head{};
  if (auto read = read_all(head.data(), head.size(), end); !read) return tl::unexpected(read.error());
  size_t length = 0;
  for (const char byte : head) length = length << 8U | static_cast<uint8_t>(byte);
  if (length > most)
    return fail(Code::kCorrupt, fmt::format("{}: it does not speak as clusterctl does", peer_));
  std::string frame(length, '\0');
  if (auto read = read_all(frame.data(), frame.size(), end); !read) return tl::unexpected(read.error());
  return frame;
}

Result<Listener> Listener::open(uint16_t port) {
  // One socket for both families; for IPv4 alone where the kernel has no IPv6.
  IpAddress any;
  any.family = IpAddress::Family::kV6;
  Fd fd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.get() < 0) {
    any.family = IpAddress::Family::kV4;
    fd.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  }
  const int on = 1, off = 0;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (!any.is_v4()) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  const net::SocketAddress here = net::socket_address(any, port, 0);
  if (fd.get() < 0 || ::bind(fd.get(), here.get(), here.length) != 0 || ::listen(fd.get(), 8) != 0)
    return fail(Code::kRefused, fmt::format("TCP port {} cannot be opened: {}", port, std::strerror(errno)));
  return Listener(std::move(fd));
}

Result<Listener> Listener::open(const IpAddress& address, uint16_t port) {
  Fd fd(::socket(address.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const net::SocketAddress here = net::socket_address(address, port, 0);
  if (fd.get() < 0 || ::bind(fd.get(), here.get(), here.length) != 0 || ::listen(fd.get(), 8) != 0)
    return fail(Code::kRefused, fmt::format("TCP port {} of {} cannot be opened: {}", port, address.text(),
                                            std::strerror(errno)));
  return Listener(std::move(fd));
}

std::optional<Talk> Listener::accept(TalkClock::time_point end) {
  pollfd poller{fd_.get(), POLLIN, 0};
  if (::poll(&poller, 1, ms_left(end)) <= 0) return std::nullopt;
  sockaddr_storage from{};
  socklen_t size = sizeof from;
  Fd fd(::accept4(fd_.get(), reinterpret_cast<sockaddr*>(&from), &size, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (fd.get() < 0) return std::nullopt;
  return Talk(std::move(fd), text_of(from));
}

}  // namespace clusterd
