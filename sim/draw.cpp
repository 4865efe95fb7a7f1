#include "sim/draw.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/relations.hpp"
#include "sim/world.hpp"

namespace clusterd::sim {

using std::chrono::seconds;

namespace {

constexpr std::array kNames{"web", "mail", "db", "shop"};

ServiceConfig draw_service(Random& random, size_t number) {
  ServiceConfig out;
  out.name = kNames.at(number);
  if (random.chance(80)) out.prefer = NodeId(random.draw(kNodes));
  out.link = LinkId(0);
  out.addresses = {*Prefix::parse(fmt::format("192.168.1.{}/24", 20 + number))};
  out.units.resize(1 + random.draw(2));
  for (size_t i = 0; i < out.units.size(); ++i) {
    out.units.at(i).name = fmt::format("{}{}.service", out.name, i);
    out.units.at(i).start_timeout = out.units.at(i).stop_timeout = seconds(5);
  }
  out.hot = random.chance(20);
  if (number == 0 && random.chance(25)) out.mac = MacMode::kRedundant;
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

// Services that act by other ways than their addresses, and what ends that: drawn by a generator of its own,
// so that a seed without it is what it was.
Config with_effects(Config config, uint64_t seed) {
  Random random(seed ^ 0x5eedULL);
  for (auto& service : config.services) {
    if (!random.chance(70)) continue;
    service.effects = Effects::kNode;
    service.hot = false;
  }
  if (random.chance(60)) config.watchdog.emplace().timeout = seconds(5 + random.draw(8));
  const bool fence = random.chance(60);
  for (auto& entry : config.fences) {
    if (!fence) continue;
    entry.emplace().agent = "/usr/sbin/fence_simulated";
    entry->timeout = seconds(2 + random.draw(10));
  }
  if (fence) config.fences.at(random.draw(kNodes))->delay = seconds(random.draw(8));
  if (fence && random.chance(15)) config.hosts.clear();
  return config;
}

// Drawn apart, so that a seed's faults are the same with and without.
Config with_live_mirrors(Config config, uint64_t seed) {
  Random random(~seed);
  for (ServiceConfig& service : config.services) {
    for (MirrorConfig& mirror : service.mirrors) {
      if (!random.chance(60)) continue;
      mirror.live = true;
      mirror.every *= 5;
    }
  }
  return config;
}

Config with_guards(Config config, uint64_t seed) {
  Random random(seed ^ 0x6775617264ULL);
  for (ServiceConfig& service : config.services)
    for (MirrorConfig& mirror : service.mirrors) mirror.guard = !mirror.to && random.chance(60);
  return config;
}

Config with_arp(Config config, uint64_t seed) {
  Random random(seed ^ 0xa59ULL);
  for (HostConfig& host : config.hosts) host.kind = random.chance(25) ? ProbeKind::kArp : host.kind;
  return config;
}

// More services, and relations between them. Each is related to earlier ones of a random order, so that there
// is no cycle.
Config with_relations(Config config, uint64_t seed) {
  Random random(seed ^ 0x7e1a7edULL);
  auto& services = config.services;
  const size_t count = 2 + random.draw(3);
  while (services.size() < count) services.push_back(draw_service(random, services.size()));
  std::vector<ServiceId> order;
  for (size_t i = 0; i < services.size(); ++i)
    order.insert(order.begin() + random.draw(static_cast<unsigned>(i + 1)), ServiceId(i));
  const bool apart = random.chance(40);
  for (size_t i = 1; i < order.size(); ++i) {
    ServiceConfig& service = services.at(order.at(i).at());
    const auto earlier = [&] { return order.at(random.draw(static_cast<unsigned>(i))); };
    if (random.chance(50)) service.with.push_back(earlier());
    if (random.chance(60)) service.after.push_back(earlier());
    if (random.chance(20)) service.after.push_back(earlier());
    if (apart && random.chance(50)) service.apart_from.push_back(earlier());
    if (!service.after.empty()) service.hot = false;
  }
  complete_relations(services);
  for (ServiceConfig& service : services) {
    std::erase_if(service.apart_from, [&](ServiceId id) { return contains(service.with, id); });
    for (const ServiceId id : service.with) services.at(id.at()).prefer = service.prefer;
    if (!service.prefer) service.failback = Failback::kManual;
  }
  return config;
}

}  // namespace

Config draw_cluster(Random& random, uint64_t seed, const CampaignOptions& options) {
  Config config = draw_config(random, options.profile);
  if (options.relations) config = with_relations(std::move(config), seed);
  if (options.effects) config = with_effects(std::move(config), seed);
  if (options.arp) config = with_arp(std::move(config), seed);
  return options.scheduled ? config : with_guards(with_live_mirrors(std::move(config), seed), seed);
}

}  // namespace clusterd::sim
