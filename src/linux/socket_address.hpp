// Addresses as the kernel's calls want them, and back.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <optional>

#include "base/address.hpp"

namespace clusterd::net {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};
// `scope` is the NIC's index; used only by link-local addresses of IPv6.
[[nodiscard]] SocketAddress socket_address(const IpAddress& address, uint16_t port, unsigned scope);
[[nodiscard]] std::optional<IpAddress> address_of(const sockaddr_storage& storage);
[[nodiscard]] uint16_t port_of(const sockaddr_storage& storage);
[[nodiscard]] int domain_of(const IpAddress& address);

}  // namespace clusterd::net
