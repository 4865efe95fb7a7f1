// heartbeat (linux-ha, version 1 style): ha.cf and haresources.
#include <fmt/format.h>

#include <algorithm>

#include "import/reading.hpp"

namespace clusterd::imports {

namespace {

using setup::NodeSketch;
using setup::ServiceSketch;
using setup::Sketch;

struct State {
  Sketch& sketch;
  Finder& finder;
  bool failback = true;
  std::vector<std::string> nics;  // of heartbeats, in the order of ha.cf
  std::vector<std::pair<std::string, IpAddress>> ucast;
};

struct Note {
  std::string_view word, what, instead;
};
constexpr Note kNotes[] = {
    {"serial", "a heartbeat over a serial line", "a second network link: another NIC, cable and network"},
    {"baud", "", ""},
    {"stonith", "STONITH",
     "mostly nothing: lease and gate silence a node that is cut off; otherwise [fence.NODE]"},
    {"stonith_host", "STONITH",
     "mostly nothing: lease and gate silence a node that is cut off; otherwise [fence.NODE]"},
    {"crm", "a CRM configuration belongs to it",
     "import the output of `crm configure show` instead of haresources"},
    {"pacemaker", "a CRM configuration belongs to it", "import the output of `crm configure show` instead"},
    {"respawn", "a program that heartbeat keeps running", "a unit of a service, or systemd alone"},
    {"watchdog", "a watchdog device", "[watchdog], if the gate is not enough"},
    {"hopfudge", "", ""},
    {"apiauth", "", ""},
};
constexpr std::string_view kNeedless[] = {
    "keepalive",   "deadtime",    "warntime", "initdead",      "udpport", "debugfile",
    "logfile",     "logfacility", "use_logd", "auto_failback", "node",    "bcast",
    "mcast",       "ucast",       "ping",     "ping_group",    "debug",   "deadping",
    "compression", "coredumps",   "autojoin", "uuidfrom",      "msgfmt",  "realtime"};

void add_nic(State& state, const std::string& nic) {
  if (std::find(state.nics.begin(), state.nics.end(), nic) == state.nics.end() &&
      state.nics.size() < kMaxLinks)
    state.nics.push_back(nic);
}

void add_host(State& state, const std::string& host, int line) {
  if (IpAddress::parse(host)) {
    if (state.sketch.reference_hosts.size() < kMaxHosts) state.sketch.reference_hosts.push_back(host);
  } else {
    state.finder.left(line, fmt::format("ping {:.80}: a host name", host),
                      "give its address with --reference-host");
  }
}

void read_directive(const std::vector<std::string>& words, int line, State& state) {
  const std::string& word = words[0];
  const auto rest = std::vector<std::string>(words.begin() + 1, words.end());
  if (word == "node") {
    for (const std::string& name : rest) static_cast<void>(add_node(state.sketch, name));
  } else if (word == "bcast") {
    for (const std::string& nic : rest) add_nic(state, nic);
  } else if (word == "mcast" && !rest.empty()) {
    add_nic(state, rest[0]);
  } else if (word == "ucast" && rest.size() > 1) {
    add_nic(state, rest[0]);
    if (const auto address = IpAddress::parse(rest[1]); address && state.ucast.size() < 16)
      state.ucast.emplace_back(rest[0], *address);
  } else if (word == "ping") {
    for (const std::string& host : rest) add_host(state, host, line);
  } else if (word == "ping_group") {
    for (size_t i = 1; i < rest.size(); ++i) add_host(state, rest[i], line);
    state.finder.left(line, "a group of which one host is enough", "each host of it counts for itself");
  } else if (word == "auto_failback") {
    state.failback = !rest.empty() && rest[0] == "on";
  }
  const auto note =
      std::find_if(std::begin(kNotes), std::end(kNotes), [&](const Note& n) { return n.word == word; });
  if (note != std::end(kNotes)) {
    if (!note->what.empty())
      state.finder.left(line, fmt::format("{}: {}", word, note->what), std::string(note->instead));
  } else if (std::find(std::begin(kNeedless), std::end(kNeedless), word) == std::end(kNeedless)) {
    state.finder.left(line, fmt::format("{:.60}", word),
                      "look into docs/configuration.md whether it is needed");
  }
}

std::vector<std::string> split(const std::string& text, const std::string& at) {
  std::vector<std::string> parts;
  size_t from = 0;
  while (parts.size() < 32) {
    const size_t end = text.find(at, from);
    parts.push_back(text.substr(from, end - from));
    if (end == std::string::npos) break;
    from = end + at.size();
  }
  return parts;
}

// "192.168.1.20/24/eth0/192.168.1.255": an address, its network's length, a NIC and a broadcast address.
bool add_address(const std::string& text, ServiceSketch& service, std::string& nic) {
  const auto parts = split(text, "/");
  const auto address = IpAddress::parse(parts[0]);
  if (!address) return false;
  std::string written = parts[0];
  for (size_t i = 1; i < parts.size(); ++i) {
    if (const auto length = number_of(parts[i], 128)) {
      written = fmt::format("{}/{}", parts[0], *length);
    } else if (!parts[i].empty() && !IpAddress::parse(parts[i])) {
      nic = parts[i].substr(0, parts[i].find(':'));
    }
  }
  service.addresses.push_back(written);
  return true;
}

void add_resource(const std::string& text, int line, ServiceSketch& service, std::string& nic, State& state) {
  const auto parts = split(text, "::");
  const std::string& agent = parts[0];
  const bool ip = agent == "IPaddr" || agent == "IPaddr2" || agent == "IPv6addr";
  if (ip ? parts.size() > 1 && add_address(parts[1], service, nic) : add_address(text, service, nic)) return;
  if (agent == "Filesystem" || agent == "drbddisk" || agent == "LVM" || agent == "Raid1" ||
      agent == "ServeRAID") {
    const std::string path = agent == "Filesystem" && parts.size() > 2 ? parts[2] : "the folder";
    state.finder.left(
        line, fmt::format("{:.100}: shared or replicated storage", text),
        fmt::format("a mirror: [[mirror]] paths = [\"{:.80}/\"], or `clusterctl service add --mirror`",
                    path));
  } else if (agent == "MailTo") {
    if (state.sketch.notify_mail.empty() && parts.size() > 1) state.sketch.notify_mail = parts[1];
  } else if (parts.size() == 1 && is_unit_name(agent)) {
    service.units.push_back({agent + ".service"});
    state.finder.left(line,
                      fmt::format("the script {} is taken for the systemd unit {}.service", agent, agent),
                      "correct its name, and `systemctl disable` it on both nodes");
  } else {
    state.finder.left(
        line, fmt::format("{:.100}: a script with arguments", text),
        fmt::format("a unit: {{ name = \"{:.40}\", start = \"…\", stop = \"…\", status = \"…\" }}", agent));
  }
}

void read_resources(const SourceFile& file, State& state) {
  state.finder.in(file.name);
  for (const Line& line : lines_of(file.text, true)) {
    const auto words = words_of(line.text, "#");
    if (words.empty()) continue;
    if (state.sketch.services.size() >= kMaxServices) {
      state.finder.left(line.number, "there are too many resource groups: this one was not read", "");
      continue;
    }
    ServiceSketch service;
    std::string nic;
    service.prefer = node_name(words[0]);
    for (size_t i = 1; i < words.size(); ++i) add_resource(words[i], line.number, service, nic, state);
    const auto first =
        std::find_if(service.units.begin(), service.units.end(), [](const auto&) { return true; });
    service.name =
        free_name(state.sketch, first == service.units.end() ? "of-" + words[0]
                                                             : first->name.substr(0, first->name.rfind('.')));
    service.comments = {fmt::format("From line {} of haresources.", line.number)};
    service.failback = state.failback ? "auto" : "manual";
    if (!nic.empty()) {
      for (NodeSketch& node : state.sketch.nodes)
        if (node.end("service") == nullptr) node.ends.insert(node.ends.begin(), {"service", nic, ""});
    }
    if (service.addresses.empty() && service.units.empty()) continue;  // told above
    state.sketch.services.push_back(std::move(service));
  }
}

// ucast names the peer's address; where both nodes' lines stand in one file, the address tells the node only
// if a person says so.
void place_ucast(State& state) {
  for (NodeSketch& node : state.sketch.nodes) {
    for (setup::EndSketch& end : node.ends) {
      setup::Lines on_nic;
      for (const auto& [nic, address] : state.ucast) {
        if (nic == end.nic)
          on_nic.push_back(Prefix{address, static_cast<uint8_t>(classful_length(address))}.text());
      }
      if (on_nic.size() != 2 || state.sketch.nodes.size() != 2) continue;
      end.address = on_nic[&node == state.sketch.nodes.data() ? 0 : 1];
      state.finder.left(
          0,
          fmt::format("{} is taken for {}'s address on {}: ha.cf does not say which node has it", end.address,
                      node.name, end.nic),
          fmt::format("if it is the other one: --node {}:{}={},ADDRESS/LENGTH", node.name, end.link,
                      end.nic));
    }
  }
}

}  // namespace

Imported from_heartbeat(const SourceFiles& files) {
  Imported out;
  Finder finder(out);
  State state{out.sketch, finder, true, {}, {}};
  const SourceFile* resources = nullptr;
  std::string ha_cf;
  for (const SourceFile& file : files) {
    finder.in(file.name);
    const std::string base = base_name(file.name);
    if (base.find("haresources") != std::string::npos) {
      resources = &file;
    } else if (base.ends_with(".cf")) {
      ha_cf = file.name;
      for (const Line& line : lines_of(file.text, false)) {
        if (const auto words = words_of(line.text, "#"); !words.empty())
          read_directive(words, line.number, state);
      }
    } else if (base == "authkeys") {
      finder.left(0, "the keys of heartbeat are not needed",
                  "nothing: `clusterctl init` or `keygen` makes a secret");
    }
  }
  out.sketch.cluster = "cluster";
  out.sketch.comments = {"From heartbeat's ha.cf and haresources."};
  for (NodeSketch& node : out.sketch.nodes) {
    for (size_t i = 0; i < state.nics.size(); ++i)
      node.ends.push_back({i == 0 ? "heartbeat" : fmt::format("heartbeat{}", i + 1), state.nics[i], ""});
  }
  if (resources != nullptr) {
    read_resources(*resources, state);
  } else {
    finder.left(0, "there is no haresources", "give it together with ha.cf");
  }
  // A NIC that carries heartbeats and the services' addresses is one link, the service's.
  for (NodeSketch& node : out.sketch.nodes) {
    const setup::EndSketch* service = node.end("service");
    if (service == nullptr) continue;
    const std::string nic = service->nic;
    std::erase_if(node.ends,
                  [&](const setup::EndSketch& end) { return end.link != "service" && end.nic == nic; });
  }
  finder.in(ha_cf.empty() ? "ha.cf" : ha_cf);
  place_ucast(state);
  return out;
}

}  // namespace clusterd::imports
