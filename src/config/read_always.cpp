// [always]: the site's own files, which both nodes have whichever of them is active (docs/decisions/0015).
#include <fmt/format.h>

#include <array>

#include "config/draft.hpp"
#include "config/paths.hpp"

namespace clusterd::config {

namespace {

constexpr size_t kMaxPaths = 64, kMaxExcludes = 256;

struct Own {
  std::string_view path;
  std::string_view reason;
};
// What makes a machine itself: a node that got them from the other one would not be there after its next
// boot.
constexpr std::array<Own, 17> kOwn{{
    {"/etc/hostname", "the machine's own name"},
    {"/etc/machine-id", "the machine's own identity"},
    {"/etc/fstab", "the machine's own disks"},
    {"/etc/crypttab", "the machine's own disks"},
    {"/etc/mtab", "the machine's own mounts"},
    {"/etc/lvm", "the machine's own disks"},
    {"/etc/mdadm", "the machine's own disks"},
    {"/etc/network", "the machine's own addresses"},
    {"/etc/netplan", "the machine's own addresses"},
    {"/etc/systemd/network", "the machine's own addresses"},
    {"/etc/NetworkManager", "the machine's own addresses"},
    {"/etc/sysconfig/network-scripts", "the machine's own addresses"},
    {"/etc/udev/rules.d/70-persistent-net.rules", "the names of the machine's own NICs"},
    {"/etc/iscsi/initiatorname.iscsi", "the machine's own name towards its storage"},
    {"/etc/nvme", "the machine's own name towards its storage"},
    {"/etc/adjtime", "the machine's own clock"},
    {"/etc/default/grub", "how the machine boots"},
}};
constexpr std::string_view kHostKeys = "/etc/ssh/ssh_host_";

PathFault fault(const std::string& path, const std::string& dir) {
  if (auto why = fault_of_path(path)) return why;
  const std::string_view bare = without_slash(path);
  for (const std::string_view own : {std::string_view("/etc/cluster.d"), without_slash(dir)}) {
    if (is_under(bare, own) || is_under(own, bare))
      return {{"is or holds the cluster's configuration", "remove it: `clusterctl apply` carries that"}};
  }
  for (const Own& own : kOwn) {
    if (is_under(bare, own.path))
      return {{fmt::format("is {}", own.reason), "remove it: each node has its own"}};
    if (is_under(own.path, bare))
      return {{fmt::format("holds {}, {}", own.path, own.reason),
               "list the files that both nodes shall have by name"}};
  }
  if (bare.starts_with(kHostKeys) || bare == "/etc/ssh")
    return {{"is or holds the ssh host keys, by which the nodes are told apart",
             "list the files that both nodes shall have by name, as in \"/etc/ssh/sshd_config\""}};
  return std::nullopt;
}

}  // namespace

void read_always(const Value& table, const std::string& dir, ClusterDraft& draft, Problems& problems) {
  Section section(table, "[always]", problems);
  AlwaysConfig& always = draft.config.always;
  if (!section.has("paths"))
    problems.error(section.place(), "[always] lacks the key paths", "add paths = [\"/etc/hosts\"]");
  for (const Text& text : section.texts("paths", kMaxPaths)) {
    if (const auto why = fault(text.value, dir)) {
      problems.error(
          text.place,
          fmt::format("\"{:.200}\" cannot be the same on both nodes: it {}", text.value, why->first),
          why->second);
      continue;
    }
    for (size_t i = 0; i < always.paths.size(); ++i) {
      const std::string_view one = without_slash(text.value), other = without_slash(always.paths[i]);
      if (is_under(one, other) || is_under(other, one))
        problems.error(text.place,
                       fmt::format("{} and {} ({}) hold the same files", text.value, always.paths[i],
                                   draft.always[i].brief()),
                       "remove one of the two");
    }
    always.paths.push_back(text.value);
    draft.always.push_back(text.place);
  }
  for (const Text& text : section.texts("exclude", kMaxExcludes)) always.exclude.push_back(text.value);
  section.finish();
}

// A file that two ways carry would be written by both.
void check_always(const ClusterDraft& cluster, const std::vector<ServiceDraft>& services,
                  Problems& problems) {
  const auto overlap = [](std::string_view a, std::string_view b) {
    return is_under(without_slash(a), without_slash(b)) || is_under(without_slash(b), without_slash(a));
  };
  for (size_t i = 0; i < cluster.always.size(); ++i) {
    const std::string& path = cluster.config.always.paths[i];
    for (const ServiceDraft& service : services) {
      for (size_t m = 0; m < service.config.mirrors.size(); ++m)
        for (size_t p = 0; p < service.config.mirrors[m].paths.size(); ++p)
          if (overlap(path, service.config.mirrors[m].paths[p]))
            problems.error(cluster.always[i],
                           fmt::format("{} and {}, which service {} mirrors at {}, hold the same files", path,
                                       service.config.mirrors[m].paths[p], service.config.name,
                                       service.paths[m][p].brief()),
                           "remove one of the two: [always] is for what belongs to no service");
      for (const UnitConfig& unit : service.config.units)
        if (unit.kind == UnitConfig::Kind::kMount && overlap(path, unit.mount.where))
          problems.error(cluster.always[i],
                         fmt::format("{} and {}, which service {} mounts, hold the same files", path,
                                     unit.mount.where, service.config.name),
                         "remove it: what is mounted on one node only is not on both");
    }
  }
}

}  // namespace clusterd::config
