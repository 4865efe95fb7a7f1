#include "sim/campaign.hpp"

#include <fmt/format.h>

#include "sim/nemesis.hpp"
#include "sim/world.hpp"

namespace clusterd::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

ServiceConfig draw_service(Random& random, size_t number) {
  ServiceConfig out;
  out.name = number == 0 ? "web" : "mail";
  if (random.chance(80)) out.prefer = NodeId(random.draw(kNodes));
  out.link = LinkId(0);
  out.addresses = {*Prefix::parse(fmt::format("192.168.1.{}/24", 20 + number))};
  out.units.resize(1 + random.draw(2));
  for (size_t i = 0; i < out.units.size(); ++i) {
    out.units.at(i).name = fmt::format("{}{}.service", out.name, i);
    out.units.at(i).start_timeout = out.units.at(i).stop_timeout = seconds(5);
  }
  out.hot = random.chance(20);
  out.failback = random.chance(30) ? Failback::kAuto : Failback::kManual;
  const unsigned mirrors = random.chance(60) ? 1 + random.draw(2) : 0;
  for (unsigned i = 0; i < mirrors; ++i) {
    MirrorConfig mirror;
    mirror.name = std::to_string(i + 1);
    mirror.paths = {"/srv/"};
    mirror.every = seconds(3 + random.draw(20));
    out.mirrors.push_back(mirror);
  }
  return out;
}

Config draw_config(Random& random, const std::string& profile) {
  constexpr std::array kProfiles{"steady", "steady", "steady", "fast", "realtime"};
  std::vector<ServiceConfig> services;
  const unsigned count = random.chance(75) ? 1 : 2;
  for (unsigned i = 0; i < count; ++i) services.push_back(draw_service(random, i));
  std::vector<std::string> hosts{"r1", "r2", "r3"};
  hosts.resize(random.chance(3) ? 0 : 1 + random.draw(3));
  const char* drawn = kProfiles.at(random.draw(kProfiles.size()));
  Config config = make_config(profile == "any" ? drawn : profile, hosts, services);
  config.rejoin = random.chance(20) ? Rejoin::kManual : Rejoin::kAuto;
  config.max_takeovers_per_hour = random.chance(20) ? 3 : 1000;
  return config;
}

class Campaign {
 public:
  Campaign(uint64_t seed, const CampaignOptions& options)
      : options_(options),
        random_(seed),
        world_(draw_config(random_, options.profile), random_.next()),
        nemesis_(world_, random_.split()) {
    world_.tell(options.verbose);
    if (options.verbose) nemesis_.on_fault = [this](const std::string& what) { say("FAULT  " + what); };
  }

  Outcome run() {
    if (!options_.trace_file.empty() && !world_.events().write_to(options_.trace_file.c_str()))
      out_.finding = options_.trace_file + " cannot be written";
    const Instant begin = world_.now();
    start();
    faults();
    if (!found()) healing();
    out_.hash = world_.events().hash();
    out_.excused = world_.judge().excused();
    out_.faults = nemesis_.strikes();
    for (size_t i = 0; i < kNodes; ++i)
      out_.takeovers += static_cast<unsigned>(world_.machine(NodeId(i)).takeovers);
    out_.simulated = world_.now() - begin;
    return out_;
  }

 private:
  void start() {
    world_.start_clocks_anywhere();
    for (size_t i = 0; i < kNodes; ++i) {
      const auto ppm = static_cast<int64_t>(random_.draw(2001)) - 1000;
      world_.set_clock(NodeId(i), random_.chance(30) ? 0 : ppm);
    }
    world_.power_on(NodeId(0));
    pass(random_.between(Duration::zero(), seconds(3)));
    world_.power_on(NodeId(1));
    pass(seconds(3));
    world_.set_clients(random_.between(milliseconds(200), seconds(2)));
  }

  // Quick seeds strike all the time, slow ones leave the cluster time to settle in between.
  void faults() {
    // At the quicker profiles more happens in less time.
    const auto quicker = std::clamp<int64_t>(milliseconds(75) / world_.config().timing.heartbeat, 1, 8);
    const Instant end = world_.now() + options_.length / quicker;
    const Duration pace = random_.log_between(seconds(1), seconds(30));
    while (world_.now() < end && !found()) {
      if (random_.chance(20)) repair();
      nemesis_.strike();
      pass(random_.chance(25) ? random_.between(Duration::zero(), 4 * pace)
                              : random_.between(Duration::zero(), pace));
    }
  }

