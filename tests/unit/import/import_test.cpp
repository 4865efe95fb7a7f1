// Other systems' configurations, and what becomes of them: judged by our own loader.
#include "import/import.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace clusterd::imports {

static void PrintTo(const Left& left, std::ostream* out) {
  *out << left.file << ":" << left.line << ": " << left.what << " | " << left.instead;
}

namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::Pair;

std::string read(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  EXPECT_TRUE(stream) << path;
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

SourceFiles sample(const std::string& name) {
  namespace fs = std::filesystem;
  const fs::path root = fs::path(TESTDATA) / name;
  SourceFiles files;
  if (fs::is_regular_file(root)) return {{name, read(root)}};
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    if (entry.is_regular_file())
      files.push_back({fs::relative(entry.path(), root).string(), read(entry.path())});
  }
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return files;
}

// What a person would add with --node.
void give(Imported& imported, const std::string& node, const std::string& link, const std::string& nic,
          const std::string& address) {
  setup::NodeSketch* to = imported.sketch.node(node);
  ASSERT_NE(to, nullptr) << node;
  if (setup::EndSketch* end = to->end(link)) {
    *end = {link, nic, address};
  } else {
    to->ends.push_back({link, nic, address});
  }
}

Config judged(Imported& imported) {
  setup::settle(imported.sketch);
  EXPECT_THAT(setup::missing(imported.sketch), IsEmpty());
  const ConfigTexts texts = setup::written(imported.sketch);
  const auto config = parse_config(texts, "/etc/cluster.d", kAnyNode);
  if (config) return *config;
  std::string all;
  for (const ConfigProblem& problem : config.error()) all += describe(problem) + "\n";
  for (const auto& [name, text] : texts) all += "--- " + name + "\n" + text;
  ADD_FAILURE() << all;
  return {};
}

const ServiceConfig& service(const Config& config, const std::string& name) {
  static const ServiceConfig kNone;
  for (const ServiceConfig& one : config.services)
    if (one.name == name) return one;
  ADD_FAILURE() << "no service " << name;
  return kNone;
}

std::vector<std::string> addresses(const ServiceConfig& of) {
  std::vector<std::string> texts;
  for (const Prefix& prefix : of.addresses) texts.push_back(prefix.text());
  return texts;
}

std::vector<std::string> units(const ServiceConfig& of) {
  std::vector<std::string> names;
  for (const UnitConfig& unit : of.units) names.push_back(unit.name);
  return names;
}

auto says(const std::string& file, int line, const std::string& what, const std::string& instead = "") {
  return Contains(testing::AllOf(Field(&Left::file, file), Field(&Left::line, line),
                                 Field(&Left::what, HasSubstr(what)),
                                 Field(&Left::instead, HasSubstr(instead))));
}

TEST(Clusterd093, NodesBecomeServicesWithOneMirrorPerFile) {
  Imported imported = from_clusterd_093(sample("clusterd-0.93"));
  EXPECT_THAT(setup::missing(imported.sketch),
              ElementsAre(HasSubstr("--node serv1:service=eth0,ADDRESS/LENGTH"),
                          HasSubstr("--node serv2:service=eth0,ADDRESS/LENGTH")));
  give(imported, "serv1", "service", "eth0", "203.1.2.11/24");
  give(imported, "serv2", "service", "eth0", "203.1.2.12/24");
  const Config config = judged(imported);
  ASSERT_EQ(config.services.size(), 2U);
  const ServiceConfig& one = service(config, "of-serv1");
  EXPECT_THAT(addresses(one), ElementsAre("203.1.2.1/24"));
  EXPECT_EQ(config.node(*one.prefer).name, "serv1");
  ASSERT_EQ(one.mirrors.size(), 2U);
  EXPECT_EQ(one.mirrors[0].name, "lpd");
  EXPECT_THAT(one.mirrors[0].paths, ElementsAre("/var/spool/lpd/", "/etc/printcap"));
  EXPECT_EQ(one.mirrors[0].every, std::chrono::minutes(5));
  EXPECT_EQ(one.mirrors[1].every, std::chrono::hours(1));
  EXPECT_THAT(one.mirrors[1].paths, ElementsAre("/var/spool/mail/", "/etc/aliases"));
  EXPECT_EQ(config.links.size(), 2U);
}

