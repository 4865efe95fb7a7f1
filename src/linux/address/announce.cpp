#include "linux/address/announce.hpp"

#include <linux/if_packet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "linux/address/frames.hpp"

namespace clusterd {

namespace {

using std::chrono::milliseconds;
constexpr std::array kPauses = {milliseconds(50), milliseconds(200), milliseconds(1000), milliseconds(3000)};
constexpr auto kRefresh = std::chrono::seconds(30);

void send_frame(int fd, int ifindex, const Frame& frame) {
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = ifindex;
  to.sll_halen = 6;
  std::memcpy(to.sll_addr, frame.data(), 6);
  std::memcpy(&to.sll_protocol, frame.data() + 12, 2);
  // Refused while the NIC is down: the next round is not far.
  (void)::sendto(fd, frame.data(), frame.size(), MSG_DONTWAIT, reinterpret_cast<const sockaddr*>(&to),
                 sizeof(to));
}

}  // namespace

// Protocol 0: the socket sends, and receives nothing.
Announcer::Announcer(EventLoop& loop)
    : loop_(loop), fd_(::socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
  if (fd_ < 0) {
    std::fprintf(stderr, "<3>addresses: takeovers cannot be announced: %s (CAP_NET_RAW is needed)\n",
                 std::strerror(errno));
  }
}

Announcer::~Announcer() {
  if (fd_ >= 0) ::close(fd_);
}

void Announcer::start(ServiceId service, int ifindex, const MacAddress& mac,
                      std::vector<IpAddress> addresses) {
  Campaign& campaign = campaigns_[service];
  campaign.ifindex = ifindex;
  campaign.mac = mac;
  campaign.addresses = std::move(addresses);
  campaign.round = 0;
  send_round(service);
}

void Announcer::stop(ServiceId service) { campaigns_.erase(service); }

void Announcer::send_round(ServiceId service) {
  const auto found = campaigns_.find(service);
  if (found == campaigns_.end()) return;
  Campaign& campaign = found->second;
  for (const IpAddress& address : campaign.addresses) {
    if (address.is_v4()) {
      send_frame(fd_, campaign.ifindex, gratuitous_arp(campaign.mac, address, false));
      send_frame(fd_, campaign.ifindex, gratuitous_arp(campaign.mac, address, true));
    } else {
      send_frame(fd_, campaign.ifindex, unsolicited_advertisement(campaign.mac, address));
    }
  }
  const Duration pause =
      campaign.round < kPauses.size() ? Duration(kPauses.at(campaign.round)) : Duration(kRefresh);
  ++campaign.round;
  campaign.timer = loop_.at(EventLoop::now() + pause, [this, service] { send_round(service); });
}

}  // namespace clusterd
