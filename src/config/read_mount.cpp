// Units that are carried out by commands of the system: { name = "data", mount = { … } } and { name = "old",
// lsb = "old" }. Both become start, stop and status commands.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "config/unit_kinds.hpp"

namespace clusterd::config {

namespace {

constexpr std::array<std::string_view, 2> kClusterTypes{"gfs2", "ocfs2"};
constexpr std::array<std::string_view, 4> kTags{"UUID=", "LABEL=", "PARTUUID=", "PARTLABEL="};

// One word for /bin/sh, whatever it holds.
std::string shell_word(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

bool has_option(std::string_view options, std::string_view wanted) {
  while (!options.empty()) {
    const size_t comma = std::min(options.find(','), options.size());
    if (options.substr(0, comma) == wanted) return true;
    options.remove_prefix(std::min(comma + 1, options.size()));
  }
  return false;
}

bool is_bind(const MountConfig& mount) {
  return has_option(mount.options, "bind") || has_option(mount.options, "rbind");
}

void mount_commands(UnitConfig& unit) {
  const MountConfig& mount = unit.mount;
  const std::string where = shell_word(mount.where), what = shell_word(mount.what);
  unit.start = "exec mount";
  if (!mount.type.empty()) unit.start += " -t " + shell_word(mount.type);
  if (!mount.options.empty()) unit.start += " -o " + shell_word(mount.options);
  unit.start += " -- " + what + " " + where;
  // With a kill: until it works, or the core's patience ends. -M: only if it is a mount point, for else it
  // would be everything on the file system below it.
  unit.stop = fmt::format(
      "while ! umount -- {0}; do [ -n \"$CLUSTERD_KILL\" ] || exit 1; fuser -s -k -M -m {0}; sleep 0.2; done",
      where);
  // Of a bind mount the source is shown in another way than it was given.
  unit.status = "exec findmnt -n -M " + where + (is_bind(mount) ? "" : " -S " + what) + " >/dev/null";
}

}  // namespace

bool mounts_a_device(const MountConfig& mount) {
  if (is_bind(mount)) return false;
  if (std::find(kClusterTypes.begin(), kClusterTypes.end(), mount.type) != kClusterTypes.end()) return false;
  return mount.what.starts_with("/dev/") ||
         std::any_of(kTags.begin(), kTags.end(),
                     [&](std::string_view tag) { return mount.what.starts_with(tag); });
}

void read_mount(Section& unit_section, UnitConfig& unit, Problems& problems) {
  unit.kind = UnitConfig::Kind::kMount;
  const Value* table = unit_section.table("mount");
  if (table == nullptr) return;
  Section section(*table, "a mount", problems);
  if (const auto what = section.required_text("what", "/dev/vg0/data")) {
    unit.mount.what = what->value;
    if (what->value.front() == '-')
      problems.error(
          what->place, fmt::format("what = \"{:.80}\" in a mount begins with \"-\"", what->value),
          "write a device (\"/dev/vg0/data\", \"UUID=…\"), a source (\"nas:/export\") or a folder to bind");
  }
  if (const auto where = section.required_text("where", "/srv/data")) {
    unit.mount.where = where->value;
    while (unit.mount.where.size() > 1 && unit.mount.where.back() == '/') unit.mount.where.pop_back();
    if (!is_plain_path(unit.mount.where) || unit.mount.where == "/")
      problems.error(
          where->place,
          fmt::format("where = \"{:.80}\" in a mount is no absolute path of a folder", where->value),
          "write where = \"/srv/data\", a folder that exists on both nodes");
  }
  if (const auto type = section.text("type")) {
    unit.mount.type = type->value;
    if (!is_name(type->value, "._-", 32))
      problems.error(type->place, fmt::format("type = \"{:.40}\" is no type of a file system", type->value),
                     "write type = \"ext4\", or whatever `lsblk -f` shows; without it, mount(8) finds out");
  }
  if (const auto options = section.text("options")) unit.mount.options = options->value;
  section.finish();
  mount_commands(unit);
}

void read_lsb(Section& section, UnitConfig& unit, Problems& problems) {
  unit.kind = UnitConfig::Kind::kLsb;
  const auto text = section.text("lsb");
  if (!text) return;
  const bool path = text->value.front() == '/';
  unit.script = path ? text->value : "/etc/init.d/" + text->value;
  if (path ? !is_plain_path(text->value) || text->value.back() == '/' : !is_name(text->value, "._-+", 64)) {
    problems.error(text->place, fmt::format("lsb = \"{:.80}\" is no init script", text->value),
                   "write the name of a script in /etc/init.d (lsb = \"nginx\"), or its path");
    return;
  }
  // Debian's scripts would otherwise ask systemd to do it, which then does not say what the script says.
  const std::string call = "exec env SYSTEMCTL_SKIP_REDIRECT=1 " + shell_word(unit.script);
  unit.start = call + " start";
  unit.stop = call + " stop";
  unit.status = call + " status";
}

}  // namespace clusterd::config
