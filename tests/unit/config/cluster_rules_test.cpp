// The rules of cluster.toml, and of the syntax in general.
#include "rules.hpp"

namespace clusterd {
namespace {

using namespace test;
using testing::HasSubstr;

TEST(Rules, Syntax) {
  for (const Rule& rule : {
           Rule{kC, "[cluster]", "[cluster", "syntax error", "correct the line"},
           Rule{kC, "port = 7410", "port = 7410\nport = 7411", "syntax error", "correct the line"},
           Rule{kS, "prefer", "prefer = \"serv2\"\nprefer", "syntax error", "correct the line"},
           Rule{kS, "mac =", "mac ==", "syntax error", "correct the line"},
       })
    expect_refused(rule);
}

TEST(Rules, UnknownKeysAndTypes) {
  for (const Rule& rule : {
           Rule{kC, "profile =", "profil =", "unknown key \"profil\" in [cluster]", "did you mean profile?"},
           Rule{kC, "settle", "setle", "unknown key \"setle\" in [timing]", "did you mean settle?"},
           Rule{kC, "settle", "qqqqqqqqqqq", "unknown key \"qqqqqqqqqqq\"",
                "known here: gate_latency, heartbeat"},
           Rule{kC, "[ssh]", "[shh]", "unknown key \"shh\" in cluster.toml", "did you mean ssh?"},
           Rule{kC, "user =", "usr =", "unknown key \"usr\" in [ssh]", "did you mean user?"},
           Rule{kC, "mail =", "male =", "unknown key \"male\" in [notify]", "did you mean mail?"},
           Rule{kS, "units =", "unit =", "unknown key \"unit\"", "did you mean units?"},
           Rule{kS, "exclude =", "excludes =", "unknown key \"excludes\" in [[mirror]]",
                "did you mean exclude?"},
           Rule{kS, "keep =", "kept =", "unknown key \"kept\" in backups", "did you mean keep?"},
           Rule{kS, "within =", "withn =", "unknown key \"withn\" in restarts", "did you mean within?"},
           Rule{kS, "every = \"1s\"", "evry = \"1s\"", "unknown key \"evry\" in a check",
                "did you mean every?"},
           Rule{kC, "port = 7410", "port = \"7410\"",
                "port in [cluster] must be a whole number, but is a text", "without quotes"},
           Rule{kC, "port = 7410", "port = 7410.5",
                "must be a whole number, but is a date, a time or a fraction", "without quotes"},
           Rule{kC, "port = 7410", "port = 65536", "port in [cluster] is 65536", "from 1 to 65535"},
           Rule{kC, "port = 7410", "port = -1", "port in [cluster] is -1", "from 1 to 65535"},
           Rule{kC, "port = 7410", "max_takeovers_per_hour = 0", "is 0", "from 1 to 100"},
           Rule{kC, "\"steady\"", "7", "must be a text in quotes, but is a whole number", "profile = \"…\""},
           Rule{kC, "\"office\"", "\"\"", "name in [cluster] is empty", "remove the key"},
           Rule{kC, "\"office\"", "\"my office\"", "name in [cluster] cannot be", "use letters, digits"},
           Rule{kC, "\"office\"", "\"a\\tb\"", "contains a control character", "on one line"},
           Rule{kC, "name = \"office\"", "", "[cluster] lacks the key name", "add name = \"office\""},
           Rule{kC, "relay = \"auto\"", "relay = \"on\"", "relay in [cluster] cannot be \"on\"",
                "\"auto\" or \"off\""},
           Rule{kC, "relay = \"auto\"", "relay = true", "must be a text in quotes, but is true or false",
                "relay = \"…\""},
           Rule{kC, "rejoin = \"auto\"", "rejoin = \"never\"", "cannot be \"never\"",
                "\"auto\" or \"manual\""},
           Rule{kS, "mac = \"virtual\"", "hot = \"yes\"", "hot in services/web.toml must be true or false",
                "hot = true"},
           Rule{kS, "[\"192.168.1.20/24\", \"fd00::20/64\"]", "\"192.168.1.20/24\"",
                "must be a list, but is a text", "[\"…\"]"},
           Rule{kS, "\"fd00::20/64\"", "20", "every entry of addresses", "[\"…\", \"…\"]"},
           Rule{kS, "{ max = 2, within = \"5min\" }", "2", "restarts in services/web.toml must be a table",
                "{ … }"},
       })
    expect_refused(rule);
}

TEST(Rules, DurationsAndSizes) {
  for (const Rule& rule : {
           Rule{kC, "\"3s\"", "3", "settle in [timing] lacks its unit", "units are us, ms, s, min, h, d"},
           Rule{kC, "\"3s\"", "\"3\"", "is no duration: \"3\"", "units are"},
           Rule{kC, "\"3s\"", "\"3 s\"", "is no duration", "units are"},
           Rule{kC, "\"3s\"", "\"-3s\"", "is no duration", "units are"},
           Rule{kC, "\"3s\"", "\"3m\"", "is no duration", "units are"},
           Rule{kC, "\"3s\"", "\"1us\"", "settle in [timing] is 1us", "from 100ms to 1h"},
           Rule{kC, "\"3s\"", "\"2h\"", "settle in [timing] is 2h", "from 100ms to 1h"},
           Rule{kC, "\"3s\"", "\"999999999999999999999999999999d\"", "is no duration", "units are"},
           Rule{kS, "\"1min\"", "\"0s\"", "every in [[mirror]] is 0s", "from 1s to 30d"},
           Rule{kS, "\"10GiB\"", "\"10 GiB\"", "is no size", "10GiB"},
           Rule{kS, "\"10GiB\"", "\"10\"", "is no size", "B, kB, MB"},
           Rule{kS, "\"10GiB\"", "10", "max in backups must be a text", "max = \"…\""},
           Rule{kS, "exclude", "bandwidth = \"1MiB\"\nexclude", "is no bandwidth", "1MiB/s"},
           Rule{kS, "exclude", "bandwidth = \"1B/s\"\nexclude", "is no bandwidth", "at least 1KiB"},
       })
    expect_refused(rule);
}

TEST(Rules, Nodes) {
  for (const Rule& rule : {
           Rule{kC, "[node.serv2]", "[node.serv3]\n[node.serv2]", "there are 3 nodes: serv1, serv2 and serv3",
                "exactly two"},
           Rule{kC, "[node.serv2]", "[node.\"se rv\"]", "a node cannot be called \"se rv\"",
                "use the host name"},
           Rule{kC, "[node.serv1]", "[node]\nx = 1\n[node.serv1]", "\"x\" in [node] is no node",
                "[node.NAME]"},
           Rule{kC, "heartbeat = { nic = \"eth1\", address = \"192.168.111.1/24\" }", "",
                "[node.serv1] lacks the link heartbeat, which [node.serv2] has",
                "remove it at cluster.toml:"},
           Rule{kC, "heartbeat = { nic", "\"he art\" = { nic", "a link cannot be called \"he art\"",
                "use letters"},
           Rule{kC, "nic = \"eth0\", ", "", "[node.serv1] service lacks the key nic", "nic = \"eth0\""},
           Rule{kC, "eth0", "eth0/1", "is no name of a NIC", "ip link"},
           Rule{kC, "eth0", "eth0123456789012", "is no name of a NIC", "ip link"},
           Rule{kC, ", address = \"192.168.1.11/24\"", "", "lacks the key address",
                "address = \"192.168.1.11/24\""},
           Rule{kC, "192.168.1.11/24", "192.168.1.11", "is no address with the length of its network", "/24"},
           Rule{kC, "192.168.1.11/24", "192.168.1.11/33", "is no address with the length of its network",
                "/24"},
           Rule{kC, "192.168.1.11/24", "192.168.1.300/24", "is no address with the length of its network",
                "/24"},
           Rule{kC, "192.168.1.11/24", "192.168.1.0/24", "is the address of the network itself",
                "ip address"},
           Rule{kC, "192.168.1.11/24", "192.168.1.255/24", "is the broadcast address", "ip address"},
           Rule{kC, "192.168.1.11/24", "224.0.0.1/24", "is a multicast address", "ip address"},
           Rule{kC, "192.168.1.11/24", "fe80::1/64", "is a link-local address", "ip address"},
           Rule{kC, "192.168.1.11/24", "::/64", "means \"any address\"", "ip address"},
           Rule{kC, "192.168.111.2/24", "192.168.112.2/24",
                "link heartbeat: 192.168.111.1/24 of serv1 and 192.168.112.2/24 of serv2 are not in the same "
                "network",
                "both ends"},
           Rule{kC, "192.168.111.2/24", "192.168.111.2/25", "are not in the same network", "same length"},
           Rule{kC, "192.168.111.2/24", "fd01::2/64", "are not in the same network", "both ends"},
           Rule{kC, "192.168.111.2/24", "192.168.111.1/24",
                "serv1 and serv2 have the same address 192.168.111.1", "its own address"},
           Rule{kC, "redundant = { nic = \"eth2\" }", "redundant = { nic = \"eth1\" }",
                "[node.serv1]: the redundant NIC eth1 also carries the link heartbeat", "a spare one"},
           Rule{kC, "redundant = { nic = \"eth2\" }",
                "redundant = { nic = \"eth2\", address = \"1.2.3.4/24\" }",
                "unknown key \"address\" in [node.serv1] redundant", "remove it"},
           Rule{kC, "redundant = { nic = \"eth2\" }", "redundant = \"eth2\"",
                "must be a table, but is a text", "{ … }"},
       })
    expect_refused(rule);
  expect_warned({kC, "eth1", "eth0", "both use eth0, and fail together", ""});
}

TEST(Rules, LinksMustDifferInNetwork) {
  Files files;
  files.change(kC, "192.168.111.1/24", "192.168.1.51/24");
  files.change(kC, "192.168.111.2/24", "192.168.1.52/24");
  EXPECT_EQ(files.complaints(), "");
  EXPECT_THAT(files.warned(), HasSubstr("the links heartbeat and service are in the same network"));
}

TEST(Rules, TooManyLinks) {
  Files files;
  std::string one, two;
  for (int i = 0; i < 7; ++i) {
    const std::string n = std::to_string(i);
    one += "l" + n + " = { nic = \"x" + n + "\", address = \"10.0." + n + ".1/24\" }\n";
    two += "l" + n + " = { nic = \"x" + n + "\", address = \"10.0." + n + ".2/24\" }\n";
  }
  files.change(kC, "[node.serv1]\n", "[node.serv1]\n" + one);
  files.change(kC, "[node.serv2]\n", "[node.serv2]\n" + two);
  EXPECT_THAT(files.complaints(), HasSubstr("there are 9 links; at most 8 are allowed"));
}

TEST(Rules, OneNodeIsTooFew) {
  Files files;
  const std::string content = test::kCluster;
  files.write(kC, content.substr(0, content.find("[node.serv2]")));
  EXPECT_THAT(files.complaints(), HasSubstr("there is 1 node: serv1"));
}

TEST(Rules, ReferenceHosts) {
  for (const Rule& rule : {
           Rule{kC, "\"192.168.1.1\"", "\"router.example.org\"",
                "is a host name; the daemon never asks the DNS", "getent ahosts router.example.org"},
           Rule{kC, "\"tcp://10.9.9.9:53\"", "\"tcp://dns:53\"", "is a host name", "getent ahosts dns"},
           Rule{kC, "\"192.168.1.1\"", "\"192.168.1.999\"", "has no valid address", "write \"192.168.1.1\""},
           Rule{kC, "\"192.168.1.1\"", "\"192.168.1.1/24\"", "has no valid address", "write \"192.168.1.1\""},
           Rule{kC, "\"192.168.1.1\"", "\"udp://192.168.1.1\"", "is of no known form", "arp://"},
           Rule{kC, "\"tcp://10.9.9.9:53\"", "\"tcp://10.9.9.9\"", "is of no known form", "tcp://"},
           Rule{kC, "\"tcp://10.9.9.9:53\"", "\"tcp://10.9.9.9:0\"", "has no valid port", "from 1 to 65535"},
           Rule{kC, "\"tcp://10.9.9.9:53\"", "\"tcp://10.9.9.9:70000\"", "has no valid port",
                "from 1 to 65535"},
           Rule{kC, "\"tcp://10.9.9.9:53\"", "\"tcp://fd00::9:53\"", "is of no known form", "[fd00::1]:53"},
           Rule{kC, "\"arp://192.168.1.2\"", "\"arp://fd00::2\"", "asks for ARP, which IPv6 does not have",
                "write \"fd00::2\""},
           Rule{kC, "\"arp://192.168.1.2\"", "\"arp://10.9.9.8\"", "is not in the network of any link",
                "by ICMP"},
           Rule{kC, "\"192.168.1.1\"", "\"192.168.1.12\"", "is serv2's own address on the link service",
                "a third host"},
           Rule{kC, "\"192.168.1.1\"", "\"192.168.111.1\"", "is serv1's own address on the link heartbeat",
                "a third host"},
           Rule{kC, "\"192.168.1.1\"", "\"127.0.0.1\"", "is this node itself", "over the network"},
           Rule{kC, "\"192.168.1.1\"", "\"::1\"", "is this node itself", "over the network"},
           Rule{kC, "\"192.168.1.1\"", "\"224.0.0.1\"", "is a multicast address", "one host"},
           Rule{kC, "\"192.168.1.1\"", "\"0.0.0.0\"", "means \"any address\"", "one host"},
           Rule{kC, "\"192.168.1.1\"", "\"192.168.1.2\"", "192.168.1.2 is listed twice",
                "one piece of evidence"},
       })
    expect_refused(rule);
  expect_accepted({kC, "\"192.168.1.1\"", "\"fd00::1\", \"tcp://[fd00::2]:443\"", "", ""});
}

TEST(Rules, AReferenceHostIsNoServiceAddress) {
  expect_refused({kS, "192.168.1.20/24", "192.168.1.1/24",
                  "192.168.1.1 is already a reference host (cluster.toml:3)", "nothing else has"});
}

TEST(Rules, TooManyReferenceHosts) {
  Files files;
  std::string hosts;
  for (int i = 0; i < 17; ++i) hosts += "\"10.1.1." + std::to_string(i + 1) + "\", ";
  files.change(kC, kHosts, hosts);
  EXPECT_THAT(files.complaints(),
              HasSubstr("reference_hosts in [cluster] has 17 entries; at most 16 are allowed"));
}

TEST(Rules, Timing) {
  for (const Rule& rule : {
           Rule{kC, "\"steady\"", "\"quick\"", "there is no profile \"quick\"",
                "\"steady\" or \"fast\" or \"realtime\""},
           Rule{kC, "settle", "window = \"613ms\"\nsettle",
                "W = 613 ms must be at least 1.01·(L 600 + F 5) + 2 = 613.05 ms", "window = \"614ms\""},
           Rule{kC, "settle", "lease = \"690ms\"\nsettle",
                "W = 700 ms must be at least 1.01·(L 690 + F 5) + 2 = 703.95 ms", "window = \"704ms\""},
           Rule{kC, "settle", "gate_latency = \"1s\"\nsettle", "two nodes could serve at once",
                "window = \"1618ms\""},
           Rule{kC, "settle", "lease = \"299ms\"\nsettle",
                "the lease (299ms) is shorter than three heartbeats (3 × 100ms)", "lease = \"300ms\""},
           Rule{kC, "settle", "heartbeat = \"250ms\"\nsettle", "shorter than three heartbeats",
                "heartbeat = \"200ms\""},
           Rule{kC, "settle", "host_gone = \"2s\"\nsettle", "host_gone (2s) must be longer",
                "host_gone = \"3s\""},
           Rule{kC, "settle", "host_back = \"500ms\"\nsettle",
                "host_back (500ms) is shorter than the time between two probes (1s)", "host_back = \"1s\""},
       })
    expect_refused(rule);
  expect_accepted({kC, "settle", "window = \"614ms\"\nsettle", "", ""});
  expect_accepted({kC, "settle", "lease = \"300ms\"\nsettle", "", ""});
}

TEST(Rules, PathsAndPrograms) {
  for (const Rule& rule : {
           Rule{kC, "port = 7410", "secret = \"secret.key\"", "secret in [cluster] is no absolute path",
                "in full"},
           Rule{kC, "port = 7410", "secret = \"/etc/../secret\"", "is no absolute path", "in full"},
           Rule{kC, "user =", "identity = \"~/.ssh/id\"\nuser =", "identity in [ssh] is no absolute path",
                "in full"},
           Rule{kC, "\"root\"\n\n[ssh]", "\"-oX\"\n\n[ssh]", "is no mail address", "mail = \"root\""},
           Rule{kC, "mail =", "command = \"notify\"\nmail =",
                "command in [notify] does not begin with an absolute path", "/usr/local/sbin"},
           Rule{kC, "[ssh]", "[hooks]\nup = \"up.sh\"\n[ssh]",
                "up in [hooks] does not begin with an absolute path", "/usr/local/sbin"},
           Rule{kC, "user = \"root\"", "user = \"-l\"", "is no user name", "user = \"root\""},
       })
    expect_refused(rule);
}

}  // namespace
}  // namespace clusterd
