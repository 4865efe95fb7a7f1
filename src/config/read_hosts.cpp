// reference_hosts: "1.2.3.4" and "fd00::1" (ICMP), "arp://1.2.3.4", "tcp://1.2.3.4:53", "tcp://[fd00::1]:53".
#include <fmt/format.h>

#include "config/draft.hpp"
#include "config/scalar.hpp"

namespace clusterd::config {

namespace {

constexpr const char* kForms =
    "write \"192.168.1.1\", \"fd00::1\", \"arp://192.168.1.1\", \"tcp://192.168.1.1:53\" or "
    "\"tcp://[fd00::1]:53\"";

struct Parts {
  ProbeKind kind = ProbeKind::kIcmp;
  std::string_view address;
  std::string_view port;
};

// Splits by form alone; nullopt where it is none of the known forms.
std::optional<Parts> split(std::string_view text) {
  const size_t scheme = text.find("://");
  if (scheme == std::string_view::npos) return Parts{ProbeKind::kIcmp, text, {}};
  const std::string_view rest = text.substr(scheme + 3);
  if (text.substr(0, scheme) == "arp") return Parts{ProbeKind::kArp, rest, {}};
  if (text.substr(0, scheme) != "tcp") return std::nullopt;
  if (!rest.empty() && rest.front() == '[') {
    const size_t end = rest.find("]:");
    if (end == std::string_view::npos) return std::nullopt;
    return Parts{ProbeKind::kTcp, rest.substr(1, end - 1), rest.substr(end + 2)};
  }
  const size_t colon = rest.find(':');
  if (colon == std::string_view::npos || rest.find(':', colon + 1) != std::string_view::npos)
    return std::nullopt;
  return Parts{ProbeKind::kTcp, rest.substr(0, colon), rest.substr(colon + 1)};
}

bool looks_like_host_name(std::string_view text) {
  if (!is_name(text, ".-", 253)) return false;
  return text.find_first_not_of("0123456789.") != std::string_view::npos;
}

std::optional<HostConfig> parse_host(const Text& text, Problems& problems) {
  const auto refuse = [&](std::string what, std::string remedy) {
    problems.error(text.place, fmt::format("reference host \"{:.80}\" {}", text.value, what),
                   std::move(remedy));
    return std::nullopt;
  };
  const auto parts = split(text.value);
  if (!parts) return refuse("is of no known form", kForms);
  HostConfig host;
  host.text = text.value;
  host.kind = parts->kind;
  const auto address = IpAddress::parse(parts->address);
  if (!address) {
    if (looks_like_host_name(parts->address))
      return refuse("is a host name; the daemon never asks the DNS, which may be down just when it matters",
                    fmt::format("write its address (`getent ahosts {:.80}` shows it)", parts->address));
    return refuse("has no valid address", kForms);
  }
  host.address = *address;
  if (const auto why = unusable(*address))
    return refuse(*why, "use the address of one host that every node normally reaches, such as the router");
  if (is_loopback(*address))
    return refuse("is this node itself, and would answer even when all its cables are cut",
                  "use a host that every node reaches over the network, such as the router");
  if (host.kind == ProbeKind::kArp && !address->is_v4())
    return refuse("asks for ARP, which IPv6 does not have", fmt::format("write \"{}\"", address->text()));
  if (host.kind == ProbeKind::kTcp) {
    const auto port = parse_port(parts->port);
    if (!port)
      return refuse("has no valid port", "write a port from 1 to 65535, as in \"tcp://192.168.1.1:53\"");
    host.port = *port;
  }
  return host;
}

// The link whose network holds the address: the narrowest one, if several do.
std::optional<LinkId> link_of(const IpAddress& address, const Config& config) {
  std::optional<LinkId> best;
  unsigned best_length = 0;
  for (size_t i = 0; i < config.links.size(); ++i) {
    const Prefix& network = config.links[i].ends[0].address;
    if (network.length <= best_length || !network.contains(address)) continue;
    best = LinkId(i);
    best_length = network.length;
  }
  return best;
}

// False, with the problem reported, where the host cannot be one.
bool fits(const HostConfig& host, const Text& text, const ClusterDraft& draft, Problems& problems) {
  for (size_t i = 0; i < draft.config.hosts.size(); ++i) {
    if (draft.config.hosts[i].address != host.address) continue;
    problems.error(
        text.place, fmt::format("reference host {} is listed twice", host.address.text()),
        fmt::format("remove one of them (the other is at {}): one host is one piece of evidence, however "
                    "it is asked",
                    draft.host_places[i].brief()));
    return false;
  }
  for (const LinkConfig& link : draft.config.links) {
    for (size_t n = 0; n < kNodes; ++n) {
      if (link.ends.at(n).address.address != host.address) continue;
      problems.error(text.place,
                     fmt::format("reference host {} is {}'s own address on the link {}", host.address.text(),
                                 draft.config.nodes.at(n).name, link.name),
                     "use a third host, such as the router");
      return false;
    }
  }
  if (host.kind == ProbeKind::kArp && draft.networks_known && !host.link) {
    problems.error(
        text.place,
        fmt::format("reference host {} is not in the network of any link, so ARP cannot reach it", host.text),
        fmt::format("write \"{}\" to ask it by ICMP", host.address.text()));
    return false;
  }
  return true;
}

}  // namespace

void read_reference_hosts(const std::vector<Text>& texts, ClusterDraft& draft, Problems& problems) {
  for (const Text& text : texts) {
    auto host = parse_host(text, problems);
    if (!host) continue;
    host->link = link_of(host->address, draft.config);
    if (!fits(*host, text, draft, problems)) continue;
    draft.config.hosts.push_back(std::move(*host));
    draft.host_places.push_back(text.place);
  }
}

}  // namespace clusterd::config
