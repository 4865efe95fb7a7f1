// What agents say of themselves, and the mistakes that it shows.
#include "ctl/ocf_metadata.hpp"

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>

#include "ctl/check_units.hpp"
#include "ctl/shell.hpp"
#include "unit/state/temporary_folder.hpp"

namespace clusterd::ctl {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr const char* kXml = R"(<?xml version="1.0"?>
<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd">
<resource-agent name="Thing" version="1.0"><version>1.1</version>
<shortdesc lang="en">A thing</shortdesc>
<parameters>
<parameter name="device" required="1" unique="1"><shortdesc lang="en">its device</shortdesc><content type="string"/></parameter>
<parameter name="port" required="0"><content type="integer" default="80"/></parameter>
<parameter name="fast"><content type="boolean"/></parameter>
<parameter name="mode"><content type="select"><option value="a"/><option value="b"/></content></parameter>
<parameter name="old" deprecated="1" required="1"><deprecated><replaced-with name="port"/></deprecated><content type="string"/></parameter>
</parameters>
<actions>
<action name="start" timeout="60s"/><action name="stop" timeout="1min"/>
<action name="monitor" depth="0" timeout="20" interval="10"/><action name="monitor" depth="10" timeout="30s"/>
</actions></resource-agent>)";

TEST(OcfMetadata, IsRead) {
  const auto read = parse_ocf_metadata(kXml);
  ASSERT_TRUE(read) << read.error();
  EXPECT_EQ(read->text, "A thing");
  ASSERT_EQ(read->parameters.size(), 5U);
  EXPECT_TRUE(read->parameter("device")->required);
  EXPECT_FALSE(read->parameter("port")->required);
  EXPECT_EQ(read->parameter("mode")->choices, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(read->parameter("old")->replaced_with, "port");
  EXPECT_EQ(read->timeouts.at("stop"), 60s);
  EXPECT_EQ(read->timeouts.at("monitor"), 30s);
  EXPECT_EQ(read->depths, (std::vector<unsigned>{0, 10}));
}

TEST(OcfMetadata, TimesAreWrittenInManyWays) {
  EXPECT_EQ(parse_ocf_time("20"), Duration(20s));
  EXPECT_EQ(parse_ocf_time("20s"), Duration(20s));
  EXPECT_EQ(parse_ocf_time(" 1min "), Duration(60s));
  EXPECT_EQ(parse_ocf_time("500ms"), Duration(500ms));
  for (const char* text : {"", "s", "-1s", "1 fortnight", "99999999999999999999"})
    EXPECT_EQ(parse_ocf_time(text), std::nullopt) << text;
}

TEST(OcfMetadata, HostileTextIsRefusedOrHarmless) {
  EXPECT_FALSE(parse_ocf_metadata(""));
  EXPECT_FALSE(parse_ocf_metadata("usage: thing"));
  EXPECT_FALSE(parse_ocf_metadata("<resource-agent><parameters>"));
  EXPECT_FALSE(parse_ocf_metadata(std::string(kMaxMetadataBytes + 1, ' ')));
  std::string deep = "<resource-agent>";
  for (int i = 0; i < 100000; ++i) deep += "<a>";
  for (int i = 0; i < 100000; ++i) deep += "</a>";
  EXPECT_TRUE(parse_ocf_metadata(deep + "</resource-agent>"));
  const auto bomb = parse_ocf_metadata(
      "<!DOCTYPE x [<!ENTITY a \"boom\">]><resource-agent "
      "name=\"&a;\x01\"><shortdesc>&a;</shortdesc></resource-agent>");
  ASSERT_TRUE(bomb);
  EXPECT_EQ(bomb->text, "&a;");
  EXPECT_EQ(bomb->name.find('\x01'), std::string::npos);
}

struct Mistake {
  std::map<std::string, std::string> parameters;
  const char* text;
  const char* remedy;
};

TEST(OcfMetadata, EachMistakeHasItsRemedy) {
  const OcfMetadata metadata = *parse_ocf_metadata(kXml);
  const std::vector<Mistake> table{
      {{}, "thing (ocf:heartbeat:Thing) lacks the parameter device (its device)", "add device = \"…\""},
      {{{"device", "x"}, {"prot", "1"}}, "has no parameter prot", "did you mean port?"},
      {{{"device", "x"}, {"unheard_of", "1"}},
       "has no parameter unheard_of",
       "its parameters: device, port, fast, mode and old"},
      {{{"device", "x"}, {"port", "http"}}, "expects a whole number for port", "write port = 3"},
      {{{"device", "x"}, {"fast", "maybe"}}, "expects true or false for fast", "write fast = true"},
      {{{"device", "x"}, {"mode", "c"}}, "does not know this value of mode", "its values: a and b"},
      {{{"device", "x"}, {"old", "1"}}, "is given old, which is deprecated", "write port instead"},
  };
  for (const Mistake& mistake : table) {
    UnitConfig unit;
    unit.name = "thing";
    unit.start_timeout = unit.stop_timeout = unit.ocf.monitor_timeout = 60s;
    unit.ocf.provider = "heartbeat";
    unit.ocf.type = "Thing";
    unit.ocf.parameters = mistake.parameters;
    const auto findings = judge_ocf(unit, metadata, "agent", "services/web.toml");
    ASSERT_EQ(findings.size(), 1U) << mistake.text;
    EXPECT_THAT(findings[0].text, HasSubstr(mistake.text));
    EXPECT_THAT(findings[0].remedy, HasSubstr(mistake.remedy));
  }
}

TEST(OcfMetadata, TimeLimitsAndDepthsAreComparedWithTheAgentsAdvice) {
  UnitConfig unit;
  unit.name = "thing";
  unit.ocf.parameters = {{"device", "x"}};
  unit.start_timeout = 30s;
  unit.stop_timeout = 60s;
  unit.ocf.monitor_timeout = 30s;
  unit.ocf.monitor_depth = 20;
  const auto findings = judge_ocf(unit, *parse_ocf_metadata(kXml), "agent", "services/web.toml");
  ASSERT_EQ(findings.size(), 2U);
  EXPECT_THAT(findings[0].text, HasSubstr("start_timeout = 30s, and its agent advises 1min"));
  EXPECT_THAT(findings[0].remedy, HasSubstr("write start_timeout = \"1min\" in services/web.toml"));
  EXPECT_THAT(findings[1].text, HasSubstr("monitor_depth = 20"));
}

// Every agent that is installed can be asked, under the bounded environment.
TEST(OcfMetadata, EveryInstalledAgentIsUnderstood) {
  const std::string folder = "/usr/lib/ocf/resource.d/heartbeat";
  if (!std::filesystem::is_directory(folder)) GTEST_SKIP() << "no resource-agents";
  size_t seen = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string type = entry.path().filename().string();
    if (type.front() == '.') continue;
    const Ran ran = run_program({"env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "OCF_ROOT=/usr/lib/ocf",
                                 "OCF_RESOURCE_INSTANCE=x", entry.path().string(), "meta-data"},
                                true);
    const auto read = parse_ocf_metadata(ran.output);
    ASSERT_TRUE(read) << type << ": " << read.error();
    EXPECT_TRUE(read->timeouts.contains("start")) << type;
    EXPECT_TRUE(read->timeouts.contains("monitor")) << type;
    for (const OcfParameter& parameter : read->parameters) EXPECT_NE(parameter.name, "") << type;
    ++seen;
  }
  EXPECT_GT(seen, 100U);
}

