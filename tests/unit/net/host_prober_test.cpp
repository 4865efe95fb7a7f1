#include "linux/net/host_prober.hpp"

#include <gtest/gtest.h>

#include "lab.hpp"
#include "linux/net/packets.hpp"
#include "linux/net/socket.hpp"

namespace clusterd {
namespace {

using lab::Inside;

class HostProberTest : public lab::NetTest {
 protected:
  void open(Config c) {
    config_ = std::move(c);
    const Inside inside(lan->space("a"));
    prober_ = std::make_unique<HostProber>(
        loop, config_, [this](Event event) { answers_.push_back(std::get<ProbeAnswered>(event)); });
  }
  void probe(HostId host, Instant sent) {
    const Inside inside(lan->space("a"));
    prober_->probe({host, sent});
  }
  // Probes with numbered instants until one is answered. The first packets to a host may be lost: IPv6 takes
  // its time to find an address usable.
  bool answered(HostId host) {
    const size_t before = answers_.size();
    for (int i = 0; i < 100 && answers_.size() == before; ++i) {
      probe(host, next_instant());
      loop.run_until([&] { return answers_.size() > before; }, std::chrono::milliseconds(200));
    }
    return answers_.size() > before && answers_.back().host == host;
  }
  Instant next_instant() { return last_ = std::max(EventLoop::now(), last_ + Duration(1)); }
  // Whoever of a, b, r listens: `netns exec` of a shell would be slower than a socket of our own.
  net::Socket listen_on(const char* who, const char* address, uint16_t port) {
    const Inside inside(lan->space(who));
    const auto at = net::socket_address(*IpAddress::parse(address), port, 0);
    net::Socket socket = net::open_socket(at.storage.ss_family, SOCK_STREAM, 0);
    EXPECT_EQ(bind(socket.fd(), at.get(), at.length), 0);
    EXPECT_EQ(listen(socket.fd(), 100), 0);
    return socket;
  }
  void cut_reference_host() { lan->ip(fmt::format("-n {} link set lan down", lan->space("r"))); }
  // The answers of a whole burst, of which each must name its own probe.
  void expect_each_answered(HostId host, size_t count) {
    ASSERT_TRUE(answered(host));
    answers_.clear();
    std::vector<Instant> sent;
    for (size_t i = 0; i < count; ++i) {
      sent.push_back(next_instant());
      probe(host, sent.back());
      ASSERT_TRUE(await([&] { return answers_.size() == i + 1; })) << i;
      EXPECT_EQ(answers_.back().sent, sent.back()) << i;
    }
  }