TEST(Clusterd093, SaysWhatItCouldNotExpress) {
  const Imported imported = from_clusterd_093(sample("clusterd-0.93"));
  EXPECT_THAT(imported.left, says("serv1/Fmail", 4, "/home/*/Maildir", "exclude"));
  EXPECT_THAT(imported.left, says("crontab", 4, "10 3 * * 1", "every"));
  EXPECT_THAT(imported.left, says("serv2.conf", 7, "STARTED"));
  EXPECT_THAT(imported.left, says("serv1.conf", 4, "MAC of its own"));
  EXPECT_THAT(imported.left, says("serv1.conf", 2, "which programs", "units"));
  EXPECT_THAT(imported.left, says("serv1.conf", 5, "class"));
}

TEST(Keepalived, InstancesOfBothNodesBecomeServices) {
  Imported imported = from_keepalived(sample("keepalived"));
  give(imported, "lb1", "heartbeat", "ens19", "10.0.0.1/24");
  give(imported, "lb2", "heartbeat", "ens19", "10.0.0.2/24");
  const Config config = judged(imported);
  const ServiceConfig& web = service(config, "WEB");
  EXPECT_THAT(addresses(web), ElementsAre("192.168.1.20/24", "192.168.1.21/24"));
  EXPECT_EQ(config.node(*web.prefer).name, "lb1");
  EXPECT_EQ(web.failback, Failback::kAuto);
  EXPECT_EQ(web.failback_after, std::chrono::seconds(60));
  ASSERT_EQ(web.checks.size(), 1U);
  EXPECT_EQ(web.checks[0].command, "/usr/bin/curl -sf http://127.0.0.1/ok");
  EXPECT_EQ(web.checks[0].failures, 2U);
  EXPECT_EQ(web.checks[0].timeout, std::chrono::seconds(3));
  const ServiceConfig& db = service(config, "DB");
  EXPECT_THAT(addresses(db), ElementsAre("192.168.1.22/24", "fd00::22/64"));
  EXPECT_EQ(config.node(*db.prefer).name, "lb2");
  EXPECT_EQ(db.failback, Failback::kManual) << "nopreempt";
  EXPECT_EQ(config.notify.mail, "root@example.org");
}

TEST(Keepalived, SaysWhatItCouldNotExpress) {
  const Imported imported = from_keepalived(sample("keepalived"));
  EXPECT_THAT(imported.left, says("lb1.conf", 41, "notify_master", "unit"));
  EXPECT_THAT(imported.left, says("lb1.conf", 58, "virtual_server", "proxy"));
  EXPECT_THAT(imported.left, says("lb1.conf", 39, "ens19", "--node NAME:LINK=ens19"));
  EXPECT_THAT(told(imported.left), Not(HasSubstr("s3cret")));
  for (const auto& [name, text] : setup::written(imported.sketch))
    EXPECT_THAT(text, Not(HasSubstr("s3cret")));
}

TEST(Keepalived, OneFileAloneNamesWhatIsMissing) {
  SourceFiles files = sample("keepalived");
  files.pop_back();
  const Imported imported = from_keepalived(files);
  EXPECT_THAT(imported.left, says("lb1.conf", 0, "the other node's file"));
  EXPECT_EQ(imported.sketch.nodes.size(), 2U) << "unicast_peer names the other one's address";
  EXPECT_EQ(imported.sketch.nodes[1].ends[0].address, "192.168.1.12/24");
}

TEST(Keepalived, GroupsMoveTogether) {
  const Imported imported =
      from_keepalived({{"a.conf",
                        "vrrp_sync_group G { group { A\n B\n } }\n"
                        "vrrp_instance A { interface eth0\n virtual_ipaddress { 192.168.1.20/24 } }\n"
                        "vrrp_instance B { interface eth0\n virtual_ipaddress { 192.168.1.21/24 } }\n"}});
  ASSERT_EQ(imported.sketch.services.size(), 1U);
  EXPECT_EQ(imported.sketch.services[0].name, "G");
  EXPECT_THAT(imported.sketch.services[0].addresses, ElementsAre("192.168.1.20/24", "192.168.1.21/24"));
}