// The whole way: a configuration with a mistake, agents as programs, and what `check` says of it.
class CheckUnits : public testing::Test {
 protected:
  CheckUnits() {
    setenv("OCF_ROOT", folder_.path().c_str(), 1);
    std::filesystem::create_directories(folder_.file("resource.d/test"));
    agent("Good", "0");
    agent("Refuses", "6");
    agent("Lacks", "5");
    agent("Simple", "3");
    folder_.write("resource.d/test/Silent", "#!/bin/sh\nexit 1\n");
    std::filesystem::permissions(folder_.file("resource.d/test/Silent"), std::filesystem::perms(0755));
    folder_.write("resource.d/test/Locked", "#!/bin/sh\n");
    std::filesystem::permissions(folder_.file("resource.d/test/Locked"), std::filesystem::perms(0644));
    config_.services.emplace_back().name = "web";
  }
  ~CheckUnits() override { unsetenv("OCF_ROOT"); }
  void agent(const std::string& name, const std::string& code) const {
    const std::string path = "resource.d/test/" + name;
    folder_.write(
        path, "#!/bin/sh\ncase $1 in\nmeta-data) cat <<'X'\n" + std::string(kXml) +
                  "\nX\n;;\nvalidate-all) echo ocf-exit-reason:$OCF_RESKEY_device is no device >&2; exit " +
                  code + ";;\nesac\n");
    std::filesystem::permissions(folder_.file(path), std::filesystem::perms(0755));
  }
  Finding only(const std::string& type, const std::map<std::string, std::string>& parameters) {
    UnitConfig unit;
    unit.kind = UnitConfig::Kind::kOcf;
    unit.name = "thing";
    unit.start_timeout = unit.stop_timeout = unit.ocf.monitor_timeout = 60s;
    unit.ocf.provider = "test";
    unit.ocf.type = type;
    unit.ocf.parameters = parameters;
    config_.services[0].units = {unit};
    const auto findings = check_units(config_);
    EXPECT_EQ(findings.size(), 1U) << type;
    return findings.empty() ? Finding{} : findings[0];
  }
  const TemporaryFolder folder_;
  Config config_;
};

