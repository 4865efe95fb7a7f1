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

TEST(Rules, MountsAndInitScripts) {
  const auto with = [](const std::string& more) { return "{ name = \"a\", " + more + " }"; };
  const std::string where = "where = \"/srv/data\"";
  for (const Rule& rule : {
           Rule{kS, kUnit, with("mount = { what = \"tmpfs\" }"), "a mount lacks the key where", "/srv/data"},
           Rule{kS, kUnit, with("mount = { " + where + " }"), "a mount lacks the key what", "/dev/vg0/data"},
           Rule{kS, kUnit, with("mount = { what = \"tmpfs\", where = \"srv\" }"),
                "is no absolute path of a folder", "exists on both nodes"},
           Rule{kS, kUnit, with("mount = { what = \"tmpfs\", where = \"/\" }"),
                "is no absolute path of a folder", "/srv/data"},
           Rule{kS, kUnit, with("mount = { what = \"-bind\", " + where + " }"), "begins with \"-\"",
                "a device"},
           Rule{kS, kUnit, with("mount = { what = \"tmpfs\", " + where + ", type = \"a b\" }"),
                "is no type of a file system", "lsblk -f"},
           Rule{kS, kUnit, with("mount = { what = \"tmpfs\", " + where + ", option = \"ro\" }"),
                "unknown key \"option\"", "did you mean options?"},
           Rule{kS, kUnit, with("mount = \"/srv\""), "mount in a unit must be a table", "mount = { … }"},
           Rule{kS, kUnit, with("mount = { what = \"tmpfs\", " + where + " }, run = \"/a\""),
                "a unit has both mount and run", "remove one"},
           Rule{kS, kUnit, with("mount = { what = \"/dev/sdb1\", " + where + ", type = \"ext4\" }"),
                "both nodes could mount at once and destroy", "add effects = \"node\""},
           Rule{kS, kUnit, with("mount = { what = \"UUID=1234\", " + where + " }"),
                "both nodes could mount at once and destroy", "/etc/fstab"},
           Rule{kS, kUnit, with("lsb = \"../x\""), "is no init script", "/etc/init.d"},
           Rule{kS, kUnit, with("lsb = \"a b\""), "is no init script", "lsb = \"nginx\""},
           Rule{kS, kUnit, with("lsb = \"/opt/../x\""), "is no init script", "its path"},
           Rule{kS, kUnit, with("lsb = \"x\", status = \"/a\""), "a unit has both lsb and status",
                "remove one"},
       })
    expect_refused(rule);
  for (const char* unit :
       {"{ name = \"a\", lsb = \"nginx\" }", "{ name = \"a\", lsb = \"/opt/x/init\" }",
        "{ name = \"a\", mount = { what = \"nas:/export\", where = \"/srv/x\", type = \"nfs\" } }",
        "{ name = \"a\", mount = { what = \"/dev/shared\", where = \"/srv/x/\", type = \"gfs2\" } }",
        "{ name = \"a\", mount = { what = \"/srv/y\", where = \"/srv/x\", options = \"bind,ro\" } }"})
    expect_accepted({kS, kUnit, unit, "", ""});
  expect_warned({kS, kUnit,
                 with("ocf = \"ocf:heartbeat:Filesystem\", parameters = { device = \"/dev/sdb1\" }"),
                 "both nodes could mount at once and destroy", ""});
  Files files;
  files.change(
      kS, kUnit,
      with("mount = { what = \"it's\", where = \"/srv/data/\", type = \"tmpfs\", options = \"size=1m\" }"));
  ASSERT_EQ(files.complaints(), "");
  const auto config = files.load();
  const UnitConfig& unit = config->services.at(0).units.at(0);
  EXPECT_EQ(unit.kind, UnitConfig::Kind::kMount);
  EXPECT_EQ(unit.start, "exec mount -t 'tmpfs' -o 'size=1m' -- 'it'\\''s' '/srv/data'");
}

