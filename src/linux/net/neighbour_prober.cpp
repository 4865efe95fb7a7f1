#include "linux/net/neighbour_prober.hpp"

#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netpacket/packet.h>

#include <algorithm>
#include <cstring>

namespace clusterd::net {

namespace {

constexpr Duration kLatestAnswer = std::chrono::seconds(2);
constexpr size_t kMaxWaiting = 512;  // more than the fastest probes of kLatestAnswer
constexpr size_t kVainBeforeBroadcast = 3;

constexpr size_t kArpBytes = 28;
constexpr std::array<uint8_t, 7> kArpHead = {0, 1, 8, 0,
                                             6, 4, 0};  // Ethernet, IPv4, lengths, operation's high byte
constexpr uint8_t kArpRequest = 1, kArpReply = 2;
constexpr size_t kSenderMac = 8, kSenderIp = 14, kTargetMac = 18, kTargetIp = 24;

constexpr size_t kTargetAt = 8;  // in a solicitation and an advertisement

// Passes only ARP replies; a cooked packet socket sees no Ethernet header.
const std::array<sock_filter, 4> kOnlyReplies = {
    {BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 6), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArpReply, 0, 1),
     BPF_STMT(BPF_RET | BPF_K, 0xFFFF), BPF_STMT(BPF_RET | BPF_K, 0)}};

}  // namespace

NeighbourProber::NeighbourProber(ProbeContext& context)
    : context_(context), ports_(context.config.links.size() * 2), waiting_(context.config.hosts.size()) {
  for (const HostConfig& host : context.config.hosts) {
    if (host.kind == ProbeKind::kArp && host.link) (void)is_ready(*host.link, host.address.family);
  }
}

const LinkEnd& NeighbourProber::own_end(LinkId link) const {
  return context_.config.link(link).ends.at(context_.config.self.at());
}

bool NeighbourProber::is_ready(LinkId link, IpAddress::Family family) {
  Port& p = port(link, family);
  if (p.socket.is_open() && is_nic(p.socket, own_end(link).nic, p.index)) return true;
  p.watch.reset();
  p.socket.reset();
  if (!open(link, p, family)) {
    p.socket.reset();
    return false;
  }
  p.watch = context_.loop.watch_readable(p.socket.fd(), [this, link, family] { read(link, family); });
  return true;
}

