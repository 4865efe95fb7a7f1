// The rules of [always].
#include "rules.hpp"

namespace clusterd {
namespace {

using namespace test;
using testing::HasSubstr;

Rule row(const std::string& paths, const char* text, const char* remedy) {
  return {kC, "[ssh]", "[always]\npaths = [" + paths + "]\n[ssh]", text, remedy};
}

TEST(AlwaysRules, Refused) {
  for (const Rule& rule : {
           row("\"hosts\"", "no plain absolute path", "write it in full"),
           row("\"/etc/../etc/hosts\"", "no plain absolute path", "write it in full"),
           row("\"/\"", "is the whole system", ""),
           row("\"/etc/\"", "holds what makes a node itself", "/etc/NAME/"),
           row("\"/etc/cluster.d/cluster.toml\"", "the cluster's configuration", "clusterctl apply"),
           row("\"/etc/cluster.d/\"", "the cluster's configuration", "clusterctl apply"),
           row("\"/var/lib/clusterd/\"", "clusterd's own state", "remove it"),
           row("\"/run/x\"", "belongs to the node itself", "remove it"),
           row("\"/etc/hostname\"", "the machine's own name", "each node has its own"),
           row("\"/etc/machine-id\"", "the machine's own identity", "each node has its own"),
           row("\"/etc/fstab\"", "the machine's own disks", "each node has its own"),
           row("\"/etc/network/interfaces\"", "the machine's own addresses", "each node has its own"),
           row("\"/etc/systemd/\"", "holds /etc/systemd/network", "by name"),
           row("\"/etc/ssh/\"", "the ssh host keys", "/etc/ssh/sshd_config"),
           row("\"/etc/ssh/ssh_host_rsa_key\"", "the ssh host keys", ""),
           row("\"/etc/hosts\", \"/etc/hosts\"", "hold the same files", "remove one"),
           row("\"/etc/site/\", \"/etc/site/a\"", "hold the same files", "remove one"),
           row("\"/srv/www/x\"", "which service web mirrors", "belongs to no service"),
           row("\"/srv/\"", "which service web mirrors", "belongs to no service"),
           Rule{kC, "[ssh]", "[always]\nexclude = [\"*.bak\"]\n[ssh]", "lacks the key paths", "paths = "},
           Rule{kC, "[ssh]", "[always]\npaths = [\"/etc/hosts\"]\npath = 1\n[ssh]",
                "unknown key \"path\" in [always]", "paths"},
       })
    expect_refused(rule);
}

TEST(AlwaysRules, Accepted) {
  expect_accepted(
      row("\"/etc/hosts\", \"/etc/passwd\", \"/etc/samba/smb.conf\", \"/etc/ssl/site/\", "
          "\"/etc/ssh/sshd_config\"",
          "", ""));
}

TEST(AlwaysRules, BothNodesHaveToListTheSame) {
  Files without, with;
  with.change(kC, "[ssh]", "[always]\npaths = [\"/etc/hosts\"]\n[ssh]");
  const auto a = without.load(), b = with.load();
  ASSERT_TRUE(a && b);
  EXPECT_NE(a->hash, b->hash);
  EXPECT_EQ(b->always.paths, std::vector<std::string>{"/etc/hosts"});
}

}  // namespace
}  // namespace clusterd
