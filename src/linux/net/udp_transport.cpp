#include "linux/net/udp_transport.hpp"

#include <bitset>
#include <utility>

#include "linux/net/link_sockets.hpp"
#include "linux/net/packets.hpp"

namespace clusterd {

namespace {

constexpr Duration kRetry = std::chrono::seconds(1);
constexpr int kBatchesPerTurn = 4;  // then others have their turn; the loop comes back at once

}  // namespace

PathStats& PathStats::operator+=(const PathStats& other) {
  sent += other.sent;
  send_errors += other.send_errors;
  received += other.received;
  delivered += other.delivered;
  foreign += other.foreign;
  malformed += other.malformed;
  wrong_cluster += other.wrong_cluster;
  wrong_key += other.wrong_key;
  replayed += other.replayed;
  unproven += other.unproven;
  undecodable += other.undecodable;
  return *this;
}

PathStats TransportStats::total() const {
  PathStats sum = strangers;
  for (const PathStats& p : links) sum += p;
  for (const PathStats& p : relays) sum += p;
  return sum;
}

class UdpTransport::Impl {
 public:
  Impl(EventLoop& loop, const Config& config, const Secret& secret, BootId boot, EventSink sink)
      : loop_(loop),
        config_(config),
        channel_(secret, config.cluster, config.self, boot),
        sink_(std::move(sink)) {
    stats_.links.resize(config.links.size());
    stats_.relays.resize(config.hosts.size());
    for (size_t i = 0; i < config.links.size(); ++i) {
      links_.push_back(std::make_unique<Link>(config, LinkId(i), link_relays(LinkId(i))));
      watch(LinkId(i));
    }
    retry_later();
  }

  void send(const SendHeartbeat& order) {
    const std::vector<uint8_t> bytes = encode(order.heartbeat);
    for (const LinkId id : order.links) {
      const net::LinkSockets& sockets = links_.at(id.at())->sockets;
      count(stats_.links.at(id.at()), sockets.send_direct(channel_.seal(bytes, sockets.own_address())));
    }
    std::bitset<kMaxHosts> done;
    for (const HostId id : order.relays) {
      if (!can_relay(id)) continue;
      const HostConfig& host = config_.host(id);
      const size_t first = relay_at(*host.link, host.address)->at();
      if (done[first]) continue;
      done.set(first);
      net::LinkSockets& sockets = links_.at(host.link->at())->sockets;
      count(stats_.relays.at(first), sockets.send_relayed(host.address, channel_.seal(bytes, host.address)));
    }
  }

  [[nodiscard]] const TransportStats& stats() const { return stats_; }

 private:
  struct Link {
    Link(const Config& config, LinkId id, bool relays) : sockets(config, id, relays) {}
    net::LinkSockets sockets;
    std::unique_ptr<Watch> direct, relayed;  // after the sockets: they end first
  };

  static void count(PathStats& path, bool sent) { ++(sent ? path.sent : path.send_errors); }

  [[nodiscard]] bool can_relay(HostId id) const {
    const HostConfig& host = config_.host(id);
    return config_.relay && host.link &&
           host.address.family == config_.link(*host.link).ends.at(config_.self.at()).address.address.family;
  }
  [[nodiscard]] bool link_relays(LinkId link) const {
    for (size_t i = 0; i < config_.hosts.size(); ++i) {
      if (config_.hosts[i].link == link && can_relay(HostId(i))) return true;
    }
    return false;
  }

  void watch(LinkId id) {
    Link& link = *links_.at(id.at());
    if (link.sockets.udp().is_open()) {
      link.direct = loop_.watch_readable(link.sockets.udp().fd(), [this, id] { read_direct(id); });
    }
    if (link.sockets.relay_in().is_open()) {
      link.relayed = loop_.watch_readable(link.sockets.relay_in().fd(), [this, id] { read_relayed(id); });
    }
  }

  void retry_later() {
    retry_ = loop_.at(EventLoop::now() + kRetry, [this] {
      for (size_t i = 0; i < links_.size(); ++i) {
        Link& link = *links_[i];
        const auto end_watches = [&link] {
          link.direct.reset();
          link.relayed.reset();
        };
        if (link.sockets.refresh(end_watches)) watch(LinkId(i));
      }
      retry_later();
    });
  }

