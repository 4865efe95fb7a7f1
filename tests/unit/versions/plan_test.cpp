// What a change of the configuration does, by table; and which units are left over from the former one.
#include "versions/plan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/config/files.hpp"

namespace clusterd::versions {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

ConfigTexts base() {
  return {{"cluster.toml", test::kCluster},
          {"services/web.toml", test::kWeb},
          {"services/mail.toml",
           "addresses = [\"192.168.1.30/24\"]\nunits = [{ name = \"mta\", run = \"/usr/sbin/mta\" }]\n"}};
}

Config parsed(const ConfigTexts& texts) {
  const auto config = parse_config(texts, "/etc/cluster.d", "serv1");
  if (config) return *config;
  for (const auto& problem : config.error()) ADD_FAILURE() << describe(problem);
  std::abort();
}

// `from` → `to` in one file; an empty `from` removes the file, and a file that is not there is made.
ConfigTexts changed(const std::string& file, const std::string& from, const std::string& to) {
  ConfigTexts texts = base();
  if (!texts.contains(file)) {
    texts[file] = to;
  } else if (from.empty()) {
    texts.erase(file);
  } else {
    const size_t at = texts[file].find(from);
    EXPECT_NE(at, std::string::npos) << from;
    texts[file].replace(at, from.size(), to);
  }
  return texts;
}

struct Row {
  const char* what;
  const char *file, *from, *to;
  const char* service;  // "" = the cluster alone
  Effect effect;
  const char* text;
  bool arbitration;
};

const char* const kWebFile = "services/web.toml";

const Row kRows[] = {
    {"an address more", kWebFile, "\"fd00::20/64\"", "\"fd00::20/64\", \"192.168.1.21/24\"", "web",
     Effect::kAddresses, "192.168.1.21/24 is added", false},
    {"a relation", kWebFile, "[[mirror]]", "after = [\"mail\"]\n[[mirror]]", "web", Effect::kNothing,
     "after: mail; counts from the next start or stop", false},
    {"an address less", kWebFile, ", \"fd00::20/64\"", "", "web", Effect::kAddresses,
     "fd00::20/64 is removed", false},
    {"another way of the MAC", kWebFile, "mac = \"virtual\"", "mac = \"none\"", "web", Effect::kAddresses,
     "move to another device", false},
    {"another MAC", kWebFile, "mac = \"virtual\"", "mac = \"virtual\"\nmac_address = \"02:00:00:00:00:20\"",
     "web", Effect::kAddresses, "02:00:00:00:00:20", false},
    {"another link", kWebFile, "mac = \"virtual\"", "mac = \"virtual\"\nlink = \"heartbeat\"", "web",
     Effect::kAddresses, "link heartbeat", false},
    {"a unit more", kWebFile, "\"nginx.service\"", "\"nginx.service\", \"php.service\"", "web",
     Effect::kUnits, "php.service starts", false},
    {"a unit less", kWebFile, "\"nginx.service\", ", "", "web", Effect::kUnits, "nginx.service stops", false},
    {"other commands", kWebFile, "/s up", "/s up --fast", "web", Effect::kUnitRestarts, "own restarts",
     false},
    {"a longer limit", kWebFile, "\"nginx.service\"",
     "{ name = \"nginx.service\", start_timeout = \"1min\" }", "web", Effect::kNothing, "start_timeout",
     false},
    {"a check", kWebFile, "every = \"1s\"", "every = \"3s\"", "web", Effect::kNothing, "check 1", false},
    {"a mirror's path", kWebFile, "/srv/www/", "/srv/pages/", "web", Effect::kNothing, "mirror pages paths",
     false},
    {"the preferred node", kWebFile, "prefer = \"serv1\"", "prefer = \"serv2\"", "web", Effect::kNothing,
     "prefer: serv1 → serv2", false},
    {"hot", kWebFile, "mac = \"virtual\"", "mac = \"virtual\"\nhot = true", "web", Effect::kUnits,
     "start on the standby", false},
    {"effects", kWebFile, "mac = \"virtual\"", "mac = \"virtual\"\neffects = \"node\"", "web",
     Effect::kNothing, "effects: address → node", true},
    {"a new service", "services/dns.toml", "", "addresses = [\"192.168.1.40/24\"]\nprefer = \"serv2\"\n",
     "dns", Effect::kBegins, "on serv2", false},
    {"a service less", "services/mail.toml", "", "", "mail", Effect::kEnds, "is stopped", false},
    {"the port", "cluster.toml", "port = 7410", "port = 7420", "", Effect::kNothing, "port: 7410 → 7420",
     true},
    {"the times", "cluster.toml", "profile = \"steady\"", "profile = \"fast\"", "", Effect::kNothing, "lease",
     true},
    {"a link's NIC", "cluster.toml", "nic = \"eth1\"", "nic = \"eth3\"", "", Effect::kNothing,
     "node.serv1.heartbeat", true},
    {"a reference host", "cluster.toml", "\"192.168.1.1\", ", "", "", Effect::kNothing, "reference_hosts",
     true},
    {"a file of the site more", "cluster.toml", "[timing]", "[always]\npaths = [\"/etc/hosts\"]\n[timing]",
     "", Effect::kNothing, "always paths: [\"/etc/hosts\"]", false},
    {"who is told", "cluster.toml", "mail = \"root\"", "mail = \"anna\"", "", Effect::kNothing,
     kPrivateSettings, false},
};

TEST(Plan, Table) {
  const Config old = parsed(base());
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.what);
    const Plan made = plan(old, parsed(changed(row.file, row.from, row.to)));
    EXPECT_EQ(made.refused, "");
    EXPECT_EQ(made.arbitration, row.arbitration);
    std::string said;
    if (row.service[0] == '\0') {
      EXPECT_THAT(made.services, IsEmpty());
      for (const Step& step : made.cluster) said += step.text + "\n";
    } else {
      EXPECT_THAT(made.cluster, IsEmpty());
      ASSERT_EQ(made.services.size(), 1U);
      EXPECT_EQ(made.services[0].service, row.service);
      EXPECT_EQ(made.services[0].worst(), row.effect) << name(made.services[0].worst());
      for (const Step& step : made.services[0].steps) said += step.text + "\n";
    }
    EXPECT_THAT(said, HasSubstr(row.text));
  }
}

