#include <gmock/gmock.h>

#include <map>
#include <set>

#include "files.hpp"

namespace clusterd {
namespace {

using test::Files;
using testing::Contains;

Config loaded(Files& files, const std::string& self = "serv1") {
  auto config = files.load(self);
  EXPECT_TRUE(config) << files.complaints(self);
  return config ? *config : Config{};
}

TEST(Fingerprint, IsTheSameOnBothNodes) {
  Files files;
  const Config a = loaded(files, "serv1");
  const Config b = loaded(files, "serv2");
  EXPECT_NE(a.hash, 0U);
  EXPECT_EQ(a.hash, b.hash);
  EXPECT_EQ(a.hashed_lines, b.hashed_lines);
}

TEST(Fingerprint, ReadsLikeTheFiles) {
  Files files;
  const auto lines = loaded(files).hashed_lines;
  EXPECT_THAT(lines, Contains("services/web.toml: mac = virtual"));
  EXPECT_THAT(lines, Contains("cluster.toml: node.serv1.service = eth0 192.168.1.11/24"));
  EXPECT_THAT(lines, Contains("cluster.toml: window = 700ms"));
}

TEST(Fingerprint, DoesNotDependOnFormattingOrderOrWrittenDefaults) {
  Files files;
  const Config before = loaded(files);
  files.write("cluster.toml", R"(# the same in other words
[node.serv2]
redundant = { nic = "eth2" }   # spare
heartbeat = { address = "192.168.111.2/24", nic = 'eth1' }
service.nic = "eth0"
service.address = "192.168.1.12/24"
[node.serv1]
heartbeat = { nic = "eth1", address = "192.168.111.1/24" }
redundant = { nic = "eth2" }
service = { nic = "eth0", address = "192.168.1.11/24" }
[timing]
settle = "3000ms"
window = "0.7s"
[cluster]
secret = "/root/other.key"
reference_hosts = [ "192.168.1.1",
  "arp://192.168.1.2", "tcp://10.9.9.9:53", ]
name = "office"
max_takeovers_per_hour = 4
[hooks]
up = "/bin/true"
)");
  files.write("services/web.toml", R"(
restarts = { within = "300s", max = 2 }
units = ["nginx.service", { stop = "/s down", status = "/s ask", name = "own", start = "/s up" }]
addresses = ["192.168.1.20/24", "fd00:0::20/64"]
link = "service"
hot = false
checks = [{ every = "1000ms", tcp = "80", failures = 3 }]
failback = "auto"
prefer = "serv1"
[[mirror]]
backups = { max = "10240MiB", keep = "720h" }
every = "60s"
exclude = ["*.tmp"]
delete = true
paths = ["/srv/www/", "/etc/nginx/nginx.conf"]
name = "pages"
via = "rsync"
mode = "interval"
)");
  const Config after = loaded(files);
  EXPECT_EQ(before.hashed_lines, after.hashed_lines);
  EXPECT_EQ(before.hash, after.hash);
}

struct Change {
  const char* file;
  const char* from;
  const char* to;
};

// Every change of something shared must change the hash, and each one differently.
TEST(Fingerprint, SeesEveryChangeOfASharedSetting) {
  const Change changes[] = {
      {"cluster.toml", "office", "bureau"},
      {"cluster.toml", "192.168.1.1\"", "192.168.1.3\""},
      {"cluster.toml", "\"192.168.1.1\", \"arp://192.168.1.2\"", "\"arp://192.168.1.2\", \"192.168.1.1\""},
      {"cluster.toml", "steady", "fast"},
      {"cluster.toml", "relay = \"auto\"", "relay = \"off\""},
      {"cluster.toml", "rejoin = \"auto\"", "rejoin = \"manual\""},
      {"cluster.toml", "7410", "7411"},
      {"cluster.toml", "port =", "max_takeovers_per_hour = 5\nport ="},
      {"cluster.toml", "3s", "4s"},
      {"cluster.toml", "settle", "window = \"800ms\"\nsettle"},
      {"cluster.toml", "settle", "gate_latency = \"6ms\"\nsettle"},
      {"cluster.toml", "settle", "heartbeat = \"90ms\"\nsettle"},
      {"cluster.toml", "settle", "lease = \"590ms\"\nsettle"},
      {"cluster.toml", "settle", "host_gone = \"59s\"\nsettle"},
      {"cluster.toml", "settle", "host_back = \"9s\"\nsettle"},
      {"cluster.toml", "settle", "probe = \"900ms\"\nsettle"},
      {"cluster.toml", "eth1", "eth5"},
      {"cluster.toml", "192.168.111.2/24", "192.168.111.3/24"},
      {"cluster.toml", "redundant = { nic = \"eth2\" }", "redundant = { nic = \"eth3\" }"},
      {"services/web.toml", "serv1", "serv2"},
      {"services/web.toml", "1.20/24", "1.22/24"},
      {"services/web.toml", "virtual", "redundant"},
      {"services/web.toml", "virtual", "none"},
      {"services/web.toml", "mac =", "mac_address = \"02:00:00:00:00:01\"\nmac ="},
      {"services/web.toml", "mac =", "link = \"heartbeat\"\nmac ="},
      {"services/web.toml", "mac =", "hot = true\nmac ="},
      {"services/web.toml", "mac =", "failback_after = \"1min\"\nmac ="},
      {"services/web.toml", "nginx.service", "apache2.service"},
      {"services/web.toml", "/s down", "/s off"},
      {"services/web.toml", "status =", "stop_timeout = \"9s\", status ="},
      {"services/web.toml", "tcp = \"80\"", "tcp = \"81\""},
      {"services/web.toml", "every = \"1s\"", "every = \"2s\""},
      {"services/web.toml", "failback = \"auto\"", "failback = \"manual\""},
      {"services/web.toml", "max = 2", "max = 3"},
      {"services/web.toml", "\"pages\"", "\"sites\""},
      {"services/web.toml", "/srv/www/\"", "/srv/web/\""},
      {"services/web.toml", "*.tmp", "*.bak"},
      {"services/web.toml", "1min", "2min"},
      {"services/web.toml", "30d", "31d"},
      {"services/web.toml", "10GiB", "11GiB"},
      {"services/web.toml", "exclude", "delete = false\nexclude"},
      {"services/web.toml", "exclude", "whole_file = true\nexclude"},
      {"services/web.toml", "exclude", "compress = true\nexclude"},
      {"services/web.toml", "exclude", "bandwidth = \"1MiB/s\"\nexclude"},
      {"services/web.toml", "exclude", "to = \"a@b:/c/\"\nexclude"},
      {"services/web.toml", "exclude", "mode = \"live\"\nexclude"},
      {"services/web.toml", "exclude", "mode = \"live\"\nids = \"name\"\nexclude"},
  };
  Files original;
  std::set<uint64_t> hashes{loaded(original).hash};
  for (const Change& change : changes) {
    SCOPED_TRACE(std::string(change.from) + " -> " + change.to);
    Files files;
    files.change(change.file, change.from, change.to);
    EXPECT_TRUE(hashes.insert(loaded(files).hash).second);
  }
}

}  // namespace
}  // namespace clusterd
