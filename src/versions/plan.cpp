#include "versions/plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <tuple>

namespace clusterd::versions {

namespace {

// As the fingerprint writes them (config/fingerprint.cpp): "FILE: KEY = VALUE".
std::vector<std::string> lines_of(const Config& config, const std::string& file) {
  std::vector<std::string> out;
  const std::string prefix = file + ": ";
  for (const std::string& line : config.hashed_lines)
    if (line.starts_with(prefix)) out.push_back(line.substr(prefix.size()));
  return out;
}

std::string key_of(const std::string& line) { return line.substr(0, line.find(" = ")); }

std::string value_of(const std::string& line) {
  const size_t at = line.find(" = ");
  return at == std::string::npos ? "" : line.substr(at + 3);
}

// "KEY: OLD → NEW", for each key whose value differs.
std::vector<std::string> changed_settings(const std::vector<std::string>& old,
                                          const std::vector<std::string>& now) {
  std::vector<std::string> out;
  const auto find = [](const std::vector<std::string>& lines, const std::string& key) {
    return std::ranges::find_if(lines, [&](const std::string& line) { return key_of(line) == key; });
  };
  for (const std::string& line : now) {
    const auto before = find(old, key_of(line));
    if (before == old.end())
      out.push_back(fmt::format("{}: {}", key_of(line), value_of(line)));
    else if (*before != line)
      out.push_back(fmt::format("{}: {} → {}", key_of(line), value_of(*before), value_of(line)));
  }
  for (const std::string& line : old)
    if (find(now, key_of(line)) == now.end())
      out.push_back(fmt::format("{}: {} → gone", key_of(line), value_of(line)));
  return out;
}

bool runs_the_same(const UnitConfig& a, const UnitConfig& b) {
  return a.kind == b.kind && a.name == b.name && a.start == b.start && a.stop == b.stop &&
         a.status == b.status && a.pid_file == b.pid_file;
}

const UnitConfig* unit_named(const ServiceConfig& service, const std::string& name) {
  const auto found = std::ranges::find(service.units, name, &UnitConfig::name);
  return found == service.units.end() ? nullptr : &*found;
}

const ServiceConfig* service_named(const Config& config, const std::string& name) {
  const auto found = std::ranges::find(config.services, name, &ServiceConfig::name);
  return found == config.services.end() ? nullptr : &*found;
}

class Comparison {
 public:
  Comparison(const Config& old, const Config& now, const ServiceConfig& before, const ServiceConfig& after)
      : old_(old), now_(now), before_(before), after_(after) {}

  std::vector<Step> steps() {
    addresses();
    units();
    settings();
    return std::move(steps_);
  }

 private:
  void add(Effect effect, std::string text) { steps_.push_back({effect, std::move(text)}); }

  void addresses() {
    const std::string link = now_.link(after_.link).name;
    const auto nics = [](const Config& config, const ServiceConfig& service) {
      std::vector<std::string> out;
      for (const LinkEnd& end : config.link(service.link).ends) out.push_back(end.nic);
      return out;
    };
    const bool elsewhere = before_.mac != after_.mac || nics(old_, before_) != nics(now_, after_);
    if (elsewhere && !after_.addresses.empty())
      add(Effect::kAddresses, fmt::format("all addresses move to another device (link {})", link));
    else if (after_.mac != MacMode::kNone && before_.mac_address.text() != after_.mac_address.text())
      add(Effect::kAddresses, fmt::format("its MAC becomes {}; clients are told", after_.mac_address.text()));
    for (const Prefix& address : after_.addresses)
      if (std::ranges::find(before_.addresses, address) == before_.addresses.end())
        add(Effect::kAddresses, address.text() + " is added");
    for (const Prefix& address : before_.addresses)
      if (std::ranges::find(after_.addresses, address) == after_.addresses.end())
        add(Effect::kAddresses, address.text() + " is removed");
  }

  void units() {
    for (const UnitConfig& unit : before_.units)
      if (unit_named(after_, unit.name) == nullptr) add(Effect::kUnits, unit.name + " stops");
    for (const UnitConfig& unit : after_.units) {
      const UnitConfig* before = unit_named(before_, unit.name);
      if (before == nullptr)
        add(Effect::kUnits, unit.name + " starts");
      else if (!runs_the_same(*before, unit))
        add(Effect::kUnitRestarts, unit.name + " restarts: its commands differ");
    }
    if (before_.hot != after_.hot && !after_.units.empty())
      add(Effect::kUnits,
          after_.hot ? "its units start on the standby, too" : "its units stop on the standby");
  }

  // What is left, in the words of the settings.
  void settings() {
    const std::string file = "services/" + after_.name + ".toml";
    for (const std::string& line : changed_settings(lines_of(old_, file), lines_of(now_, file))) {
      const std::string key = line.substr(0, line.find(':'));
      const bool told = key == "addresses" || key == "mac" || key == "mac_address" || key == "link" ||
                        key == "hot" || (key.starts_with("unit ") && !steps_.empty());
      if (!told) add(Effect::kNothing, line + after_a_relation(key));
    }
  }