TEST(Heartbeat, ResourceGroupsBecomeServices) {
  Imported imported = from_heartbeat(sample("heartbeat"));
  EXPECT_THAT(setup::missing(imported.sketch),
              ElementsAre(HasSubstr("--node serv1:service=eth0,"), HasSubstr("--node serv2:service=eth0,")));
  give(imported, "serv1", "service", "eth0", "192.168.1.11/24");
  give(imported, "serv2", "service", "eth0", "192.168.1.12/24");
  const Config config = judged(imported);
  ASSERT_EQ(config.links.size(), 2U);
  EXPECT_EQ(config.links[0].name, "heartbeat");
  EXPECT_EQ(config.links[0].ends[0].address.address.text(), "10.0.0.1");
  const ServiceConfig& apache = service(config, "apache2");
  EXPECT_THAT(addresses(apache), ElementsAre("192.168.1.20/24"));
  EXPECT_THAT(units(apache), ElementsAre("apache2.service"));
  EXPECT_EQ(apache.failback, Failback::kManual);
  EXPECT_THAT(addresses(service(config, "dovecot")), ElementsAre("192.168.1.21/24"));
  ASSERT_EQ(config.hosts.size(), 1U);
  EXPECT_EQ(config.hosts[0].text, "192.168.1.1");
  EXPECT_EQ(config.notify.mail, "ops@example.org");
}

TEST(Heartbeat, SaysWhatItCouldNotExpress) {
  const Imported imported = from_heartbeat(sample("heartbeat"));
  EXPECT_THAT(imported.left, says("haresources", 2, "Filesystem", "/srv/www/"));
  EXPECT_THAT(imported.left, says("haresources", 4, "backup::daily", "start"));
  EXPECT_THAT(imported.left, says("ha.cf", 18, "host name", "--reference-host"));
  EXPECT_THAT(imported.left, says("ha.cf", 9, "serial line"));
}

void give_both(Imported& imported) {
  give(imported, "serv1", "service", "eth0", "192.168.1.11/24");
  give(imported, "serv2", "service", "eth0", "192.168.1.12/24");
}

std::string names_of(const Config& config, const std::vector<ServiceId>& ids) {
  std::string out;
  for (const ServiceId id : ids) out += (out.empty() ? "" : " ") + config.service(id).name;
  return out;
}

TEST(Pcs, GroupsAndColocationsBecomeServices) {
  Imported imported = from_pcs(sample("pcs-0.10.txt"));
  give_both(imported);
  const Config config = judged(imported);
  EXPECT_EQ(config.cluster, "office");
  const ServiceConfig& web = service(config, "web");
  EXPECT_THAT(addresses(web), ElementsAre("192.168.1.20/24"));
  EXPECT_THAT(units(web), ElementsAre("nginx.service"));
  EXPECT_EQ(config.node(*web.prefer).name, "serv1");
  EXPECT_EQ(web.failback, Failback::kAuto) << "the preference is stronger than the stickiness";
  const ServiceConfig& db = service(config, "db-ip");
  EXPECT_THAT(addresses(db), ElementsAre("192.168.1.21/24")) << "the length is the network's";
  EXPECT_THAT(units(db), ElementsAre("postgresql.service"));
  EXPECT_TRUE(service(config, "dlm").hot);
  EXPECT_EQ(names_of(config, web.apart_from), "db-ip");
  EXPECT_EQ(names_of(config, db.after), "web");
}

TEST(Pcs, SaysWhatItCouldNotExpress) {
  const Imported imported = from_pcs(sample("pcs-0.10.txt"));
  EXPECT_THAT(imported.left, says("pcs-0.10.txt", 19, "Filesystem", "/srv/db/"));
  EXPECT_THAT(imported.left, says("pcs-0.10.txt", 17, "postgresql.service"));
  EXPECT_THAT(imported.left, says("pcs-0.10.txt", 25, "STONITH"));
  EXPECT_THAT(imported.left, says("pcs-0.10.txt", 36, "an order", "after"));
  EXPECT_THAT(imported.left, says("pcs-0.10.txt", 37, "before", "circle"));
  EXPECT_THAT(imported.left, says("pcs-0.10.txt", 38, "before", "hot"));
  EXPECT_THAT(told(imported.left), Not(HasSubstr("passwd")));
}

