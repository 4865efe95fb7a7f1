// What the LAN and the host do to a node's addresses, and what the node reports of it.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/if_ether.h>
#include <sys/socket.h>

#include <algorithm>
#include <memory>
#include <string>

#include "linux/address/address_plan.hpp"
#include "linux/address/frames.hpp"
#include "linux/address/lan_probe.hpp"
#include "unit/address/two_nodes.hpp"

namespace clusterd {
namespace {

using test::kFiles;
using test::kWeb;
using test::TestNode;
using test::TwoNodes;

class LanEvents : public ::testing::Test {
 protected:
  void SetUp() override {
    CLUSTERD_NEEDS_ROOT();
    world = std::make_unique<TwoNodes>(MacMode::kVirtual);
  }
  void probe(TestNode& node, Instant sent) const {
    node.ns.in([&] { node.addresses->probe({kWeb, sent}); });
  }
  std::unique_ptr<TwoNodes> world;
};

TEST_F(LanEvents, AProbeFindsWhoeverHasTheAddress) {
  const Instant sent = EventLoop::now();
  world->client.must("ip addr add 10.77.0.20/32 dev eth0");
  probe(world->a, sent);
  ASSERT_TRUE(world->a.wait_for<AddressAnswered>());
  const AddressAnswered arp = *world->a.last<AddressAnswered>();
  EXPECT_EQ(arp.service, kWeb);
  EXPECT_EQ(arp.address.text(), "10.77.0.20");
  EXPECT_EQ(arp.mac.text(), world->client.mac("eth0"));
  EXPECT_EQ(arp.sent, sent);
  world->a.events.clear();
  // Even so the kernel takes it into use a moment later: until then a probe is lost, or taken for a conflict.
  world->client.must(
      "ip addr del 10.77.0.20/32 dev eth0; ip addr add fd77::20/128 dev eth0 nodad;"
      "while ip -6 -o addr show dev eth0 tentative | grep -q fd77::20; do :; done");
  probe(world->a, EventLoop::now());  // a claim counts for two seconds after its probe
  ASSERT_TRUE(world->a.wait_for<AddressAnswered>());
  EXPECT_EQ(world->a.last<AddressAnswered>()->address.text(), "fd77::20");
  EXPECT_EQ(world->a.last<AddressAnswered>()->mac.text(), world->client.mac("eth0"));
}

TEST_F(LanEvents, AProbeFindsTheActiveNodeDespiteItsEqualMac) {
  ASSERT_TRUE(world->b.add().ok);
  probe(world->a, EventLoop::now());
  ASSERT_TRUE(world->a.wait_for<AddressAnswered>());
  EXPECT_EQ(world->a.last<AddressAnswered>()->mac, MacAddress::derived("test", "web"));
}

TEST_F(LanEvents, AProbeDoesNotFindTheNodeItself) {
  // Its spare NIC is on the same LAN and answers for any address of the node.
  world->a.ns.must(
      "ip link set eth2 up; echo 0 > /proc/sys/net/ipv4/conf/eth2/arp_ignore;"
      "ip addr add 10.77.0.20/32 dev eth2");
  world->client.must("ip addr add 10.77.0.20/32 dev eth0");
  probe(world->a, EventLoop::now());
  ASSERT_TRUE(world->a.wait_for<AddressAnswered>());  // the client's answer has come, so its own had time to
  probe(world->a, EventLoop::now());
  (void)world->a.wait([&] {
    return std::ranges::count_if(world->a.events, [](const Event& e) {
             return std::holds_alternative<AddressAnswered>(e);
           }) >= 2;
  });
  for (const Event& event : world->a.events) {
    const auto* answer = std::get_if<AddressAnswered>(&event);
    if (answer == nullptr) continue;
    EXPECT_EQ(answer->mac.text(), world->client.mac("eth0"));
  }
}

TEST_F(LanEvents, AnnouncementsComeInBothFormsAndForIpv6) {
  bool request = false, reply = false, advertisement = false;
  const MacAddress mac = MacAddress::derived("test", "web");
  int fd = -1;
  world->client.in(
      [&] { fd = ::socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(ETH_P_ALL)); });
  ASSERT_GE(fd, 0);
  const auto heard_all = [&] {
    std::array<uint8_t, 2048> buffer{};
    for (ssize_t n; (n = ::recv(fd, buffer.data(), buffer.size(), 0)) > 0;) {
      const auto claim = parse_claim(std::span(buffer.data(), static_cast<size_t>(n)));
      if (!claim || claim->mac != mac || buffer[6] != mac.bytes[0]) continue;
      if (claim->address.text() == "10.77.0.20") (buffer[21] == 1 ? request : reply) = true;
      if (claim->address.text() == "fd77::20") advertisement = true;
    }
    return request && reply && advertisement;
  };
  ASSERT_TRUE(world->a.add().ok);
  EXPECT_TRUE(world->a.wait(heard_all));
  request = reply = advertisement = false;  // and again, later in the burst
  EXPECT_TRUE(world->a.wait(heard_all));
  ::close(fd);
}

TEST_F(LanEvents, TheCarrierOfEachNicIsReported) {
  ASSERT_TRUE(world->a.wait([&] { return world->a.nic("eth0") && world->a.nic("eth2"); }));
  EXPECT_TRUE(world->a.nic("eth0")->up);
  EXPECT_TRUE(world->a.nic("eth2")->up);  // at rest
  EXPECT_NE(world->a.nic("eth2")->detail.find("carrier unknown"), std::string::npos);
  world->lan.box().must("ip link set a0 down");
  ASSERT_TRUE(world->a.wait([&] { return !world->a.nic("eth0")->up; }));
  EXPECT_EQ(world->a.nic("eth0")->detail, "no carrier");
  world->lan.box().must("ip link set a0 up");
  ASSERT_TRUE(world->a.wait([&] { return world->a.nic("eth0")->up; }));
  world->a.ns.must("ip link set eth0 down");
  ASSERT_TRUE(world->a.wait([&] { return !world->a.nic("eth0")->up; }));
  EXPECT_EQ(world->a.nic("eth0")->detail, "down");
}

TEST_F(LanEvents, AMissingNicIsReportedAndItsReturnToo) {
  ASSERT_TRUE(world->a.wait([&] { return world->a.nic("eth0") != nullptr; }));
  world->a.ns.must("ip link del eth0");
  ASSERT_TRUE(world->a.wait([&] { return !world->a.nic("eth0")->up; }));
  EXPECT_EQ(world->a.nic("eth0")->detail, "missing");
  const auto report = world->a.add();
  EXPECT_FALSE(report.ok);
  EXPECT_NE(report.detail.find("eth0 is missing"), std::string::npos) << report.detail;
  world->lan.host(world->a.ns, "a0", "10.77.0.11/24 fd77::11/64");
  ASSERT_TRUE(world->a.wait_for<AddressLost>());
  const auto again = world->a.add();
  EXPECT_TRUE(again.ok) << again.detail;
  EXPECT_TRUE(world->pings("10.77.0.20"));
}

TEST_F(LanEvents, AGateThatSomebodyTookOffIsPutBack) {
  ASSERT_TRUE(world->a.add().ok);
  world->a.ns.must("tc qdisc del dev eth0 clsact");
  ASSERT_TRUE(world->a.wait([] {
    return test::shell("tc filter show dev eth0 egress").text.find("clusterd_egress") != std::string::npos;
  }));
  world->a.gate->shut(kWeb);
  EXPECT_TRUE(world->silent("10.77.0.20"));
}

TEST_F(LanEvents, DevicesOfServicesThatAreNotConfiguredAnyMoreAreSwept) {
  ASSERT_TRUE(world->a.add(kFiles).ok);
  world->a.ns.must("ip link show cd-files");
  world->a.config.services.pop_back();
  world->a.restart();
  EXPECT_NE(world->a.ns.run("ip link show cd-files").status, 0);
  EXPECT_EQ(world->a.ns.run("ip rule").text.find("10.77.0.30"), std::string::npos);
}

TEST_F(LanEvents, HooksSeeWhatHappens) {
  const std::string file = "/tmp/cdt-address-hook-" + std::to_string(::getpid());
  world->a.config.hooks.up = world->a.config.hooks.down =
      "echo $CLUSTERD_ACTION $CLUSTERD_SERVICE $CLUSTERD_NIC $CLUSTERD_MAC $CLUSTERD_ADDRESSES >> " + file;
  world->a.restart();
  ASSERT_TRUE(world->a.add().ok);
  world->a.remove();
  const std::string mac = MacAddress::derived("test", "web").text();
  const std::string rest = " web cd-web " + mac + " 10.77.0.20/24 fd77::20/64\n";
  const auto said = [&] { return test::shell("cat " + file).text; };
  EXPECT_TRUE(world->a.wait([&] { return said() == "up" + rest + "down" + rest; })) << said();
  ::unlink(file.c_str());
}

TEST(SpareNic, CarriesOneServiceAtATime) {
  CLUSTERD_NEEDS_ROOT();
  TwoNodes world(MacMode::kRedundant);
  ASSERT_TRUE(world.a.add(kWeb).ok);
  const auto refused = world.a.add(kFiles);
  EXPECT_FALSE(refused.ok);
  EXPECT_NE(refused.detail.find("eth2 already carries the service web"), std::string::npos) << refused.detail;
  world.a.remove(kFiles);  // must not disturb the other
  EXPECT_TRUE(world.pings("10.77.0.20"));
  world.a.remove(kWeb);
  const auto free = world.a.add(kFiles);
  EXPECT_TRUE(free.ok) << free.detail;
  EXPECT_TRUE(world.pings("10.77.0.30"));
}

TEST(SpareNic, KeepsTheAdministratorsAlias) {
  CLUSTERD_NEEDS_ROOT();
  TwoNodes world(MacMode::kRedundant);
  const std::string mac = world.a.ns.mac("eth2");
  world.a.ns.must("ip link set eth2 alias 'rack 3, port 7'");
  ASSERT_TRUE(world.a.add().ok);
  EXPECT_NE(world.a.ns.mac("eth2"), mac);
  world.a.restart();
  world.a.remove();
  EXPECT_EQ(world.a.ns.mac("eth2"), mac);
  EXPECT_NE(world.a.ns.run("ip link show eth2").text.find("alias rack 3, port 7"), std::string::npos);
}

// Looks, when it is asked to attach, at what the service has already.
class CuriousGate final : public Gate {
 public:
  Result<void> attach(ServiceId) override {
    seen += test::shell("ip -o addr show; ip -o link show up").text;
    if (refuse) return fail(Code::kConfig, "no gate to be had");
    return {};
  }
  void set(ServiceId, Instant) override {}
  void shut(ServiceId) override {}
  std::string seen;
  bool refuse = false;
};

TEST(GateFirst, NothingStandsBeforeTheGateAndWithoutIt) {
  CLUSTERD_NEEDS_ROOT();
  for (const MacMode mode : {MacMode::kVirtual, MacMode::kRedundant, MacMode::kNone}) {
    TwoNodes world(mode);
    CuriousGate gate;
    EventLoop loop;
    std::vector<Event> events;
    world.a.ns.in([&] {
      LinuxAddresses addresses(loop, world.a.config, gate, [&](Event e) { events.push_back(std::move(e)); });
      gate.refuse = true;
      addresses.add(kWeb);
    });
    ASSERT_EQ(events.size(), 1U);
    EXPECT_FALSE(std::get<AddressReport>(events.at(0)).ok);
    EXPECT_EQ(std::get<AddressReport>(events.at(0)).detail, "no gate to be had");
    for (const std::string& seen : {gate.seen, world.a.ns.run("ip -o addr; ip -o link show up").text}) {
      EXPECT_EQ(seen.find("77.0.20"), std::string::npos) << seen;
      EXPECT_EQ(seen.find("cd-web"), std::string::npos) << seen;
      EXPECT_EQ(seen.find("eth2"), std::string::npos) << seen;
    }
  }
}

TEST(AddressPlan, OwnNetworksAndTables) {
  Config config = test::two_node_config(MacMode::kVirtual, 0);
  config.services.at(1).addresses = {*Prefix::parse("192.0.2.7/28")};
  const auto plans = make_address_plans(config);
  EXPECT_EQ(plans.at(0).device, "cd-web");
  EXPECT_EQ(plans.at(0).addresses.at(0).text(), "10.77.0.20/32");
  EXPECT_EQ(plans.at(0).addresses.at(1).text(), "fd77::20/128");
  EXPECT_EQ(plans.at(0).networks.at(0).text(), "10.77.0.0/24");
  EXPECT_EQ(plans.at(0).networks.at(1).text(), "fd77::/64");
  EXPECT_EQ(plans.at(1).networks.at(0).text(), "192.0.2.0/28");
  EXPECT_NE(plans.at(0).table, plans.at(1).table);
  EXPECT_EQ(plans.at(0).rules().size(), 6U);
  std::swap(config.services.at(0), config.services.at(1));
  EXPECT_EQ(make_address_plans(config).at(1).table, plans.at(0).table);  // by name, not by position
}

TEST(AddressPlan, WithoutAMacTheAddressStandsAloneWithinTheNodesNetwork) {
  Config config = test::two_node_config(MacMode::kNone, 0);
  config.services.at(1).addresses = {*Prefix::parse("192.0.2.7/28")};
  const auto plans = make_address_plans(config);
  EXPECT_EQ(plans.at(0).device, "eth0");
  EXPECT_EQ(plans.at(0).addresses.at(0).text(), "10.77.0.20/32");
  EXPECT_EQ(plans.at(1).addresses.at(0).text(), "192.0.2.7/28");
  EXPECT_TRUE(plans.at(0).rules().empty());
}

TEST(AddressPlan, DeviceNamesFitAndStayApart) {
  EXPECT_EQ(service_device_name("web"), "cd-web");
  EXPECT_EQ(service_device_name("twelve-bytes"), "cd-twelve-bytes");
  const std::string a = service_device_name("database-production-1"),
                    b = service_device_name("database-production-2");
  EXPECT_LE(a.size(), 15U);
  EXPECT_NE(a, b);
  EXPECT_EQ(service_device_name("a/b").find('/'), std::string::npos);
}

}  // namespace
}  // namespace clusterd