  // Nothing restarts for a relation; what it moves, it moves later, in good order.
  static const char* after_a_relation(const std::string& key) {
    if (key == "with") return "; a group that is on both nodes comes together";
    if (key == "apart_from")
      return "; if both share a node, one moves as soon as the other node is long ready";
    return key == "after" ? "; counts from the next start or stop" : "";
  }

  const Config& old_;
  const Config& now_;
  const ServiceConfig& before_;
  const ServiceConfig& after_;
  std::vector<Step> steps_;
};

// What is compared of a configuration beside what is hashed: what a node may have for itself.
auto private_settings(const Config& c) {
  return std::tuple(c.secret_file, c.notify.command, c.notify.mail, c.hooks.up, c.hooks.down, c.hooks.timeout,
                    c.ssh.user, c.ssh.identity, c.ssh.known_hosts, c.ssh.port,
                    c.watchdog ? c.watchdog->device : "");
}

bool has_same_parameters(const Config& a, const Config& b) {
  for (size_t n = 0; n < kNodes; ++n) {
    const auto &one = a.fences.at(n), &other = b.fences.at(n);
    if (one && other && one->parameters != other->parameters) return false;
  }
  return true;
}

bool any_of_the_node(const Config& config, const std::string& service) {
  const ServiceConfig* found = service_named(config, service);
  return found != nullptr && found->effects == Effects::kNode;
}

}  // namespace

const char* name(Effect effect) {
  switch (effect) {
    case Effect::kNothing:
      return "nothing moves";
    case Effect::kAddresses:
      return "addresses change";
    case Effect::kUnits:
      return "units change";
    case Effect::kUnitRestarts:
      return "unit restarts";
    case Effect::kBegins:
      return "begins";
    case Effect::kEnds:
      return "ends";
  }
  return "";
}

Effect ServicePlan::worst() const {
  Effect worst = Effect::kNothing;
  for (const Step& step : steps) worst = std::max(worst, step.effect);
  return worst;
}

Plan plan(const Config& old, const Config& now) {
  Plan out;
  for (size_t n = 0; n < kNodes; ++n)
    if (old.nodes.at(n).name != now.nodes.at(n).name)
      out.refused = fmt::format(
          "the node {} would be called {}: a node's name is not changed while the cluster runs. Put its own "
          "name back, or stop clusterd on both nodes, and pair them anew",
          old.nodes.at(n).name, now.nodes.at(n).name);
  for (std::string& line : changed_settings(lines_of(old, "cluster.toml"), lines_of(now, "cluster.toml")))
    out.cluster.push_back({Effect::kNothing, std::move(line)});
  // What the always mirror carries has nothing to do with how the nodes hear each other.
  out.arbitration =
      std::ranges::any_of(out.cluster, [](const Step& step) { return !step.text.starts_with("always "); });
  if (private_settings(old) != private_settings(now) || !has_same_parameters(old, now))
    out.cluster.push_back({Effect::kNothing, kPrivateSettings});
  for (const ServiceConfig& service : now.services) {
    const ServiceConfig* before = service_named(old, service.name);
    if (before == nullptr) {
      const std::string where = service.prefer ? " on " + now.node(*service.prefer).name + ", if it can" : "";
      out.services.push_back(
          {service.name, {{Effect::kBegins, fmt::format("a new service: starts{}", where)}}});
      continue;
    }
    auto steps = Comparison(old, now, *before, service).steps();
    if (steps.empty())
      out.untouched.push_back(service.name);
    else
      out.services.push_back({service.name, std::move(steps)});
  }
  for (const ServiceConfig& service : old.services)
    if (service_named(now, service.name) == nullptr)
      out.services.push_back(
          {service.name, {{Effect::kEnds, "is stopped where it runs, units in reverse order"}}});
  std::ranges::sort(out.services, {}, &ServicePlan::service);
  // How long a silent peer is waited for depends on the units of these, too (S13).
  for (const ServicePlan& service : out.services)
    if (any_of_the_node(old, service.service) || any_of_the_node(now, service.service))
      out.arbitration = true;
  return out;
}

std::vector<OldUnit> old_units(const Config& old, const Config& now) {
  // Whichever service has it now: a systemd unit that another service took over is that one's to stop.
  const auto still_there = [&](const ServiceConfig& service, const UnitConfig& unit) {
    if (unit.kind == UnitConfig::Kind::kSystemd) {
      return std::ranges::any_of(now.services, [&](const ServiceConfig& other) {
        const UnitConfig* found = unit_named(other, unit.name);
        return found != nullptr && found->kind == UnitConfig::Kind::kSystemd;
      });
    }
    const ServiceConfig* same = service_named(now, service.name);
    const UnitConfig* found = same == nullptr ? nullptr : unit_named(*same, unit.name);
    return found != nullptr && runs_the_same(*found, unit);
  };
  std::vector<OldUnit> out;
  for (size_t s = 0; s < old.services.size(); ++s) {
    const ServiceConfig& service = old.services[s];
    for (size_t u = service.units.size(); u-- > 0;)
      if (!still_there(service, service.units[u])) out.push_back({ServiceId(s), UnitId(u)});
  }
  return out;
}

}  // namespace clusterd::versions
