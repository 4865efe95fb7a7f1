#include "linux/gate/bpf_gate.hpp"

#include <gtest/gtest.h>
#include <net/if.h>

#include <filesystem>
#include <memory>
#include <string>

#include "linux/event_loop.hpp"
#include "linux/gate/gate_program.hpp"
#include "unit/address/netns.hpp"

namespace clusterd {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using test::Lan;
using test::Netns;
using test::Privileges;

constexpr ServiceId kWeb{0};

Config make_config() {
  Config config;
  config.cluster = "test";
  config.self = NodeId(0);
  config.nodes = {NodeConfig{"a", {}}, NodeConfig{"b", {}}};
  LinkConfig link;
  link.name = "service";
  link.ends = {LinkEnd{"eth0", *Prefix::parse("10.77.0.11/24")},
               LinkEnd{"eth0", *Prefix::parse("10.77.0.12/24")}};
  config.links = {link};
  ServiceConfig web;
  web.name = "web";
  web.link = LinkId(0);
  web.mac = MacMode::kNone;
  web.addresses = {*Prefix::parse("10.77.0.20/24"), *Prefix::parse("fd77::20/64")};
  config.services = {web};
  return config;
}

// A node that always has the service's addresses, so that only the gate decides whether it answers.
class GateTest : public ::testing::Test {
 protected:
  void SetUp() override {
    CLUSTERD_NEEDS_ROOT();
    lan_ = std::make_unique<Lan>();
    node_ = std::make_unique<Netns>();
    client_ = std::make_unique<Netns>();
    lan_->host(*node_, "p1", "10.77.0.11/24 fd77::11/64 10.77.0.20/32 fd77::20/128");
    lan_->host(*client_, "p9", "10.77.0.1/24 fd77::1/64");
    pin_dir_ = Privileges::get().pin_dir();
    config_ = make_config();
  }
  std::unique_ptr<BpfGate> open() {
    auto gate = node_->in([&] { return BpfGate::open(config_, pin_dir_); });
    EXPECT_TRUE(gate.has_value()) << (gate ? "" : gate.error().message);
    return gate ? std::move(*gate) : nullptr;
  }
  void attach(BpfGate& gate) {
    const auto done = node_->in([&] { return gate.attach(kWeb); });
    ASSERT_TRUE(done.has_value()) << done.error().message;
  }
  // Forgets what the client has learned, so that ARP and ND take part.
  void forget() { client_->run("ip neigh flush dev eth0"); }
  bool pings(const std::string& target, int patience = 5) {
    forget();
    return client_->run("ping -n -c1 -W" + std::to_string(patience) + " " + target).status == 0;
  }
  bool arps() { return client_->run("arping -c1 -w1 -i eth0 10.77.0.20").status == 0; }
  bool solicits() { return client_->run("ndisc6 -1 -q -r1 -w1000 fd77::20 eth0").status == 0; }
  bool static_pings(const std::string& target, const std::string& patience) {
    const std::string mac = node_->mac("eth0");
    client_->must("ip neigh replace " + target + " lladdr " + mac + " dev eth0 nud permanent");
    const bool answered = client_->run("ping -n -c1 -W" + patience + " " + target).status == 0;
    client_->must("ip neigh del " + target + " dev eth0");
    return answered;
  }

  [[nodiscard]] std::string log_file() const { return "/tmp/cdt-address-ping-" + std::to_string(::getpid()); }

