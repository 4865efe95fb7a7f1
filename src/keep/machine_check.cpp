#include "keep/machine_check.hpp"

#include <fmt/format.h>
#include <net/if.h>

#include "ctl/shell.hpp"
#include "linux/host/look.hpp"

namespace clusterd::keep {

namespace {

std::string missing_unit(const ServiceConfig& service, const UnitConfig& unit) {
  const std::string state = ctl::unit_file_state(unit.name);
  if (state.empty() || state == "not-found")
    return fmt::format("systemd knows no unit {} (service {}); install it first", unit.name, service.name);
  if (!service.hot && (state == "enabled" || state == "enabled-runtime"))
    return fmt::format("{} (service {}) is started at boot; systemctl disable {}", unit.name, service.name,
                       unit.name);
  return "";
}

}  // namespace

std::string missing_here(const Config& config) {
  const size_t self = config.self.at();
  for (const LinkConfig& link : config.links) {
    const LinkEnd& end = link.ends.at(self);
    if (::if_nametoindex(end.nic.c_str()) == 0)
      return fmt::format("there is no NIC {} (link {}); `ip link` lists what is there", end.nic, link.name);
    if (!has_address(end.nic, end.address.address))
      return fmt::format(
          "{} does not have {} (link {}); give it the address in the system's own network "
          "configuration first",
          end.nic, end.address.text(), link.name);
  }
  if (const auto& spare = config.nodes.at(self).redundant_nic; spare && ::if_nametoindex(spare->c_str()) == 0)
    return fmt::format("there is no NIC {} (redundant); `ip link` lists what is there", *spare);
  if (!ctl::program_exists("systemctl")) return "";
  for (const ServiceConfig& service : config.services)
    for (const UnitConfig& unit : service.units)
      if (unit.kind == UnitConfig::Kind::kSystemd)
        if (std::string missing = missing_unit(service, unit); !missing.empty()) return missing;
  return "";
}

}  // namespace clusterd::keep
