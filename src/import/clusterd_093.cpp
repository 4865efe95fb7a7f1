// clusterd 0.93 (Linux Journal 64, 1999): /etc/cluster.d/NODE.conf (shell assignments),
// /etc/cluster.d/NODE/FSERVICE (paths to mirror), and crontab lines that call sync-app.
//
// The 1999 system moves a node's *main* address: with us that is the address of a service, and the node needs
// an own one beside it. All F-files of a node move with its address, so each node becomes one service, which
// prefers that node, with one mirror per F-file.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "import/reading.hpp"

namespace clusterd::imports {

namespace {

using setup::MirrorSketch;
using setup::NodeSketch;
using setup::ServiceSketch;

struct OldNode {
  std::string name, file;
  std::map<std::string, std::pair<std::string, int>> values;  // by variable, with its line

  [[nodiscard]] std::string value(const std::string& key) const {
    const auto at = values.find(key);
    return at == values.end() ? "" : at->second.first;
  }
  [[nodiscard]] int line(const std::string& key) const {
    const auto at = values.find(key);
    return at == values.end() ? 0 : at->second.second;
  }
};

constexpr std::string_view kKnown[] = {"MAIN_IPADDR",      "MAIN_INTERFACE",      "MAIN_MACADDR",
                                       "HEARTBEAT_IPADDR", "HEARTBEAT_INTERFACE", "REDUNDANT_INTERFACE"};

bool is_known(const std::string& key) {
  return std::find(std::begin(kKnown), std::end(kKnown), key) != std::end(kKnown);
}

OldNode read_node(const SourceFile& file, Finder& finder) {
  OldNode node;
  node.file = file.name;
  node.name = base_name(file.name);
  node.name.resize(node.name.size() - std::string_view(".conf").size());
  for (const Line& line : lines_of(file.text, true)) {
    std::string_view text = trimmed(line.text);
    if (text.empty() || text.front() == '#') continue;
    if (text.substr(0, 7) == "export ") text = trimmed(text.substr(7));
    const size_t equals = text.find('=');
    const std::string key(text.substr(0, equals));
    const auto words = equals == std::string_view::npos ? std::vector<std::string>()
                                                        : words_of(text.substr(equals + 1), "#;");
    if (!is_known(key) || words.size() > 1) {
      finder.left(line.number, fmt::format("\"{:.60}\" is no assignment of the 1999 system", text),
                  "look at it by hand; shell commands are not run");
    } else if (!words.empty() && words[0].find_first_of("$`") != std::string::npos) {
      finder.left(line.number, fmt::format("{} is computed by the shell", key),
                  "write the value itself there");
    } else {
      node.values[key] = {words.empty() ? "" : words[0], line.number};
    }
  }
  return node;
}

// "*/5" 300, "0,15,30,45" 900, a single number 3600, all of the hours "*": seconds between two runs.
std::optional<long> period_of(const std::string& minute, const std::string& hour) {
  long seconds = 0;
  if (minute == "*") {
    seconds = 60;
  } else if (minute.substr(0, 2) == "*/") {
    const auto every = number_of(minute.substr(2), 59);
    if (!every || *every == 0) return std::nullopt;
    seconds = *every * 60;
  } else if (const auto commas = std::count(minute.begin(), minute.end(), ','); commas > 0) {
    seconds = 3600 / (commas + 1);
  } else if (number_of(minute, 59)) {
    seconds = 3600;
  } else {
    return std::nullopt;
  }
  if (hour == "*") return seconds;
  if (seconds != 3600) return std::nullopt;
  if (hour.substr(0, 2) == "*/") {
    const auto every = number_of(hour.substr(2), 23);
    if (!every || *every == 0) return std::nullopt;
    return *every * 3600;
  }
  if (number_of(hour, 23)) return 24 * 3600;
  return std::nullopt;
}

using Periods = std::map<std::string, std::string>;  // "serv1/Flpd" → "5min"

void read_crontab(const SourceFile& file, Periods& periods, Finder& finder) {
  for (const Line& line : lines_of(file.text, true)) {
    const auto words = words_of(line.text, "#");
    const auto call = std::find_if(words.begin(), words.end(),
                                   [](const std::string& word) { return base_name(word) == "sync-app"; });
    if (call == words.end()) continue;
    const auto at = static_cast<size_t>(call - words.begin());
    if (at < 5 || at + 1 >= words.size()) {
      finder.left(line.number,
                  "this call of sync-app has no five fields of time before it, or no file after it",
                  "set `every` in the mirror by hand");
      continue;
    }
    const std::string& target = words[at + 1];
    const std::string key = base_name(folder_name(target)) + "/" + base_name(target);
    const auto seconds = period_of(words[0], words[1]);
    if (seconds && words[2] == "*" && words[3] == "*" && words[4] == "*") {
      periods[key] = duration_of_ms(*seconds * 1000);
    } else {
      finder.left(line.number,
                  fmt::format("the times \"{} {} {} {} {}\" of {} are no fixed interval", words[0], words[1],
                              words[2], words[3], words[4], key),
                  "set `every` in the mirror; it is 5min until then");
    }
  }
}

MirrorSketch read_paths(const SourceFile& file, const Periods& periods, Finder& finder) {
  MirrorSketch mirror;
  const std::string base = base_name(file.name);
  mirror.name = setup::name_from(std::string_view(base).substr(1), "_-", 32, "files");
  const auto period = periods.find(base_name(folder_name(file.name)) + "/" + base);
  mirror.every = period == periods.end() ? "" : period->second;
  mirror.comments = {"from " + file.name};
  for (const Line& line : lines_of(file.text, true)) {
    for (const std::string& path : words_of(line.text, "#")) {
      if (path.front() == '/' && path.find_first_of("*?[$`") == std::string::npos) {
        mirror.paths.push_back(path);
      } else {
        finder.left(line.number, fmt::format("\"{:.80}\" is no plain absolute path", path),
                    "name the folder that holds the files, with exclude = [\"…\"] for what to leave out");
      }
    }
  }
  if (period == periods.end())
    finder.left(0, "no crontab line calls sync-app for this file",
                "set `every` in the mirror; it is 5min until then");
  return mirror;
}

void add_end(NodeSketch& node, const OldNode& old, const char* link, const char* nic, const char* address) {
  setup::EndSketch end{link, old.value(nic), ""};
  if (const auto ip = IpAddress::parse(old.value(address)))
    end.address = Prefix{*ip, static_cast<uint8_t>(classful_length(*ip))}.text();
  if (!end.nic.empty() || !end.address.empty()) node.ends.push_back(end);
}

void translate(const OldNode& old, std::vector<MirrorSketch> mirrors, Imported& out, Finder& finder) {
  finder.in(old.file);
  NodeSketch* added = add_node(out.sketch, old.name);
  if (added == nullptr) {
    finder.left(0, "there is a second file for this node", "give the files of one cluster");
    return;
  }
  NodeSketch& node = *added;
  // The node's own address is not in the old files: MAIN_IPADDR moves with the services.
  node.ends.push_back({"service", old.value("MAIN_INTERFACE"), ""});
  add_end(node, old, "heartbeat", "HEARTBEAT_INTERFACE", "HEARTBEAT_IPADDR");
  if (!old.value("HEARTBEAT_IPADDR").empty())
    finder.left(old.line("HEARTBEAT_IPADDR"),
                "the old files have no netmasks: the length of this network is that of its class",
                "correct the length in cluster.toml if the network is another one");
  if (!old.value("REDUNDANT_INTERFACE").empty())
    finder.left(
        old.line("REDUNDANT_INTERFACE"),
        "a spare NIC holds one address, and both nodes have services: their addresses move by virtual MACs",
        "use the spare NIC as a third link, or leave it down");
  if (old.value("MAIN_IPADDR").empty()) {
    finder.left(0, "there is no MAIN_IPADDR: no service of this node has an address",
                "add addresses to its service");
    if (mirrors.empty()) return;
  }
  ServiceSketch service;
  service.name = free_name(out.sketch, "of-" + old.name);
  service.prefer = node.name;
  service.failback = "manual";
  if (!old.value("MAIN_IPADDR").empty()) service.addresses = {old.value("MAIN_IPADDR")};
  service.comments = {
      "What was " + old.name + "'s own address in the 1999 system, and the files that followed it.",
      "Add the units that use them, as in units = [\"lpd.service\"]."};
  service.mirrors = std::move(mirrors);
  if (!old.value("MAIN_MACADDR").empty())
    finder.left(old.line("MAIN_MACADDR"),
                "the address gets a MAC of its own, since the node keeps this one for itself",
                "nothing, unless a client has a static ARP entry: then correct it there");
  finder.left(old.line("MAIN_IPADDR"),
              fmt::format("which programs belong to the files of {} is not in the old files", old.name),
              fmt::format("add units = [\"NAME.service\"] to services/{}.toml, and systemctl disable them",
                          service.name));
  out.sketch.services.push_back(std::move(service));
}

}  // namespace

Imported from_clusterd_093(const SourceFiles& files) {
  Imported out;
  Finder finder(out);
  std::vector<OldNode> nodes;
  Periods periods;
  for (const SourceFile& file : files) {
    finder.in(file.name);
    const std::string base = base_name(file.name);
    if (base.size() > 5 && base.ends_with(".conf")) {
      nodes.push_back(read_node(file, finder));
    } else if (base.find("cron") != std::string::npos) {
      read_crontab(file, periods, finder);
    }
  }
  std::map<std::string, std::vector<MirrorSketch>> mirrors;  // by node
  for (const SourceFile& file : files) {
    finder.in(file.name);
    const std::string base = base_name(file.name);
    const std::string node = base_name(folder_name(file.name));
    if (base.size() < 2 || base.front() != 'F') continue;
    if (std::none_of(nodes.begin(), nodes.end(), [&](const OldNode& known) { return known.name == node; })) {
      finder.left(0, "this list of files is in no folder of a node that has a .conf file",
                  "import the whole folder /etc/cluster.d of the 1999 system");
      continue;
    }
    if (MirrorSketch mirror = read_paths(file, periods, finder); !mirror.paths.empty())
      mirrors[node].push_back(std::move(mirror));
  }
  for (const OldNode& node : nodes) translate(node, std::move(mirrors[node.name]), out, finder);
  out.sketch.cluster = "cluster";
  out.sketch.comments = {"From clusterd 0.93 (1999)."};
  finder.in(files.empty()                        ? ""
            : folder_name(files[0].name).empty() ? files[0].name
                                                 : folder_name(files[0].name));
  finder.left(
      0, "the list of hosts that clusterd 0.93 pinged is an argument of its start script, not in these files",
      "give them with --reference-host; without any, no node takes over by itself");
  return out;
}

}  // namespace clusterd::imports
