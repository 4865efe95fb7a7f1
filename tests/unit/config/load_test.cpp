#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>

#include "config/passwords.hpp"
#include "config/record.hpp"
#include "files.hpp"

namespace clusterd {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using test::Files;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(Load, ReadsEverySetting) {
  Files files;
  const auto loaded = files.load("serv2");
  ASSERT_TRUE(loaded) << files.complaints("serv2");
  const Config& c = *loaded;
  EXPECT_EQ(c.cluster, "office");
  EXPECT_EQ(c.self, NodeId(1));
  EXPECT_EQ(c.nodes[0].name, "serv1");
  EXPECT_EQ(c.nodes[1].name, "serv2");
  EXPECT_EQ(c.nodes[1].redundant_nic, "eth2");
  ASSERT_EQ(c.links.size(), 2U);
  EXPECT_EQ(c.links[0].name, "heartbeat");
  EXPECT_EQ(c.links[1].name, "service");
  EXPECT_EQ(c.links[1].ends[1].nic, "eth0");
  EXPECT_EQ(c.links[1].ends[1].address.text(), "192.168.1.12/24");
  ASSERT_EQ(c.hosts.size(), 3U);
  EXPECT_EQ(c.hosts[0].kind, ProbeKind::kIcmp);
  EXPECT_EQ(c.hosts[0].link, LinkId(1));
  EXPECT_EQ(c.hosts[1].kind, ProbeKind::kArp);
  EXPECT_EQ(c.hosts[2].kind, ProbeKind::kTcp);
  EXPECT_EQ(c.hosts[2].address.text(), "10.9.9.9");
  EXPECT_EQ(c.hosts[2].port, 53);
  EXPECT_EQ(c.hosts[2].link, std::nullopt);
  EXPECT_EQ(c.timing.profile, "steady");
  EXPECT_EQ(c.timing.lease, milliseconds(600));
  EXPECT_EQ(c.timing.settle, seconds(3));
  EXPECT_EQ(c.secret_file, files.dir() + "/secret.key");
  EXPECT_EQ(c.notify.mail, "root");
}

TEST(Load, ReadsEveryServiceSetting) {
  Files files;
  const auto loaded = files.load();
  ASSERT_TRUE(loaded) << files.complaints();
  ASSERT_EQ(loaded->services.size(), 1U);
  const ServiceConfig& s = loaded->services[0];
  EXPECT_EQ(s.name, "web");
  EXPECT_EQ(s.prefer, NodeId(0));
  EXPECT_EQ(s.link, LinkId(1));
  ASSERT_EQ(s.addresses.size(), 2U);
  EXPECT_EQ(s.addresses[1].text(), "fd00::20/64");
  EXPECT_EQ(s.mac_address, MacAddress::derived("office", "web"));
  ASSERT_EQ(s.units.size(), 2U);
  EXPECT_EQ(s.units[0].kind, UnitConfig::Kind::kSystemd);
  EXPECT_EQ(s.units[1].kind, UnitConfig::Kind::kCommand);
  EXPECT_EQ(s.units[1].stop, "/s down");
  ASSERT_EQ(s.checks.size(), 1U);
  EXPECT_EQ(s.checks[0].port, 80);
  EXPECT_EQ(s.checks[0].text, "tcp 80");
  EXPECT_EQ(s.checks[0].every, seconds(1));
  EXPECT_EQ(s.failback, Failback::kAuto);
  EXPECT_EQ(s.budget.restarts, 2U);
  EXPECT_EQ(s.budget.within, minutes(5));
  ASSERT_EQ(s.mirrors.size(), 1U);
  EXPECT_EQ(s.mirrors[0].name, "pages");
  EXPECT_THAT(s.mirrors[0].paths, ElementsAre("/srv/www/", "/etc/nginx/nginx.conf"));
  EXPECT_EQ(s.mirrors[0].every, minutes(1));
  EXPECT_EQ(s.mirrors[0].keep_backups, hours(24 * 30));
  EXPECT_EQ(s.mirrors[0].max_backups, 10ULL << 30);
  EXPECT_TRUE(s.mirrors[0].remove);
  EXPECT_THAT(files.warnings, IsEmpty());
}

TEST(Load, ReadsTheExamples) {
  std::vector<ConfigProblem> warnings;
  const auto loaded = load_config(CLUSTERD_EXAMPLES, "serv1", &warnings);
  std::string complaints;
  if (!loaded)
    for (const ConfigProblem& problem : loaded.error()) complaints += describe(problem) + "\n";
  ASSERT_TRUE(loaded) << complaints;
  ASSERT_EQ(loaded->services.size(), 2U);
  EXPECT_EQ(loaded->services[0].name, "samba");
  EXPECT_EQ(loaded->services[0].mac, MacMode::kRedundant);
  EXPECT_EQ(loaded->services[1].name, "web");
  EXPECT_TRUE(loaded->services[1].hot);
  EXPECT_EQ(loaded->services[1].mirrors.at(1).to, "backup@192.0.2.50:/srv/copies/web/");
  EXPECT_THAT(warnings, IsEmpty());
}

TEST(Load, TextsGiveTheSameConfigurationAsTheirFiles) {
  Files files;
  ConfigTexts texts;
  const auto loaded = load_config(files.dir(), "serv2", nullptr, &texts);
  ASSERT_TRUE(loaded) << files.complaints("serv2");
  EXPECT_EQ(texts.size(), 2U);
  const auto parsed = parse_config(texts, files.dir(), "serv2");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->hash, loaded->hash);
  EXPECT_EQ(parsed->hashed_lines, loaded->hashed_lines);
  EXPECT_EQ(parsed->self, loaded->self);
  EXPECT_EQ(parsed->secret_file, loaded->secret_file);
  ASSERT_TRUE(parse_config(texts, files.dir(), kAnyNode));
  texts.erase("cluster.toml");
  EXPECT_FALSE(parse_config(texts, files.dir(), "serv2"));
}

