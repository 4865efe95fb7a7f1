// clusterd-sim: random faults against the deterministic world, one seed per run.
//
//   clusterd-sim [--seed N] [--seeds M] [--profile P] [--verbose]
//
// Each seed first draws which kinds of fault exist at all and how often they come (swarm testing), then lets
// them happen for a while with "one active" judged after every event, then heals everything and requires that
// exactly one node serves. Assumption T is kept: whoever sees a host hears what the other sends off it.
#include <fmt/format.h>

#include <cstring>
#include <random>

#include "sim/world.hpp"

namespace clusterd::sim {
namespace {

class Swarm {
 public:
  Swarm(uint64_t seed, const std::string& profile, bool verbose)
      : random_(seed), seed_(seed), verbose_(verbose), mirrored_(draw(2) == 0), world_(make(profile)) {
    for (auto& weight : weights_) weight = draw(3) == 0 ? 0 : draw(10);
  }

  // Empty if all went well, else what was found.
  std::string run() {
    world_.power_on(NodeId(0));
    world_.run(std::chrono::milliseconds(draw(3000)));
    world_.power_on(NodeId(1));
    world_.run(std::chrono::seconds(3));
    const unsigned faults = 5 + draw(40);
    for (unsigned i = 0; i < faults; ++i) {
      fault();
      world_.run(std::chrono::milliseconds(draw(4) == 0 ? draw(10000) : draw(1500)));
      tell();
      if (!world_.violations().empty()) return world_.violations().front();
    }
    return heal();
  }

 private:
  static constexpr size_t kFaults = 17;

  World make(const std::string& profile) {
    ServiceConfig web;
    web.name = "web";
    web.prefer = NodeId(0);
    web.link = LinkId(0);
    web.addresses = {*Prefix::parse("192.168.1.20/24")};
    web.units.resize(1);
    web.units.front().name = "web.service";
    web.hot = draw(4) == 0;
    web.failback = draw(3) == 0 ? Failback::kAuto : Failback::kManual;
    if (mirrored_) {
      MirrorConfig mirror;
      mirror.name = "1";
      mirror.paths = {"/srv/"};
      mirror.every = std::chrono::seconds(5);
      web.mirrors.push_back(mirror);
    }
    std::vector<std::string> hosts{"r1", "r2", "r3"};
    hosts.resize(1 + draw(3));
    hosts_ = hosts.size();
    Config config = make_config(profile, hosts, {web});
    config.max_takeovers_per_hour = 1000;
    return World(config);
  }

  unsigned draw(unsigned below) { return static_cast<unsigned>(random_() % below); }
  NodeId any_node() { return NodeId(draw(kNodes)); }

  void tell() {
    for (const auto& line : world_.take_trace()) {
      if (verbose_) fmt::print("{}\n", line);
    }
  }
  void say(const std::string& text) const {
    if (verbose_) fmt::print("{:9.4f} FAULT  {}\n", to_seconds(world_.now().time_since_epoch()) - 3600, text);
  }

  void fault() {
    unsigned total = 0;
    for (const unsigned weight : weights_) total += weight;
    if (total == 0) return;
    unsigned pick = draw(total);
    size_t kind = 0;
    while (pick >= weights_.at(kind)) pick -= weights_.at(kind++);
    const NodeId node = any_node();
    const bool flag = draw(2) == 0;
    const size_t host = draw(static_cast<unsigned>(hosts_));
    say(fmt::format("kind {} node {} flag {} host {}", kind, node.at() + 1, flag, host + 1));
    const Machine& m = world_.machine(node);
    switch (kind) {
      case 0:
        return m.powered ? world_.power_off(node) : world_.power_on(node);
      case 1:
        return m.node ? world_.kill_daemon(node) : world_.start_daemon(node);
      case 2:
        return m.frozen ? world_.thaw(node) : world_.freeze(node);
      case 3:
        return m.node ? world_.set_nic(node, flag ? "eth0" : "eth1", draw(2) == 0) : void();
      case 4:
        return world_.set_link(LinkId(draw(2)), flag);
      case 5:
        return world_.set_host(HostId(host), std::nullopt, flag);
      case 6:
        return world_.set_host(HostId(host), node, flag);
      case 7:
        return order(node, Command::Kind::kMove);
      case 8:
        return order(node, flag ? Command::Kind::kStandby : Command::Kind::kOnline);
      case 9:
        return m.node && m.powered ? world_.crash_unit(node, ServiceId(0)) : void();
      case 10:
        return world_.set_behaviour(node, ServiceId(0),
                                    flag           ? Behaviour::kGood
                                    : draw(2) == 0 ? Behaviour::kFailsToStart
                                                   : Behaviour::kRefusesToStop);
      case 11:
        return world_.set_disk(node, flag);
      case 12:
        return world_.set_mirror(flag ? MirrorReport::Outcome::kDone : MirrorReport::Outcome::kFailed);
      case 13:
        return order(node, Command::Kind::kPrepareRestart);
      case 14:
        return world_.set_one_way(node, flag);
      case 15:
        return split();
      default:
        return m.powered && !m.node ? world_.start_daemon(node) : void();
    }
  }

