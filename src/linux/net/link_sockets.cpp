#include "linux/net/link_sockets.hpp"

#include <net/ethernet.h>
#include <netpacket/packet.h>

#include "linux/net/packets.hpp"
#include "linux/net/seal.hpp"

namespace clusterd::net {

namespace {

constexpr uint16_t kEchoId = 0x636c;  // only for people who watch the wire; the payload's magic decides
constexpr int kIpv6Freebind = 78;     // IPV6_FREEBIND, which older libc headers do not name

constexpr uint32_t kMagicWord = static_cast<uint32_t>(SealedChannel::kMagic[0]) << 24U |
                                static_cast<uint32_t>(SealedChannel::kMagic[1]) << 16U |
                                static_cast<uint32_t>(SealedChannel::kMagic[2]) << 8U |
                                SealedChannel::kMagic[3];
constexpr uint32_t kPacketType = static_cast<uint32_t>(SKF_AD_OFF + SKF_AD_PKTTYPE);

// Both see every IP packet of the NIC, so the test that fails for most traffic comes first.
const std::array<sock_filter, 13> kFilterV4 = {{
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9),  // protocol: ICMP
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 10),
    BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 6),  // no fragment
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x3FFF, 8, 0),
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, kPacketType),  // to this host, not overheard
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_HOST, 0, 6),
    BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
    BPF_STMT(BPF_LD | BPF_B | BPF_IND, 0),  // echo reply
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 3),
    BPF_STMT(BPF_LD | BPF_W | BPF_IND, 8),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kMagicWord, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, 0xFFFF),
    BPF_STMT(BPF_RET | BPF_K, 0),
}};
const std::array<sock_filter, 10> kFilterV6 = {{
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 6),  // next header: ICMPv6
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_ICMPV6, 0, 7),
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, kPacketType),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_HOST, 0, 5),
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 40),  // echo reply
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 129, 0, 3),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 48),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kMagicWord, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, 0xFFFF),
    BPF_STMT(BPF_RET | BPF_K, 0),
}};

Socket open_reply_tap(int domain, unsigned index) {
  // Protocol 0 hears nothing until it is bound: nothing can slip in before the filter.
  Socket socket = open_socket(AF_PACKET, SOCK_DGRAM, 0);
  const std::span<const sock_filter> filter =
      domain == AF_INET ? std::span<const sock_filter>(kFilterV4) : std::span<const sock_filter>(kFilterV6);
  if (!socket.is_open() || !attach_filter(socket, filter)) return {};
  sockaddr_ll here{};
  here.sll_family = AF_PACKET;
  here.sll_protocol = htons(domain == AF_INET ? ETHERTYPE_IP : ETHERTYPE_IPV6);
  here.sll_ifindex = static_cast<int>(index);
  if (bind(socket.fd(), reinterpret_cast<const sockaddr*>(&here), sizeof here) != 0) return {};
  return socket;
}

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
  Socket in = open_reply_tap(domain, index_);
  Socket out = open_socket(domain, SOCK_RAW, IPPROTO_RAW);
  if (!in.is_open() || !out.is_open() || !bind_to_nic(out, nic_)) return false;
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
