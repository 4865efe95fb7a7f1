// Two nodes on a LAN with a client, each node with its own network namespace, gate and LinuxAddresses.
#pragma once

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "linux/address/device_name.hpp"
#include "linux/address/linux_addresses.hpp"
#include "linux/event_loop.hpp"
#include "linux/gate/bpf_gate.hpp"
#include "unit/address/netns.hpp"

namespace clusterd::test {

inline constexpr ServiceId kWeb{0};
inline constexpr ServiceId kFiles{1};

inline Config two_node_config(MacMode mode, size_t self) {
  Config config;
  config.cluster = "test";
  config.self = NodeId(self);
  config.nodes = {NodeConfig{"a", "eth2"}, NodeConfig{"b", "eth2"}};
  LinkConfig link;
  link.name = "service";
  link.ends = {LinkEnd{"eth0", *Prefix::parse("10.77.0.11/24")},
               LinkEnd{"eth0", *Prefix::parse("10.77.0.12/24")}};
  config.links = {link};
  ServiceConfig web;
  web.name = "web";
  web.link = LinkId(0);
  web.mac = mode;
  web.mac_address = MacAddress::derived("test", "web");
  web.addresses = {*Prefix::parse("10.77.0.20/24"), *Prefix::parse("fd77::20/64")};
  ServiceConfig files = web;
  files.name = "files";
  files.mac_address = MacAddress::derived("test", "files");
  files.addresses = {*Prefix::parse("10.77.0.30/24")};
  config.services = {web, files};
  return config;
}

// One node's daemon, as far as addresses go. restart() is a crash and a new start.
class TestNode {
 public:
  TestNode(MacMode mode, size_t self)
      : config(two_node_config(mode, self)), pin_dir_(Privileges::get().pin_dir()) {}

  void start() {
    ns.in([&] {
      auto opened = BpfGate::open(config, pin_dir_);
      ASSERT_TRUE(opened.has_value()) << opened.error().message;
      gate = std::move(*opened);
      addresses = std::make_unique<LinuxAddresses>(loop, config, *gate,
                                                   [this](Event e) { events.push_back(std::move(e)); });
    });
  }
  void restart() {
    addresses.reset();
    gate.reset();
    events.clear();
    start();
  }
  void open(ServiceId id = kWeb) const { gate->set(id, EventLoop::now() + std::chrono::hours(1)); }
  AddressReport add(ServiceId id = kWeb) {
    open(id);
    return add_only(id);
  }
  AddressReport add_only(ServiceId id = kWeb) {
    ns.in([&] { addresses->add(id); });
    const auto* report = last<AddressReport>();
    return report ? *report : AddressReport{};
  }
  void remove(ServiceId id = kWeb) {
    gate->shut(id);
    ns.in([&] { addresses->remove(id); });
  }
  template <class F>
  bool wait(F done) {
    return ns.in([&] { return loop.run_until(done, std::chrono::seconds(20)); });
  }
  template <class T>
  const T* last() const {
    for (auto e = events.rbegin(); e != events.rend(); ++e)
      if (const T* found = std::get_if<T>(&*e)) return found;
    return nullptr;
  }
  template <class T>
  bool wait_for() {
    return wait([this] { return last<T>() != nullptr; });
  }
  const NicChanged* nic(const std::string& name) const {
    for (auto e = events.rbegin(); e != events.rend(); ++e)
      if (const auto* found = std::get_if<NicChanged>(&*e); found && found->nic == name) return found;
    return nullptr;
  }

  Netns ns;
  Config config;
  EventLoop loop;
  std::unique_ptr<BpfGate> gate;
  std::vector<Event> events;
  std::unique_ptr<LinuxAddresses> addresses;

 private:
  std::string pin_dir_;
};

class TwoNodes {
 public:
  explicit TwoNodes(MacMode mode) : a(mode, 0), b(mode, 1) {
    lan.host(a.ns, "a0", "10.77.0.11/24 fd77::11/64");
    lan.host(b.ns, "b0", "10.77.0.12/24 fd77::12/64");
    lan.plug(a.ns, "eth2", "a2");
    lan.plug(b.ns, "eth2", "b2");
    lan.host(client, "c0", "10.77.0.1/24 fd77::1/64");
    for (TestNode* node : {&a, &b}) {
      node->ns.must("ip route add default via 10.77.0.1; ip -6 route add default via fd77::1");
      node->start();
    }
  }
  // Whether an answer comes; asks again, because a client that got none before gives up early for a while.
  bool pings(const std::string& target) const {
    for (int i = 0; i < 8; ++i)
      if (client.run("ping -n -c1 -W2 " + target).status == 0) return true;
    return false;
  }
  bool silent(const std::string& target) const { return client.run("ping -n -c1 -W1 " + target).status != 0; }
  // A client that never learns: its neighbour entries are set by hand.
  void nail(const MacAddress& mac) const {
    client.must("ip neigh replace 10.77.0.20 lladdr " + mac.text() + " dev eth0 nud permanent");
    client.must("ip neigh replace fd77::20 lladdr " + mac.text() + " dev eth0 nud permanent");
  }

  Lan lan;
  TestNode a, b;
  Netns client;
};

}  // namespace clusterd::test
