#include "linux/net/tcp_prober.hpp"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <iterator>

namespace clusterd::net {

namespace {

constexpr Duration kLimit = std::chrono::seconds(1);
constexpr Duration kFairTime = std::chrono::milliseconds(200);

}  // namespace

TcpProber::TcpProber(ProbeContext& context) : context_(context), attempts_(context.config.hosts.size()) {}

bool TcpProber::make_room(HostId host) {
  Attempts& all = attempts_.at(host.at());
  if (all.size() < HostProber::kTcpInFlight) return true;
  if (EventLoop::now() - all.front().began < kFairTime) return false;
  all.pop_front();
  return true;
}

void TcpProber::probe(const SendProbe& order) {
  if (!make_room(order.host)) {
    ++context_.of(order.host).skipped;
    return;
  }
  Attempts& all = attempts_.at(order.host.at());
  const auto attempt = all.emplace(all.end());
  attempt->sent = order.sent;
  attempt->began = EventLoop::now();
  const bool sent = connect_to(order.host, *attempt);
  context_.count_sent(order.host, sent);
  if (!sent) {
    all.erase(attempt);
    return;
  }
  const HostId host = order.host;
  attempt->watch =
      context_.loop.watch_writable(attempt->socket.fd(), [this, host, attempt] { finish(host, attempt); });
  attempt->limit = context_.loop.at(attempt->began + kLimit,
                                    [this, host, attempt] { attempts_.at(host.at()).erase(attempt); });
}

bool TcpProber::connect_to(HostId host, Attempt& attempt) {
  const HostConfig& config = context_.config.host(host);
  const int domain = domain_of(config.address);
  attempt.socket = open_socket(domain, SOCK_STREAM, 0);
  const Socket& socket = attempt.socket;
  if (!socket.is_open()) return false;
  unsigned index = 0;
  if (const LinkEnd* end = context_.own_end(host); end != nullptr) {
    index = context_.nic_of(host, socket);
    (void)set_option(socket, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    const SocketAddress own = socket_address(end->address.address, 0, index);
    if (index == 0 || !bind_to_nic(socket, end->nic) || bind(socket.fd(), own.get(), own.length) != 0)
      return false;
  }
  // A reset instead of an orderly end: nothing is to linger for each probe on either side.
  const linger at_once{1, 0};
  (void)setsockopt(socket.fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  set_urgent(socket, domain);
  const SocketAddress to = socket_address(config.address, config.port, index);
  if (connect(socket.fd(), to.get(), to.length) == 0 || errno == EINPROGRESS) return true;
  attempt.refused = errno == ECONNREFUSED;
  return attempt.refused;
}

void TcpProber::finish(HostId host, Attempts::iterator attempt) {
  int error = 0;
  socklen_t length = sizeof error;
  (void)getsockopt(attempt->socket.fd(), SOL_SOCKET, SO_ERROR, &error, &length);
  const bool alive = attempt->refused || error == 0 || error == ECONNREFUSED;
  const Instant sent = attempt->sent;
  attempts_.at(host.at()).erase(attempt);
  if (alive) context_.answered(host, sent);
}

}  // namespace clusterd::net
