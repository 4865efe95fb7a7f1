// Runs transcripts: text files with commands ("$ run 2s") and, under each, the lines that the nodes must say.
//
//   $ cluster [profile=steady] [hosts=r1,r2] [web] [web:hot] [web:mirror] [web:live[:guard]] [web:redundant]
//   [web:prefer=serv2] [web:prefer=none] [web:with=db] [web:apart=db] [web:after=db]
//   [rejoin=manual] [failback=auto] … $ power-on|power-off|kill|start|freeze|thaw|wipe NODE $ run DURATION
//   e.g. "300ms", "2s" $ nic NODE NIC up|down            carrier of a network interface $ link NAME up|down
//   the path between the nodes only (their switch ports are isolated) $ one-way NODE cut|whole          what
//   NODE sends does not reach the peer directly $ host HOST up|down [NODE]        a reference host, as seen
//   by both or by one node $ relays on|off                   whether heartbeats bounce off reference hosts $
//   stranger answers|silent         somebody else on the LAN answers for the service addresses $ unit NODE
//   SERVICE crash|good|fails-to-start|is-missing|is-wrong|refuses-to-stop|hangs $ address NODE SERVICE lost
//   $ fence NODE works|fails|silent|late|lies     the device that switches NODE off
//   $ watchdog NODE good|missing      its watchdog device
//   $ running SERVICE NODE|none       on which machine its units run now
//   $ mirror good|fails|halts         how mirror runs end from now on
//   $ disk NODE good|full
//   $ lacks NODE SERVICE [WHAT]       what its machine lacks to run the service; without WHAT: nothing
//   $ lacking SERVICE                 what each node's status says of that
//   $ order NODE move|standby|online|force|resync|confirm|pause|resume|stop-services|restart [SERVICE|NODE]
//   $ roles                           prints each node's role and who answers on the LAN
//   $ expect SERVICE NODE|none        who answers for the service now
//
// Everything else is a comment or an expected line. A violation of "one active" fails any transcript.
//
//   run_scripts [--update] [--canary NAME] [--marks FILE] FILE…
//
// --canary breaks one rule of the core (base/canary.hpp): transcripts then have to fail. --marks appends the
// marks that the transcripts have reached (base/mark.hpp).
#include <fmt/format.h>

#include <chrono>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>

#include "base/canary.hpp"
#include "core/relations.hpp"
#include "sim/marks.hpp"
#include "sim/world.hpp"

namespace clusterd::sim {
namespace {

struct Failure {
  std::string text;
};

class Script {
 public:
  // Performs one command; returns the lines that it made the nodes say.
  std::vector<std::string> perform(const std::string& line) {
    std::istringstream in(line);
    std::string verb;
    in >> verb;
    std::vector<std::string> args;
    for (std::string word; in >> word;) args.push_back(word);
    if (verb == "cluster") {
      make(args);
    } else if (!world_) {
      throw Failure{"the first command must be `cluster`"};
    } else {
      command(verb, args);
    }
    auto out = world_->take_trace();
    out.insert(out.end(), said_.begin(), said_.end());
    said_.clear();
    return out;
  }

  [[nodiscard]] std::vector<std::string> violations() const {
    return world_ ? world_->violations() : std::vector<std::string>{};
  }

 private:
  static const std::string& arg(const std::vector<std::string>& args, size_t i) {
    if (i >= args.size()) throw Failure{"an argument is missing"};
    return args.at(i);
  }

  static std::string rest_of(const std::vector<std::string>& args, size_t from) {
    std::string out;
    for (size_t i = from; i < args.size(); ++i) out += (out.empty() ? "" : " ") + args.at(i);
    return out;
  }

