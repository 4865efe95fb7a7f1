#include "linux/net/link_sockets.hpp"

#include "linux/net/packets.hpp"
#include "linux/net/seal.hpp"

namespace clusterd::net {

namespace {

constexpr uint16_t kEchoId = 0x636c;  // only for people who watch the wire; the payload's magic decides
constexpr int kIpv6Freebind = 78;     // IPV6_FREEBIND, which older libc headers do not name

}  // namespace

LinkSockets::LinkSockets(const Config& config, LinkId link, bool relays)
    : nic_(config.link(link).ends.at(config.self.at()).nic),
      own_(config.link(link).ends.at(config.self.at()).address.address),
      peer_(config.link(link).ends.at(config.peer().at()).address.address),
      port_(config.port),
      relays_(relays) {
  (void)open();
}

bool LinkSockets::is_current() const { return udp_.is_open() && is_nic(udp_, nic_, index_); }

void LinkSockets::close() {
  udp_.reset();
  relay_in_.reset();
  relay_out_.reset();
  index_ = 0;
}

bool LinkSockets::open() {
  const int domain = domain_of(own_);
  Socket udp = open_socket(domain, SOCK_DGRAM, 0);
  if (!udp.is_open()) return false;
  const unsigned index = nic_index(udp, nic_, index_);
  if (index == 0 || !bind_to_nic(udp, nic_)) return false;
  // The address may come later than the daemon (DHCP, duplicate address detection).
  const bool free = own_.is_v4() ? set_option(udp, IPPROTO_IP, IP_FREEBIND, 1)
                                 : set_option(udp, IPPROTO_IPV6, kIpv6Freebind, 1) &&
                                       set_option(udp, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  if (!free) return false;
  const SocketAddress own = socket_address(own_, port_, index);
  if (bind(udp.fd(), own.get(), own.length) != 0) return false;
  set_urgent(udp, domain);
  peer_socket_ = socket_address(peer_, port_, index);
  index_ = index;
  udp_ = std::move(udp);
  if (relays_) (void)open_relay();
  return true;
}

bool LinkSockets::open_relay() {
  const int domain = domain_of(own_);
  Socket in = open_echo_reply_socket(domain, SealedChannel::kMagic);
  Socket out = open_socket(domain, SOCK_RAW, IPPROTO_RAW);
  if (!in.is_open() || !out.is_open() || !bind_to_nic(in, nic_) || !bind_to_nic(out, nic_)) return false;
  set_urgent(out, domain);
  relay_in_ = std::move(in);
  relay_out_ = std::move(out);
  return true;
}

bool LinkSockets::send_direct(std::span<const uint8_t> sealed) const {
  if (!udp_.is_open()) return false;
  const ssize_t sent = sendto(udp_.fd(), sealed.data(), sealed.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                              peer_socket_.get(), peer_socket_.length);
  return sent == static_cast<ssize_t>(sealed.size());
}

bool LinkSockets::send_relayed(const IpAddress& host, std::span<const uint8_t> sealed) {
  if (!relay_out_.is_open()) return false;
  const auto packet = echo_request_from(peer_, host, Echo{kEchoId, ++echo_sequence_, sealed});
  const SocketAddress to = socket_address(host, 0, index_);
  const ssize_t sent =
      sendto(relay_out_.fd(), packet.data(), packet.size(), MSG_DONTWAIT | MSG_NOSIGNAL, to.get(), to.length);
  return sent == static_cast<ssize_t>(packet.size());
}

}  // namespace clusterd::net
