#include "whatif/explore.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <thread>

#include "base/archive.hpp"
#include "core/timing.hpp"
#include "whatif/children.hpp"

namespace clusterd::whatif {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kComesUp = std::chrono::minutes(3);
constexpr Duration kLongest = std::chrono::minutes(3);
constexpr Duration kLook = milliseconds(100);           // at the roles
constexpr Duration kLiveLag = std::chrono::seconds(1);  // of a live mirror that keeps up

// What the configuration says, or a living daemon knows better.
bool can_relay(const Config& config, const HostConfig& host) {
  return config.relay && host.link && host.kind == ProbeKind::kIcmp;
}

// One world and what is measured in it.
class Story {
 public:
  Story(const Config& config, const Start& start) : config_(config), start_(start), world_(config) {
    for (size_t h = 0; h < config.hosts.size(); ++h)
      world_.network().set_relays(HostId(h), h < start.relays.size() && start.relays[h]);
  }

  // Empty if all is well, else what is not.
  std::string prepare();
  void strike(const Fault& fault) {
    clusterd::whatif::strike(world_, config_, fault);
    if (fault.kind == Fault::Kind::kPath) cut_.at(fault.link.at()) = true;
    if (fault.kind == Fault::Kind::kHost) down_hosts_.at(fault.host.at()) = true;
  }
  // Lets the cluster come to rest, and says what has become of it since `begin`.
  void begin();
  [[nodiscard]] Run end(std::vector<uint32_t> faults, When when);
  void pass(Duration span) { world_.run(span); }

 private:
  [[nodiscard]] std::optional<NodeId> serving(ServiceId service) const;  // and reached by clients
  [[nodiscard]] const std::string& nic_of(NodeId node, ServiceId service) const;
  [[nodiscard]] bool carrier(NodeId node, ServiceId service) const;
  [[nodiscard]] bool lives(NodeId node) const {
    const auto& machine = world_.machine(node);
    return machine.powered && !machine.frozen && machine.node.has_value();
  }
  [[nodiscard]] bool ready() const;
  [[nodiscard]] std::vector<Role> roles();
  void rest();
  void note_lines(std::vector<ServiceEnd>& services);
  [[nodiscard]] ServiceEnd end_of(ServiceId service);
  [[nodiscard]] std::string why_not(ServiceId service) const;
  [[nodiscard]] std::vector<std::string> assumptions() const;
  [[nodiscard]] bool nodes_apart() const;
  void add_silenced(std::vector<std::string>& out) const;