  void make(const std::vector<std::string>& args) {
    std::string profile = "steady";
    std::vector<std::string> hosts{"r1", "r2"};
    std::vector<ServiceConfig> services;
    std::vector<std::string> descriptions;
    Config shape;
    Failback failback = Failback::kManual;
    Duration stop_timeout = std::chrono::seconds(30);
    for (const auto& word : args) {
      const auto value = word.substr(word.find('=') + 1);
      if (word.starts_with("profile=")) {
        profile = value;
      } else if (word.starts_with("hosts=")) {
        hosts.clear();
        std::istringstream list(value);
        for (std::string host; std::getline(list, host, ',');) hosts.push_back(host);
      } else if (word == "rejoin=manual") {
        shape.rejoin = Rejoin::kManual;
      } else if (word == "failback=auto") {
        failback = Failback::kAuto;
      } else if (word.starts_with("watchdog=")) {
        shape.watchdog.emplace().timeout = duration(value);
      } else if (word == "fence") {
        for (auto& fence : shape.fences) fence.emplace().agent = "/usr/sbin/fence_test";
      } else if (word.starts_with("fence-delay=")) {
        shape.fences.front()->delay = duration(value);
      } else if (word.starts_with("stop-timeout=")) {
        stop_timeout = duration(value);
      } else if (word.starts_with("max-takeovers=")) {
        shape.max_takeovers_per_hour = static_cast<unsigned>(std::stoul(value));
      } else {
        descriptions.push_back(word);
      }
    }
    for (const auto& word : descriptions) services.push_back(service(word));
    for (size_t i = 0; i < services.size(); ++i) relate(services, i, descriptions.at(i));
    complete_relations(services);
    for (auto& s : services) {
      s.failback = failback;
      for (auto& unit : s.units) unit.stop_timeout = stop_timeout;
    }
    Config config = make_config(profile, hosts, services);
    config.rejoin = shape.rejoin;
    config.watchdog = shape.watchdog;
    config.fences = shape.fences;
    config.max_takeovers_per_hour = shape.max_takeovers_per_hour;
    world_ = std::make_unique<World>(config);
    config_ = config;
  }

  static ServiceConfig service(const std::string& word) {
    ServiceConfig out;
    std::istringstream parts(word);
    std::getline(parts, out.name, ':');
    out.prefer = NodeId(0);
    out.link = LinkId(0);
    out.addresses = {*Prefix::parse("192.168.1.20/24")};
    UnitConfig unit;
    unit.name = out.name + ".service";
    out.units = {unit};
    for (std::string part; std::getline(parts, part, ':');) {
      if (part == "node") {
        out.effects = Effects::kNode;
      } else if (part == "hot") {
        out.hot = true;
      } else if (part == "redundant") {
        out.mac = MacMode::kRedundant;
      } else if (part == "mirror" || part == "live") {
        MirrorConfig mirror;
        mirror.name = "1";
        mirror.paths = {"/srv/"};
        mirror.live = part == "live";
        mirror.every = std::chrono::seconds(mirror.live ? 3600 : 5);
        out.mirrors.push_back(mirror);
      } else if (part == "guard") {
        for (MirrorConfig& mirror : out.mirrors) mirror.guard = true;
      } else if (part == "prefer=serv2" || part == "prefer=none") {
        out.prefer = part == "prefer=none" ? std::nullopt : std::optional(NodeId(1));
      } else if (!relation(out, part)) {
        throw Failure{"unknown property of a service: " + part};
      }
    }
    return out;
  }

  // "after=db": the list that it belongs to; nullptr for other properties.
  static std::vector<ServiceId>* relation(ServiceConfig& service, const std::string& part) {
    if (part.starts_with("with=")) return &service.with;
    if (part.starts_with("apart=")) return &service.apart_from;
    if (part.starts_with("after=")) return &service.after;
    return nullptr;
  }

