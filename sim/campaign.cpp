#include "sim/campaign.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/relations.hpp"
#include "sim/draw.hpp"
#include "sim/nemesis.hpp"
#include "sim/world.hpp"

namespace clusterd::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

// The last run of the mirrors: its question may wait for 5 s, and files take up to 20 (world_mirrors.cpp).
constexpr Duration kLongestHandover = seconds(30);

class Campaign {
 public:
  Campaign(uint64_t seed, const CampaignOptions& options)
      : options_(options),
        seed_(seed),
        random_(seed),
        world_(draw_cluster(random_, seed, options), random_.next()),
        nemesis_(world_, random_.split()) {
    world_.tell(options.verbose);
    if (options.verbose) nemesis_.on_fault = [this](const std::string& what) { say("FAULT  " + what); };
  }

  Outcome run() {
    if (!options_.trace_file.empty() && !world_.events().write_to(options_.trace_file.c_str()))
      out_.finding = options_.trace_file + " cannot be written";
    world_.introduce();
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
    Random hosts(seed_);
    for (size_t i = 0; i < world_.config().hosts.size(); ++i)
      world_.network().set_answers_nobody(HostId(i), hosts.chance(75));
    if (options_.effects) nemesis_.begin_effects();
    if (options_.scenes && !options_.scheduled) nemesis_.begin_scenes(seed_);
    for (size_t i = 0; i < kNodes; ++i) {
      const auto ppm = static_cast<int64_t>(random_.draw(2001)) - 1000;
      world_.set_clock(NodeId(i), random_.chance(30) ? 0 : ppm);
    }
    if (random_.chance(5)) {
      say("BEGINS SLOWLY");
      nemesis_.slow_beginning();
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
    if (random_.chance(50) && !nemesis_.without_administrator()) nemesis_.tidy();
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
    related();
    if (!found()) alone();
    found();
  }

  // Groups are on one node, and what is to be apart is: a ready standby is there for each (see whole).
  void related() {
    for (size_t s = 0; s < world_.config().services.size(); ++s) {
      const ServiceConfig& config = world_.config().services.at(s);
      const auto at = world_.answering(ServiceId(s));
      const auto shared = [&](ServiceId id) { return world_.answering(id) == at; };
      if (!std::all_of(config.with.begin(), config.with.end(), shared))
        accuse(fmt::format("S14: the group of {} is on two nodes", config.name));
      const auto& apart = config.apart_from;
      if (!apart.empty() && std::all_of(apart.begin(), apart.end(), shared))
        accuse(fmt::format("{} shares a node with all that it is to be apart from", config.name));
    }
  }

  // One more fault, of a cluster that is well: whoever serves ends, and the other one serves what it said it
  // would take over (S2; a promise to wait has an end).
  void alone() {
    const auto serving = world_.answering(ServiceId(0));
    if (serving.size() != 1) return;
    const NodeId node = serving.front();
    const NodeId peer(1 - node.at());
    const Status before = world_.status(peer);
    if (before.moves_stopped) return;
    std::vector<ServiceId> due;
    for (size_t s = 0; s < world_.config().services.size(); ++s) {
      // What acts beyond its addresses waits for a watchdog or a fence, which may be broken.
      const bool waits = world_.config().services.at(s).effects == Effects::kNode;
      const bool here = world_.answering(ServiceId(s)) == serving;
      if (here && !waits && before.services.at(s).takes_over_here) due.emplace_back(s);
    }
    forget_waiting(due, peer);
    std::map<ServiceId, Epoch> served;
    for (const ServiceId service : due) served[service] = newest(service);
    const char* how = end(node);
    say(fmt::format("THE ACTIVE NODE {}", how));
    pass(seconds(40));
    if (found() || world_.judge().assumption_broken(world_.now())) return;
    // What was taken over may be under way once more: its watchdog may have reset the other node, which is
    // preferred and is being given it back. Nobody serves while the last run of the mirrors lasts (S5).
    const auto moves = [&](ServiceId service) {
      return unserved(service) && newest(service) > served.at(service);
    };
    const Instant limit = world_.now() + kLongestHandover;
    while (world_.now() < limit && std::any_of(due.begin(), due.end(), moves)) pass(seconds(1));
    for (const ServiceId service : due) {
      if (unserved(service))
        accuse(fmt::format("S2: nobody serves {} after the active node {}",
                           world_.config().service(service).name, how));
    }
  }

  [[nodiscard]] bool unserved(ServiceId service) const {
    const auto now = world_.answering(service);
    if (now.size() != 1) return true;
    const auto& units = world_.machine(now.front()).kernel.units.at(service.at());
    return !std::all_of(units.begin(), units.end(), [](bool runs) { return runs; });
  }

  // Of those at which it has been served.
  [[nodiscard]] Epoch newest(ServiceId service) const {
    const auto answer = world_.judge().newest(service);
    return answer ? answer->epoch : Epoch{};
  }

  // What runs after a service that is not taken over waits for it.
  void forget_waiting(std::vector<ServiceId>& due, NodeId survivor) const {
    const auto waits = [&](ServiceId service) {
      const ServiceConfig& config = world_.config().service(service);
      return std::any_of(config.after.begin(), config.after.end(), [&](ServiceId before) {
        const bool stays = world_.answering(before) == std::vector{survivor};
        return !stays && !contains(due, before);
      });
    };
    while (std::erase_if(due, waits) > 0) {
    }
  }

  const char* end(NodeId node) {
    switch (random_.draw(4)) {
      case 0:
        world_.power_off(node);
        return "lost its power";
      case 1:
        world_.kill_daemon(node);
        return "lost its daemon";
      case 2:
        world_.freeze(node);
        return "stood still";
      default: {
        Command restart;
        restart.kind = Command::Kind::kPrepareRestart;
        world_.order(node, restart);
        return "ended for a restart and did not come back";
      }
    }
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
  uint64_t seed_;
  Random random_;
  World world_;
  Nemesis nemesis_;
  Outcome out_;
};

}  // namespace

Outcome run_seed(uint64_t seed, const CampaignOptions& options) { return Campaign(seed, options).run(); }

}  // namespace clusterd::sim
