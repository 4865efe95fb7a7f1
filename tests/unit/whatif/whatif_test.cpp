// What the simulation says of known configurations. The golden texts are written anew with CLUSTERD_UPDATE=1:
// read the difference before you commit it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "config/load.hpp"
#include "whatif/children.hpp"
#include "whatif/report.hpp"

namespace clusterd {
namespace {

using whatif::Exploration;
using whatif::Grade;
using whatif::Start;

Config load(const std::string& dir) {
  auto config = load_config(dir, kAnyNode);
  EXPECT_TRUE(config) << (config ? "" : describe(config.error().front()));
  return config ? *config : Config{};
}

Exploration explored(const Config& config, const Start& start, unsigned most) {
  auto all = whatif::explore(config, start, most);
  EXPECT_TRUE(all) << (all ? "" : all.error().message);
  return all ? *all : Exploration{};
}

void expect_golden(const std::string& name, const std::string& text) {
  const std::string file = std::string(TESTDATA) + "/" + name;
  if (std::getenv("CLUSTERD_UPDATE") != nullptr) std::ofstream(file) << text;
  std::ifstream in(file);
  const std::string golden{std::istreambuf_iterator<char>(in), {}};
  EXPECT_EQ(text, golden) << file;
}

const whatif::Run& single(const Exploration& all, const std::string& text) {
  const auto it = std::find_if(all.singles.begin(), all.singles.end(), [&](const whatif::Run& run) {
    return all.faults[run.faults[0]].text == text;
  });
  EXPECT_NE(it, all.singles.end()) << text;
  return *it;
}

std::vector<const whatif::Run*> pair(const Exploration& all, const std::string& a, const std::string& b) {
  std::vector<const whatif::Run*> out;
  for (const whatif::Run& run : all.pairs) {
    if (all.faults[run.faults[0]].text == a && all.faults[run.faults[1]].text == b) out.push_back(&run);
  }
  EXPECT_EQ(out.size(), 3U) << a << " + " << b;
  return out;
}

TEST(WhatIf, TheExamplesGiveTheExpectedTable) {
  const Config config = load(EXAMPLES);
  expect_golden("examples.txt", whatif::report_text(config, explored(config, whatif::start_of(config), 2)));
}

TEST(WhatIf, TheLabsClusterGivesTheExpectedTable) {
  const Config config = load(std::string(TESTDATA) + "/lab");
  expect_golden("lab.txt", whatif::report_text(config, explored(config, whatif::start_of(config), 2)));
}

TEST(WhatIf, BeginsWhereTheServicesAre) {
  const Config config = load(std::string(TESTDATA) + "/lab");
  Start start = whatif::start_of(config);
  start.active = {NodeId(1)};
  const Exploration all = explored(config, start, 1);
  const whatif::Run& here = single(all, "serv2 loses its power");
  EXPECT_EQ(here.services[0].before, NodeId(1));
  EXPECT_EQ(here.services[0].active, NodeId(0));
  EXPECT_GT(here.services[0].down, config.timing.lease / 2);
  EXPECT_EQ(here.services[0].at_risk, std::chrono::minutes(1));
  const whatif::Run& there = single(all, "serv1 loses its power");
  EXPECT_EQ(there.services[0].active, NodeId(1));
  EXPECT_EQ(there.services[0].down, Duration{});
  EXPECT_EQ(there.services[0].at_risk, Duration{});
}

TEST(WhatIf, AHandoverPutsNothingAtRisk) {
  const Config config = load(std::string(TESTDATA) + "/lab");
  const Exploration all = explored(config, whatif::start_of(config), 1);
  const whatif::Run& run = single(all, "serv1: NIC eth0 or its cable");
  EXPECT_EQ(run.services[0].active, NodeId(1));
  EXPECT_EQ(run.services[0].at_risk, Duration{});
}

// A host that cannot relay heartbeats is good only by assumption T; a configuration that has no other one
// breaks it with two cut paths.
TEST(WhatIf, WithoutRelaysTwoCutPathsBreakTheAssumption) {
  Config config = load(std::string(TESTDATA) + "/lab");
  const std::string a = "the path between the nodes on link heartbeat";
  const std::string b = "the path between the nodes on link service";
  Start start = whatif::start_of(config);
  const Exploration relayed = explored(config, start, 2);
  for (const whatif::Run* run : pair(relayed, a, b)) EXPECT_EQ(grade_of(*run), Grade::kServed);
  start.relays.assign(config.hosts.size(), false);
  const Exploration alone = explored(config, start, 2);
  for (const whatif::Run* run : pair(alone, a, b)) {
    EXPECT_EQ(grade_of(*run), Grade::kBoth);
    EXPECT_FALSE(run->assumptions.empty());
  }
}

TEST(WhatIf, WithoutReferenceHostsNobodyTakesOver) {
  Config config = load(std::string(TESTDATA) + "/lab");
  config.hosts.clear();
  const Exploration all = explored(config, whatif::start_of(config), 1);
  const whatif::Run& run = single(all, "serv1 loses its power");
  EXPECT_EQ(grade_of(run), Grade::kNoService);
  EXPECT_NE(run.services[0].why.find("no reference hosts"), std::string::npos) << run.services[0].why;
}

TEST(WhatIf, ChildrenThatDieAreNoticed) {
  EXPECT_TRUE(whatif::in_children(
      {[] { return std::vector<uint8_t>(200'000, 1); }, [] { return std::vector<uint8_t>(); }}));
  EXPECT_FALSE(whatif::in_children({[]() -> std::vector<uint8_t> { std::_Exit(3); }}));
}

}  // namespace
}  // namespace clusterd
