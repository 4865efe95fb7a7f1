#include "linux/net/udp_transport.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "lab.hpp"
#include "linux/net/packets.hpp"
#include "linux/net/socket.hpp"

namespace clusterd {
namespace {

using lab::Inside;
using Bytes = std::vector<uint8_t>;

Secret secret_of(uint8_t byte) {
  Secret s{};
  s.fill(byte);
  return s;
}

// A node with its transport in its namespace, and what it has heard.
struct Peer {
  Peer(EventLoop& loop, lab::Lan& lan, const char* who, Config c, uint64_t boot_id, uint8_t secret = 7)
      : config(std::move(c)), boot{boot_id} {
    const Inside inside(lan.space(who));
    transport = std::make_unique<UdpTransport>(loop, config, secret_of(secret), boot, [this](Event event) {
      if (std::holds_alternative<SignOfLife>(event)) {
        signs.push_back(std::get<SignOfLife>(event));
      } else {
        heard.push_back(std::get<HeartbeatReceived>(std::move(event)));
      }
    });
  }
  void send(std::vector<LinkId> links, std::vector<HostId> relays = {}) {
    Heartbeat h;
    h.from = config.self;
    h.boot = boot;
    h.sequence = ++sequence;
    transport->send({h, std::move(links), std::move(relays)});
  }
  // Every receipt of the peer's heartbeat with this number.
  [[nodiscard]] std::vector<HeartbeatReceived> of(uint64_t number) const {
    std::vector<HeartbeatReceived> out;
    for (const auto& h : heard) {
      if (h.heartbeat.sequence == number) out.push_back(h);
    }
    return out;
  }
  [[nodiscard]] PathStats total() const { return transport->stats().total(); }

  Config config;
  BootId boot;
  uint64_t sequence = 0;
  std::vector<HeartbeatReceived> heard;
  std::vector<SignOfLife> signs;
  std::unique_ptr<UdpTransport> transport;
};

class UdpTransportTest : public lab::NetTest {
 protected:
  // Heartbeats to and fro until both have heard the other.
  bool meet(Peer& a, Peer& b, const std::vector<LinkId>& links, const std::vector<HostId>& relays = {}) {
    for (int i = 0; i < 100; ++i) {
      if (!a.heard.empty() && !b.heard.empty()) return true;
      const uint64_t before_a = a.total().received, before_b = b.total().received;
      a.send(links, relays);
      b.send(links, relays);
      // A loss (the first packets wait for ARP) costs one round.
      loop.run_until([&] { return a.total().received > before_a && b.total().received > before_b; },
                     std::chrono::milliseconds(300));
    }
    return false;
  }
  bool await_received(const Peer& peer, uint64_t count) {
    return await([&] { return peer.total().received >= count; });
  }

  // Speaks to b's heartbeat port from a's address and port, with whatever bytes: a node gone bad.
  void say(const std::vector<Bytes>& datagrams, uint16_t port = 7410) {
    const Inside inside(lan->space("a"));
    const net::Socket socket = net::open_socket(AF_INET, SOCK_DGRAM, 0);
    (void)net::set_option(socket, SOL_SOCKET, SO_REUSEADDR, 1);
    const auto own = net::socket_address(*IpAddress::parse("192.168.77.1"), port, 0);
    ASSERT_EQ(bind(socket.fd(), own.get(), own.length), 0);
    const auto to = net::socket_address(*IpAddress::parse("192.168.77.2"), 7410, 0);
    for (const Bytes& d : datagrams) {
      ASSERT_EQ(sendto(socket.fd(), d.data(), d.size(), 0, to.get(), to.length),
                static_cast<ssize_t>(d.size()));
    }
  }