TEST_F(CheckUnits, EachMistakeHasItsRemedy) {
  struct Row {
    const char* type;
    std::map<std::string, std::string> parameters;
    Level level;
    const char* text;
    const char* remedy;
  };
  const std::map<std::string, std::string> right{{"device", "/dev/x"}};
  const std::vector<Row> table{
      {"Good", right, Level::kOk, "accepts its parameters", ""},
      {"Simple", right, Level::kOk, "is installed", ""},
      {"Good", {}, Level::kError, "lacks the parameter device", "in services/web.toml"},
      {"Absent", right, Level::kError, "is not installed on this node", "on this node"},
      {"Absent", right, Level::kError, "apt install resource-agents", ""},
      {"Locked", right, Level::kError, "may not be executed: chmod +x", ""},
      {"Refuses", right, Level::kError, "exit code 6 (wrong configuration): /dev/x is no device",
       "correct its parameters in services/web.toml"},
      {"Lacks", right, Level::kError, "exit code 5 (not installed)", "install what it needs"},
  };
  for (const Row& row : table) {
    const Finding finding = only(row.type, row.parameters);
    EXPECT_EQ(finding.level, row.level) << row.text;
    EXPECT_THAT(finding.text, HasSubstr(row.text));
    EXPECT_THAT(finding.remedy, HasSubstr(row.remedy));
  }
}

TEST_F(CheckUnits, MistakesOfScriptsAndMountsHaveTheirRemedies) {
  folder_.write("script", "#!/bin/sh\n");
  std::filesystem::permissions(folder_.file("script"), std::filesystem::perms(0644));
  const auto said = [this](const UnitConfig& unit) {
    config_.services[0].units = {unit};
    std::string all;
    for (const Finding& finding : check_units(config_)) all += finding.text + " -> " + finding.remedy + "\n";
    return all;
  };
  UnitConfig script;
  script.kind = UnitConfig::Kind::kLsb;
  script.name = "thing";
  script.script = folder_.file("script");
  EXPECT_THAT(said(script), HasSubstr("may not be executed -> chmod +x " + script.script));
  std::filesystem::permissions(script.script, std::filesystem::perms(0755));
  EXPECT_THAT(said(script), HasSubstr("is there"));
  script.script = folder_.file("none");
  EXPECT_THAT(said(script),
              HasSubstr("does not exist on this node -> install it on this node, or correct lsb in "
                        "services/web.toml"));
  UnitConfig mount;
  mount.kind = UnitConfig::Kind::kMount;
  mount.name = "data";
  mount.mount = {"/no/such/device", folder_.file("where"), "ext4", ""};
  EXPECT_THAT(said(mount), HasSubstr("is no folder on this node -> mkdir -p " + folder_.file("where")));
  EXPECT_THAT(said(mount), HasSubstr("/no/such/device does not exist on this node -> connect the storage"));
  std::filesystem::create_directories(folder_.file("where"));
  mount.mount = {"tmpfs", folder_.file("where"), "tmpfs", ""};
  EXPECT_THAT(said(mount), HasSubstr("tmpfs can be mounted on"));
}

}  // namespace
}  // namespace clusterd::ctl
