// A service's `alike`: what both nodes shall have alike, and is only looked at.
#include <fmt/format.h>

#include <array>

#include "config/alike.hpp"
#include "config/draft.hpp"
#include "config/paths.hpp"

namespace clusterd {

namespace config {

namespace {

struct Never {
  std::string_view tree, reason, remedy;
};
constexpr std::array<Never, 7> kNever{{
    {"/proc", "lies in /proc, which is no disk", "remove it"},
    {"/sys", "lies in /sys, which is no disk", "remove it"},
    {"/dev", "lies in /dev, which is no disk", "remove it"},
    {"/run", "lies in /run, which is empty after each boot", "remove it"},
    {"/var/run", "lies in /run, which is empty after each boot", "remove it"},
    {"/etc/cluster.d", "is the cluster's configuration",
     "remove it: `clusterctl versions` compares the configuration"},
    {kStateDir, "is clusterd's own state, which belongs to one node", "remove it"},
}};

PathFault fault(const std::string& path) {
  if (path == "/") return {{"is the whole system", "list the files that the service needs"}};
  if (auto why = fault_of_form(path)) return why;
  for (const Never& never : kNever)
    if (is_under(without_slash(path), never.tree))
      return {{std::string(never.reason), std::string(never.remedy)}};
  return std::nullopt;
}

bool overlap(std::string_view a, std::string_view b) {
  return is_under(without_slash(a), without_slash(b)) || is_under(without_slash(b), without_slash(a));
}

// What stands in their way here: it differs by design, so that the warning would never end.
void check_against(const ServiceDraft& draft, const Text& text, Problems& problems) {
  for (const MirrorConfig& mirror : draft.config.mirrors)
    for (const std::string& path : mirror.paths)
      if (overlap(text.value, path))
        problems.warning(text.place,
                         fmt::format("{} and {}, which is mirrored, hold the same files", text.value, path),
                         "remove it from alike: the mirror says how far the standby is");
  for (const UnitConfig& unit : draft.config.units)
    if (unit.kind == UnitConfig::Kind::kMount && overlap(text.value, unit.mount.where))
      problems.warning(
          text.place,
          fmt::format("{} and {}, which is mounted, hold the same files", text.value, unit.mount.where),
          "remove it from alike: what is mounted on one node only is not on both");
}

}  // namespace

std::vector<std::string> read_alike(Section& section, const ServiceDraft& draft, Problems& problems) {
  std::vector<std::string> paths;
  for (const Text& text : section.texts("alike", kMaxAlikePaths)) {
    if (const auto why = fault(text.value)) {
      problems.error(text.place, fmt::format("\"{:.200}\" cannot be compared: it {}", text.value, why->first),
                     why->second);
      continue;
    }
    check_against(draft, text, problems);
    paths.push_back(text.value);
  }
  return paths;
}

}  // namespace config

std::map<std::string, std::vector<std::string>> alike_paths(const ConfigTexts& texts) {
  constexpr std::string_view kBefore = "services/", kAfter = ".toml";
  std::map<std::string, std::vector<std::string>> out;
  for (const auto& [file, text] : texts) {
    if (!file.starts_with(kBefore) || !file.ends_with(kAfter)) continue;
    const auto root = config::parse_toml(text, file);
    if (!root) continue;
    config::Problems unheard;
    config::Section section(*root, file, unheard);
    const std::string name = file.substr(kBefore.size(), file.size() - kBefore.size() - kAfter.size());
    auto paths = config::read_alike(section, {}, unheard);
    if (!paths.empty()) out.emplace(name, std::move(paths));
  }
  return out;
}

}  // namespace clusterd