  std::unique_ptr<Lan> lan_;
  std::unique_ptr<Netns> node_, client_;
  std::string pin_dir_;
  Config config_;
};

TEST_F(GateTest, IsShutFromTheBeginningAndLetsOtherTrafficPass) {
  const auto gate = open();
  attach(*gate);
  EXPECT_TRUE(pings("10.77.0.11"));
  EXPECT_TRUE(pings("fd77::11"));
  EXPECT_FALSE(pings("10.77.0.20", 1));
  EXPECT_FALSE(pings("fd77::20", 1));
  EXPECT_FALSE(arps());
  EXPECT_FALSE(solicits());
  EXPECT_FALSE(static_pings("10.77.0.20", "1"));
  EXPECT_FALSE(static_pings("fd77::20", "1"));
  EXPECT_GE(gate->counts(kWeb).dropped, 6U);
  EXPECT_EQ(gate->counts(kWeb).passed, 0U);
}

TEST_F(GateTest, LetsTheServicePassWhileOpen) {
  const auto gate = open();
  attach(*gate);
  gate->set(kWeb, EventLoop::now() + hours(1));
  EXPECT_TRUE(pings("10.77.0.20"));
  EXPECT_TRUE(pings("fd77::20"));
  EXPECT_TRUE(arps());
  EXPECT_TRUE(solicits());
  EXPECT_TRUE(static_pings("10.77.0.20", "5"));
  EXPECT_TRUE(static_pings("fd77::20", "5"));
  EXPECT_GE(gate->counts(kWeb).passed, 8U);
  gate->shut(kWeb);
  EXPECT_FALSE(pings("10.77.0.20", 1));
}

TEST_F(GateTest, FallsShutByItselfWhenTheDeadlinePasses) {
  auto gate = open();
  attach(*gate);
  gate->set(kWeb, EventLoop::now() + milliseconds(1500));
  gate.reset();  // nobody is there to shut it
  bool silent = false;
  const Instant limit = EventLoop::now() + std::chrono::seconds(30);
  while (!silent && EventLoop::now() < limit) silent = !static_pings("10.77.0.20", "0.2");
  EXPECT_TRUE(silent);
  EXPECT_FALSE(static_pings("10.77.0.20", "1"));
  EXPECT_FALSE(arps());
}

TEST_F(GateTest, OutlivesTheDaemonAndKeepsItsDeadline) {
  const Instant until = EventLoop::now() + hours(1);
  {
    const auto gate = open();
    attach(*gate);
    gate->set(kWeb, until);
  }
  EXPECT_TRUE(pings("10.77.0.20"));
  const auto next = open();
  EXPECT_EQ(next->deadline(kWeb), until);
  EXPECT_TRUE(pings("10.77.0.20"));
  attach(*next);
  EXPECT_TRUE(pings("10.77.0.20"));
  next->shut(kWeb);
  EXPECT_FALSE(pings("10.77.0.20", 1));
}

TEST_F(GateTest, LosesNoPacketWhenASuccessorTakesOver) {
  auto gate = open();
  attach(*gate);
  gate->set(kWeb, EventLoop::now() + hours(1));
  ASSERT_TRUE(pings("10.77.0.20"));
  client_->must("ping -n -q -i 0.002 -c 400 10.77.0.20 > " + log_file() + " 2>&1 &");
  for (int i = 0; i < 10; ++i) {
    gate.reset();
    gate = open();
    attach(*gate);
  }
  for (int i = 0; i < 300; ++i) {
    if (test::shell("grep -q transmitted " + log_file()).status == 0) break;
    ::usleep(100'000);
  }
  const std::string log = test::shell("cat " + log_file() + "; rm -f " + log_file()).text;
  EXPECT_NE(log.find(" 0% packet loss"), std::string::npos) << log;
}

TEST_F(GateTest, ServicesKeepTheirSlotByNameWhenTheConfigurationChanges) {
  const Instant until = EventLoop::now() + hours(1);
  {
    const auto gate = open();
    attach(*gate);
    gate->set(kWeb, until);
  }
  ServiceConfig first = config_.services.at(0);
  first.name = "files";
  first.addresses = {*Prefix::parse("10.77.0.30/24")};
  config_.services.insert(config_.services.begin(), first);
  {
    const auto gate = open();
    EXPECT_EQ(gate->deadline(ServiceId(0)), Instant{});  // the newcomer is shut
    EXPECT_EQ(gate->deadline(ServiceId(1)), until);
  }
  config_.services.erase(config_.services.begin() + 1);  // web is gone …
  (void)open();
  config_.services = make_config().services;
  const auto gate = open();  // … and comes back without its old right
  EXPECT_EQ(gate->deadline(kWeb), Instant{});
}

TEST_F(GateTest, AStandbyMayProbeForTheAddressAndBeAClient) {
  const auto gate = open();
  attach(*gate);
  // The other node is active: it has the addresses, and this one is only a client.
  node_->must("ip addr del 10.77.0.20/32 dev eth0; ip addr del fd77::20/128 dev eth0");
  client_->must("ip addr add 10.77.0.20/32 dev eth0; ip addr add fd77::20/128 dev eth0 nodad");
  EXPECT_EQ(node_->run("ping -n -c1 -W5 10.77.0.20").status, 0);
  EXPECT_EQ(node_->run("ping -n -c1 -W5 fd77::20").status, 0);
  // A probe with the sender 0.0.0.0, and a solicitation from the unspecified address.
  EXPECT_EQ(node_->run("arping -0 -c1 -w5 -i eth0 10.77.0.20").status, 0);
  EXPECT_EQ(gate->counts(kWeb).dropped, 0U);
}

TEST_F(GateTest, HearsTheGratuitousArpOfTheOtherNode) {
  const auto gate = open();
  attach(*gate);
  node_->must("ip addr del 10.77.0.20/32 dev eth0; echo 1 > /proc/sys/net/ipv4/conf/eth0/arp_accept");
  client_->must("ip addr add 10.77.0.20/32 dev eth0; ip neigh flush dev eth0");
  client_->must("arping -U -c2 -w3 -S 10.77.0.20 -i eth0 10.77.0.20 || true");
  EXPECT_NE(node_->run("ip neigh show 10.77.0.20").text.find("lladdr"), std::string::npos);
}

TEST_F(GateTest, DoesNotDisturbForeignFilters) {
  node_->must(
      "tc qdisc add dev eth0 clsact && tc filter add dev eth0 ingress prio 7 protocol ip u32 match u32 0 0 "
      "classid 1:1");
  const auto gate = open();
  attach(*gate);
  EXPECT_FALSE(pings("10.77.0.20", 1));
  EXPECT_NE(node_->run("tc -s filter show dev eth0 ingress").text.find("pref 7"), std::string::npos);
  const auto done = node_->in([&] { return BpfGate::remove_all(pin_dir_); });
  ASSERT_TRUE(done.has_value());
  EXPECT_TRUE(pings("10.77.0.20"));
  const std::string left = node_->run("tc filter show dev eth0 ingress").text;
  EXPECT_NE(left.find("pref 7"), std::string::npos);
  EXPECT_EQ(left.find("bpf"), std::string::npos) << left;
  EXPECT_FALSE(std::filesystem::exists(pin_dir_));
}

TEST_F(GateTest, SaysWhoIsInTheWay) {
  node_->must(
      "tc qdisc add dev eth0 clsact && tc filter add dev eth0 egress prio 1 protocol ip u32 match u32 0 0 "
      "classid 1:1");
  const auto gate = open();
  const auto done = node_->in([&] { return gate->attach(kWeb); });
  ASSERT_FALSE(done.has_value());
  EXPECT_EQ(done.error().code, Code::kConfig);
  EXPECT_NE(done.error().message.find("tc filter show dev eth0 egress"), std::string::npos)
      << done.error().message;
}

TEST_F(GateTest, WaitsForAMissingNic) {
  const auto gate = open();
  config_.links.at(0).ends.at(0).nic = "eth7";
  const auto other = open();
  const auto done = node_->in([&] { return other->attach(kWeb); });
  ASSERT_FALSE(done.has_value());
  EXPECT_EQ(done.error().code, Code::kRetry);
  EXPECT_NE(done.error().message.find("eth7"), std::string::npos);
}

TEST_F(GateTest, GatesFramesOnOtherNicsOfTheNodeToo) {
  lan_->plug(*node_, "eth1", "p2");
  node_->must("ip link set eth1 up; ip addr add 10.77.1.11/24 dev eth1");
  LinkConfig heartbeat = config_.links.at(0);
  heartbeat.name = "heartbeat";
  heartbeat.ends.at(0) = {"eth1", *Prefix::parse("10.77.1.11/24")};
  config_.links.push_back(heartbeat);
  const auto gate = open();
  attach(*gate);
  EXPECT_FALSE(arps());  // without it, eth1 would answer: a kernel does for any of its addresses
}

TEST(GateSetup, RefusesAFolderThatIsNotOnABpfFilesystem) {
  CLUSTERD_NEEDS_ROOT();
  const auto gate = BpfGate::open(make_config(), "/tmp/cdt-address-not-bpffs/clusterd");
  ASSERT_FALSE(gate.has_value());
  EXPECT_EQ(gate.error().code, Code::kConfig);
  EXPECT_NE(gate.error().message.find("BPF filesystem"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists("/tmp/cdt-address-not-bpffs"));
}

TEST(GateSetup, MapsOfAnotherVersionAreMadeAnew) {
  CLUSTERD_NEEDS_ROOT();
  const std::string dir = Privileges::get().pin_dir();
  std::filesystem::create_directories(dir);
  ASSERT_EQ(test::shell("bpftool map create " + dir + "/deadlines type array key 4 value 4 entries 3 name x")
                .status,
            0);
  const auto gate = BpfGate::open(make_config(), dir);
  ASSERT_TRUE(gate.has_value()) << gate.error().message;
  EXPECT_EQ((*gate)->deadline(kWeb), Instant{});
}

TEST(GateSetup, SelfTestSaysThatTheGateWorksHere) {
  CLUSTERD_NEEDS_ROOT();
  const auto done = BpfGate::self_test();
  EXPECT_TRUE(done.has_value()) << done.error().message;
}

}  // namespace
}  // namespace clusterd