bool NeighbourProber::open(LinkId link, Port& p, IpAddress::Family family) {
  const std::string& nic = own_end(link).nic;
  if (family == IpAddress::Family::kV4) {
    // Protocol 0 hears nothing until it is bound: no packet of another NIC can slip in before the filter.
    p.socket = open_socket(AF_PACKET, SOCK_DGRAM, 0);
    if (!p.socket.is_open() || !attach_filter(p.socket, kOnlyReplies)) return false;
    p.index = nic_index(p.socket, nic, p.index);
    sockaddr_ll here{};
    here.sll_family = AF_PACKET;
    here.sll_protocol = htons(ETHERTYPE_ARP);
    here.sll_ifindex = static_cast<int>(p.index);
    return p.index != 0 && bind(p.socket.fd(), reinterpret_cast<const sockaddr*>(&here), sizeof here) == 0;
  }
  p.socket = open_socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
  if (!p.socket.is_open()) return false;
  icmp6_filter filter{};
  ICMP6_FILTER_SETBLOCKALL(&filter);
  ICMP6_FILTER_SETPASS(ND_NEIGHBOR_ADVERT, &filter);
  p.index = nic_index(p.socket, nic, p.index);
  return p.index != 0 &&
         setsockopt(p.socket.fd(), IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter) == 0 &&
         bind_to_nic(p.socket, nic) && set_option(p.socket, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 255) &&
         set_option(p.socket, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
}

void NeighbourProber::probe(const SendProbe& order) {
  const HostConfig& host = context_.config.host(order.host);
  if (!host.link || !is_ready(*host.link, host.address.family)) {
    context_.count_sent(order.host, false);
    return;
  }
  const Port& p = port(*host.link, host.address.family);
  const bool sent = host.address.is_v4() ? send_arp(order.host, p) : send_solicitation(order.host, p);
  context_.count_sent(order.host, sent);
  if (!sent) return;
  Waiting& waiting = waiting_.at(order.host.at());
  waiting.sent.push_back(order.sent);
  if (waiting.sent.size() > kMaxWaiting) waiting.sent.pop_front();
  ++waiting.in_vain;
}

bool NeighbourProber::send_arp(HostId host, const Port& p) {
  const LinkEnd& own = own_end(*context_.config.host(host).link);
  const auto mac = nic_mac(p.socket, own.nic);
  if (!mac) return false;
  std::array<uint8_t, kArpBytes> arp{};
  std::copy(kArpHead.begin(), kArpHead.end(), arp.begin());
  arp[7] = kArpRequest;
  std::copy(mac->bytes.begin(), mac->bytes.end(), arp.begin() + kSenderMac);
  std::copy_n(own.address.address.bytes.begin(), 4, arp.begin() + kSenderIp);
  std::copy_n(context_.config.host(host).address.bytes.begin(), 4, arp.begin() + kTargetIp);
  const Waiting& waiting = waiting_.at(host.at());
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_protocol = htons(ETHERTYPE_ARP);
  to.sll_ifindex = static_cast<int>(p.index);
  to.sll_halen = 6;
  std::fill_n(to.sll_addr, 6, uint8_t{0xFF});
  if (waiting.mac && waiting.in_vain < kVainBeforeBroadcast)
    std::copy_n(waiting.mac->bytes.begin(), 6, to.sll_addr);
  const ssize_t sent = sendto(p.socket.fd(), arp.data(), arp.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                              reinterpret_cast<const sockaddr*>(&to), sizeof to);
  return sent == static_cast<ssize_t>(arp.size());
}

bool NeighbourProber::send_solicitation(HostId host, const Port& p) {
  const LinkEnd& own = own_end(*context_.config.host(host).link);
  const IpAddress& target = context_.config.host(host).address;
  const auto mac = nic_mac(p.socket, own.nic);
  if (!mac) return false;
  std::array<uint8_t, 32> packet{};
  packet[0] = ND_NEIGHBOR_SOLICIT;
  std::copy(target.bytes.begin(), target.bytes.end(), packet.begin() + kTargetAt);
  packet[24] = ND_OPT_SOURCE_LINKADDR;
  packet[25] = 1;  // in units of eight bytes
  std::copy(mac->bytes.begin(), mac->bytes.end(), packet.begin() + 26);
  IpAddress group = *IpAddress::parse("ff02::1:ff00:0");
  std::copy_n(target.bytes.begin() + 13, 3, group.bytes.begin() + 13);
  return send_from(p.socket, packet, socket_address(group, 0, p.index), own.address.address, p.index);
}

void NeighbourProber::read(LinkId link, IpAddress::Family family) {
  for (size_t got = Batch::kSize; got == Batch::kSize;) {
    got = batch_.receive(port(link, family).socket);
    for (size_t i = 0; i < got; ++i) {
      if (family == IpAddress::Family::kV4) {
        take_arp(link, batch_.bytes(i));
      } else {
        take_advertisement(link, batch_.bytes(i), batch_.hop_limit(i));
      }
    }
  }
}

void NeighbourProber::take_arp(LinkId link, std::span<const uint8_t> bytes) {
  if (bytes.size() < kArpBytes || !std::equal(kArpHead.begin(), kArpHead.end(), bytes.begin()) ||
      bytes[7] != kArpReply) {
    ++context_.strangers;
    return;
  }
  const LinkEnd& own = own_end(link);
  IpAddress sender;
  std::copy_n(bytes.begin() + kSenderIp, 4, sender.bytes.begin());
  const auto host = find(link, sender);
  const auto mac = nic_mac(port(link, IpAddress::Family::kV4).socket, own.nic);
  const bool to_us =
      mac && std::equal(mac->bytes.begin(), mac->bytes.end(), bytes.begin() + kTargetMac) &&
      std::equal(bytes.begin() + kTargetIp, bytes.begin() + kArpBytes, own.address.address.bytes.begin());
  if (!host || !to_us) {
    ++context_.strangers;
    return;
  }
  MacAddress from;
  std::copy_n(bytes.begin() + kSenderMac, 6, from.bytes.begin());
  waiting_.at(host->at()).mac = from;
  answered(*host);
}

void NeighbourProber::take_advertisement(LinkId link, std::span<const uint8_t> bytes, int hop_limit) {
  constexpr uint8_t kSolicited = 0x40;
  IpAddress target;
  target.family = IpAddress::Family::kV6;
  // Only a neighbour can send hop limit 255; a router would have lowered it.
  if (bytes.size() < kTargetAt + 16 || hop_limit != 255 || (bytes[4] & kSolicited) == 0) {
    ++context_.strangers;
    return;
  }
  std::copy_n(bytes.begin() + kTargetAt, 16, target.bytes.begin());
  const auto host = find(link, target);
  if (host) {
    answered(*host);
  } else {
    ++context_.strangers;
  }
}

void NeighbourProber::answered(HostId host) {
  Waiting& waiting = waiting_.at(host.at());
  const Instant oldest = EventLoop::now() - kLatestAnswer;
  while (!waiting.sent.empty() && waiting.sent.front() < oldest) waiting.sent.pop_front();
  if (waiting.sent.empty()) {
    ++context_.of(host).ignored;
    return;
  }
  const Instant sent = waiting.sent.front();
  waiting.sent.pop_front();
  waiting.in_vain = 0;
  context_.answered(host, sent);
}

std::optional<HostId> NeighbourProber::find(LinkId link, const IpAddress& address) const {
  const auto& hosts = context_.config.hosts;
  for (size_t i = 0; i < hosts.size(); ++i) {
    if (hosts[i].kind == ProbeKind::kArp && hosts[i].link == link && hosts[i].address == address)
      return HostId(i);
  }
  return std::nullopt;
}

}  // namespace clusterd::net
