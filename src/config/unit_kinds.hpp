// What the readers of units and checks share. Internal to src/config.
#pragma once

#include "config/draft.hpp"

namespace clusterd::config {

// Whether it is the name of a systemd unit; if not, that is reported.
[[nodiscard]] bool check_unit_name(const Text& name, Problems& problems);

// The keys of a unit that has `mount`, and of one that has `lsb`.
void read_mount(Section& unit_section, UnitConfig& unit, Problems& problems);
void read_lsb(Section& section, UnitConfig& unit, Problems& problems);

// Whether it is a device that two nodes must not mount at once.
[[nodiscard]] bool mounts_a_device(const MountConfig& mount);

}  // namespace clusterd::config