TEST(Passwords, AreTakenOutAndTheRestMeansTheSame) {
  EXPECT_EQ(without_passwords("[x]\npasswd = \"a\\\"b\" # c\nip = '10.0.0.1'\n"),
            "[x]\npasswd = \"(not recorded)\" #\nip = '10.0.0.1'\n");
  EXPECT_EQ(without_passwords("o = { login = \"x\", \"api-Token\" = '''y\nz''', n = \"1\" }"),
            "o = { login = \"x\", \"api-Token\" = \"(not recorded)\", n = \"1\" }");
  EXPECT_EQ(without_passwords("passwords = [\"a\", \"b\"]\nsecret = \"/etc/key\"\n"),
            "passwords = [\"(not recorded)\", \"(not recorded)\"]\nsecret = \"/etc/key\"\n");
  for (const char* odd : {"", "\"", "passwd = \"", "passwd = '''x", "#", "passwd = \"\\"})
    EXPECT_EQ(without_passwords(odd).find('x'), std::string::npos) << odd;
  Files files;
  ConfigTexts texts;
  const auto loaded = load_config(files.dir(), "serv1", nullptr, &texts);
  ASSERT_TRUE(loaded);
  for (auto& [name, text] : texts) text = without_passwords(text);
  const auto parsed = parse_config(texts, files.dir(), "serv1");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->hashed_lines, loaded->hashed_lines);
}