  static void relate(std::vector<ServiceConfig>& services, size_t self, const std::string& word) {
    std::istringstream parts(word);
    for (std::string part; std::getline(parts, part, ':');) {
      auto* list = relation(services.at(self), part);
      if (list == nullptr) continue;
      const std::string other = part.substr(part.find('=') + 1);
      const auto found =
          std::ranges::find_if(services, [&](const ServiceConfig& s) { return s.name == other; });
      if (found == services.end()) throw Failure{"a relation to an unknown service: " + other};
      list->emplace_back(static_cast<size_t>(found - services.begin()));
    }
  }

  NodeId node(const std::string& name) const {
    for (size_t i = 0; i < kNodes; ++i) {
      if (config_.nodes.at(i).name == name) return NodeId(i);
    }
    throw Failure{"unknown node: " + name};
  }
  ServiceId service_id(const std::string& name) const {
    for (size_t i = 0; i < config_.services.size(); ++i) {
      if (config_.services.at(i).name == name) return ServiceId(i);
    }
    throw Failure{"unknown service: " + name};
  }
  LinkId link(const std::string& name) const {
    for (size_t i = 0; i < config_.links.size(); ++i) {
      if (config_.links.at(i).name == name) return LinkId(i);
    }
    throw Failure{"unknown link: " + name};
  }
  HostId host(const std::string& name) const {
    for (size_t i = 0; i < config_.hosts.size(); ++i) {
      if (config_.hosts.at(i).text == name) return HostId(i);
    }
    throw Failure{"unknown reference host: " + name};
  }

  static Duration duration(const std::string& text) {
    size_t used = 0;
    const long value = std::stol(text, &used);
    const std::string unit = text.substr(used);
    if (unit == "ms") return std::chrono::milliseconds(value);
    if (unit == "s") return std::chrono::seconds(value);
    if (unit == "min") return std::chrono::minutes(value);
    throw Failure{"unknown unit of time: " + unit};
  }

  void command(const std::string& verb, const std::vector<std::string>& args) {
    World& w = *world_;
    if (verb == "run") return w.run(duration(arg(args, 0)));
    if (verb == "power-on") return w.power_on(node(arg(args, 0)));
    if (verb == "power-off") return w.power_off(node(arg(args, 0)));
    if (verb == "kill") return w.kill_daemon(node(arg(args, 0)));
    if (verb == "start") return w.start_daemon(node(arg(args, 0)));
    if (verb == "freeze") return w.freeze(node(arg(args, 0)));
    if (verb == "thaw") return w.thaw(node(arg(args, 0)));
    if (verb == "wipe") return w.wipe_disk(node(arg(args, 0)));
    if (verb == "nic") return w.set_nic(node(arg(args, 0)), arg(args, 1), arg(args, 2) == "up");
    if (verb == "link") return w.set_link(link(arg(args, 0)), arg(args, 1) == "up");
    if (verb == "one-way") return w.set_one_way(node(arg(args, 0)), arg(args, 1) == "cut");
    if (verb == "relays") return w.set_relays(arg(args, 0) == "on");
    if (verb == "stranger") return w.set_stranger(arg(args, 0) == "answers");
    if (verb == "disk") return w.set_disk(node(arg(args, 0)), arg(args, 1) == "good");
    if (verb == "lacks") return w.set_lack(node(arg(args, 0)), service_id(arg(args, 1)), rest_of(args, 2));
    if (verb == "lacking") return lacking(service_id(arg(args, 0)));
    if (verb == "address") return w.lose_address(node(arg(args, 0)), service_id(arg(args, 1)));
    if (verb == "host") {
      return w.set_host(host(arg(args, 0)), args.size() > 2 ? std::optional(node(args.at(2))) : std::nullopt,
                        arg(args, 1) == "up");
    }
    if (verb == "mirror") {
      return w.set_mirror(arg(args, 0) == "good"    ? MirrorReport::Outcome::kDone
                          : arg(args, 0) == "halts" ? MirrorReport::Outcome::kHalted
                                                    : MirrorReport::Outcome::kFailed);
    }
    if (verb == "fence") return fence(args);
    if (verb == "watchdog") return w.set_watchdog(node(arg(args, 0)), arg(args, 1) == "good");
    if (verb == "running") return running(args);
    if (verb == "unit") return unit(args);
    if (verb == "order") return order(args);
    if (verb == "roles") return roles();
    if (verb == "expect") return expect(args);
    throw Failure{"unknown command: " + verb};
  }