  // All links are cut, and each reference host is seen by one node at most: the case for which kA + kB > n.
  void split() {
    for (size_t l = 0; l < 2; ++l) world_.set_link(LinkId(l), false);
    for (size_t h = 0; h < hosts_; ++h) {
      const unsigned seen_by = draw(3);
      for (size_t i = 0; i < kNodes; ++i) world_.set_host(HostId(h), NodeId(i), seen_by == i);
    }
  }

  void order(NodeId node, Command::Kind kind) {
    if (!world_.machine(node).node) return;
    Command command;
    command.kind = kind;
    if (kind == Command::Kind::kMove) command.service = ServiceId(0);
    world_.order(node, command);
  }

  std::string heal() {
    say("heals");
    world_.set_mirror(MirrorReport::Outcome::kDone);
    for (size_t l = 0; l < 2; ++l) world_.set_link(LinkId(l), true);
    for (size_t h = 0; h < hosts_; ++h) world_.set_host(HostId(h), std::nullopt, true);
    for (size_t i = 0; i < kNodes; ++i) {
      const NodeId id(i);
      world_.set_one_way(id, false);
      world_.set_disk(id, true);
      world_.set_behaviour(id, ServiceId(0), Behaviour::kGood);
      if (!world_.machine(id).powered) world_.power_on(id);
      if (world_.machine(id).frozen) world_.thaw(id);
      if (!world_.machine(id).node) world_.start_daemon(id);
      world_.set_nic(id, "eth0", true);
      world_.set_nic(id, "eth1", true);
    }
    world_.run(std::chrono::seconds(10));
    for (size_t i = 0; i < kNodes; ++i) {
      if (!world_.machine(NodeId(i)).node) world_.start_daemon(NodeId(i));  // it was in a clean restart
      order(NodeId(i), Command::Kind::kOnline);
    }
    world_.run(std::chrono::seconds(90));
    tell();
    if (!world_.violations().empty()) return world_.violations().front();
    const size_t active = world_.answering(ServiceId(0)).size();
    if (active == 1) return "";
    return fmt::format("{} nodes serve after healing: serv1 {}, serv2 {}", active,
                       name(world_.role(NodeId(0), ServiceId(0))),
                       name(world_.role(NodeId(1), ServiceId(0))));
  }

  std::mt19937_64 random_;
  uint64_t seed_;
  bool verbose_;
  bool mirrored_;
  size_t hosts_ = 1;
  World world_;
  std::array<unsigned, kFaults> weights_{};
};

int run(int argc, char** argv) {
  uint64_t seed = 1;
  uint64_t seeds = 1;
  std::string profile = "steady";
  bool verbose = false;
  for (int i = 1; i < argc; ++i) {
    const bool more = i + 1 < argc;
    if (std::strcmp(argv[i], "--seed") == 0 && more) {
      seed = std::strtoull(argv[++i], nullptr, 10);
    } else if (std::strcmp(argv[i], "--seeds") == 0 && more) {
      seeds = std::strtoull(argv[++i], nullptr, 10);
    } else if (std::strcmp(argv[i], "--profile") == 0 && more) {
      profile = argv[++i];
    } else if (std::strcmp(argv[i], "--verbose") == 0) {
      verbose = true;
    } else {
      fmt::print(stderr,
                 "usage: clusterd-sim [--seed N] [--seeds M] [--profile steady|fast|realtime] [--verbose]\n");
      return 2;
    }
  }
  uint64_t failed = 0;
  for (uint64_t s = seed; s < seed + seeds; ++s) {
    const std::string found = Swarm(s, profile, verbose).run();
    if (found.empty()) continue;
    fmt::print("seed {} ({}): {}\n", s, profile, found);
    ++failed;
  }
  fmt::print("{} passed, {} failed\n", seeds - failed, failed);
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace clusterd::sim

int main(int argc, char** argv) { return clusterd::sim::run(argc, argv); }
