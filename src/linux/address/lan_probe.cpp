#include "linux/address/lan_probe.hpp"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "linux/address/frames.hpp"

namespace clusterd {

namespace {
constexpr auto kAnswerWithin = std::chrono::seconds(2);
constexpr uint16_t kArp = 0x0806, kIpv6 = 0x86dd;
}  // namespace

LanProbe::LanProbe(EventLoop& loop, const std::vector<IpAddress>& addresses, IsOwnMac is_own_mac,
                   OnAnswer on_answer)
    : loop_(loop), is_own_mac_(std::move(is_own_mac)), on_answer_(std::move(on_answer)) {
  open_listener(arp_fd_, arp_watch_, addresses, false);
  open_listener(ipv6_fd_, ipv6_watch_, addresses, true);
}

LanProbe::~LanProbe() {
  arp_watch_.reset();
  ipv6_watch_.reset();
  for (const int fd : {arp_fd_, ipv6_fd_})
    if (fd >= 0) ::close(fd);
}

void LanProbe::open_listener(int& fd, std::unique_ptr<Watch>& watch, const std::vector<IpAddress>& addresses,
                             bool ipv6) {
  // Protocol 0 until the filter is in place, so that nothing foreign is queued.
  fd = ::socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  std::vector<sock_filter> code = claim_filter(addresses, ipv6);
  sock_fprog program{};
  program.len = static_cast<unsigned short>(code.size());
  program.filter = code.data();
  sockaddr_ll at{};
  at.sll_family = AF_PACKET;
  at.sll_protocol = htons(ipv6 ? kIpv6 : kArp);
  if (fd < 0 || ::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) != 0 ||
      ::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof(at)) != 0) {
    std::fprintf(stderr, "<3>addresses: the LAN cannot be probed for service addresses: %s\n",
                 std::strerror(errno));
    return;
  }
  const int listening = fd;
  watch = loop_.watch_readable(listening, [this, listening] { receive(listening); });
}

void LanProbe::hear_all_nodes(int ifindex) {
  if (std::ranges::find(joined_, ifindex) != joined_.end()) return;
  // The answer to a solicitation from the unspecified address goes to all nodes; a NIC without IPv6 would
  // filter it.
  packet_mreq join{};
  join.mr_ifindex = ifindex;
  join.mr_type = PACKET_MR_MULTICAST;
  join.mr_alen = 6;
  constexpr std::array<uint8_t, 6> kAllNodes = {0x33, 0x33, 0, 0, 0, 1};
  std::memcpy(join.mr_address, kAllNodes.data(), kAllNodes.size());
  if (::setsockopt(ipv6_fd_, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &join, sizeof(join)) == 0)
    joined_.push_back(ifindex);
}

void LanProbe::probe(ServiceId service, Instant sent, int ifindex, const MacAddress& nic_mac,
                     const std::vector<IpAddress>& addresses) {
  for (const IpAddress& address : addresses) {
    asked_[address] = {service, Asked{sent, ifindex, EventLoop::now()}};
    const int fd = address.is_v4() ? arp_fd_ : ipv6_fd_;
    if (!address.is_v4()) hear_all_nodes(ifindex);
    const Frame frame = address_probe(nic_mac, address);
    sockaddr_ll to{};
    to.sll_family = AF_PACKET;
    to.sll_ifindex = ifindex;
    to.sll_halen = 6;
    to.sll_protocol = htons(address.is_v4() ? kArp : kIpv6);
    std::memcpy(to.sll_addr, frame.data(), 6);
    // Refused while the NIC is down: then nobody is asked, and nobody answers.
    (void)::sendto(fd, frame.data(), frame.size(), MSG_DONTWAIT, reinterpret_cast<const sockaddr*>(&to),
                   sizeof(to));
  }
}

void LanProbe::receive(int fd) {
  std::array<uint8_t, 2048> buffer{};
  constexpr int kMost = 64;  // then others have their turn
  for (int i = 0; i < kMost; ++i) {
    sockaddr_ll from{};
    socklen_t from_bytes = sizeof(from);
    const ssize_t n =
        ::recvfrom(fd, buffer.data(), buffer.size(), 0, reinterpret_cast<sockaddr*>(&from), &from_bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return;
    const auto claim = parse_claim(std::span(buffer.data(), static_cast<size_t>(n)));
    if (!claim || is_own_mac_(claim->mac)) continue;
    const auto found = asked_.find(claim->address);
    if (found == asked_.end()) continue;
    const auto& [service, asked] = found->second;
    if (asked.ifindex != from.sll_ifindex || EventLoop::now() - asked.asked_at > kAnswerWithin) continue;
    on_answer_({service, claim->address, claim->mac, asked.sent});
  }
}

}  // namespace clusterd
