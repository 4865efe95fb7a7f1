// The rules of services/NAME.toml, and between services.
#include "rules.hpp"

namespace clusterd {
namespace {

using namespace test;
using testing::HasSubstr;

TEST(Rules, ServiceReferences) {
  for (const Rule& rule : {
           Rule{kS, "\"serv1\"", "\"serv11\"", "prefer names \"serv11\", which is no node",
                "did you mean serv1?"},
           Rule{kS, "\"serv1\"", "\"otherwise\"", "which is no node", "known nodes: serv1 and serv2"},
           Rule{kS, "mac =", "link = \"servise\"\nmac =", "there is no link called \"servise\"",
                "did you mean service?"},
           Rule{kS, "mac =", "link = \"redundant\"\nmac =", "there is no link called \"redundant\"",
                "known links: heartbeat and service"},
           Rule{kS, "prefer = \"serv1\"", "", "failback = \"auto\", but the service prefers no node",
                "add prefer"},
       })
    expect_refused(rule);
}

TEST(Rules, ALinkCalledServiceOrSaidSo) {
  Files files;
  files.change(kC, "service =", "lan =");
  files.change(kC, "service =", "lan =");
  EXPECT_THAT(files.complaints(), HasSubstr("there is no link called \"service\""));
  EXPECT_THAT(files.complaints(), HasSubstr("add link = \"heartbeat\" (known links: heartbeat and lan)"));
  files.change(kS, "mac =", "link = \"lan\"\nmac =");
  EXPECT_EQ(files.complaints(), "");
}

TEST(Rules, Addresses) {
  for (const Rule& rule : {
           Rule{kS, "192.168.1.20/24", "192.168.1.20", "is no address with the length of its network",
                "write \"192.168.1.20/24\""},
           Rule{kS, "192.168.1.20/24", "web.example.org", "is no address with the length of its network",
                "fd00::20/64"},
           Rule{kS, "192.168.1.20/24", "127.0.0.5/8", "is a loopback address", "a free address"},
           Rule{kS, "192.168.1.20/24", "192.168.1.255/24", "is the broadcast address of its network",
                "a free address"},
           Rule{kS, "192.168.1.20/24", "0.0.0.0/0", "means \"any address\"", "a free address"},
           Rule{kS, "192.168.1.20/24", "192.168.1.12/24",
                "192.168.1.12 is already serv2's own address on the link service (cluster.toml:24)",
                "nothing else has"},
           Rule{kS, "fd00::20/64", "192.168.1.20/32",
                "192.168.1.20 is already an address of the service web (web.toml:2)", "nothing else has"},
           Rule{kS, "fd00::20/64", "::ffff:1.2.3.4/96", "is an IPv4 address in IPv6 clothes",
                "a free address"},
       })
    expect_refused(rule);
  expect_warned(
      {kS, "192.168.1.20/24", "10.0.0.20/24", "10.0.0.20/24 is not in the network of the link service", ""});
  expect_accepted({kS, "192.168.1.20/24", "192.168.1.20/32", "", ""});
}

TEST(Rules, Macs) {
  for (const Rule& rule : {
           Rule{kS, "\"virtual\"", "\"shared\"", "mac in services/web.toml cannot be \"shared\"",
                "\"virtual\" or \"redundant\" or \"none\""},
           Rule{kS, "mac =", "mac_address = \"02:00:00:00:00\"\nmac =", "is no MAC address", "six pairs"},
           Rule{kS, "mac =", "mac_address = \"00:00:00:00:00:00\"\nmac =", "is no MAC address", "six pairs"},
           Rule{kS, "mac =", "mac_address = \"01:00:5e:00:00:01\"\nmac =", "is a multicast address",
                "first byte is even"},
           Rule{kS, "mac = \"virtual\"", "mac = \"none\"\nmac_address = \"02:00:00:00:00:01\"",
                "has no meaning with mac = \"none\"", "remove mac_address"},
       })
    expect_refused(rule);
  expect_accepted({kS, "mac =", "mac_address = \"00:10:4B:63:1C:08\"\nmac =", "", ""});
}

TEST(Rules, RedundantNeedsASpareNicOnBothNodes) {
  Files files;
  files.change(kS, "\"virtual\"", "\"redundant\"");
  EXPECT_EQ(files.complaints(), "");
  files.change(kC, "redundant = { nic = \"eth2\" }", "");
  EXPECT_THAT(files.complaints(),
              HasSubstr("web.toml:3:7: mac = \"redundant\", but serv1 has no redundant NIC"));
}

TEST(Rules, Units) {
  for (const Rule& rule : {
           Rule{kS, kUnit, "\"nginx\"", "\"nginx\" is no name of a systemd unit", "write \"nginx.service\""},
           Rule{kS, kUnit, "\"/etc/init.d/nginx\"", "is no name of a systemd unit", "start = \"…\""},
           Rule{kS, kUnit, "\"nginx; reboot.service\"", "is no name of a systemd unit", "systemctl"},
           Rule{kS, kUnit, "7", "a unit must be a text or a table", "smbd.service"},
           Rule{kS, kUnit, "{ start = \"/a\", stop = \"/b\", status = \"/c\" }", "a unit lacks the key name",
                "add name"},
           Rule{kS, kUnit, "{ name = \"a\", start = \"/a\", status = \"/c\" }", "a unit lacks the key stop",
                "add stop"},
           Rule{kS, kUnit, "{ name = \"a\", start = \"/a\", stop = \"/b\" }",
                "has neither status nor pid_file", "add status = "},
           Rule{kS, kUnit, "{ name = \"a\", run = \"/a\", stop = \"/b\" }", "a unit has both run and stop",
                "remove one"},
           Rule{kS, kUnit, "{ name = \"a b\", run = \"/a\" }", "a unit of commands cannot be called",
                "use letters"},
           Rule{kS, kUnit,
                "{ name = \"a\", start = \"/a\", stop = \"/b\", status = \"/c\", pid_file = \"a.pid\" }",
                "pid_file is no absolute path", "/run/"},
           Rule{kS, kUnit, "{ name = \"a.service\", strat_timeout = \"5s\" }",
                "unknown key \"strat_timeout\"", "did you mean start_timeout?"},
           Rule{kS, kUnit, "{ name = \"a.service\", stop_timeout = \"2d\" }", "stop_timeout in a unit is 2d",
                "from 100ms to 1h"},
           Rule{kS, kUnit, "\"a.service\", \"a.service\"", "the unit a.service is listed twice",
                "remove one"},
       })
    expect_refused(rule);
  for (const char* unit :
       {"\"srv-data.mount\"", "\"getty@tty1.service\"", "{ name = \"a.service\", start_timeout = \"5s\" }",
        "{ name = \"a\", run = \"/usr/bin/a -f\" }",
        "{ name = \"a\", start = \"/a\", stop = \"/b\", pid_file = \"/run/a.pid\" }"})
    expect_accepted({kS, kUnit, unit, "", ""});
}

TEST(Rules, Checks) {
  for (const Rule& rule : {
           Rule{kS, kCheck, "tcp = 80", "tcp in a check must be a text", "tcp = \"…\""},
           Rule{kS, kCheck, "tcp = \"0\"", "is no port", "tcp = \"445\""},
           Rule{kS, kCheck, "tcp = \"65536\"", "is no port", "tcp = \"445\""},
           Rule{kS, kCheck, "tcp = \"http\"", "is no port", "tcp = \"445\""},
           Rule{kS, kCheck, "tcp = \"web:80\"", "is no port and no address with a port", "192.168.1.20:445"},
           Rule{kS, kCheck, "tcp = \"fd00::1:80\"", "is no port and no address with a port",
                "[fd00::20]:445"},
           Rule{kS, kCheck, "tcp = \"80\", command = \"/bin/true\"", "a check has both tcp and command",
                "{ tcp = \"445\" }"},
           Rule{kS, "{ tcp = \"80\", every = \"1s\" }", "{ every = \"1s\" }",
                "a check has neither tcp nor command", "{ tcp = \"445\" }"},
           Rule{kS, "{ tcp = \"80\", every = \"1s\" }", "\"80\"", "a check must be a table",
                "{ tcp = \"445\" }"},
           Rule{kS, kCheck, "tcp = \"80\", failures = 0", "failures in a check is 0", "from 1 to 1000"},
           Rule{kS, "\"192.168.1.20/24\", \"fd00::20/64\"", "",
                "the check tcp 80 needs an address, and the service has none", "127.0.0.1:80"},
       })
    expect_refused(rule);
  for (const char* check :
       {"tcp = \"192.168.1.20:80\"", "tcp = \"[fd00::20]:80\"", "command = \"/usr/bin/test -e /x\""})
    expect_accepted({kS, kCheck, check, "", ""});
}

TEST(Rules, Mirrors) {
  for (const Rule& rule : {
           Rule{kS, "exclude", "mode = \"live\"\nexclude", "mode = \"live\" is not available yet",
                "mode = \"interval\""},
           Rule{kS, "exclude", "mode = \"often\"\nexclude", "mode cannot be \"often\"",
                "mode = \"interval\""},
           Rule{kS, "exclude", "via = \"scp\"\nexclude", "via cannot be \"scp\"", "via = \"rsync\""},
           Rule{kS, "paths = [\"/srv/www/\", \"/etc/nginx/nginx.conf\"]", "", "a mirror lacks the key paths",
                "add paths"},
           Rule{kS, "paths = [\"/srv/www/\", \"/etc/nginx/nginx.conf\"]", "paths = []",
                "a mirror has no valid path", "write paths"},
           Rule{kS, "\"pages\"", "\"pa/ges\"", "a mirror cannot be called", "use letters"},
           Rule{kS, "exclude", "to = \"host:/path/\"\nexclude", "to is no target", "user@host:/path/"},
           Rule{kS, "exclude", "to = \"-oX@host:/path/\"\nexclude", "to is no target", "user@host:/path/"},
           Rule{kS, "exclude", "to = \"a@-oX:/path/\"\nexclude", "to is no target", "user@host:/path/"},
           Rule{kS, "exclude", "to = \"a@b:path/\"\nexclude", "to is no target", "user@host:/path/"},
           Rule{kS, "exclude", "to = \"a@b:/path\"\nexclude", "to is no target", "user@host:/path/"},
           Rule{kS, "exclude", "to = \"a@b:/$(x)/\"\nexclude", "to is no target", "user@host:/path/"},
           Rule{kS, "exclude", "to = \"a@b:/\"\nexclude", "to is no target", "user@host:/path/"},
       })
    expect_refused(rule);
  expect_accepted({kS, "exclude", "to = \"a@[fd00::1]:/copies/\"\nexclude", "", ""});
}

TEST(Rules, MirrorPaths) {
  for (const Rule& rule : {
           Rule{kS, kPaths, "\"srv/www/\"", "is no plain absolute path", "in full"},
           Rule{kS, kPaths, "\"/srv/../etc/\"", "is no plain absolute path", "in full"},
           Rule{kS, kPaths, "\"/srv/./www/\"", "is no plain absolute path", "in full"},
           Rule{kS, kPaths, "\"/srv//www/\"", "is no plain absolute path", "in full"},
           Rule{kS, kPaths, "\"//\"", "is no plain absolute path", "in full"},
           Rule{kS, kPaths, "\"/\"", "\"/\" cannot be mirrored: it is the whole system",
                "list the directories"},
           Rule{kS, kPaths, "\"/proc/\"", "lies in /proc", "remove it"},
           Rule{kS, kPaths, "\"/sys/class/\"", "lies in /sys", "remove it"},
           Rule{kS, kPaths, "\"/dev/sda\"", "lies in /dev", "remove it"},
           Rule{kS, kPaths, "\"/run\"", "lies in /run", "remove it"},
           Rule{kS, kPaths, "\"/var/run/samba/\"", "lies in /var/run", "remove it"},
           Rule{kS, kPaths, "\"/lib/modules/\"", "lies in /lib", "remove it"},
           Rule{kS, kPaths, "\"/etc/\"", "holds what makes a node itself", "/etc/NAME/"},
           Rule{kS, kPaths, "\"/var/lib/\"", "holds what makes a node itself", "/var/lib/NAME/"},
           Rule{kS, kPaths, "\"/var/lib/clusterd/\"", "is clusterd's own state", "remove it"},
           Rule{kS, kPaths, "\"/var/lib/clusterd/state/\"", "is clusterd's own state", "remove it"},
           Rule{kS, kPaths, "\"/srv/www/\", \"/srv/www/\"",
                "/srv/www is the same as /srv/www, which service web mirrors at web.toml:", "each file once"},
           Rule{kS, kPaths, "\"/srv/www/\", \"/srv/www\"", "is the same as", "each file once"},
           Rule{kS, kPaths, "\"/srv/www/\", \"/srv/www/a/b\"", "/srv/www/a/b lies in /srv/www",
                "each file once"},
           Rule{kS, kPaths, "\"/srv/www/\", \"/srv/www-x/\", \"/srv/www/z\"", "/srv/www/z lies in /srv/www",
                "each file once"},
       })
    expect_refused(rule);
  for (const char* paths : {"\"/srv/www/\", \"/srv/www2/\", \"/srv/www-x/\"", "\"/devices/\"",
                            "\"/var/lib/clusterd2/\"", "\"/srv/a..b/...c/\"", "\"/srv/with blank/\""})
    expect_accepted({kS, kPaths, paths, "", ""});
}

TEST(Rules, BetweenServices) {
  Files files;
  files.write("services/web2.toml", R"(addresses = ["192.168.1.20/24"]
units = ["nginx.service"]
mac = "redundant"
[[mirror]]
paths = ["/srv/www/sub/"]
)");
  files.write("services/web3.toml", R"(addresses = ["192.168.1.30/24"]
mac = "redundant"
mac_address = "02:00:00:00:00:07"
)");
  files.write("services/web4.toml", R"(addresses = ["192.168.1.31/24"]
mac_address = "02:00:00:00:00:07"
)");
  const std::string text = files.complaints();
  EXPECT_THAT(
      text, HasSubstr("web2.toml:1:14: 192.168.1.20 is already an address of the service web (web.toml:2)"));
  EXPECT_THAT(text, HasSubstr("web2.toml:2:10: the unit nginx.service also belongs to the service web"));
  EXPECT_THAT(
      text,
      HasSubstr("web2.toml:5:10: /srv/www/sub lies in /srv/www, which service web mirrors at web.toml:11"));
  EXPECT_THAT(text, HasSubstr("web3.toml:3:15: the services web2 and web3 both want the redundant NIC"));
  EXPECT_THAT(text, HasSubstr("web4.toml:2:15: the services web3 and web4 have the same MAC address"));
}

TEST(Rules, TwoMirrorsOfOneService) {
  Files files;
  files.write(kS, std::string(test::kWeb) + "[[mirror]]\nname = \"pages\"\npaths = [\"/srv/other/\"]\n");
  EXPECT_THAT(files.complaints(), HasSubstr("there are two mirrors called pages"));
  files.write(kS, std::string(test::kWeb) + "[[mirror]]\npaths = [\"/srv/www/\"]\nto = \"a@b:/copies/\"\n");
  EXPECT_EQ(files.complaints(), "") << "another target may have the same files";
}

TEST(Rules, ServicesNeedANameAndSomethingToMove) {
  Files files;
  files.write("services/a b.toml", "units = [\"a.service\"]");
  EXPECT_THAT(files.complaints(), HasSubstr("a service cannot be called \"a b\""));
  files.write("services/a b.toml", "");
  EXPECT_THAT(files.complaints(), HasSubstr("there is nothing to move"));
  Files plain;
  plain.write("services/x.toml", "units = [\"a.service\"]");
  EXPECT_THAT(plain.warned(), HasSubstr("the gate cannot silence it"));
}

}  // namespace
}  // namespace clusterd