  Config config_ = lab::config_for(0);
  std::vector<ProbeAnswered> answers_;
  std::unique_ptr<HostProber> prober_;
  Instant last_ = kLongAgo;
};

struct Target {
  const char* name;
  ProbeKind kind;
  bool v6;
  uint16_t port;
};

class EveryKindOfProbe : public HostProberTest, public ::testing::WithParamInterface<Target> {
 protected:
  HostId open_for(const Target& target) {
    Config c = lab::config_for(0, target.v6);
    const HostId host =
        lab::add_host(c, target.kind, target.v6 ? "fd77::100" : "192.168.77.100", target.port);
    open(std::move(c));
    return host;
  }
};
INSTANTIATE_TEST_SUITE_P(Kinds, EveryKindOfProbe,
                         ::testing::Values(Target{"icmp4", ProbeKind::kIcmp, false, 0},
                                           Target{"icmp6", ProbeKind::kIcmp, true, 0},
                                           Target{"arp4", ProbeKind::kArp, false, 0},
                                           Target{"tcp4refused", ProbeKind::kTcp, false, 53},
                                           Target{"tcp6refused", ProbeKind::kTcp, true, 53}),
                         [](const auto& target) { return target.param.name; });

TEST_P(EveryKindOfProbe, EachAnswerNamesItsProbeAndSilenceFollowsTheHostsEnd) {
  const HostId host = open_for(GetParam());
  expect_each_answered(host, 20);
  EXPECT_EQ(prober_->strangers(), 0U);
  cut_reference_host();
  answers_.clear();
  for (int i = 0; i < 5; ++i) probe(host, next_instant());
  EXPECT_FALSE(loop.run_until([&] { return !answers_.empty(); }, std::chrono::milliseconds(300)));
}

TEST_F(HostProberTest, AConnectionIsAnAnswerToo) {
  Config c = lab::config_for(0);
  const HostId host = lab::add_host(c, ProbeKind::kTcp, "192.168.77.100", 53);
  open(std::move(c));
  const net::Socket listener = listen_on("r", "192.168.77.100", 53);
  expect_each_answered(host, 10);
}

TEST_F(HostProberTest, TcpAttemptsAreBounded) {
  Config c = lab::config_for(0);
  const HostId host = lab::add_host(c, ProbeKind::kTcp, "192.168.77.77", 53);  // nobody
  open(std::move(c));
  for (int i = 0; i < 100; ++i) probe(host, next_instant());
  const ProberStats stats = prober_->stats()[0];
  EXPECT_EQ(stats.sent + stats.skipped, 100U);
  EXPECT_GE(stats.skipped, 1U);
  // Each attempt ends by itself; then there is room again.
  const uint64_t before = stats.sent;
  ASSERT_TRUE(await([&] {
    if (prober_->stats()[0].sent == before) probe(host, next_instant());
    return prober_->stats()[0].sent > before;
  }));
  EXPECT_TRUE(answers_.empty());
}

// A host outside the link networks, reached by ordinary routing: the second address of the reference host.
TEST_F(HostProberTest, AHostBehindARouterIsProbedByOrdinaryRouting) {
  lan->ip(fmt::format("-n {} address add 10.9.9.9/32 dev lo", lan->space("r")));
  lan->ip(fmt::format("-n {} route add default via 192.168.77.100", lan->space("a")));
  Config c = lab::config_for(0);
  const HostId ping = lab::add_host(c, ProbeKind::kIcmp, "10.9.9.9");
  const HostId tcp = lab::add_host(c, ProbeKind::kTcp, "10.9.9.9", 53);
  const HostId arp = lab::add_host(c, ProbeKind::kArp, "10.9.9.9");
  ASSERT_FALSE(c.host(ping).link.has_value());
  open(std::move(c));
  expect_each_answered(ping, 3);
  expect_each_answered(tcp, 3);
  probe(arp, next_instant());
  EXPECT_EQ(prober_->stats()[arp.at()].send_errors, 1U) << "ARP does not cross a router";
}

// The reference host answers a recorded request twice, and with a wrong token: neither is an answer.
TEST_F(HostProberTest, RepeatedAndForgedEchoRepliesAreIgnored) {
  Config c = lab::config_for(0);
  const HostId host = lab::add_host(c, ProbeKind::kIcmp, "192.168.77.100");
  open(std::move(c));
  net::Socket ear;  // sees the requests on the reference host
  {
    const Inside inside(lan->space("r"));
    ear = net::open_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
  }
  ASSERT_TRUE(answered(host));
  const size_t answers = answers_.size();
  net::Batch batch;
  ASSERT_TRUE(await_packet(ear, batch));
  std::vector<uint8_t> reply(batch.bytes(0).begin() + 20, batch.bytes(0).end());
  ASSERT_EQ(reply.at(0), 8);  // echo request
  const auto answer_with = [&](std::vector<uint8_t> icmp) {
    icmp[0] = 0;
    icmp[2] = icmp[3] = 0;
    const uint16_t sum = net::checksum(icmp);
    icmp[2] = static_cast<uint8_t>(sum >> 8U);
    icmp[3] = static_cast<uint8_t>(sum);
    const auto to = net::socket_address(*IpAddress::parse("192.168.77.1"), 0, 0);
    ASSERT_EQ(sendto(ear.fd(), icmp.data(), icmp.size(), 0, to.get(), to.length),
              static_cast<ssize_t>(icmp.size()));
  };
  answer_with(reply);  // the same again
  ASSERT_TRUE(await([&] { return prober_->stats()[0].ignored == 1; }));
  reply.back() ^= 1U;  // the token
  answer_with(reply);
  ASSERT_TRUE(await([&] { return prober_->stats()[0].ignored == 2; }));
  reply.back() ^= 1U;
  reply[7] ^= 0x55U;  // the sequence
  answer_with(reply);
  ASSERT_TRUE(await([&] { return prober_->stats()[0].ignored == 3; }));
  reply[4] ^= 1U;  // the identifier
  answer_with(reply);
  ASSERT_TRUE(await([&] { return prober_->strangers() == 1; }));
  reply.pop_back();
  answer_with(reply);
  ASSERT_TRUE(await([&] { return prober_->strangers() == 2; }));
  EXPECT_EQ(answers_.size(), answers);
}

// The other node answers with the recorded reply: the right bytes from the wrong address.
TEST_F(HostProberTest, AnAnswerFromAnotherHostIsIgnored) {
  Config c = lab::config_for(0);
  const HostId dead = lab::add_host(c, ProbeKind::kIcmp, "192.168.77.77");
  open(std::move(c));
  lan->ip(fmt::format("-n {} address add 192.168.77.77/24 dev lan", lan->space("r")));
  lan->ip(fmt::format("netns exec {} sysctl -qw net.ipv4.icmp_echo_ignore_all=1", lan->space("r")));
  net::Socket ear, mouth;
  {
    const Inside inside(lan->space("r"));
    ear = net::open_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
  }
  {
    const Inside inside(lan->space("b"));
    mouth = net::open_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
  }
  net::Batch batch;
  ASSERT_TRUE(await_packet(ear, batch, [&] { probe(dead, next_instant()); }));
  std::vector<uint8_t> reply(batch.bytes(0).begin() + 20, batch.bytes(0).end());
  reply[0] = 0;
  reply[2] = reply[3] = 0;
  const uint16_t sum = net::checksum(reply);
  reply[2] = static_cast<uint8_t>(sum >> 8U);
  reply[3] = static_cast<uint8_t>(sum);
  const auto to = net::socket_address(*IpAddress::parse("192.168.77.1"), 0, 0);
  ASSERT_GT(sendto(mouth.fd(), reply.data(), reply.size(), 0, to.get(), to.length), 0);
  ASSERT_TRUE(await([&] { return prober_->stats()[0].ignored == 1; }));
  EXPECT_TRUE(answers_.empty());
}

// Answers by ARP carry no number. With and without a host that answers to a request that names no address.
class LostArpRequests : public HostProberTest, public ::testing::WithParamInterface<bool> {};
INSTANTIATE_TEST_SUITE_P(AnswersNobody, LostArpRequests, ::testing::Bool());

TEST_P(LostArpRequests, DoNotMakeTheAnswersLookOlderForEver) {
  if (!GetParam())
    lan->ip(fmt::format(
        "netns exec {} nft 'add table arp t; add chain arp t in {{ type filter hook input priority 0; }}; "
        "add rule arp t in arp saddr ip 0.0.0.0 drop'",
        lan->space("r")));
  Config c = lab::config_for(0);
  c.timing.window = std::chrono::milliseconds(2);
  const HostId host = lab::add_host(c, ProbeKind::kArp, "192.168.77.100");
  open(std::move(c));
  ASSERT_TRUE(answered(host));
  cut_reference_host();
  for (int i = 0; i < 5; ++i) probe(host, next_instant());
  lan->ip(fmt::format("-n {} link set lan up", lan->space("r")));
  ASSERT_TRUE(answered(host));
  EXPECT_LT(answers_.back().sent, last_) << "it may be the late answer to a request that was lost";
  const auto exact = [&] { return answers_.back().sent == last_; };
  for (int i = 0; i < 100 && !exact(); ++i) {
    probe(host, next_instant());
    loop.run_until(exact, std::chrono::milliseconds(50));
  }
  EXPECT_TRUE(exact());
}

TEST_F(HostProberTest, AMissingNicIsUsedOnceItIsThere) {
  lan->ip(fmt::format("-n {} link del lan", lan->space("a")));
  Config c = lab::config_for(0);
  std::vector<HostId> hosts;
  for (const ProbeKind kind : {ProbeKind::kIcmp, ProbeKind::kArp, ProbeKind::kTcp}) {
    hosts.push_back(lab::add_host(c, kind, "192.168.77.100", 53));
  }
  open(std::move(c));
  for (const HostId host : hosts) {
    probe(host, next_instant());
    EXPECT_EQ(prober_->stats()[host.at()].send_errors, 1U);
  }
  lan->add_lan("a");
  for (const HostId host : hosts) EXPECT_TRUE(answered(host)) << host.at();
  lan->ip(fmt::format("-n {} link del lan", lan->space("a")));
  lan->add_lan("a");
  for (const HostId host : hosts) EXPECT_TRUE(answered(host)) << host.at() << ", after the NIC was replaced";
}

}  // namespace
}  // namespace clusterd
