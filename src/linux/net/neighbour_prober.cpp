#include "linux/net/neighbour_prober.hpp"

#include <net/ethernet.h>
#include <netpacket/packet.h>

#include <algorithm>
#include <cstring>

namespace clusterd::net {

namespace {

constexpr size_t kArpBytes = 28;
constexpr std::array<uint8_t, 7> kArpHead = {0, 1, 8, 0,
                                             6, 4, 0};  // Ethernet, IPv4, lengths, operation's high byte
constexpr uint8_t kArpRequest = 1, kArpReply = 2;
constexpr size_t kSenderMac = 8, kSenderIp = 14, kTargetMac = 18, kTargetIp = 24;

// Passes only ARP replies; a cooked packet socket sees no Ethernet header.
const std::array<sock_filter, 4> kOnlyReplies = {
    {BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 6), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArpReply, 0, 1),
     BPF_STMT(BPF_RET | BPF_K, 0xFFFF), BPF_STMT(BPF_RET | BPF_K, 0)}};

}  // namespace

NeighbourProber::NeighbourProber(ProbeContext& context)
    : context_(context),
      ports_(context.config.links.size()),
      hosts_(context.config.hosts.size(), Host{UnnumberedProbes(context.config.timing.window / 2), {}}) {
  for (const HostConfig& host : context.config.hosts) {
    if (host.kind == ProbeKind::kArp && host.link) (void)is_ready(*host.link);
  }
}

const LinkEnd& NeighbourProber::own_end(LinkId link) const {
  return context_.config.link(link).ends.at(context_.config.self.at());
}

bool NeighbourProber::is_ready(LinkId link) {
  Port& p = ports_.at(link.at());
  if (p.socket.is_open() && is_nic(p.socket, own_end(link).nic, p.index)) return true;
  p.watch.reset();
  p.socket.reset();
  if (!open(link, p)) {
    p.socket.reset();
    return false;
  }
  p.watch = context_.loop.watch_readable(p.socket.fd(), [this, link] { read(link); });
  return true;
}

bool NeighbourProber::open(LinkId link, Port& p) {
  // Protocol 0 hears nothing until it is bound: no packet of another NIC can slip in before the filter.
  p.socket = open_socket(AF_PACKET, SOCK_DGRAM, 0);
  if (!p.socket.is_open() || !attach_filter(p.socket, kOnlyReplies) ||
      !set_option(p.socket, SOL_SOCKET, SO_TIMESTAMPNS, 1))
    return false;
  p.index = nic_index(p.socket, own_end(link).nic, p.index);
  sockaddr_ll here{};
  here.sll_family = AF_PACKET;
  here.sll_protocol = htons(ETHERTYPE_ARP);
  here.sll_ifindex = static_cast<int>(p.index);
  return p.index != 0 && bind(p.socket.fd(), reinterpret_cast<const sockaddr*>(&here), sizeof here) == 0;
}

void NeighbourProber::probe(const SendProbe& order) {
  const HostConfig& host = context_.config.host(order.host);
  if (!host.link || !is_ready(*host.link)) {
    context_.count_sent(order.host, false);
    return;
  }
  UnnumberedProbes& probes = hosts_.at(order.host.at()).probes;
  const std::vector<AskedAs> names = probes.ask(order.sent);
  if (names.empty()) ++context_.of(order.host).skipped;
  for (const AskedAs as : names) {
    const bool sent = send(order.host, ports_.at(host.link->at()), as);
    if (as == names.front()) context_.count_sent(order.host, sent);
    if (sent) probes.left(as, order.sent);
  }
}

bool NeighbourProber::send(HostId id, const Port& p, AskedAs as) {
  const LinkEnd& own = own_end(*context_.config.host(id).link);
  const Host& host = hosts_.at(id.at());
  const auto mac = nic_mac(p.socket, own.nic);
  if (!mac) return false;
  std::array<uint8_t, kArpBytes> arp{};
  std::copy(kArpHead.begin(), kArpHead.end(), arp.begin());
  arp[7] = kArpRequest;
  std::copy(mac->bytes.begin(), mac->bytes.end(), arp.begin() + kSenderMac);
  if (as == AskedAs::kOwnAddress) std::copy_n(own.address.address.bytes.begin(), 4, arp.begin() + kSenderIp);
  std::copy_n(context_.config.host(id).address.bytes.begin(), 4, arp.begin() + kTargetIp);
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_protocol = htons(ETHERTYPE_ARP);
  to.sll_ifindex = static_cast<int>(p.index);
  to.sll_halen = 6;
  std::fill_n(to.sll_addr, 6, uint8_t{0xFF});
  if (host.mac && !host.probes.in_vain()) std::copy_n(host.mac->bytes.begin(), 6, to.sll_addr);
  const ssize_t sent = sendto(p.socket.fd(), arp.data(), arp.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                              reinterpret_cast<const sockaddr*>(&to), sizeof to);
  return sent == static_cast<ssize_t>(arp.size());
}

void NeighbourProber::read(LinkId link) {
  for (size_t got = Batch::kSize; got == Batch::kSize;) {
    got = batch_.receive(ports_.at(link.at()).socket);
    for (size_t i = 0; i < got; ++i) take(link, batch_.bytes(i), batch_.received(i));
  }
}

void NeighbourProber::take(LinkId link, std::span<const uint8_t> bytes, Instant received) {
  if (bytes.size() < kArpBytes || !std::equal(kArpHead.begin(), kArpHead.end(), bytes.begin()) ||
      bytes[7] != kArpReply) {
    ++context_.strangers;
    return;
  }
  IpAddress sender;
  IpAddress target;
  std::copy_n(bytes.begin() + kSenderIp, 4, sender.bytes.begin());
  std::copy_n(bytes.begin() + kTargetIp, 4, target.bytes.begin());
  const LinkEnd& own = own_end(link);
  const auto id = find(link, sender);
  const auto mac = nic_mac(ports_.at(link.at()).socket, own.nic);
  const bool for_own_address = target == own.address.address;
  const bool to_us = mac && std::equal(mac->bytes.begin(), mac->bytes.end(), bytes.begin() + kTargetMac) &&
                     (for_own_address || target == IpAddress{});
  if (!id || !to_us) {
    ++context_.strangers;
    return;
  }
  Host& host = hosts_.at(id->at());
  std::copy_n(bytes.begin() + kSenderMac, 6, host.mac.emplace().bytes.begin());
  const auto sent = host.probes.answered(for_own_address ? AskedAs::kOwnAddress : AskedAs::kNobody, received);
  if (sent) {
    context_.answered(*id, *sent);
  } else {
    ++context_.of(*id).ignored;
  }
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