  const Config& config_;
  const Start& start_;
  sim::World world_;
  std::vector<bool> cut_ = std::vector<bool>(config_.links.size(), false);
  std::vector<bool> down_hosts_ = std::vector<bool>(config_.hosts.size(), false);
  std::vector<std::optional<NodeId>> before_;
  std::vector<Duration> down_;
  size_t accused_ = 0;
};

std::string Story::prepare() {
  for (size_t n = 0; n < kNodes; ++n) world_.power_on(NodeId(n));
  const Instant limit = world_.now() + kComesUp;
  while (!ready() && world_.now() < limit) world_.run(kLook);
  world_.run(seconds(1) + 5 * config_.timing.heartbeat);  // the peer has to hear of it, too
  for (size_t s = 0; s < config_.services.size(); ++s) {
    const NodeId want = s < start_.active.size() ? start_.active[s].value_or(NodeId()) : NodeId();
    const auto is = serving(ServiceId(s));
    if (!is) return fmt::format("{} does not come up in the simulation", config_.services[s].name);
    if (!want.valid() || want == *is) continue;
    Command move;
    move.kind = Command::Kind::kMove;
    move.service = ServiceId(s);
    move.node = want;
    world_.order(*is, move);
    const Instant moved = world_.now() + kComesUp;
    while (serving(ServiceId(s)) != want && world_.now() < moved) world_.run(kLook);
    if (serving(ServiceId(s)) != want) return fmt::format("{} cannot be moved", config_.services[s].name);
  }
  while (!ready() && world_.now() < limit + kComesUp) world_.run(kLook);
  world_.run(seconds(3));
  static_cast<void>(world_.take_trace());
  return "";
}

// Every service is served, its standby could take over, and the reference hosts count.
bool Story::ready() const {
  for (size_t s = 0; s < config_.services.size(); ++s) {
    const auto active = serving(ServiceId(s));
    if (!active) return false;
    const auto& peer = world_.machine(NodeId(1 - active->at()));
    if (!peer.node || !peer.node->status().services.at(s).ready_here) return false;
  }
  for (size_t n = 0; n < kNodes; ++n) {
    const auto& machine = world_.machine(NodeId(n));
    if (!machine.node) return false;
    for (const HostStatus& host : machine.node->status().hosts) {
      if (!host.here.in_active_set || !host.here.in_standby_set) return false;
    }
  }
  return true;
}

const std::string& Story::nic_of(NodeId node, ServiceId id) const {
  const ServiceConfig& service = config_.service(id);
  const auto& spare = config_.node(node).redundant_nic;
  if (service.mac == MacMode::kRedundant && spare) return *spare;
  return config_.link(service.link).ends.at(node.at()).nic;
}

bool Story::carrier(NodeId node, ServiceId id) const {
  const auto& nics = world_.machine(node).nic_up;
  const auto it = nics.find(nic_of(node, id));
  return it == nics.end() || it->second;
}

std::optional<NodeId> Story::serving(ServiceId service) const {
  for (const NodeId node : world_.answering(service)) {
    const auto& units = world_.machine(node).kernel.units.at(service.at());
    const bool all = std::all_of(units.begin(), units.end(), [](bool runs) { return runs; });
    if (all && carrier(node, service)) return node;
  }
  return std::nullopt;
}

void Story::begin() {
  static_cast<void>(world_.take_trace());
  before_.clear();
  for (size_t s = 0; s < config_.services.size(); ++s) before_.push_back(serving(ServiceId(s)));
  down_.assign(config_.services.size(), Duration{});
  accused_ = world_.judge().accusations().size();
}

std::vector<Role> Story::roles() {
  std::vector<Role> out;
  for (size_t n = 0; n < kNodes; ++n) {
    for (size_t s = 0; s < config_.services.size(); ++s)
      out.push_back(lives(NodeId(n)) ? world_.role(NodeId(n), ServiceId(s)) : Role::kStandby);
  }
  return out;
}

// Until nothing has changed for longer than anything waits that is not shown as a role.
void Story::rest() {
  const Duration step =
      std::clamp<Duration>(config_.timing.heartbeat / 10, milliseconds(1), milliseconds(10));
  Duration quiet = config_.timing.settle + 2 * config_.timing.window + seconds(2);
  // A takeover that waits for a watchdog (S13) is not yet the end of the story.
  const Duration stop = effects_stop_limit(config_.services);
  if (config_.watchdog && stop > Duration::zero())
    quiet += effects_bound(config_.timing, stop, config_.watchdog->timeout);
  const Instant limit = world_.now() + kLongest;
  Instant changed = world_.now();
  Instant looked = kLongAgo;
  std::vector<bool> up_before(config_.services.size());
  std::vector<Role> roles_before;
  while (world_.now() < limit && world_.now() - changed < quiet) {
    world_.run(step);
    for (size_t s = 0; s < config_.services.size(); ++s) {
      const bool up = serving(ServiceId(s)).has_value();
      if (!up) down_[s] += step;
      if (up != up_before[s]) changed = world_.now();
      up_before[s] = up;
    }
    if (world_.now() - looked < kLook) continue;
    looked = world_.now();
    const auto now = roles();
    const bool moving = std::any_of(now.begin(), now.end(), [](Role role) {
      return role == Role::kStarting || role == Role::kStopping || role == Role::kReleased;
    });
    if (moving || now != roles_before) changed = looked;
    roles_before = now;
  }
}

Run Story::end(std::vector<uint32_t> faults, When when) {
  rest();
  Run run;
  run.faults = std::move(faults);
  run.when = when;
  for (size_t s = 0; s < config_.services.size(); ++s) run.services.push_back(end_of(ServiceId(s)));
  note_lines(run.services);
  run.assumptions = assumptions();
  const auto& accusations = world_.judge().accusations();
  run.both = accusations.size() > accused_;
  // The first says it all.
  if (run.both) run.assumptions.insert(run.assumptions.begin(), accusations.at(accused_).text);
  return run;
}

ServiceEnd Story::end_of(ServiceId service) {
  ServiceEnd out;
  out.before = before_.at(service.at());
  out.active = serving(service);
  out.up = out.active.has_value();
  out.down = down_.at(service.at());
  if (out.up) return out;
  for (size_t n = 0; n < kNodes; ++n) {
    if (lives(NodeId(n)) && world_.role(NodeId(n), service) == Role::kActive) out.active = NodeId(n);
  }
  out.why = why_not(service);
  return out;
}

std::string Story::why_not(ServiceId service) const {
  std::string out;
  for (size_t n = 0; n < kNodes; ++n) {
    const auto& machine = world_.machine(NodeId(n));
    std::string text;
    if (!machine.powered) {
      text = "off";
    } else if (!machine.node) {
      text = "clusterd is dead";
    } else if (machine.frozen) {
      text = "clusterd stands still";
    } else {
      const ServiceStatus& status = machine.node->status().services.at(service.at());
      if (status.here == Role::kActive && !carrier(NodeId(n), service)) {
        text = fmt::format("active, but its {} has no carrier", nic_of(NodeId(n), service));
      } else {
        text = status.detail.empty() ? name(status.here) : status.detail;
      }
    }
    out += fmt::format("{}{}: {}", out.empty() ? "" : "; ", config_.nodes.at(n).name, text);
  }
  return out;
}

// What the nodes told: a takeover has not waited for the mirrors, a move has flushed them unless it says so.
void Story::note_lines(std::vector<ServiceEnd>& services) {
  for (const std::string& line : world_.take_trace()) {
    const bool takeover = line.find("notice takeover: ") != std::string::npos;
    const bool not_flushed = line.find("notice not-flushed: ") != std::string::npos;
    if (!takeover && !not_flushed) continue;
    for (size_t s = 0; s < services.size(); ++s) {
      const std::string& name = config_.services[s].name;
      const bool means_it =
          line.find(takeover ? " takes over " + name + " at " : ": " + name + ": ") != std::string::npos;
      if (!means_it || services[s].before == services[s].active) continue;
      for (const MirrorConfig& mirror : config_.services[s].mirrors) {
        if (mirror.to) continue;
        const Duration lag = mirror.live ? kLiveLag : mirror.every;
        services[s].at_risk = std::max(services[s].at_risk, lag);
      }
    }
  }
}

// Both live, and no link leads from one to the other.
bool Story::nodes_apart() const {
  if (!lives(NodeId(0)) || !lives(NodeId(1))) return false;
  for (size_t l = 0; l < config_.links.size(); ++l) {
    bool works = !cut_[l];
    for (size_t n = 0; n < kNodes; ++n)
      works = works && world_.machine(NodeId(n)).nic_up.at(config_.links[l].ends.at(n).nic);
    if (works) return false;
  }
  return true;
}

std::vector<std::string> Story::assumptions() const {
  std::vector<std::string> out;
  if (nodes_apart()) {
    for (size_t h = 0; h < config_.hosts.size(); ++h) {
      const bool relays = h < start_.relays.size() && start_.relays[h];
      const bool counts = world_.machine(NodeId(0)).node->status().hosts.at(h).answers &&
                          world_.machine(NodeId(1)).node->status().hosts.at(h).answers;
      if (relays || down_hosts_[h] || !counts) continue;
      out.push_back(fmt::format("T: both nodes reach {}, which does not relay heartbeats, but not each other",
                                config_.hosts[h].text));
    }
  }
  add_silenced(out);
  return out;
}

// A node that cannot stop its units any more, while they run on the other one.
void Story::add_silenced(std::vector<std::string>& out) const {
  for (size_t s = 0; s < config_.services.size(); ++s) {
    if (config_.services[s].hot || config_.services[s].units.empty()) continue;
    const auto active = serving(ServiceId(s));
    if (!active) continue;
    const NodeId other(1 - active->at());
    const auto& machine = world_.machine(other);
    if (!machine.powered || lives(other)) continue;
    const auto& units = machine.kernel.units.at(s);
    if (std::none_of(units.begin(), units.end(), [](bool runs) { return runs; })) continue;
    out.push_back(fmt::format("the gate: {} goes on running on {}, and only the gate silences it",
                              config_.services[s].name, config_.node(other).name));
  }
}

// ---- all of them ----

std::vector<uint8_t> bytes_of(const std::vector<Run>& runs) {
  std::vector<uint8_t> out;
  ByteWriter writer(out);
  Saver saver(writer, Instant{});
  saver(runs);
  return out;
}

bool add_runs(std::span<const uint8_t> bytes, std::vector<Run>& runs) {
  ByteReader reader(bytes);
  Loader loader(reader, Instant{});
  std::vector<Run> more;
  loader(more);
  runs.insert(runs.end(), more.begin(), more.end());
  return reader.complete();
}

class Explorer {
 public:
  Explorer(const Config& config, const Start& start, unsigned most)
      : config_(config), most_(most), faults_(faults_of(config)), story_(config, start) {}