  void lacking(ServiceId service) {
    for (size_t i = 0; i < kNodes; ++i) {
      if (!world_->machine(NodeId(i)).node) continue;
      const ServiceStatus& status = world_->status(NodeId(i)).services.at(service.at());
      said_.push_back(fmt::format("          {} says: here \"{}\", at its peer {}", config_.nodes.at(i).name,
                                  status.lacks_here, status.lacks_at_peer ? "something" : "nothing"));
    }
  }

  void fence(const std::vector<std::string>& args) {
    static const std::map<std::string, FenceFault> kinds{{"works", FenceFault::kNone},
                                                         {"fails", FenceFault::kFails},
                                                         {"silent", FenceFault::kSilent},
                                                         {"late", FenceFault::kLate},
                                                         {"lies", FenceFault::kLies}};
    const auto kind = kinds.find(arg(args, 1));
    if (kind == kinds.end()) throw Failure{"unknown kind of fence: " + arg(args, 1)};
    world_->set_fence(node(arg(args, 0)), kind->second);
  }

  void running(const std::vector<std::string>& args) {
    const auto running = world_->running(service_id(arg(args, 0)));
    const std::string is = running.empty()      ? "none"
                           : running.size() > 1 ? "both"
                                                : config_.node(running.front()).name;
    if (is != arg(args, 1))
      throw Failure{fmt::format("units of {} run on {}, not on {}", args.at(0), is, args.at(1))};
  }

  void unit(const std::vector<std::string>& args) {
    const NodeId id = node(arg(args, 0));
    const ServiceId s = service_id(arg(args, 1));
    const std::string& what = arg(args, 2);
    if (what == "crash") return world_->crash_unit(id, s);
    world_->set_behaviour(id, s,
                          what == "fails-to-start"    ? Behaviour::kFailsToStart
                          : what == "is-missing"      ? Behaviour::kMissing
                          : what == "is-wrong"        ? Behaviour::kMisconfigured
                          : what == "refuses-to-stop" ? Behaviour::kRefusesToStop
                          : what == "hangs"           ? Behaviour::kHangs
                                                      : Behaviour::kGood);
  }

  void order(const std::vector<std::string>& args) {
    static const std::map<std::string, Command::Kind> kinds{
        {"move", Command::Kind::kMove},
        {"standby", Command::Kind::kStandby},
        {"online", Command::Kind::kOnline},
        {"force", Command::Kind::kStartForce},
        {"resync", Command::Kind::kResync},
        {"confirm", Command::Kind::kMirrorConfirm},
        {"pause", Command::Kind::kMirrorPause},
        {"resume", Command::Kind::kMirrorResume},
        {"restart", Command::Kind::kPrepareRestart},
        {"hold-back", Command::Kind::kHoldBack},
        {"hold-back-no-more", Command::Kind::kHoldBackNoMore},
        {"stop-services", Command::Kind::kStopServices},
        {"accept", Command::Kind::kAcceptDiverged}};
    const auto kind = kinds.find(arg(args, 1));
    if (kind == kinds.end()) throw Failure{"unknown order: " + arg(args, 1)};
    Command out;
    out.kind = kind->second;
    if (args.size() > 2) {
      const bool names_node = out.kind == Command::Kind::kStandby || out.kind == Command::Kind::kOnline;
      if (names_node) {
        out.node = node(args.at(2));
      } else {
        out.service = service_id(args.at(2));
      }
    }
    if (args.size() > 3) out.text = args.at(3);
    world_->order(node(arg(args, 0)), out);
  }