TEST(Rules, ResourceAgents) {
  const auto with = [](const std::string& more) { return "{ name = \"a\", " + more + " }"; };
  for (const Rule& rule : {
           Rule{kS, kUnit, with("ocf = \"Dummy\""), "ocf names no resource agent: \"Dummy\"",
                "write ocf = \"ocf:heartbeat:Dummy\""},
           Rule{kS, kUnit, with("ocf = \"ocf:Dummy\""), "ocf names no resource agent",
                "write ocf = \"ocf:heartbeat:Dummy\""},
           Rule{kS, kUnit, with("ocf = \"ocf:../..:x\""), "ocf names no resource agent",
                "package resource-agents"},
           Rule{kS, kUnit, with("ocf = \"ocf:heartbeat:../../evil\""), "ocf names no resource agent",
                "ocf:heartbeat:Dummy"},
           Rule{kS, kUnit, with("ocf = 7"), "ocf in a unit must be a text", "ocf = "},
           Rule{kS, kUnit, with("ocf = \"ocf:heartbeat:Dummy\", run = \"/a\""), "a unit has both ocf and run",
                "remove one"},
           Rule{kS, kUnit, with("ocf = \"ocf:heartbeat:Dummy\", status = \"/a\""),
                "a unit has both ocf and status", "remove one"},
           Rule{kS, kUnit, with("ocf = \"ocf:heartbeat:Dummy\", parameters = \"x\""),
                "parameters in a unit must be a table", "parameters = { … }"},
           Rule{kS, kUnit, with("ocf = \"ocf:heartbeat:Dummy\", parameters = { \"a b\" = \"x\" }"),
                "\"a b\" is no parameter's name", "man ocf_heartbeat_TYPE"},
           Rule{kS, kUnit, with("ocf = \"ocf:heartbeat:Dummy\", parameters = { a = [] }"),
                "neither a text nor a number", "a = \"…\""},
           Rule{kS, kUnit, with("ocf = \"ocf:heartbeat:Dummy\", parameters = { a = \"x\\ny\" }"),
                "holds a control character", "one line"},
           Rule{kS, kUnit, with("ocf = \"ocf:heartbeat:Dummy\", parameters = { CRM_meta_timeout = 1 }"),
                "what clusterd itself tells", "remove it"},
           Rule{kS, kUnit, with("ocf = \"ocf:heartbeat:Dummy\", monitor_evry = \"1s\""),
                "unknown key \"monitor_evry\"", "did you mean monitor_every?"},
           Rule{kS, kUnit, with("ocf = \"ocf:heartbeat:Dummy\", monitor_every = \"1ms\""),
                "monitor_every in a unit is 1ms", "from 500ms"},
           Rule{kS, kUnit, with("run = \"/a\", parameters = { a = \"x\" }"), "unknown key \"parameters\"",
                "remove it"},
           Rule{kS, kUnit, "{ name = \"a b\", ocf = \"ocf:heartbeat:Dummy\" }",
                "an agent's unit cannot be called \"a b\"", "use letters"},
       })
    expect_refused(rule);
  Files files;
  files.change(kS, kUnit,
               with("ocf = \"ocf:heartbeat:Dummy\", monitor_depth = 10, parameters = { n = 3, "
                    "yes = true, text = \"x y\", passwd = \"hidden\" }"));
  ASSERT_EQ(files.complaints(), "");
  const auto config = files.load();
  const UnitConfig& unit = config->services.at(0).units.at(0);
  EXPECT_EQ(unit.kind, UnitConfig::Kind::kOcf);
  EXPECT_EQ(unit.ocf.text(), "ocf:heartbeat:Dummy");
  EXPECT_EQ(unit.ocf.monitor_depth, 10U);
  EXPECT_EQ(unit.ocf.parameters.at("n"), "3");
  EXPECT_EQ(unit.ocf.parameters.at("yes"), "1");
  EXPECT_EQ(unit.ocf.parameters.at("text"), "x y");
  std::string lines;
  for (const std::string& line : config->hashed_lines) lines += line + "\n";
  EXPECT_THAT(lines, HasSubstr("ocf:heartbeat:Dummy"));
  EXPECT_THAT(lines, HasSubstr("text=\"x y\""));
  EXPECT_THAT(lines, Not(HasSubstr("hidden")));
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
                "a check says nothing of what is asked", "{ tcp = \"445\" }"},
           Rule{kS, "{ tcp = \"80\", every = \"1s\" }", "\"80\"", "a check must be a table",
                "{ tcp = \"445\" }"},
           Rule{kS, kCheck, "tcp = \"80\", failures = 0", "failures in a check is 0", "from 1 to 1000"},
           Rule{kS, "\"192.168.1.20/24\", \"fd00::20/64\"", "",
                "the check tcp 80 needs an address, and the service has none", "127.0.0.1:80"},
       })
    expect_refused(rule);
  for (const Rule& rule : {
           Rule{kS, kCheck, "http = \"www.example.org\"", "begins with neither http:// nor https://",
                "http = \"https://www.example.org/health\""},
           Rule{kS, kCheck, "http = \"ftp://www.example.org/\"", "begins with neither", "https://"},
           Rule{kS, kCheck, "http = \"http:///x\"", "names no host", "https://"},
           Rule{kS, kCheck, "http = \"http://a b/\"", "holds a space", "https://"},
           Rule{kS, kCheck, "http = \"http://me:secret@www/\"", "holds a user's name", "https://"},
           Rule{kS, kCheck, "http = \"http://www:0/\"", "has a port that is none", "https://"},
           Rule{kS, kCheck, "http = \"http://fd00::1/\"", "has a port that is none", "https://"},
           Rule{kS, kCheck, "http = \"http://0.0.0.0/\"", "no server can have", "https://"},
           Rule{kS, kCheck, "http = \"http://www/\", status = 20", "status in a check is neither",
                "write status = 200"},
           Rule{kS, kCheck, "http = \"http://www/\", status = \"299-200\"", "status in a check is neither",
                "\"200-299\""},
           Rule{kS, kCheck, "http = \"http://www/\", address = \"www\"", "is no address",
                "192.168.1.20:8080"},
           Rule{kS, kCheck, "http = \"http://www/\", verify = \"no\"",
                "verify in a check must be true or false", "verify = true"},
           Rule{kS, kCheck, "tcp = \"80\", body = \"x\"", "unknown key \"body\"", "known here"},
           Rule{kS, kCheck, "dns = \"a name\"", "is no name", "www.example.org"},
           Rule{kS, kCheck, "dns = \"www\", type = \"AXFR\"", "is no type of record", "type = \"A\""},
           Rule{kS, kCheck, "dns = \"www\", answer = \"fd00::1\"", "is no answer to a question for A",
                "an address"},
           Rule{kS, kCheck, "dns = \"www\", type = \"MX\", answer = \"mail\"",
                "is no answer to a question for MX", "no answer to compare"},
           Rule{kS, kCheck, "process = \"../x\"", "is neither a program's name nor a path",
                "process = \"smbd\""},
           Rule{kS, kCheck, "unit = \"smbd\"", "is no name of a systemd unit", "smbd.service"},
           Rule{kS, kCheck, "ocf = \"db\"", "which is no unit with an agent", "add a unit"},
           Rule{kS, "\"192.168.1.20/24\", \"fd00::20/64\"", "", "the check tcp 80 needs an address",
                "127.0.0.1:80"},
       })
    expect_refused(rule);
  for (const char* check :
       {"http = \"https://www.example.org:8443/health?x=1\", status = 204, body = \"ok\", verify = false",
        "http = \"http://[fd00::20]/\"",
        "http = \"http://www/\", address = \"[::1]:8080\", status = \"200-299\"",
        "dns = \"www.example.org\", answer = \"192.0.2.1\", address = \"127.0.0.1:5353\"",
        "dns = \"example.org\", type = \"NS\", answer = \"ns.example.org\"", "process = \"smbd\"",
        "process = \"/run/samba/smbd.pid\"", "unit = \"smbd.service\"", "tcp = \"192.168.1.20:80\"",
        "tcp = \"[fd00::20]:80\"", "command = \"/usr/bin/test -e /x\""})
    expect_accepted({kS, kCheck, check, "", ""});
}