  // Now and then everything is mended, so that the next fault meets a cluster that is well.
  void repair() {
    say("REPAIRS");
    nemesis_.heal();
    pass(random_.between(seconds(1), seconds(12)));
    if (random_.chance(50)) nemesis_.tidy();
    pass(random_.between(seconds(1), seconds(6)));
  }

  void healing() {
    say("HEALS");
    nemesis_.heal();
    pass(seconds(15));
    nemesis_.tidy();
    pass(kHealingLimit / 2);
    nemesis_.tidy();  // what came to light meanwhile
    pass(kHealingLimit / 2 - seconds(15));
    if (found()) return;
    // Nobody writes any more: the mirrors catch up.
    world_.set_clients(std::chrono::hours(1000));
    nemesis_.tidy();
    pass(seconds(20));
    const auto before = answers();
    pass(seconds(30));
    if (found()) return;
    if (before != answers()) return accuse("a service moves although nothing happens");
    unsigned takeovers = 0;
    for (size_t i = 0; i < kNodes; ++i)
      takeovers += static_cast<unsigned>(world_.machine(NodeId(i)).takeovers);
    const auto services = static_cast<unsigned>(world_.config().services.size());
    if (takeovers > (nemesis_.strikes() + 2) * services)
      return accuse("there are more takeovers than faults");
    if (world_.judge().assumption_broken(world_.now())) return;
    for (size_t s = 0; s < world_.config().services.size(); ++s) whole(ServiceId(s));
    found();
  }

  [[nodiscard]] std::vector<std::vector<NodeId>> answers() const {
    std::vector<std::vector<NodeId>> out;
    for (size_t s = 0; s < world_.config().services.size(); ++s)
      out.push_back(world_.answering(ServiceId(s)));
    return out;
  }

  // One node serves, the other one is ready, their files are the same, nothing was lost without a word.
  void whole(ServiceId service) {
    const std::string& name = world_.config().service(service).name;
    const auto active = world_.answering(service);
    if (active.size() != 1) {
      return accuse(fmt::format("{} nodes serve {} after healing: serv1 {}, serv2 {}", active.size(), name,
                                clusterd::name(world_.role(NodeId(0), service)),
                                clusterd::name(world_.role(NodeId(1), service))));
    }
    const NodeId standby(1 - active.front().at());
    const auto& machine = world_.machine(standby);
    if (!machine.node) return accuse(fmt::format("the standby of {} does not run after healing", name));
    const ServiceStatus& status = world_.status(standby).services.at(service.at());
    if (!status.ready_here) {
      return accuse(fmt::format(
          "the standby of {} is not ready after healing: {}, epoch {}, data of epoch {}; {}", name,
          clusterd::name(status.here), status.epoch.value, status.data_epoch.value, status.detail));
    }
    for (size_t u = 0; u < world_.config().service(service).units.size(); ++u) {
      const bool here = world_.machine(active.front()).kernel.units.at(service.at()).at(u);
      if (!here) return accuse(fmt::format("a unit of {} does not run on the active node", name));
    }
    if (world_.config().service(service).mirrors.empty()) return;
    if (!world_.files().equal(service))
      return accuse(
          fmt::format("the files of {} differ after healing: {}", name, world_.files().difference(service)));
    world_.files().judge_losses(service);
    const bool told = world_.machine(NodeId(0)).told_diverged.at(service.at()) &&
                      world_.machine(NodeId(1)).told_diverged.at(service.at());
    if (world_.files().diverged(service) && !told && !nemesis_.wiped())
      return accuse(fmt::format("{} diverged, and not both nodes say so", name));
  }

  void accuse(const std::string& what) { world_.judge().accuse(world_.now(), what); }

  bool found() {
    const Accusation* accusation = world_.judge().unexcused();
    if (accusation == nullptr) return false;
    out_.finding =
        fmt::format("{:.4f}: {}", to_seconds(accusation->at.time_since_epoch()) - 3600, accusation->text);
    return true;
  }

  void pass(Duration span) {
    nemesis_.run(span);
    if (!options_.verbose) return;
    for (const auto& line : world_.take_trace()) fmt::print("{}\n", line);
  }

  void say(const std::string& text) const {
    if (options_.verbose)
      fmt::print("{:9.4f} {}\n", to_seconds(world_.now().time_since_epoch()) - 3600, text);
  }

  const CampaignOptions& options_;
  Random random_;
  World world_;
  Nemesis nemesis_;
  Outcome out_;
};

}  // namespace

Outcome run_seed(uint64_t seed, const CampaignOptions& options) { return Campaign(seed, options).run(); }

}  // namespace clusterd::sim