  void roles() {
    for (size_t s = 0; s < config_.services.size(); ++s) {
      std::string line = fmt::format("          {}:", config_.services.at(s).name);
      for (size_t i = 0; i < kNodes; ++i) {
        const bool runs = world_->machine(NodeId(i)).node.has_value();
        line += fmt::format(" {} {}", config_.nodes.at(i).name,
                            runs ? name(world_->role(NodeId(i), ServiceId(s))) : "-");
      }
      for (const NodeId id : world_->answering(ServiceId(s)))
        line += fmt::format("; {} answers", config_.node(id).name);
      said_.push_back(line);
    }
  }

  void expect(const std::vector<std::string>& args) {
    const auto answering = world_->answering(service_id(arg(args, 0)));
    const std::string is = answering.empty()      ? "none"
                           : answering.size() > 1 ? "both"
                                                  : config_.node(answering.front()).name;
    if (is != arg(args, 1))
      throw Failure{fmt::format("{} is answered by {}, not by {}", args.at(0), is, args.at(1))};
  }

  std::unique_ptr<World> world_;
  Config config_;
  std::vector<std::string> said_;
};

// Returns the text as it should be: commands and comments kept, answers made anew.
std::string replay(const std::string& text, std::string& trouble) {
  Script script;
  std::istringstream in(text);
  std::string out;
  size_t number = 0;
  bool answers = false;  // lines under a command, up to the next blank line or comment
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (line.starts_with("$ ")) {
      out += line + "\n";
      answers = true;
      try {
        for (const auto& said : script.perform(line.substr(2))) out += said + "\n";
      } catch (const Failure& failure) {
        trouble += fmt::format("line {}: {}: {}\n", number, line, failure.text);
        return out;
      }
    } else if (!answers || line.empty() || line.starts_with("#")) {
      answers = false;
      out += line + "\n";
    }
  }
  for (const auto& violation : script.violations()) trouble += "violation: " + violation + "\n";
  return out;
}

std::string first_difference(const std::string& is, const std::string& should) {
  std::istringstream a(is);
  std::istringstream b(should);
  std::string line_a;
  std::string line_b;
  for (size_t number = 1;; ++number) {
    const bool more_a = static_cast<bool>(std::getline(a, line_a));
    const bool more_b = static_cast<bool>(std::getline(b, line_b));
    if (!more_a && !more_b) return "";
    if (more_a != more_b || line_a != line_b) {
      return fmt::format("line {}:\n  expected: {}\n  said now: {}\n", number, more_b ? line_b : "(end)",
                         more_a ? line_a : "(end)");
    }
  }
}

int main_of(int argc, char** argv) {
  bool update = false;
  std::string marks;
  int failed = 0;
  for (int i = 1; i < argc; ++i) {
    const std::string file = argv[i];
    if (file == "--update") {
      update = true;
      continue;
    }
    if (file == "--marks" && i + 1 < argc) {
      marks = argv[++i];
      continue;
    }
    if (file == "--canary" && i + 1 < argc) {
      const auto canary = canary_by_name(argv[++i]);
      if (!canary) {
        std::cerr << argv[i] << ": no such canary\n";
        return 2;
      }
      set_canary(*canary);
      continue;
    }
    std::ifstream in(file);
    if (!in) {
      std::cerr << file << ": cannot be read\n";
      ++failed;
      continue;
    }
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    std::string trouble;
    const std::string now = replay(text, trouble);
    if (update && trouble.empty()) {
      std::ofstream(file) << now;
    } else if (!update) {
      trouble += first_difference(now, text);
    }
    if (!trouble.empty()) {
      std::cerr << file << ":\n" << trouble;
      ++failed;
    }
  }
  if (!marks.empty() && !append_marks(marks)) {
    std::cerr << marks << ": cannot be written\n";
    ++failed;
  }
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace clusterd::sim

int main(int argc, char** argv) { return clusterd::sim::main_of(argc, argv); }