TEST(Load, ReadsTheFlightRecordersRoom) {
  Files files;
  const auto settings = [&files] {
    ConfigTexts texts;
    EXPECT_TRUE(load_config(files.dir(), "serv1", nullptr, &texts)) << files.complaints();
    return record_config(texts);
  };
  EXPECT_TRUE(settings().on);
  EXPECT_EQ(settings().max, uint64_t{64} << 20U);
  files.write("cluster.toml", std::string("record = \"off\"\n") + test::kCluster);
  EXPECT_FALSE(settings().on);
  files.write("cluster.toml", std::string(test::kCluster) + "[record]\nmax = \"2MiB\"\n");
  EXPECT_EQ(settings().max, uint64_t{2} << 20U);
  for (const char* bad : {"[record]\nmax = \"1kB\"\n", "[record]\nfile = \"x\"\n"}) {
    files.write("cluster.toml", std::string(test::kCluster) + bad);
    EXPECT_FALSE(files.load("serv1")) << bad;
  }
  files.write("cluster.toml", std::string("record = 5\n") + test::kCluster);
  EXPECT_FALSE(files.load("serv1"));
}

TEST(Load, ReportsEveryProblemOfEveryFileAtOnce) {
  Files files;
  files.change("cluster.toml", "rejoin = \"auto\"", "rejoin = \"perhaps\"\nporrt = 1");
  files.change("cluster.toml", "\"3s\"", "\"soon\"");
  files.change("services/web.toml", "\"serv1\"", "\"serv3\"");
  files.write("services/broken.toml", "addresses = [\n");
  const auto loaded = files.load();
  ASSERT_FALSE(loaded);
  ASSERT_EQ(loaded.error().size(), 5U) << files.complaints();
  const auto& problems = loaded.error();
  EXPECT_EQ(problems[0].file, files.path("cluster.toml"));
  EXPECT_EQ(problems[0].line, 6);
  EXPECT_EQ(problems[0].column, 10);
  EXPECT_EQ(problems[1].line, 7);
  EXPECT_EQ(problems[1].column, 1);
  EXPECT_EQ(problems[2].line, 11);
  EXPECT_EQ(problems[3].file, files.path("services/broken.toml"));
  EXPECT_EQ(problems[4].file, files.path("services/web.toml"));
  EXPECT_EQ(problems[4].line, 1);
  for (const ConfigProblem& problem : problems) EXPECT_NE(problem.remedy, "") << describe(problem);
}

TEST(Load, NamesTheNodesWhereSelfIsNone) {
  Files files;
  const std::string text = files.complaints("mail");
  EXPECT_THAT(text, HasSubstr("this node is called \"mail\", which is none of its nodes serv1 and serv2"));
  EXPECT_THAT(text, HasSubstr("--node serv1 or --node serv2"));
}

TEST(Load, NamesWhatIsMissing) {
  Files files;
  std::filesystem::remove(files.path("cluster.toml"));
  EXPECT_THAT(files.complaints(), HasSubstr("cluster.toml: does not exist"));
  files.write("cluster.toml", "");
  const std::string text = files.complaints();
  EXPECT_THAT(text, HasSubstr("[cluster] is missing"));
  EXPECT_THAT(text, HasSubstr("tables of the nodes are missing"));
}

TEST(Load, NamesFilesThatCannotBeRead) {
  Files files;
  std::filesystem::create_symlink("nowhere", files.path("services/a.toml"));
  std::filesystem::create_symlink("b.toml", files.path("services/b.toml"));
  std::filesystem::create_directory(files.path("services/c.toml"));
  ASSERT_EQ(mkfifo(files.path("services/d.toml").c_str(), 0600), 0);
  files.write("services/e.toml", std::string(kMaxConfigFileBytes + 1, '#'));
  files.write("services/f.toml", kMaxConfigFileBytes > 0 ? "hot = true" : "");
  std::filesystem::permissions(files.path("services/f.toml"), std::filesystem::perms(0666));
  const std::string text = files.complaints();
  EXPECT_THAT(text, HasSubstr("a.toml: is a symbolic link to a file that does not exist"));
  EXPECT_THAT(text, HasSubstr("b.toml: cannot be looked at: Too many levels of symbolic links"));
  EXPECT_THAT(text, HasSubstr("c.toml: is a directory"));
  EXPECT_THAT(text, HasSubstr("d.toml: is not a regular file"));
  EXPECT_THAT(text, HasSubstr("e.toml: is longer than 1048576 bytes"));
  EXPECT_THAT(text, HasSubstr("f.toml: may be written by everybody"));
}

