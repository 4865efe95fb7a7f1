// The sockets of one link: the node's end of it. Internal to src/linux/net.
//
//   udp        heartbeats, bound to the node's own address, the port and the NIC
//   relay_out  raw, with own IP headers: echo requests in the peer's name (S2a)
//   relay_in   a packet socket that sees IP packets for this host on the NIC; its filter passes only echo
//              replies with the magic of sealed datagrams. Not a raw ICMP socket, because that comes behind
//              the packet filter, and nearly every firewall drops what conntrack calls invalid: a reply
//              without a request.
// The relay sockets exist only where some reference host can relay. All are bound to the NIC by its index, so
// they are dead once the NIC is gone, even if one with the same name comes back: `refresh` sees to that.
#pragma once

#include <optional>

#include "core/config.hpp"
#include "linux/net/socket.hpp"

namespace clusterd::net {

class LinkSockets {
 public:
  LinkSockets(const Config& config, LinkId link, bool relays);

  // Opens what is not open, and all anew if the NIC has changed. True if there are new descriptors to watch.
  // Whoever watches the old ones must end that in `before_close`, which is called before they are closed.
  template <class BeforeClose>
  bool refresh(BeforeClose&& before_close) {
    if (!is_current()) {
      before_close();
      close();
      return open();
    }
    return relays_ && !relay_in_.is_open() && open_relay();
  }

  [[nodiscard]] const Socket& udp() const { return udp_; }
  [[nodiscard]] const Socket& relay_in() const { return relay_in_; }

  // False: the kernel did not take it, or the socket is not open.
  [[nodiscard]] bool send_direct(std::span<const uint8_t> sealed) const;
  [[nodiscard]] bool send_relayed(const IpAddress& host, std::span<const uint8_t> sealed);

  [[nodiscard]] const IpAddress& own_address() const { return own_; }
  [[nodiscard]] const IpAddress& peer_address() const { return peer_; }

 private:
  [[nodiscard]] bool is_current() const;
  bool open();
  bool open_relay();
  void close();

  std::string nic_;
  IpAddress own_, peer_;
  uint16_t port_;
  bool relays_;
  unsigned index_ = 0;
  uint16_t echo_sequence_ = 0;
  SocketAddress peer_socket_;
  Socket udp_, relay_out_, relay_in_;
};

}  // namespace clusterd::net