TEST(Rules, Mirrors) {
  for (const Rule& rule : {
           Rule{kS, "exclude", "mode = \"often\"\nexclude", "\"often\"", "\"live\""},
           Rule{kS, "exclude", "mode = \"live\"\nvia = \"rsync\"\nexclude", "does not go by rsync",
                "remove via"},
           Rule{kS, "exclude", "mode = \"live\"\nto = \"a@b:/c/\"\nexclude", "goes to the peer alone",
                "remove to"},
           Rule{kS, "exclude", "mode = \"live\"\ncompress = true\nexclude", "compresses by itself",
                "remove compress"},
           Rule{kS, "exclude", "scrub = { every = \"7d\" }\nexclude", "only the contents of live mirrors",
                "mode = \"live\""},
           Rule{kS, "exclude", "guard = true\nexclude", "/etc/nginx/nginx.conf cannot be guarded",
                "of its own, without guard"},
           Rule{kS, "exclude", "guard = true\nto = \"a@b:/copies/\"\nexclude",
                "guard is for mirrors to the peer", "remove to"},
           Rule{kS, "exclude", "ids = \"name\"\nexclude", "ids = \"name\" needs the live mirror",
                "write mode = \"live\""},
           Rule{kS, "exclude", "mode = \"live\"\nids = \"names\"\nexclude", "ids", "\"name\""},
           Rule{kS, "exclude", "ids = 7\nexclude", "ids", "write ids = "},
           Rule{kS, "exclude", "guard = \"yes\"\nexclude", "guard", "true"},
           Rule{kS, "exclude", "mode = \"live\"\nscrub = { every = \"5s\" }\nexclude", "every", "1h"},
           Rule{kS, "exclude", "mode = \"live\"\nscrub = { rate = \"fast\" }\nexclude", "no bandwidth",
                "MiB/s"},
           Rule{kS, "exclude", "mode = \"live\"\nwhole_file = true\nexclude", "decides by itself",
                "remove whole_file"},
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
