#include "sim/network.hpp"

namespace clusterd::sim {

Network::Network(size_t links, size_t hosts) : links_(links), hosts_(hosts), answers_nobody_(hosts, true) {}

void Network::set_relays(bool relays) {
  for (Host& host : hosts_) host.relays = relays;
}

void Network::heal() {
  for (auto& link : links_) link = {};
  for (Host& host : hosts_) host = {};
  cut_ = {};
}

bool Network::link_up(NodeId from, LinkId link) const {
  return links_.at(link.at()).at(from.at()).up && !cut_.at(from.at());
}

Copies Network::send(const Path& path, Duration base, Instant now, Random& random) {
  Copies out;
  const unsigned copies = random.chance(path.duplicates) ? 2 : 1;
  for (unsigned i = 0; i < copies; ++i) {
    if (random.chance(path.loss)) continue;
    Duration delay = base + path.delay;
    if (path.jitter != Duration::zero()) delay += random.between(Duration::zero(), path.jitter);
    if (path.clogged_until > now) delay = std::max(delay, path.clogged_until - now);
    out.delay.at(out.count++) = delay;
  }
  return out;
}

Copies Network::direct(NodeId from, LinkId link, Instant now, Random& random) const {
  if (!link_up(from, link)) return {};
  return send(links_.at(link.at()).at(from.at()), kHop, now, random);
}

Copies Network::probe(NodeId from, HostId host, Instant now, Random& random) const {
  const Path& path = hosts_.at(host.at()).path.at(from.at());
  if (!path.up) return {};
  return send(path, 2 * kHop, now, random);
}

// There on the sender's path, on from the host on the receiver's.
Copies Network::relayed(NodeId from, HostId host, Instant now, Random& random) const {
  const Host& via = hosts_.at(host.at());
  const Path& there = via.path.at(from.at());
  const Path& onward = via.path.at(1 - from.at());
  if (!via.relays || !there.up || !onward.up || random.chance(onward.loss)) return {};
  Copies out = send(there, 2 * kHop, now, random);
  for (size_t i = 0; i < out.count; ++i) {
    out.delay.at(i) += onward.delay;
    if (onward.clogged_until > now) out.delay.at(i) = std::max(out.delay.at(i), onward.clogged_until - now);
  }
  return out;
}

}  // namespace clusterd::sim
