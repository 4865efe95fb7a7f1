// A service so small that it is never the cause: answers UDP datagrams with themselves, and HTTP with the
// host's name.
//
//   responder PORT      UDP and TCP, on every address of the host (answers leave with the address that was
//   asked)
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

int bound(int type, uint16_t port) {
  const int fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0);
  int on = 1, off = 0;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
  sockaddr_in6 any{};
  any.sin6_family = AF_INET6;
  any.sin6_port = htons(port);
  if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&any), sizeof any) != 0) die("bind");
  return fd;
}

// Sends the datagram back from the address that it came to: the control data of the request serves for the
// answer.
void echo(int fd) {
  char data[2048];
  sockaddr_in6 peer{};
  iovec part{data, sizeof data};
  alignas(cmsghdr) char control[128];
  msghdr message{};
  message.msg_name = &peer;
  message.msg_namelen = sizeof peer;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t got = recvmsg(fd, &message, MSG_DONTWAIT);
  if (got < 0) return;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(c), sizeof info);
      info.ipi6_ifindex = 0;  // the routing decides, as for any other service
      std::memcpy(CMSG_DATA(c), &info, sizeof info);
    }
  }
  part.iov_len = static_cast<size_t>(got);
  (void)sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void serve(int listener) {
  const int fd = accept(listener, nullptr, nullptr);
  if (fd < 0) return;
  char request[2048], host[256] = "";
  const timeval limit{2, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  if (recv(fd, request, sizeof request, 0) > 0) {
    gethostname(host, sizeof host - 1);
    const std::string body = std::string(host) + "\n";
    const std::string answer =
        "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " + std::to_string(body.size()) +
        "\r\nConnection: close\r\n\r\n" + body;
    (void)send(fd, answer.data(), answer.size(), MSG_NOSIGNAL);
  }
  close(fd);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: responder PORT\n");
    return 2;
  }
  const auto port = static_cast<uint16_t>(std::atoi(argv[1]));
  const int udp = bound(SOCK_DGRAM, port), tcp = bound(SOCK_STREAM, port);
  if (listen(tcp, 64) != 0) die("listen");
  for (;;) {
    pollfd waits[2] = {{udp, POLLIN, 0}, {tcp, POLLIN, 0}};
    if (poll(waits, 2, -1) < 0) continue;
    if (waits[0].revents != 0) echo(udp);
    if (waits[1].revents != 0) serve(tcp);
  }
}