  Result<Exploration> run() {
    if (const std::string trouble = story_.prepare(); !trouble.empty()) return fail(Code::kRefused, trouble);
    const size_t workers = std::clamp<size_t>(std::thread::hardware_concurrency(), 1, 16);
    std::vector<Work> works;
    for (size_t w = 0; w < workers; ++w) {
      works.emplace_back([this, w, workers] {
        std::vector<Run> runs;
        for (size_t i = w; i < faults_.size(); i += workers) begin_with(i, runs);
        return bytes_of(runs);
      });
    }
    auto answers = in_children(works);
    if (!answers) return tl::unexpected(answers.error());
    Exploration out;
    out.faults = faults_;
    std::vector<Run> runs;
    for (const auto& bytes : *answers) {
      if (!add_runs(bytes, runs)) return fail(Code::kRetry, "a simulation told nonsense");
    }
    std::sort(runs.begin(), runs.end(), [](const Run& a, const Run& b) {
      return a.faults != b.faults ? a.faults < b.faults : a.when < b.when;
    });
    for (Run& run : runs) (run.faults.size() == 1 ? out.singles : out.pairs).push_back(std::move(run));
    return out;
  }

 private:
  // The fault alone; then, a while later, each other one; then each later one at the same time.
  void begin_with(size_t i, std::vector<Run>& runs) {
    take(runs, [this, i] {
      std::vector<Run> mine;
      story_.begin();
      story_.strike(faults_[i]);
      mine.push_back(story_.end({static_cast<uint32_t>(i)}, When::kAlone));
      if (most_ < 2) return mine;
      const Timing& t = config_.timing;
      story_.pass(moves_hosts(config_, faults_[i]) ? t.host_gone + t.host_back + seconds(5) : seconds(15));
      for (size_t j = 0; j < faults_.size(); ++j) {
        if (j != i) take(mine, [this, i, j] { return std::vector<Run>{later(i, j)}; });
      }
      return mine;
    });
    for (size_t j = i + 1; most_ >= 2 && j < faults_.size(); ++j) {
      take(runs, [this, i, j] {
        story_.begin();
        story_.strike(faults_[i]);
        story_.strike(faults_[j]);
        return std::vector<Run>{story_.end(pair(i, j), When::kTogether)};
      });
    }
  }
  Run later(size_t first, size_t second) {
    story_.begin();
    story_.strike(faults_[second]);
    return story_.end(pair(first, second), first < second ? When::kSecondLater : When::kFirstLater);
  }
  static std::vector<uint32_t> pair(size_t a, size_t b) {
    return {static_cast<uint32_t>(std::min(a, b)), static_cast<uint32_t>(std::max(a, b))};
  }
  // Runs of a child go to `runs`; a child that failed ends this one, too.
  static void take(std::vector<Run>& runs, const std::function<std::vector<Run>()>& work) {
    const auto answer = in_children({[&work] { return bytes_of(work()); }});
    if (!answer || !add_runs(answer->front(), runs))
      throw std::runtime_error("a simulation ended unexpectedly");
  }

  const Config& config_;
  unsigned most_;
  std::vector<Fault> faults_;
  Story story_;
};

}  // namespace

Start start_of(const Config& config) {
  Start out;
  for (const ServiceConfig& service : config.services) out.active.push_back(service.prefer);
  for (const HostConfig& host : config.hosts) out.relays.push_back(can_relay(config, host));
  return out;
}

Result<Exploration> explore(const Config& config, const Start& start, unsigned most) {
  return Explorer(config, start, most).run();
}

}  // namespace clusterd::whatif
