#include "linux/net/socket.hpp"

#include <net/if.h>
#include <netinet/icmp6.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <ctime>

#include "linux/event_loop.hpp"

namespace clusterd::net {

Socket& Socket::operator=(Socket&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = other.fd_;
    other.fd_ = -1;
  }
  return *this;
}

void Socket::reset() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

Socket open_socket(int domain, int type, int protocol) {
  return Socket(socket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
}

bool set_option(const Socket& socket, int level, int name, int value) {
  return setsockopt(socket.fd(), level, name, &value, sizeof value) == 0;
}

bool bind_to_nic(const Socket& socket, const std::string& nic) {
  return setsockopt(socket.fd(), SOL_SOCKET, SO_BINDTODEVICE, nic.c_str(),
                    static_cast<socklen_t>(nic.size() + 1)) == 0;
}

void set_urgent(const Socket& socket, int domain) {
  constexpr int kCs6 = 0xC0;
  constexpr int kControl = 7;
  if (domain == AF_INET) (void)set_option(socket, IPPROTO_IP, IP_TOS, kCs6);
  if (domain == AF_INET6) (void)set_option(socket, IPPROTO_IPV6, IPV6_TCLASS, kCs6);
  (void)set_option(socket, SOL_SOCKET, SO_PRIORITY, kControl);  // last: IP_TOS sets it, too
}

bool is_nic(const Socket& socket, const std::string& nic, unsigned index) {
  ifreq answer{};
  answer.ifr_ifindex = static_cast<int>(index);
  return index != 0 && ioctl(socket.fd(), SIOCGIFNAME, &answer) == 0 &&
         nic == std::string(answer.ifr_name, strnlen(answer.ifr_name, IFNAMSIZ));
}

unsigned nic_index(const Socket& socket, const std::string& nic, unsigned hint) {
  if (is_nic(socket, nic, hint)) return hint;
  const Socket finder = open_socket(AF_INET, SOCK_DGRAM, 0);
  if (!finder.is_open() || !bind_to_nic(finder, nic)) return 0;
  int index = 0;
  socklen_t length = sizeof index;
  if (getsockopt(finder.fd(), SOL_SOCKET, SO_BINDTOIFINDEX, &index, &length) != 0) return 0;
  return static_cast<unsigned>(index);
}

std::optional<MacAddress> nic_mac(const Socket& socket, const std::string& nic) {
  ifreq answer{};
  if (nic.empty() || nic.size() >= IFNAMSIZ) return std::nullopt;
  std::memcpy(answer.ifr_name, nic.data(), nic.size());
  if (ioctl(socket.fd(), SIOCGIFHWADDR, &answer) != 0) return std::nullopt;
  MacAddress mac;
  std::memcpy(mac.bytes.data(), answer.ifr_hwaddr.sa_data, mac.bytes.size());
  return mac;
}

bool attach_filter(const Socket& socket, std::span<const sock_filter> program) {
  sock_fprog description{};
  description.len = static_cast<unsigned short>(program.size());
  description.filter = const_cast<sock_filter*>(program.data());
  return setsockopt(socket.fd(), SOL_SOCKET, SO_ATTACH_FILTER, &description, sizeof description) == 0;
}

Socket open_echo_reply_socket(int domain, const std::array<uint8_t, 4>& magic) {
  const uint32_t word = static_cast<uint32_t>(magic[0]) << 24U | static_cast<uint32_t>(magic[1]) << 16U |
                        static_cast<uint32_t>(magic[2]) << 8U | magic[3];
  // An IPv4 raw socket sees the IP header, whose length goes into X; an IPv6 one starts at the ICMP header.
  const std::array<sock_filter, 7> v4 = {
      {BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0), BPF_STMT(BPF_LD | BPF_B | BPF_IND, 0),
       BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 3), BPF_STMT(BPF_LD | BPF_W | BPF_IND, 8),
       BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, word, 0, 1), BPF_STMT(BPF_RET | BPF_K, 0xFFFF),
       BPF_STMT(BPF_RET | BPF_K, 0)}};
  const std::array<sock_filter, 6> v6 = {
      {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ICMP6_ECHO_REPLY, 0, 3),
       BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 8), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, word, 0, 1),
       BPF_STMT(BPF_RET | BPF_K, 0xFFFF), BPF_STMT(BPF_RET | BPF_K, 0)}};
  const bool is_v4 = domain == AF_INET;
  Socket socket = open_socket(domain, SOCK_RAW, is_v4 ? static_cast<int>(IPPROTO_ICMP) : IPPROTO_ICMPV6);
  if (!socket.is_open()) return socket;
  if (!attach_filter(socket, is_v4 ? std::span<const sock_filter>(v4) : std::span<const sock_filter>(v6)))
    return {};
  if (!is_v4) {
    icmp6_filter filter{};
    ICMP6_FILTER_SETBLOCKALL(&filter);
    ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &filter);
    if (setsockopt(socket.fd(), IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter) != 0) return {};
  }
  return socket;
}

