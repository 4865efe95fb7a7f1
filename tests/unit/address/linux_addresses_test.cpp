#include "linux/address/linux_addresses.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>

#include "unit/address/two_nodes.hpp"

namespace clusterd {
namespace {

using test::kFiles;
using test::kWeb;
using test::TestNode;
using test::TwoNodes;

std::string name_of(const ::testing::TestParamInfo<MacMode>& info) {
  switch (info.param) {
    case MacMode::kVirtual:
      return "Virtual";
    case MacMode::kRedundant:
      return "Redundant";
    case MacMode::kNone:
      return "None";
  }
  return "?";
}

class EachMode : public ::testing::TestWithParam<MacMode> {
 protected:
  void SetUp() override {
    CLUSTERD_NEEDS_ROOT();
    world = std::make_unique<TwoNodes>(GetParam());
  }
  void expect_clean(const TestNode& node) const {
    for (int i = 0; i < 100 && node.ns.run("ip link show cd-web").status == 0; ++i)
      ::usleep(50'000);  // link_reaper.hpp
    EXPECT_EQ(node.ns.run("ip -o addr").text.find("77.0.20"), std::string::npos);
    EXPECT_EQ(node.ns.run("ip -o addr").text.find("fd77::20"), std::string::npos);
    EXPECT_EQ(node.ns.run("ip rule; ip -6 rule").text.find("74"), std::string::npos);
    EXPECT_EQ(node.ns.run("ip -o link").text.find("cd-web"), std::string::npos);
    EXPECT_EQ(node.ns.run("ip -o link show up").text.find("eth2"), std::string::npos);
    EXPECT_EQ(node.ns.run("ip -o link").text.find(MacAddress::derived("test", "web").text()),
              std::string::npos);
    EXPECT_EQ(node.ns.run("ip link show eth2").text.find("alias"), std::string::npos);
  }
  std::unique_ptr<TwoNodes> world;
};

INSTANTIATE_TEST_SUITE_P(Addresses, EachMode,
                         ::testing::Values(MacMode::kVirtual, MacMode::kRedundant, MacMode::kNone), name_of);

TEST_P(EachMode, AddsAnswersAndRemovesWithoutATrace) {
  const auto report = world->a.add();
  ASSERT_TRUE(report.ok) << report.detail;
  EXPECT_TRUE(world->pings("10.77.0.20"));
  EXPECT_TRUE(world->pings("fd77::20"));
  EXPECT_TRUE(world->pings("10.77.0.11"));  // the node itself stays reachable
  EXPECT_TRUE(world->pings("fd77::11"));
  world->a.remove();
  expect_clean(world->a);
  EXPECT_TRUE(world->silent("10.77.0.20"));
  world->a.remove();  // once more: fine
  expect_clean(world->a);
}

TEST_P(EachMode, AnswersNothingWhileTheGateIsShut) {
  const auto report = world->a.add_only();
  ASSERT_TRUE(report.ok) << report.detail;
  EXPECT_TRUE(world->silent("10.77.0.20"));
  EXPECT_TRUE(world->silent("fd77::20"));
  EXPECT_NE(world->client.run("arping -c1 -w1 -i eth0 10.77.0.20").status, 0);
  world->a.open();
  world->a.ns.in([&] { world->a.addresses->announce(kWeb); });
  EXPECT_TRUE(world->pings("10.77.0.20"));
  EXPECT_TRUE(world->pings("fd77::20"));
}

TEST_P(EachMode, ARestartedDaemonFindsEverythingAndLosesNoPacket) {
  ASSERT_TRUE(world->a.add().ok);
  ASSERT_TRUE(world->pings("10.77.0.20"));
  const std::string before =
      world->a.ns.run("(ip -o addr; ip rule; ip -6 rule; ip -o link show eth2) 2>/dev/null; true").text;
  const std::string log = "/tmp/cdt-address-ping-" + std::to_string(::getpid());
  world->client.must("ping -n -q -i 0.002 -c 300 10.77.0.20 > " + log + " 2>&1 &");
  for (int i = 0; i < 5; ++i) {
    world->a.restart();
    const auto report = world->a.add_only();
    EXPECT_TRUE(report.ok) << report.detail;
  }
  for (int i = 0; i < 300 && test::shell("grep -q transmitted " + log).status != 0; ++i) ::usleep(100'000);
  const std::string said = test::shell("cat " + log + "; rm -f " + log).text;
  EXPECT_NE(said.find(" 0% packet loss"), std::string::npos) << said;
  EXPECT_EQ(world->a.ns.run("(ip -o addr; ip rule; ip -6 rule; ip -o link show eth2) 2>/dev/null; true").text,
            before);
}

TEST_P(EachMode, AFreshDaemonRemovesWhatACrashedOneLeft) {
  ASSERT_TRUE(world->a.add().ok);
  world->a.restart();
  world->a.remove();
  expect_clean(world->a);
}

TEST_P(EachMode, AnAddressThatSomebodyRemovesIsReportedAndComesBack) {
  const auto report = world->a.add();
  ASSERT_TRUE(report.ok);
  world->a.ns.must("ip addr del 10.77.0.20/32 dev " + report.detail);
  ASSERT_TRUE(world->a.wait_for<AddressLost>());
  EXPECT_NE(world->a.last<AddressLost>()->detail.find("10.77.0.20"), std::string::npos);
  EXPECT_TRUE(world->a.add_only().ok);
  EXPECT_TRUE(world->pings("10.77.0.20"));
  world->a.events.clear();
  world->a.ns.must("ip -6 addr flush dev " + report.detail);
  ASSERT_TRUE(world->a.wait_for<AddressLost>());
  EXPECT_TRUE(world->a.add_only().ok);
  EXPECT_TRUE(world->pings("fd77::20"));
}

TEST_P(EachMode, ADynamicClientFollowsTheAnnouncements) {
  ASSERT_TRUE(world->a.add().ok);
  ASSERT_TRUE(world->pings("10.77.0.20"));
  ASSERT_TRUE(world->pings("fd77::20"));
  world->a.remove();
  ASSERT_TRUE(world->b.add().ok);
  EXPECT_TRUE(world->pings("10.77.0.20"));  // without forgetting anything first
  EXPECT_TRUE(world->pings("fd77::20"));
}

TEST_P(EachMode, TakeoverTakesThisLong) {
  using Clock = std::chrono::steady_clock;
  const auto ms = [](Clock::duration d) { return std::chrono::duration<double, std::milli>(d).count(); };
  std::vector<double> adds, removes;
  for (int i = 0; i < 9; ++i) {
    world->a.open();
    const auto t0 = Clock::now();
    world->a.ns.in([&] { world->a.addresses->add(kWeb); });
    const auto t1 = Clock::now();
    world->a.ns.in([&] { world->a.addresses->remove(kWeb); });
    adds.push_back(ms(t1 - t0));
    removes.push_back(ms(Clock::now() - t1));
    expect_clean(world->a);  // the next add would wait for the macvlan's end
  }
  std::ranges::sort(adds);
  std::ranges::sort(removes);
  std::printf("             add %.2f ms (%.2f-%.2f), remove %.2f ms (%.2f-%.2f), median of 9\n", adds[4],
              adds[0], adds[8], removes[4], removes[0], removes[8]);
}

class MovingMac : public EachMode {};
INSTANTIATE_TEST_SUITE_P(Addresses, MovingMac, ::testing::Values(MacMode::kVirtual, MacMode::kRedundant),
                         name_of);

TEST_P(MovingMac, AClientWithAStaticEntryFollowsToTheOtherNode) {
  const MacAddress mac = MacAddress::derived("test", "web");
  const std::string port = GetParam() == MacMode::kVirtual ? "0" : "2";
  world->nail(mac);
  ASSERT_TRUE(world->a.add().ok);
  EXPECT_TRUE(world->pings("10.77.0.20"));
  EXPECT_TRUE(world->pings("fd77::20"));
  EXPECT_EQ(world->lan.port_of(mac.text()), "a" + port);
  world->a.remove();
  ASSERT_TRUE(world->b.add().ok);
  EXPECT_TRUE(world->pings("10.77.0.20"));
  EXPECT_TRUE(world->pings("fd77::20"));
  EXPECT_EQ(world->lan.port_of(mac.text()), "b" + port);
}

TEST_P(MovingMac, RepliesLeaveWithTheServicesMac) {
  ASSERT_TRUE(world->a.add().ok);
  ASSERT_TRUE(world->pings("10.77.0.20"));
  ASSERT_TRUE(world->pings("fd77::20"));
  const std::string mac = MacAddress::derived("test", "web").text();
  EXPECT_NE(world->client.run("ip neigh show 10.77.0.20").text.find(mac), std::string::npos);
  EXPECT_NE(world->client.run("ip neigh show fd77::20").text.find(mac), std::string::npos);
  const std::string device = GetParam() == MacMode::kVirtual ? "dev cd-web" : "dev eth2";
  for (const char* to : {"10.77.0.1 from 10.77.0.20", "9.9.9.9 from 10.77.0.20", "fd77::1 from fd77::20",
                         "2001:db8::1 from fd77::20"}) {
    const std::string way = world->a.ns.run(std::string("ip route get ") + to).text;
    EXPECT_NE(way.find(device), std::string::npos) << way;
  }
  EXPECT_NE(world->a.ns.run("ip route get 10.77.0.1").text.find("dev eth0"), std::string::npos);
}

TEST_P(MovingMac, TheDefaultRouteFollowsTheNodes) {
  ASSERT_TRUE(world->a.add().ok);
  const std::string question = "ip route get 9.9.9.9 from 10.77.0.20";
  ASSERT_NE(world->a.ns.run(question).text.find("via 10.77.0.1 "), std::string::npos);
  world->a.ns.must("ip route replace default via 10.77.0.254");
  EXPECT_TRUE(world->a.wait(
      [&] { return test::shell(question).text.find("via 10.77.0.254 ") != std::string::npos; }));
  // When the NIC fails its default route goes; the service's device keeps it.
  world->a.ns.must("ip route del default");
  (void)world->a.wait([&] { return test::shell("ip route").text.find("default") == std::string::npos; });
  EXPECT_NE(world->a.ns.run(question).text.find("via 10.77.0.254 "), std::string::npos);
}

TEST_P(MovingMac, ARemovedRuleOrDeviceIsReportedAndComesBack) {
  const auto report = world->a.add();
  ASSERT_TRUE(report.ok);
  world->a.ns.must("ip rule del pref 7412 from 10.77.0.20");
  ASSERT_TRUE(world->a.wait_for<AddressLost>());
  EXPECT_TRUE(world->a.add_only().ok);
  EXPECT_NE(world->a.ns.run("ip rule").text.find("7412"), std::string::npos);
  world->a.events.clear();
  world->a.ns.must(GetParam() == MacMode::kVirtual ? "ip link del cd-web" : "ip link set eth2 down");
  ASSERT_TRUE(world->a.wait_for<AddressLost>());
  EXPECT_TRUE(world->a.add_only().ok);
  EXPECT_TRUE(world->pings("10.77.0.20"));
  EXPECT_TRUE(world->pings("fd77::20"));
}

}  // namespace
}  // namespace clusterd