TEST(Pcs, NewerVersionsWriteOtherLines) {
  Imported imported = from_pcs(sample("pcs-0.11.txt"));
  give_both(imported);
  const Config config = judged(imported);
  ASSERT_EQ(config.services.size(), 1U);
  EXPECT_THAT(addresses(config.services[0]), ElementsAre("192.168.1.20/24"));
  EXPECT_THAT(units(config.services[0]), ElementsAre("nginx.service"));
  EXPECT_EQ(config.node(*config.services[0].prefer).name, "serv2");
}

TEST(Crm, GroupsAndColocationsBecomeServices) {
  Imported imported = from_crm(sample("crm.txt"));
  give_both(imported);
  const Config config = judged(imported);
  EXPECT_EQ(config.cluster, "backoffice");
  const ServiceConfig& web = service(config, "g-web");
  EXPECT_THAT(addresses(web), ElementsAre("192.168.1.20/24"));
  EXPECT_THAT(units(web), ElementsAre("apache2.service", "p-lock"));
  EXPECT_EQ(web.units[1].ocf.text(), "ocf:heartbeat:Dummy");
  EXPECT_THAT(web.units[1].ocf.parameters, ElementsAre(Pair("state", "/run/a lock")));
  EXPECT_THAT(imported.left, says("crm.txt", 28, "bad.name"));
  EXPECT_EQ(web.failback, Failback::kManual) << "the stickiness is stronger";
  const ServiceConfig& smb = service(config, "p-smbd");
  EXPECT_THAT(addresses(smb), ElementsAre("192.168.1.21/24"));
  EXPECT_THAT(units(smb), ElementsAre("smbd.service"));
  EXPECT_THAT(imported.left, says("crm.txt", 14, "ms-drbd", "mirror"));
  EXPECT_THAT(imported.left, says("crm.txt", 17, "l-rule", "prefer"));
  EXPECT_EQ(names_of(config, smb.apart_from), "g-web");
  EXPECT_EQ(names_of(config, smb.after), "g-web");
  EXPECT_THAT(imported.left, says("crm.txt", 22, "o-wish", "after"));
}

// Nothing of a hostile file gets into ours as anything but a quoted string or a comment.
TEST(Hostile, TextsStayTexts) {
  Imported imported = from_keepalived(
      {{"x.conf",
        "vrrp_script c { script \"/bin/true '\\\"]\nunits = [evil]\" }\n"
        "vrrp_instance \"A]\\nhot = true\" { interface \"eth0\\\" }\"\n virtual_ipaddress { 192.168.1.20/24 "
        "}\n"
        "track_script { c } }\nvrrp_instance B { virtual_ipaddress { \"1.2.3.4\x01\xff\" } }"}});
  for (const auto& [name, text] : setup::written(imported.sketch)) {
    EXPECT_THAT(text, Not(HasSubstr("\nhot = true"))) << text;
    EXPECT_THAT(text, Not(HasSubstr("\nunits = [evil]"))) << text;
    EXPECT_EQ(text.find('\x01'), std::string::npos);
    EXPECT_EQ(text.find('\xff'), std::string::npos);
  }
}

TEST(Hostile, CountsAreBounded) {
  std::string deep, wide;
  for (int i = 0; i < 100'000; ++i) {
    deep += "a {";
    wide += "vrrp_instance I" + std::to_string(i) + " { notify x\n virtual_ipaddress { 10.0.0.1/8 } }\n";
  }
  EXPECT_LE(from_keepalived({{"k.conf", deep}}).left.size(), kMaxLeft + 1);
  const Imported imported = from_keepalived({{"k.conf", wide}});
  EXPECT_LE(imported.sketch.services.size(), kMaxServices);
  EXPECT_LE(imported.left.size(), kMaxLeft + 1);
}

}  // namespace
}  // namespace clusterd::imports
