#include "setup/sketch.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "config/draft.hpp"

namespace clusterd::setup {

namespace {

struct Home {  // the link that holds an address
  std::string link;
  uint8_t length = 0;
};

std::optional<Home> home_of(const IpAddress& address, const Sketch& sketch) {
  std::optional<Home> best;
  for (const NodeSketch& node : sketch.nodes) {
    for (const EndSketch& end : node.ends) {
      const auto own = Prefix::parse(end.address);
      if (!own || !own->contains(address) || (best && own->length <= best->length)) continue;
      best = Home{end.link, own->length};
    }
  }
  return best;
}

void settle(ServiceSketch& service, const Sketch& sketch) {
  for (std::string& text : service.addresses) {
    const auto prefix = Prefix::parse(text);
    const auto address = prefix ? prefix->address : IpAddress::parse(text).value_or(IpAddress{});
    const bool alone = !prefix || prefix->length == address.size() * 8;
    if (!prefix && !IpAddress::parse(text)) continue;  // the loader will say so
    const auto home = home_of(address, sketch);
    if (!home) continue;
    if (alone) text = Prefix{address, home->length}.text();
    if (service.link.empty() && home->link != "service") service.link = home->link;
  }
}

}  // namespace

EndSketch* NodeSketch::end(const std::string& link) {
  const auto at = std::find_if(ends.begin(), ends.end(), [&](const EndSketch& e) { return e.link == link; });
  return at == ends.end() ? nullptr : &*at;
}

NodeSketch* Sketch::node(const std::string& name) {
  const auto at =
      std::find_if(nodes.begin(), nodes.end(), [&](const NodeSketch& n) { return n.name == name; });
  return at == nodes.end() ? nullptr : &*at;
}

std::string name_from(std::string_view text, std::string_view also, size_t most,
                      const std::string& otherwise) {
  std::string name;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    const bool allowed = plain || also.find(c) != std::string_view::npos;
    if (name.empty() && !plain) continue;  // begins with a letter or digit
    if (name.size() == most) break;
    if (allowed) {
      name += c;
    } else if (name.back() != '-') {
      name += '-';
    }
  }
  while (!name.empty() && name.back() == '-') name.pop_back();
  return name.empty() ? otherwise : name;
}

void settle(Sketch& sketch) {
  for (ServiceSketch& service : sketch.services) settle(service, sketch);
}

Lines missing(const Sketch& sketch) {
  Lines lines;
  for (const NodeSketch& node : sketch.nodes) {
    for (const EndSketch& end : node.ends) {
      if (!end.nic.empty() && !end.address.empty()) continue;
      const std::string nic = end.nic.empty() ? "NIC" : end.nic;
      const std::string address = end.address.empty() ? "ADDRESS/LENGTH" : end.address;
      lines.push_back(fmt::format("{}: {} on the link {}: --node {}:{}={},{}", node.name,
                                  end.nic.empty() ? "its NIC" : "its own address", end.link, node.name,
                                  end.link, nic, address));
    }
    if (node.ends.empty())
      lines.push_back(fmt::format("{}: its NICs and own addresses: --node {}:service=NIC,ADDRESS/LENGTH",
                                  node.name, node.name));
  }
  for (size_t n = sketch.nodes.size(); n < kNodes; ++n)
    lines.push_back(fmt::format("the {} node: --node NAME:service=NIC,ADDRESS/LENGTH",
                                sketch.nodes.empty() && n == 0 ? "first" : "other"));
  return lines;
}

}  // namespace clusterd::setup
