// Small things that every socket of this folder needs. Internal to src/linux/net.
//
// A socket stays in the network namespace in which it was opened; NIC indices are therefore asked of a
// socket, not of the calling thread's namespace.
#pragma once

#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "base/time.hpp"
#include "linux/socket_address.hpp"

namespace clusterd::net {

// Owns a descriptor.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket() { reset(); }
  Socket(Socket&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Socket& operator=(Socket&& other) noexcept;
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] bool is_open() const { return fd_ >= 0; }
  void reset();

 private:
  int fd_ = -1;
};

// Nonblocking and closed on exec; not open if the kernel refuses.
[[nodiscard]] Socket open_socket(int domain, int type, int protocol);

[[nodiscard]] bool set_option(const Socket& socket, int level, int name, int value);
[[nodiscard]] bool bind_to_nic(const Socket& socket, const std::string& nic);
// Network control: DSCP CS6, queueing priority 7. Best effort.
void set_urgent(const Socket& socket, int domain);
// The NIC's index in the socket's namespace, which has to be the thread's; 0 = missing. Looks at `hint`, the
// index that it had, first. Never by SIOCGIFINDEX or if_nametoindex: for a missing NIC these make the kernel
// run modprobe, and the caller wait for it.
[[nodiscard]] unsigned nic_index(const Socket& socket, const std::string& nic, unsigned hint);
// Whether the NIC with this index is (still) called so. Works from every thread's namespace.
[[nodiscard]] bool is_nic(const Socket& socket, const std::string& nic, unsigned index);
// Of a NIC that is there.
[[nodiscard]] std::optional<MacAddress> nic_mac(const Socket& socket, const std::string& nic);

[[nodiscard]] bool attach_filter(const Socket& socket, std::span<const sock_filter> program);
// A raw ICMP(v6) socket that passes only echo replies whose payload starts with `magic`.
[[nodiscard]] Socket open_echo_reply_socket(int domain, const std::array<uint8_t, 4>& magic);

// Sends from `source` (if any) out of the NIC `index` (if not 0), whatever the routing says.
[[nodiscard]] bool send_from(const Socket& socket, std::span<const uint8_t> bytes, const SocketAddress& to,
                             const std::optional<IpAddress>& source, unsigned index);

// A batch of received datagrams. Reused: receive() overwrites what was there.
class Batch {
 public:
  static constexpr size_t kSize = 16;
  static constexpr size_t kBytes = 2048;

  Batch();
  // How many arrived; 0 when the socket is drained (or broken: its error is consumed).
  [[nodiscard]] size_t receive(const Socket& socket);
  [[nodiscard]] std::span<const uint8_t> bytes(size_t i) const;
  [[nodiscard]] bool truncated(size_t i) const { return (headers_[i].msg_hdr.msg_flags & MSG_TRUNC) != 0; }
  [[nodiscard]] const sockaddr_storage& from(size_t i) const { return from_[i]; }
  // Sockets that asked for it (SO_TIMESTAMPNS): when the kernel received it. If the civil clock, by which the
  // kernel notes it, has jumped since: forwards, then it seems older; backwards, at most as new as now.
  [[nodiscard]] Instant received(size_t i) const;

 private:
  std::vector<std::array<uint8_t, kBytes>> buffers_;
  std::array<sockaddr_storage, kSize> from_{};
  std::array<iovec, kSize> vectors_{};
  std::array<mmsghdr, kSize> headers_{};
  alignas(cmsghdr) std::array<std::array<uint8_t, 64>, kSize> control_{};
};

}  // namespace clusterd::net
