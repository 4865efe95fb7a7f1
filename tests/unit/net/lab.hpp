// Two nodes and a reference host on a bridge, each in a network namespace of its own, and a direct second
// link between the nodes. Needs root; everything is removed when the object goes.
//
//   a: lan 192.168.77.1, fd77::1   hb 192.168.78.1     b: the same with 2     r: lan .100, fd77::100
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/config.hpp"
#include "linux/event_loop.hpp"
#include "linux/net/seal.hpp"
#include "linux/net/socket.hpp"

namespace clusterd::lab {

// The calling thread is in the namespace as long as the object lives; what it opens stays there.
class Inside {
 public:
  explicit Inside(const std::string& space) : back_(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)) {
    const int there = open(("/run/netns/" + space).c_str(), O_RDONLY | O_CLOEXEC);
    if (there < 0 || setns(there, CLONE_NEWNET) != 0) std::abort();
    close(there);
  }
  ~Inside() {
    if (setns(back_, CLONE_NEWNET) != 0) std::abort();
    close(back_);
  }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  int back_;
};

inline bool shell(const std::string& command) { return std::system(command.c_str()) == 0; }

class Lan {
 public:
  Lan() : base_(fmt::format("cdt-net-{}-{}", getpid(), ++count())) {
    for (const char* who : {"s", "a", "b", "r"}) {
      ip(fmt::format("netns add {}", space(who)));
      ip(fmt::format("-n {} link set lo up", space(who)));
    }
    ip(fmt::format("-n {} link add name sw type bridge forward_delay 0 mcast_snooping 0", space("s")));
    ip(fmt::format("-n {} link set sw up", space("s")));
    for (const char* who : {"a", "b", "r"}) add_lan(who);
    ip(fmt::format("-n {} link add hb type veth peer name hb netns {}", space("a"), space("b")));
    ip(fmt::format("-n {} address add 192.168.78.1/24 dev hb", space("a")));
    ip(fmt::format("-n {} address add 192.168.78.2/24 dev hb", space("b")));
    for (const char* who : {"a", "b"}) ip(fmt::format("-n {} link set hb up", space(who)));
  }
  ~Lan() {
    for (const char* who : {"s", "a", "b", "r"}) shell("ip netns del " + space(who));
  }
  Lan(const Lan&) = delete;
  Lan& operator=(const Lan&) = delete;

  void add_lan(const std::string& who) {
    const int number = who == "a" ? 1 : who == "b" ? 2 : 100;
    ip(fmt::format("-n {} link add lan type veth peer name p{} netns {}", space(who), who, space("s")));
    ip(fmt::format("-n {} link set p{} master sw up", space("s"), who));
    ip(fmt::format("-n {} address add 192.168.77.{}/24 dev lan", space(who), number));
    ip(fmt::format("-n {} address add fd77::{}/64 dev lan nodad", space(who), number));
    ip(fmt::format("-n {} link set lan up", space(who)));
  }
  // The switch passes nothing between the two nodes any more; both reach the reference host.
  void isolate(bool on) {
    for (const char* who : {"a", "b"}) {
      EXPECT_TRUE(shell(
          fmt::format("bridge -n {} link set dev p{} isolated {}", space("s"), who, on ? "on" : "off")));
    }
  }
  void ip(const std::string& arguments) { EXPECT_TRUE(shell("ip " + arguments)) << arguments; }
  [[nodiscard]] std::string space(const std::string& who) const { return base_ + who; }

 private:
  static int& count() {
    static int n = 0;
    return n;
  }
  std::string base_;
};

inline LinkEnd end_of(const char* nic, const char* address) { return {nic, *Prefix::parse(address)}; }

// Links "lan" and "hb"; the host of each text is reached over "lan" if its address lies there.
inline Config config_for(size_t self, bool v6 = false) {
  Config c;
  c.cluster = "office";
  c.self = NodeId(self);
  c.nodes[0].name = "a";
  c.nodes[1].name = "b";
  c.links.push_back({"lan",
                     {end_of("lan", v6 ? "fd77::1/64" : "192.168.77.1/24"),
                      end_of("lan", v6 ? "fd77::2/64" : "192.168.77.2/24")}});
  c.links.push_back({"hb", {end_of("hb", "192.168.78.1/24"), end_of("hb", "192.168.78.2/24")}});
  return c;
}

inline HostId add_host(Config& config, ProbeKind kind, const char* address, uint16_t port = 0) {
  HostConfig host;
  host.text = address;
  host.kind = kind;
  host.address = *IpAddress::parse(address);
  host.port = port;
  for (size_t i = 0; i < config.links.size(); ++i) {
    if (config.links[i].ends[0].address.contains(host.address)) host.link = LinkId(i);
  }
  config.hosts.push_back(host);
  return HostId(config.hosts.size() - 1);
}

constexpr Duration kPatience = std::chrono::seconds(20);

class NetTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root: makes network namespaces";
    lan = std::make_unique<Lan>();
    ASSERT_FALSE(HasFailure()) << "the test network could not be built";
  }
  bool await(const std::function<bool()>& done) { return loop.run_until(done, kPatience); }

  // Does `step` until something has arrived at the socket; the batch then holds it.
  bool await_packet(const net::Socket& ear, net::Batch& batch, const std::function<void()>& step = {}) {
    size_t got = 0;
    return await([&] {
      if (got == 0 && step) step();
      if (got == 0) got = batch.receive(ear);
      return got > 0;
    });
  }

  EventLoop loop;
  std::unique_ptr<Lan> lan;
};

}  // namespace clusterd::lab