  void read_direct(LinkId id) {
    const net::LinkSockets& sockets = links_.at(id.at())->sockets;
    PathStats& path = stats_.links.at(id.at());
    for (int turn = 0; turn < kBatchesPerTurn; ++turn) {
      const size_t got = batch_.receive(sockets.udp());
      for (size_t i = 0; i < got; ++i) {
        ++path.received;
        const auto source = net::address_of(batch_.from(i));
        if (source != sockets.peer_address() || net::port_of(batch_.from(i)) != config_.port) {
          ++path.foreign;
        } else {
          take(path, batch_.bytes(i), *source, HeartbeatReceived{id, std::nullopt, {}});
        }
      }
      if (got < net::Batch::kSize) return;
    }
  }

  void read_relayed(LinkId id) {
    const net::LinkSockets& sockets = links_.at(id.at())->sockets;
    const auto family = sockets.own_address().family;
    for (int turn = 0; turn < kBatchesPerTurn; ++turn) {
      const size_t got = batch_.receive(sockets.relay_in());
      for (size_t i = 0; i < got; ++i) {
        const auto packet = net::parse_echo_packet(family, batch_.bytes(i));
        const bool ours = packet && packet->target == sockets.own_address();
        const auto host = ours ? relay_at(id, packet->source) : std::nullopt;
        PathStats& path = host ? stats_.relays.at(host->at()) : stats_.strangers;
        ++path.received;
        if (!host) {
          ++path.foreign;
        } else {
          take(path, packet->echo.payload, packet->source, HeartbeatReceived{std::nullopt, host, {}});
        }
      }
      if (got < net::Batch::kSize) return;
    }
  }

  // Several entries may name one address (say, the router by ICMP and its DNS port by TCP): the first of them
  // does the work for all.
  [[nodiscard]] std::optional<HostId> relay_at(LinkId link, const IpAddress& address) const {
    for (size_t i = 0; i < config_.hosts.size(); ++i) {
      const HostId id(i);
      if (config_.hosts[i].address == address && config_.hosts[i].link == link && can_relay(id)) return id;
    }
    return std::nullopt;
  }
  void take(PathStats& path, std::span<const uint8_t> datagram, const IpAddress& source,
            HeartbeatReceived event) {
    const SealedChannel::Opened opened = channel_.open(datagram, source);
    switch (opened.verdict) {
      case Verdict::kForeign:
        ++path.foreign;
        return;
      case Verdict::kMalformed:
        ++path.malformed;
        return;
      case Verdict::kWrongCluster:
        ++path.wrong_cluster;
        return;
      case Verdict::kWrongKey:
        ++path.wrong_key;
        return;
      case Verdict::kReplayed:
        ++path.replayed;
        return;
      case Verdict::kUnproven:
        ++path.unproven;
        sink_(SignOfLife{event.link, event.relay});
        return;
      case Verdict::kOpened:
        break;
    }
    auto heartbeat = decode(opened.heartbeat);
    if (!heartbeat || heartbeat->from != config_.peer() || heartbeat->boot != opened.boot) {
      ++path.undecodable;
      return;
    }
    ++path.delivered;
    event.heartbeat = std::move(*heartbeat);
    if (event.relay) deliver_for_twins(event);
    sink_(Event(std::move(event)));
  }

  void deliver_for_twins(const HeartbeatReceived& event) {
    const HostConfig& host = config_.host(*event.relay);
    for (size_t i = event.relay->at() + 1; i < config_.hosts.size(); ++i) {
      if (config_.hosts[i].address != host.address || config_.hosts[i].link != host.link) continue;
      HeartbeatReceived twin = event;
      twin.relay = HostId(i);
      sink_(Event(std::move(twin)));
    }
  }

  EventLoop& loop_;
  const Config& config_;
  SealedChannel channel_;
  EventSink sink_;
  TransportStats stats_;
  net::Batch batch_;
  std::vector<std::unique_ptr<Link>> links_;
  std::unique_ptr<Timer> retry_;
};

UdpTransport::UdpTransport(EventLoop& loop, const Config& config, const Secret& secret, BootId boot,
                           EventSink sink)
    : impl_(std::make_unique<Impl>(loop, config, secret, boot, std::move(sink))) {}
UdpTransport::~UdpTransport() = default;

void UdpTransport::send(const SendHeartbeat& order) { impl_->send(order); }

TransportStats UdpTransport::stats() const { return impl_->stats(); }

}  // namespace clusterd