bool send_from(const Socket& socket, std::span<const uint8_t> bytes, const SocketAddress& to,
               const std::optional<IpAddress>& source, unsigned index) {
  iovec vector{const_cast<uint8_t*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_name = const_cast<sockaddr_storage*>(&to.storage);
  message.msg_namelen = to.length;
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  alignas(cmsghdr) std::array<uint8_t, CMSG_SPACE(sizeof(in6_pktinfo))> control{};
  if (source || index != 0) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    if (to.storage.ss_family == AF_INET) {
      in_pktinfo info{};
      info.ipi_ifindex = static_cast<int>(index);
      if (source) std::memcpy(&info.ipi_spec_dst, source->bytes.data(), 4);
      header->cmsg_level = IPPROTO_IP;
      header->cmsg_type = IP_PKTINFO;
      header->cmsg_len = CMSG_LEN(sizeof info);
      std::memcpy(CMSG_DATA(header), &info, sizeof info);
    } else {
      in6_pktinfo info{};
      info.ipi6_ifindex = index;
      if (source) std::memcpy(&info.ipi6_addr, source->bytes.data(), 16);
      header->cmsg_level = IPPROTO_IPV6;
      header->cmsg_type = IPV6_PKTINFO;
      header->cmsg_len = CMSG_LEN(sizeof info);
      std::memcpy(CMSG_DATA(header), &info, sizeof info);
    }
    message.msg_controllen =
        CMSG_SPACE(to.storage.ss_family == AF_INET ? sizeof(in_pktinfo) : sizeof(in6_pktinfo));
  }
  return sendmsg(socket.fd(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
}

Batch::Batch() : buffers_(kSize) {}

size_t Batch::receive(const Socket& socket) {
  for (size_t i = 0; i < kSize; ++i) {
    vectors_[i] = {buffers_[i].data(), kBytes};
    msghdr& header = headers_[i].msg_hdr;
    header = {};
    header.msg_name = &from_[i];
    header.msg_namelen = sizeof from_[i];
    header.msg_iov = &vectors_[i];
    header.msg_iovlen = 1;
    header.msg_control = control_[i].data();
    header.msg_controllen = control_[i].size();
  }
  const int got = recvmmsg(socket.fd(), headers_.data(), kSize, MSG_DONTWAIT, nullptr);
  return got > 0 ? static_cast<size_t>(got) : 0;
}

std::span<const uint8_t> Batch::bytes(size_t i) const {
  return {buffers_[i].data(), std::min<size_t>(headers_[i].msg_len, kBytes)};
}

Instant Batch::received(size_t i) const {
  const Instant now = EventLoop::now();  // before the civil clock is read: rather too early than too late
  msghdr header = headers_[i].msg_hdr;
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS) continue;
    timespec stamp{};
    timespec civil{};
    std::memcpy(&stamp, CMSG_DATA(c), sizeof stamp);
    clock_gettime(CLOCK_REALTIME, &civil);
    const Duration age = std::chrono::seconds(civil.tv_sec - stamp.tv_sec) +
                         std::chrono::nanoseconds(civil.tv_nsec - stamp.tv_nsec);
    return now - std::max(age, Duration::zero());
  }
  return now;
}

}  // namespace clusterd::net
