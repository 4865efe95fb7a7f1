// What the kernel and /etc say of a machine, and the frames of a pairing over a real socket.
#include "linux/host/look.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "linux/host/talk.hpp"

namespace clusterd {
namespace {

using testing::HasSubstr;

TEST(Look, DefaultRoutesOfIpv4) {
  const auto routes = default_routes_v4(
      "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
      "eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
      "eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
      "eth1\t00000000\tzz\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
      "eth2\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n");
  ASSERT_EQ(routes.size(), 1U);
  EXPECT_EQ(routes[0].nic, "eth0");
  EXPECT_EQ(routes[0].router.text(), "192.168.1.1");
}

TEST(Look, DefaultRoutesOfIpv6) {
  const auto routes = default_routes_v6(
      "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
      "fd000000000000000000000000000001 00000400 "
      "00000001 00000000 00000003 eth0\n"
      "fd000000000000000000000000000000 40 00000000000000000000000000000000 00 "
      "00000000000000000000000000000000 00000100 "
      "00000001 00000000 00000001 eth0\n"
      "00000000000000000000000000000000 00 short 00\n");
  ASSERT_EQ(routes.size(), 1U);
  EXPECT_EQ(routes[0].router.text(), "fd00::1");
}

TEST(Look, NameServersThatAreNotThisMachine) {
  const auto resolvers = resolvers_in(
      "# nameserver 1.1.1.1\nnameserver 192.168.1.2\nnameserver 127.0.0.53\nsearch x\n"
      "nameserver fd00::2\nnameserver nonsense\nnameserver\n");
  ASSERT_EQ(resolvers.size(), 2U);
  EXPECT_EQ(resolvers[0].text(), "192.168.1.2");
  EXPECT_EQ(resolvers[1].text(), "fd00::2");
}

TEST(Look, ThisMachineHasAName) {
  const auto machine = look_at_machine();
  ASSERT_TRUE(machine);
  EXPECT_FALSE(machine->name.empty());
  for (const auto& nic : machine->nics) EXPECT_NE(nic.name, "lo");
}

struct Pair {
  Pair() {
    for (uint16_t port = 20'000; port < 20'100 && !one; ++port) {
      auto listener = Listener::open(port);
      if (!listener) continue;
      std::thread other([&] { two = listener->accept(end); });
      auto talk = Talk::connect(*IpAddress::parse("127.0.0.1"), port, std::chrono::seconds(30));
      other.join();
      if (talk) one = std::move(*talk);
    }
  }
  TalkClock::time_point end = TalkClock::now() + std::chrono::seconds(30);
  std::optional<Talk> one, two;
};

TEST(Talk, FramesArriveWhole) {
  Pair pair;
  ASSERT_TRUE(pair.one && pair.two);
  EXPECT_EQ(pair.two->peer(), "127.0.0.1");
  const std::string large(3'000'000, 'x');
  std::thread sender([&] { EXPECT_TRUE(pair.one->send("", pair.end) && pair.one->send(large, pair.end)); });
  EXPECT_EQ(pair.two->receive(10, pair.end), "");
  EXPECT_EQ(pair.two->receive(large.size(), pair.end), large);
  sender.join();
}

TEST(Talk, LongFramesAndEndsAreErrors) {
  Pair pair;
  ASSERT_TRUE(pair.one && pair.two);
  ASSERT_TRUE(pair.one->send(std::string(11, 'x'), pair.end));
  const auto received = pair.two->receive(10, pair.end);
  ASSERT_FALSE(received);
  EXPECT_EQ(received.error().code, Code::kCorrupt);
  pair.one.reset();
  EXPECT_THAT(pair.two->receive(100, pair.end).error().message, HasSubstr("127.0.0.1"));
}

TEST(Talk, NobodyThereIsAnError) {
  const auto talk = Talk::connect(*IpAddress::parse("127.0.0.1"), 1, std::chrono::seconds(30));
  ASSERT_FALSE(talk);
  EXPECT_THAT(talk.error().message, HasSubstr("Connection refused"));
}

}  // namespace
}  // namespace clusterd
