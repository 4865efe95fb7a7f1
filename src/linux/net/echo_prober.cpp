#include "linux/net/echo_prober.hpp"

#include <sodium.h>

#include <algorithm>
#include <cstring>

#include "base/check.hpp"
#include "linux/net/packets.hpp"

namespace clusterd::net {

namespace {

constexpr std::array<uint8_t, 4> kMagic = {'c', 'l', 'p', 1};
constexpr size_t kHostAt = 4, kTokenAt = 5, kPayloadBytes = 13;

}  // namespace

EchoProber::EchoProber(ProbeContext& context) : context_(context) {
  CLUSTERD_CHECK(sodium_init() >= 0, "libsodium needs a source of random numbers");
  id_ = static_cast<uint16_t>(randombytes_random());
  hosts_.resize(context.config.hosts.size());
  for (size_t i = 0; i < hosts_.size(); ++i) {
    const HostConfig& host = context.config.hosts[i];
    if (host.kind != ProbeKind::kIcmp) continue;
    hosts_[i] = std::make_unique<Host>();
    if (!receiver(host.address.family).socket.is_open()) open(host.address.family);
  }
}

void EchoProber::open(IpAddress::Family family) {
  const int domain = family == IpAddress::Family::kV4 ? AF_INET : AF_INET6;
  Receiver& r = receiver(family);
  r.socket = open_echo_reply_socket(domain, kMagic);
  if (!r.socket.is_open()) return;
  set_urgent(r.socket, domain);
  r.watch = context_.loop.watch_readable(r.socket.fd(), [this, family] { read(family); });
}

void EchoProber::probe(const SendProbe& order) {
  const HostConfig& config = context_.config.host(order.host);
  Receiver& r = receiver(config.address.family);
  if (!r.socket.is_open()) open(config.address.family);
  Host& host = *hosts_.at(order.host.at());
  ++host.sequence;
  Probe& probe = host.probes[host.sequence % kRing];
  randombytes_buf(&probe.token, sizeof probe.token);
  probe.sent = order.sent;
  probe.sequence = host.sequence;
  std::array<uint8_t, kPayloadBytes> payload{};
  std::copy(kMagic.begin(), kMagic.end(), payload.begin());
  payload[kHostAt] = static_cast<uint8_t>(order.host.at());
  std::memcpy(&payload[kTokenAt], &probe.token, sizeof probe.token);

  const LinkEnd* end = context_.own_end(order.host);
  const unsigned index = end != nullptr && r.socket.is_open() ? context_.nic_of(order.host, r.socket) : 0;
  const bool has_way = r.socket.is_open() && (end == nullptr || index != 0);
  const auto source = end != nullptr ? std::optional<IpAddress>(end->address.address) : std::nullopt;
  const auto packet = echo_request(config.address.family, Echo{id_, host.sequence, payload});
  probe.waits =
      has_way && send_from(r.socket, packet, socket_address(config.address, 0, index), source, index);
  context_.count_sent(order.host, probe.waits);
}

void EchoProber::read(IpAddress::Family family) {
  for (size_t got = Batch::kSize; got == Batch::kSize;) {
    got = batch_.receive(receiver(family).socket);
    for (size_t i = 0; i < got; ++i) {
      const auto source = address_of(batch_.from(i));
      if (source) take(family, *source, batch_.bytes(i));
    }
  }
}

void EchoProber::take(IpAddress::Family family, const IpAddress& source, std::span<const uint8_t> bytes) {
  const auto echo = parse_echo_reply(family, bytes);
  if (!echo || echo->id != id_ || echo->payload.size() != kPayloadBytes ||
      echo->payload[kHostAt] >= hosts_.size() || hosts_[echo->payload[kHostAt]] == nullptr) {
    ++context_.strangers;
    return;
  }
  const HostId id(echo->payload[kHostAt]);
  Probe& probe = hosts_[id.at()]->probes[echo->sequence % kRing];
  uint64_t token = 0;
  std::memcpy(&token, &echo->payload[kTokenAt], sizeof token);
  if (source != context_.config.host(id).address || !probe.waits || probe.sequence != echo->sequence ||
      probe.token != token) {
    ++context_.of(id).ignored;
    return;
  }
  probe.waits = false;
  context_.answered(id, probe.sent);
}

}  // namespace clusterd::net