  const LinkId lan_link_{0}, hb_link_{1};
};

TEST_F(UdpTransportTest, DirectHeartbeatsArriveOnTheLinkTheyWereSentOn) {
  Peer a(loop, *lan, "a", lab::config_for(0), 11), b(loop, *lan, "b", lab::config_for(1), 22);
  ASSERT_TRUE(meet(a, b, {lan_link_, hb_link_}));
  a.send({lan_link_, hb_link_});
  ASSERT_TRUE(await([&] { return b.of(a.sequence).size() >= 2; }));
  std::vector<LinkId> links;
  for (const auto& h : b.of(a.sequence)) {
    EXPECT_EQ(h.heartbeat.boot, BootId{11});
    EXPECT_FALSE(h.relay.has_value());
    links.push_back(*h.link);
  }
  std::sort(links.begin(), links.end());
  EXPECT_EQ(links, (std::vector{lan_link_, hb_link_}));
  a.send({hb_link_});
  ASSERT_TRUE(await([&] { return !b.of(a.sequence).empty(); }));
  EXPECT_EQ(b.of(a.sequence).front().link, hb_link_);
}

class RelayTest : public UdpTransportTest, public ::testing::WithParamInterface<bool> {};
INSTANTIATE_TEST_SUITE_P(Families, RelayTest, ::testing::Values(false, true),
                         [](const auto& family) { return family.param ? "IPv6" : "IPv4"; });

// The switch isolates the nodes' ports: only the reference host connects them.
TEST_P(RelayTest, HeartbeatsBounceOffTheReferenceHostWhenTheNodesAreCut) {
  lan->isolate(true);
  std::array<Config, 2> configs = {lab::config_for(0, GetParam()), lab::config_for(1, GetParam())};
  for (Config& c : configs) {
    lab::add_host(c, ProbeKind::kArp, GetParam() ? "fd77::77" : "192.168.77.77");  // nobody there
    lab::add_host(c, ProbeKind::kTcp, GetParam() ? "fd77::100" : "192.168.77.100", 53);
    lab::add_host(c, ProbeKind::kIcmp, GetParam() ? "fd77::100" : "192.168.77.100");  // the same host again
  }
  const HostId tcp(1), icmp(2);
  Peer a(loop, *lan, "a", configs[0], 11), b(loop, *lan, "b", configs[1], 22);
  ASSERT_TRUE(meet(a, b, {lan_link_}, {HostId(0), tcp, icmp}));
  EXPECT_EQ(a.transport->stats().links[0].received, 0U) << "the direct way is cut";
  EXPECT_EQ(b.transport->stats().links[0].received, 0U);
  EXPECT_EQ(b.transport->stats().relays[0].received, 0U) << "that host is not there";
  for (const auto& h : b.heard) {
    EXPECT_FALSE(h.link.has_value());
    EXPECT_TRUE(h.relay == tcp || h.relay == icmp);
  }
  // Both entries of the host hear of one bounced heartbeat.
  a.send({}, {icmp});
  ASSERT_TRUE(await([&] { return b.of(a.sequence).size() >= 2; }));
  EXPECT_NE(b.of(a.sequence)[0].relay, b.of(a.sequence)[1].relay);
  // The fullest heartbeat still fits one packet, and a hundred arrive.
  const uint64_t before = b.transport->stats().relays[1].delivered;
  Heartbeat fullest;
  fullest.from = NodeId(0);
  fullest.boot = a.boot;
  fullest.hosts.resize(kMaxHosts);
  fullest.services.resize(kMaxServices);
  fullest.lineage.resize(kMaxLineage);
  fullest.answer.reason = std::string(120, 'x');
  for (uint64_t i = 1; i <= 100; ++i) {
    fullest.sequence = a.sequence + i;
    a.transport->send({fullest, {}, {icmp}});
    ASSERT_TRUE(await([&] { return b.transport->stats().relays[1].delivered >= before + i; }));
  }
  EXPECT_TRUE(b.heard.back().heartbeat == fullest);
}

TEST_F(UdpTransportTest, RelayOffSendsNothingToReferenceHosts) {
  Config ca = lab::config_for(0);
  const HostId host = lab::add_host(ca, ProbeKind::kIcmp, "192.168.77.100");
  const HostId far = lab::add_host(ca, ProbeKind::kIcmp, "10.1.2.3");
  Peer with(loop, *lan, "a", ca, 11);
  with.send({}, {host, far});
  EXPECT_EQ(with.total().sent, 1U) << "a host in no link's network cannot relay";
  ca.relay = false;
  with.transport.reset();
  Peer without(loop, *lan, "a", ca, 12);
  without.send({}, {host, far});
  EXPECT_EQ(without.total().sent + without.total().send_errors, 0U);
}

TEST_F(UdpTransportTest, OrdinaryPingsNeverReachTheDaemon) {
  std::array<Config, 2> configs = {lab::config_for(0), lab::config_for(1)};
  for (Config& c : configs) lab::add_host(c, ProbeKind::kIcmp, "192.168.77.100");
  Peer a(loop, *lan, "a", configs[0], 11), b(loop, *lan, "b", configs[1], 22);
  lan->ip(fmt::format("netns exec {} ping -q -c 5 -i 0.01 192.168.77.100 >/dev/null", lan->space("b")));
  ASSERT_TRUE(meet(a, b, {}, {HostId(0)}));
  const PathStats total = b.total();
  EXPECT_EQ(total.foreign, 0U);
  EXPECT_EQ(total.received, total.delivered + total.unproven);
}

// Nearly every firewall drops what conntrack calls invalid, and a reply without a request is just that.
TEST_F(UdpTransportTest, AFirewallThatDropsInvalidPacketsLetsRelayedHeartbeatsArrive) {
  const char* rules =
      "table inet f { chain i { type filter hook input priority 0; ct state invalid drop; "
      "ct state established accept; icmp type != echo-reply accept; drop; }; }";
  for (const char* who : {"a", "b"}) {
    if (!lab::shell(fmt::format("ip netns exec {} nft '{}'", lan->space(who), rules)))
      GTEST_SKIP() << "no nftables";
  }
  std::array<Config, 2> configs = {lab::config_for(0), lab::config_for(1)};
  for (Config& c : configs) lab::add_host(c, ProbeKind::kIcmp, "192.168.77.100");
  Peer a(loop, *lan, "a", configs[0], 11), b(loop, *lan, "b", configs[1], 22);
  EXPECT_TRUE(meet(a, b, {}, {HostId(0)}));
}

TEST_F(UdpTransportTest, OtherSecretAndOtherClusterAreCountedAndIgnored) {
  Peer b(loop, *lan, "b", lab::config_for(1), 22);
  {
    Peer wrong(loop, *lan, "a", lab::config_for(0), 11, 8);
    wrong.send({lan_link_, hb_link_});
    ASSERT_TRUE(await_received(b, 2));
    b.send({lan_link_});
    ASSERT_TRUE(await_received(wrong, 1));
    EXPECT_EQ(wrong.total().wrong_key, 1U);
  }
  Config other = lab::config_for(0);
  other.cluster = "lab";
  Peer foreign(loop, *lan, "a", other, 12);
  foreign.send({lan_link_});
  ASSERT_TRUE(await_received(b, 3));
  EXPECT_EQ(b.total().wrong_key, 2U);
  EXPECT_EQ(b.total().wrong_cluster, 1U);
  EXPECT_TRUE(b.heard.empty());
}

// The bytes as the wire carries them, sent again in every damaged form; between them the living peer.
TEST_F(UdpTransportTest, HostileDatagramsAreCountedAndIgnored) {
  Peer b(loop, *lan, "b", lab::config_for(1), 22);
  const IpAddress source = *IpAddress::parse("192.168.77.1");
  SealedChannel a(secret_of(7), "office", NodeId(0), BootId{11});
  Heartbeat h;
  h.from = NodeId(0);
  h.boot = BootId{11};
  // b does not know what a asked yet: a listens on its own to b's question.
  net::Socket ear;
  {
    const Inside inside(lan->space("a"));
    ear = net::open_socket(AF_INET, SOCK_DGRAM, 0);
    (void)net::set_option(ear, SOL_SOCKET, SO_REUSEADDR, 1);
    const auto own = net::socket_address(source, 7410, 0);
    ASSERT_EQ(bind(ear.fd(), own.get(), own.length), 0);
  }
  net::Batch batch;
  ASSERT_TRUE(await_packet(ear, batch, [&] { b.send({lan_link_}); }));
  (void)a.open(batch.bytes(0), *IpAddress::parse("192.168.77.2"));
  ear.reset();

  std::vector<Bytes> good;
  for (h.sequence = 1; h.sequence <= 50; ++h.sequence) good.push_back(a.seal(encode(h), source));
  std::swap(good[10], good[40]);  // reordered, but the first one proves a
  uint64_t count = 0;
  const auto say_and_wait = [&](const std::vector<Bytes>& datagrams) {
    for (size_t i = 0; i < datagrams.size(); i += 50) {  // not more than the socket's buffer takes
      const size_t end = std::min(i + 50, datagrams.size());
      say({datagrams.begin() + static_cast<std::ptrdiff_t>(i),
           datagrams.begin() + static_cast<std::ptrdiff_t>(end)});
      count += end - i;
      ASSERT_TRUE(await_received(b, count)) << b.total().received << " of " << count;
    }
  };
  say_and_wait(good);
  EXPECT_EQ(b.total().delivered, 50U);
  say_and_wait(good);
  EXPECT_EQ(b.total().replayed, 50U);

  const Bytes fresh = a.seal(encode(h), source);
  std::vector<Bytes> bad;
  for (size_t length = 0; length < fresh.size(); ++length) {
    bad.emplace_back(fresh.begin(), fresh.begin() + static_cast<std::ptrdiff_t>(length));
  }
  say_and_wait(bad);
  EXPECT_EQ(b.total().malformed + b.total().wrong_key, fresh.size());
  EXPECT_GE(b.total().malformed, SealedChannel::kOverhead);
  bad.clear();
  for (size_t bit = 0; bit < fresh.size() * 8; ++bit) {
    bad.push_back(fresh);
    bad.back()[bit / 8] = static_cast<uint8_t>(bad.back()[bit / 8] ^ (1U << (bit % 8)));
  }
  say_and_wait(bad);
  Bytes oversized = fresh;
  oversized.resize(5000);
  Bytes nonsense = a.seal(Bytes{1, 2, 3}, source);
  Bytes liar = [&] {
    Heartbeat other = h;
    other.boot = BootId{99};
    return a.seal(encode(other), source);
  }();
  const uint64_t foreign = b.total().foreign, malformed = b.total().malformed;
  say_and_wait({oversized, nonsense, liar, Bytes(300, 'x'), Bytes{}});
  EXPECT_EQ(b.total().malformed, malformed + 2);
  EXPECT_EQ(b.total().undecodable, 2U);
  EXPECT_EQ(b.total().foreign, foreign + 1);
  say({fresh}, 7411);  // right bytes, wrong port
  ASSERT_TRUE(await_received(b, ++count));
  EXPECT_EQ(b.total().foreign, foreign + 2);
  EXPECT_EQ(b.total().delivered, 50U);
  EXPECT_EQ(b.heard.size(), 50U);
  say_and_wait({fresh});
  EXPECT_EQ(b.total().delivered, 51U) << "nothing of all that has used up the counter";
  const PathStats t = b.total();
  EXPECT_EQ(t.received, t.delivered + t.foreign + t.malformed + t.wrong_cluster + t.wrong_key + t.replayed +
                            t.unproven + t.undecodable);
}

TEST_F(UdpTransportTest, BothSidesFindEachOtherAgainAfterARestart) {
  Peer a(loop, *lan, "a", lab::config_for(0), 11);
  auto b = std::make_unique<Peer>(loop, *lan, "b", lab::config_for(1), 22);
  ASSERT_TRUE(meet(a, *b, {lan_link_}));
  b.reset();
  a.heard.clear();
  a.signs.clear();
  Peer b2(loop, *lan, "b", lab::config_for(1), 23);
  b2.send({lan_link_});  // it has not been asked yet
  ASSERT_TRUE(await([&] { return !a.signs.empty(); }));
  EXPECT_EQ(a.signs.front().link, lan_link_);
  EXPECT_TRUE(a.heard.empty());
  ASSERT_TRUE(meet(a, b2, {lan_link_}));
  EXPECT_EQ(a.heard.front().heartbeat.boot, BootId{23});
}

TEST_F(UdpTransportTest, AMissingNicIsFoundWhenItComesAndAgainAfterItWasReplaced) {
  Peer b(loop, *lan, "b", lab::config_for(1), 22);
  lan->ip(fmt::format("-n {} link del lan", lan->space("a")));
  const Inside inside(lan->space("a"));  // sockets are opened later, too
  Peer a(loop, *lan, "a", lab::config_for(0), 11);
  a.send({lan_link_});
  EXPECT_EQ(a.transport->stats().links[0].send_errors, 1U);
  lan->add_lan("a");
  ASSERT_TRUE(meet(a, b, {lan_link_}));
  lan->ip(fmt::format("-n {} link del lan", lan->space("a")));
  lan->add_lan("a");
  a.heard.clear();
  b.heard.clear();
  EXPECT_TRUE(meet(a, b, {lan_link_}));
}

}  // namespace
}  // namespace clusterd