TEST(Plan, ARelationConcernsBothAndRestartsNothing) {
  const Plan made =
      plan(parsed(base()), parsed(changed(kWebFile, "[[mirror]]", "with = [\"mail\"]\n[[mirror]]")));
  ASSERT_EQ(made.services.size(), 2U);
  for (const ServicePlan& service : made.services) EXPECT_EQ(service.worst(), Effect::kNothing);
  EXPECT_EQ(made.services[1].steps[0].text, "with: mail; a group that is on both nodes comes together");
}

TEST(Plan, CommentsAndFormattingChangeNothing) {
  const Plan made =
      plan(parsed(base()), parsed(changed(kWebFile, "mac = \"virtual\"", "# our own\nmac =   \"virtual\"")));
  EXPECT_FALSE(made.restarts());
  EXPECT_THAT(made.untouched, ElementsAre("mail", "web"));
}

TEST(Plan, ANodeIsNotRenamed) {
  ConfigTexts texts = base();
  for (auto& [file, text] : texts)
    for (size_t at = text.find("serv2"); at != std::string::npos; at = text.find("serv2", at))
      text.replace(at, 5, "serv9");
  EXPECT_THAT(plan(parsed(base()), parsed(texts)).refused, HasSubstr("serv2 would be called serv9"));
}

std::vector<std::string> left_over(const ConfigTexts& texts) {
  const Config old = parsed(base()), now = parsed(texts);
  std::vector<std::string> out;
  for (const OldUnit& unit : old_units(old, now))
    out.push_back(old.service(unit.service).units.at(unit.unit.at()).name);
  return out;
}

TEST(OldUnits, OnlyWhatIsGoneOrRunsByOtherCommandsInReverseOrder) {
  EXPECT_THAT(left_over(base()), IsEmpty());
  EXPECT_THAT(left_over(changed("services/mail.toml", "", "")), ElementsAre("mta"));
  EXPECT_THAT(left_over(changed(kWebFile, "", "")), ElementsAre("own", "nginx.service"));
  EXPECT_THAT(left_over(changed(kWebFile, "/s up", "/s up --fast")), ElementsAre("own"));
  EXPECT_THAT(left_over(changed(kWebFile, "\"nginx.service\"",
                                "{ name = \"nginx.service\", stop_timeout = \"9s\" }")),
              IsEmpty());
}

TEST(OldUnits, ASystemdUnitThatAnotherServiceHasNowIsThatOnesToStop) {
  ConfigTexts texts = changed(kWebFile, "\"nginx.service\", ", "");
  texts["services/mail.toml"] = "addresses = [\"192.168.1.30/24\"]\nunits = [\"nginx.service\"]\n";
  EXPECT_THAT(left_over(texts), ElementsAre("mta"));
}

}  // namespace
}  // namespace clusterd::versions
