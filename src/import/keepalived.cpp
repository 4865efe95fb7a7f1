// keepalived.conf of one or both nodes: each VRRP instance (or sync group) becomes a service.
//
// keepalived does not say which addresses the machines themselves have, only the NICs; unicast_src_ip and
// unicast_peer do where they are given. Priorities say which node a service prefers.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "import/keepalived_tree.hpp"
#include "import/reading.hpp"

namespace clusterd::imports {

namespace {

using setup::CheckSketch;
using setup::NodeSketch;
using setup::ServiceSketch;
using setup::Sketch;

struct Instance {
  std::string name, nic;
  long priority = 100;
  bool nopreempt = false;
  long delay_s = 0;
  setup::Lines addresses, scripts;
  int line = 0;
};

struct Script {
  CheckSketch check;
};

struct Config1 {  // one node's file
  std::string file, node;
  std::vector<Instance> instances;
  std::map<std::string, Script> scripts;
  std::map<std::string, std::string> group_of;  // by instance
  std::string own, peer;                        // unicast addresses
  std::string mail;
};

std::string argument(const Statement& statement, size_t at = 1) {
  return statement.words.size() > at ? statement.words[at] : "";
}

// Seconds with a fraction, as in "0.5".
long ms_of(const std::string& text, long otherwise) {
  const size_t point = text.find('.');
  const auto whole = number_of(text.substr(0, point), 86'400);
  if (!whole) return otherwise;
  if (point == std::string::npos) return *whole * 1000;
  std::string digits = text.substr(point + 1, 3);
  digits.resize(3, '0');
  const auto part = number_of(digits, 999);
  return part ? *whole * 1000 + *part : otherwise;
}

// What a statement of an instance means here, or what to do instead. An empty remedy: nothing needs to be
// done.
struct Note {
  std::string_view word, what, instead;
};
constexpr Note kNotes[] = {
    {"authentication", "VRRP's password is not needed",
     "nothing: heartbeats are sealed with the cluster's secret"},
    {"notify_master", "a script at each takeover",
     "make it a unit of the service: { name, start, stop, status }"},
    {"notify_backup", "a script at each loss of the role", "the `stop` of that unit"},
    {"notify_fault", "a script at faults", "[notify] command, which gets each event"},
    {"notify_stop", "a script at the end", "the `stop` of a unit of the service"},
    {"notify", "a script at each change of state", "make it a unit of the service, or [notify] command"},
    {"virtual_routes", "routes that move with the address",
     "a unit: { name, start = \"ip route add …\", stop, status }"},
    {"virtual_rules", "rules that move with the address",
     "a unit: { name, start = \"ip rule add …\", stop, status }"},
    {"track_process", "watching a process", "name its unit in `units`: a crash is an event then"},
    {"track_file", "watching a file", "a check: { command = \"…\" }"},
    {"track_bfd", "BFD", "nothing: the links' heartbeats are faster"},
    {"use_vmac", "a virtual MAC", "nothing: mac = \"virtual\" is the default"},
    {"garp_master_delay", "times of announcements", "nothing"},
};
constexpr std::string_view kNeedless[] = {"state",
                                          "virtual_router_id",
                                          "advert_int",
                                          "interface",
                                          "priority",
                                          "nopreempt",
                                          "preempt",
                                          "preempt_delay",
                                          "virtual_ipaddress",
                                          "track_interface",
                                          "track_script",
                                          "unicast_src_ip",
                                          "unicast_peer",
                                          "virtual_ipaddress_excluded",
                                          "version",
                                          "accept",
                                          "debug",
                                          "smtp_alert",
                                          "dont_track_primary",
                                          "mcast_src_ip"};

bool among(std::string_view word, const std::string_view* begin, const std::string_view* end) {
  return std::find(begin, end, word) != end;
}

void read_addresses(const Statement& block, Instance& instance, Finder& finder) {
  for (const Statement& entry : block.children) {
    instance.addresses.push_back(entry.words[0]);
    for (size_t i = 1; i + 1 < entry.words.size(); ++i) {
      if (entry.words[i] == "dev" && !instance.nic.empty() && entry.words[i + 1] != instance.nic)
        finder.left(entry.line,
                    fmt::format("{} is on {}, not on the instance's {}", entry.words[0], entry.words[i + 1],
                                instance.nic),
                    "make it a service of its own, with link = the link on that NIC");
    }
  }
}

void read_tracked(const Statement& block, Instance& instance, const std::string& what, Finder& finder) {
  for (const Statement& entry : block.children) {
    if (what == "track_script") {
      instance.scripts.push_back(entry.words[0]);
      if (std::find(entry.words.begin(), entry.words.end(), "weight") != entry.words.end())
        finder.left(entry.line,
                    fmt::format("the weight of {}: a check has failed, or it has not", entry.words[0]),
                    "nothing, if a failure shall move the service");
    } else if (entry.words[0] != instance.nic) {
      finder.left(entry.line, fmt::format("{} is tracked without carrying the address", entry.words[0]),
                  "make it a link of both nodes: --node NAME:LINK=" + entry.words[0] + ",ADDRESS/LENGTH");
    }
  }
}

Instance read_instance(const Statement& block, Config1& config, Finder& finder) {
  Instance instance;
  instance.name = argument(block);
  instance.line = block.line;
  for (const Statement& one : block.children) {
    if (one.words[0] == "interface") instance.nic = argument(one);
  }
  for (const Statement& one : block.children) {
    const std::string& word = one.words[0];
    if (word == "priority") instance.priority = number_of(argument(one), 255).value_or(100);
    if (word == "nopreempt") instance.nopreempt = true;
    if (word == "preempt_delay") instance.delay_s = ms_of(argument(one), 0) / 1000;
    if (word == "virtual_ipaddress" || word == "virtual_ipaddress_excluded")
      read_addresses(one, instance, finder);
    if (word == "track_interface" || word == "track_script") read_tracked(one, instance, word, finder);
    if (word == "unicast_src_ip") config.own = argument(one);
    if (word == "unicast_peer" && one.children.size() == 1) config.peer = one.children[0].words[0];
    const auto note =
        std::find_if(std::begin(kNotes), std::end(kNotes), [&](const Note& n) { return n.word == word; });
    if (note != std::end(kNotes)) {
      finder.left(one.line, fmt::format("{} {} ({})", word, argument(one), note->what),
                  std::string(note->instead));
    } else if (!among(word, std::begin(kNeedless), std::end(kNeedless)) && word.substr(0, 5) != "garp_") {
      finder.left(one.line, fmt::format("{} {}", word, argument(one)),
                  "look into docs/configuration.md whether it is needed");
    }
  }
  return instance;
}

void read_script(const Statement& block, Config1& config, Finder& finder) {
  Script script;
  for (const Statement& one : block.children) {
    const std::string& word = one.words[0];
    if (word == "script") script.check.command = argument(one);
    if (word == "interval") script.check.every = duration_of_ms(std::max(100L, ms_of(argument(one), 2000)));
    if (word == "timeout") script.check.timeout = duration_of_ms(std::max(100L, ms_of(argument(one), 5000)));
    if (word == "fall") script.check.failures = static_cast<int>(number_of(argument(one), 1000).value_or(3));
    if (word == "user") finder.left(one.line, "the user of a check", "run it through `runuser -u NAME --`");
  }
  if (!script.check.command.empty() && config.scripts.size() < 200) config.scripts[argument(block)] = script;
}

void read_globals(const Statement& block, Config1& config) {
  for (const Statement& one : block.children) {
    if (one.words[0] == "router_id" && config.node.empty()) config.node = argument(one);
    if (one.words[0] == "notification_email" && !one.children.empty()) config.mail = one.children[0].words[0];
  }
}

Config1 read_file(const SourceFile& file, Finder& finder) {
  Config1 config;
  config.file = file.name;
  finder.in(file.name);
  for (const Statement& one : parse_keepalived(file.text, finder)) {
    const std::string& word = one.words[0];
    if (word == "vrrp_instance") {
      if (config.instances.size() < kMaxServices)
        config.instances.push_back(read_instance(one, config, finder));
    } else if (word == "vrrp_script") {
      read_script(one, config, finder);
    } else if (word == "vrrp_sync_group") {
      for (const Statement& part : one.children) {
        if (part.words[0] != "group") continue;
        for (const Statement& member : part.children) config.group_of[member.words[0]] = argument(one);
      }
    } else if (word == "global_defs") {
      read_globals(one, config);
    } else if (word == "virtual_server" || word == "virtual_server_group" || word == "real_server") {
      finder.left(one.line,
                  fmt::format("{} {}: load balancing (LVS) is not what clusterd does", word, argument(one)),
                  "keep keepalived for it, or use a proxy as a unit of the service");
    } else if (word == "include") {
      finder.left(one.line, fmt::format("include {}", argument(one)),
                  "give that file, too: its content was not read");
    } else if (word.front() != '$') {
      finder.left(one.line, word, "look into docs/configuration.md whether it is needed");
    }
  }
  const std::string base = base_name(file.name);
  const std::string stem = base.substr(0, base.find('.'));
  if (config.node.empty() || (stem != "keepalived" && !stem.empty())) config.node = stem;
  config.node = node_name(config.node);
  return config;
}

// "service" for the NIC of the first instance, the NIC's own name for others.
std::string link_of(const std::string& nic, const Config1& config) {
  if (config.instances.empty() || config.instances[0].nic == nic) return "service";
  const std::string link = setup::name_from(nic, "_-", 32, "second");
  return link == "redundant" || link == "service" ? "second" : link;
}

std::string with_length(const std::string& own, const Config1& config) {
  const auto address = IpAddress::parse(own);
  if (!address) return "";
  for (const Instance& instance : config.instances) {
    for (const std::string& text : instance.addresses) {
      const auto prefix = Prefix::parse(text);
      if (prefix && prefix->length < address->size() * 8 && prefix->contains(*address))
        return Prefix{*address, prefix->length}.text();
    }
  }
  return Prefix{*address, static_cast<uint8_t>(classful_length(*address))}.text();
}

NodeSketch node_of(const Config1& config, const std::string& name, const std::string& own) {
  NodeSketch node;
  node.name = name;
  for (const Instance& instance : config.instances) {
    const std::string link = link_of(instance.nic, config);
    if (!instance.nic.empty() && node.end(link) == nullptr)
      node.ends.push_back({link, instance.nic, link == "service" ? with_length(own, config) : ""});
  }
  return node;
}

const Instance* same_on(const Config1* other, const std::string& name) {
  if (other == nullptr) return nullptr;
  const auto at = std::find_if(other->instances.begin(), other->instances.end(),
                               [&](const Instance& one) { return one.name == name; });
  return at == other->instances.end() ? nullptr : &*at;
}

void add_checks(const Instance& instance, const Config1& config, ServiceSketch& service, Finder& finder) {
  for (const std::string& name : instance.scripts) {
    const auto script = config.scripts.find(name);
    const bool twice =
        script != config.scripts.end() &&
        std::any_of(service.checks.begin(), service.checks.end(),
                    [&](const CheckSketch& check) { return check.command == script->second.check.command; });
    if (twice) continue;
    if (script != config.scripts.end()) {
      service.checks.push_back(script->second.check);
    } else {
      finder.left(instance.line, fmt::format("the script {} is tracked, and described nowhere", name),
                  "a check");
    }
  }
}

void add_service(const Instance& instance, const Config1& config, const Config1* other, Sketch& sketch,
                 std::map<std::string, std::string>& grouped, Finder& finder) {
  const auto group = config.group_of.find(instance.name);
  const std::string link = link_of(instance.nic, config);
  ServiceSketch* service = nullptr;
  if (group != config.group_of.end()) {
    // Instances of a group move together: one service, if one link carries them.
    const std::string key = group->second + "\n" + link;
    if (!grouped.contains(key)) {
      for (const auto& [known, name] : grouped) {
        if (known.substr(0, known.find('\n')) == group->second)
          finder.left(instance.line, fmt::format("{} and {} are one group on two links", name, instance.name),
                      "two services: each moves for itself");
      }
      grouped[key] = free_name(sketch, group->second);
      sketch.services.emplace_back().name = grouped[key];
    }
    for (ServiceSketch& one : sketch.services) {
      if (one.name == grouped[key]) service = &one;
    }
  } else {
    service = &sketch.services.emplace_back();
    service->name = "";
    service->name = free_name(sketch, instance.name);
  }
  if (link != "service") service->link = link;
  service->addresses.insert(service->addresses.end(), instance.addresses.begin(), instance.addresses.end());
  add_checks(instance, config, *service, finder);
  service->comments = {
      "From the VRRP instance " + instance.name + ". Add what uses the address, as in",
      "units = [\"nginx.service\"]; with hot = true they run on both nodes, as with keepalived."};
  if (const Instance* theirs = same_on(other, instance.name); theirs != nullptr) {
    if (theirs->priority != instance.priority)
      service->prefer = theirs->priority > instance.priority ? other->node : config.node;
    if (theirs->nic != instance.nic && theirs->nic.empty())
      finder.left(instance.line, "the other node names no interface for it", "--node");
  }
  if (!service->prefer.empty() && !instance.nopreempt) {
    service->failback = "auto";
    service->failback_after = instance.delay_s > 0 ? duration_of_ms(instance.delay_s * 1000) : "30s";
  }
}

}  // namespace

Imported from_keepalived(const SourceFiles& files) {
  Imported out;
  Finder finder(out);
  std::vector<Config1> nodes;
  for (const SourceFile& file : files) {
    Config1 config = read_file(file, finder);
    if (!nodes.empty() && nodes[0].node == config.node) {
      finder.left(0, fmt::format("both files are of a node {}", config.node), "call each file NODE.conf");
      config.node += "-2";
    }
    if (!config.instances.empty() && nodes.size() < kNodes) {
      nodes.push_back(std::move(config));
    } else {
      finder.left(0, config.instances.empty() ? "there is no vrrp_instance" : "this is a third node",
                  "clusterd has two nodes");
    }
  }
  out.sketch.cluster = "cluster";
  out.sketch.comments = {"From keepalived.conf."};
  if (nodes.empty()) return out;
  const Config1* other = nodes.size() > 1 ? &nodes[1] : nullptr;
  finder.in(nodes[0].file);
  out.sketch.nodes.push_back(node_of(nodes[0], nodes[0].node, nodes[0].own));
  if (other != nullptr) {
    out.sketch.nodes.push_back(node_of(*other, other->node, other->own.empty() ? nodes[0].peer : other->own));
  } else {
    finder.left(0, "the other node's file was not given: its name, NICs and priorities are not known",
                "give both files, each called NODE.conf; or --node and --prefer by hand");
    if (!nodes[0].peer.empty()) out.sketch.nodes.push_back(node_of(nodes[0], "node2", nodes[0].peer));
  }
  std::map<std::string, std::string> grouped;
  for (const Instance& instance : nodes[0].instances)
    add_service(instance, nodes[0], other, out.sketch, grouped, finder);
  for (const Config1& config : nodes) {
    if (!config.mail.empty() && out.sketch.notify_mail.empty()) out.sketch.notify_mail = config.mail;
  }
  finder.left(0, "keepalived knows no reference hosts",
              "give them with --reference-host: the router, the name server");
  return out;
}

}  // namespace clusterd::imports