TEST(Load, NamesUnreadableFiles) {
  if (geteuid() == 0) GTEST_SKIP() << "root may read everything";
  Files files;
  std::filesystem::permissions(files.path("services/web.toml"), std::filesystem::perms::none);
  EXPECT_THAT(files.complaints(), HasSubstr("web.toml: cannot be read: Permission denied"));
}

TEST(Load, SurvivesWhatTheParserItselfDoesNotExpect) {
  Files files;
  files.change("cluster.toml", "[timing]", "[,timing]");
  EXPECT_THAT(files.complaints(), HasSubstr("cluster.toml:9:1: syntax error: the line makes no sense"));
}

// toml++ believes that its test for odd blanks is never asked about these letters.
TEST(Load, LettersOfOtherLanguagesAreNoBlanksAndNoKeys) {
  for (const char* key : {"gr\xc3\xb6\xc3\x9f"
                          "e = 1",
                          "\xd0\xb6 = 1", "a\xca\x9e = 1", "x = \"\"\"a\\ \xc3\xa4\"\"\""}) {
    Files files;
    files.change("cluster.toml", "relay = \"auto\"", key);
    EXPECT_THAT(files.complaints(), HasSubstr("cluster.toml:5:")) << key;
  }
}

TEST(Load, FollowsSymbolicLinksToFiles) {
  Files files;
  files.write("elsewhere", "units = [\"cron.service\"]\naddresses = [\"192.168.1.77/24\"]\n");
  std::filesystem::create_symlink("../elsewhere", files.path("services/linked.toml"));
  const auto loaded = files.load();
  ASSERT_TRUE(loaded) << files.complaints();
  EXPECT_EQ(loaded->services.at(0).name, "linked");
}

TEST(Load, PassesOverWhatEditorsLeaveBehind) {
  Files files;
  for (const char* name : {"web.toml~", ".web.toml.swp", ".hidden.toml", "old.toml.bak"})
    files.write(std::string("services/") + name, "nonsense [");
  EXPECT_EQ(files.complaints(), "");
  EXPECT_EQ(files.warned(), "");
  files.write("services/readme.txt", "nonsense [");
  EXPECT_THAT(files.warned(), HasSubstr("readme.txt: is not read"));
  EXPECT_EQ(files.complaints(), "");
}

TEST(Load, RefusesATooFullDirectory) {
  Files files;
  for (size_t i = 0; i < kMaxConfigFiles; ++i) files.write("services/.f" + std::to_string(i), "");
  EXPECT_THAT(files.complaints(), HasSubstr("holds more than 1000 files"));
}

TEST(Load, RefusesTooManyServices) {
  Files files;
  for (size_t i = 0; i < kMaxServices; ++i)
    files.write("services/s" + std::to_string(i) + ".toml",
                "units = [\"u" + std::to_string(i) + ".service\"]");
  EXPECT_THAT(files.complaints(), HasSubstr("there are 25 services; at most 24 are allowed"));
}

TEST(Load, WarnsOfWhatIsAllowedButHardlyMeant) {
  Files files;
  files.change("cluster.toml", "reference_hosts", "# reference_hosts");
  EXPECT_THAT(files.warned(), HasSubstr("there is no reference host"));
  EXPECT_EQ(files.complaints(), "");
  std::filesystem::remove(files.path("services/web.toml"));
  EXPECT_THAT(files.warned(), HasSubstr("holds no service"));
  std::filesystem::remove(files.path("services"));
  EXPECT_THAT(files.warned(), HasSubstr("there are no services"));
  EXPECT_EQ(files.complaints(), "");
}

}  // namespace
}  // namespace clusterd
