// Where a simulation of the live cluster begins, and what `check --deep` makes of it.
#include "ctl/whatif_start.hpp"

#include <gtest/gtest.h>

#include "core/timing.hpp"

namespace clusterd::ctl {
namespace {

Config two_services() {
  Config config;
  config.cluster = "office";
  config.nodes = {NodeConfig{"serv1", {}}, NodeConfig{"serv2", {}}};
  config.links = {
      {"service",
       {LinkEnd{"eth0", *Prefix::parse("10.0.0.1/24")}, LinkEnd{"eth0", *Prefix::parse("10.0.0.2/24")}}}};
  config.hosts.resize(3);
  config.hosts[0] = {"10.0.0.9", ProbeKind::kIcmp, *IpAddress::parse("10.0.0.9"), 0, LinkId(0)};
  config.hosts[1] = {"tcp://10.0.0.8:53", ProbeKind::kTcp, *IpAddress::parse("10.0.0.8"), 53, LinkId(0)};
  config.hosts[2] = {"10.9.9.9", ProbeKind::kIcmp, *IpAddress::parse("10.9.9.9"), 0, std::nullopt};
  config.services.resize(2);
  config.services[0].name = "web";
  config.services[0].prefer = NodeId(0);
  config.services[1].name = "mail";
  config.timing = timing_profile("steady").value();
  return config;
}

TEST(WhatIfStart, WithoutADaemonTheConfigurationTells) {
  const whatif::Start start = start_from_status(two_services(), "no JSON at all");
  EXPECT_EQ(start.active[0], NodeId(0));
  EXPECT_EQ(start.active[1], std::nullopt);
  EXPECT_EQ(start.relays, (std::vector<bool>{true, false, false}));
}

TEST(WhatIfStart, TheDaemonKnowsBetter) {
  const std::string status = R"({"peer": "serv2", "nodes": {"serv1": {}, "serv2": {"heard": true}},
    "services": [{"name": "web", "active_on": "serv2"}, {"name": "mail", "active_on": null}, {"name": "x"}],
    "hosts": [{"host": "10.0.0.9", "answers": true, "relays": false},
              {"host": "tcp://10.0.0.8:53", "answers": true, "relays": true},
              {"host": "10.9.9.9", "answers": false, "relays": true}]})";
  const whatif::Start start = start_from_status(two_services(), status);
  EXPECT_EQ(start.active[0], NodeId(1));
  EXPECT_EQ(start.active[1], std::nullopt);
  EXPECT_EQ(start.relays, (std::vector<bool>{false, true, false}));
  const std::string text = start_text(two_services(), start);
  EXPECT_NE(text.find("web on serv2, mail"), std::string::npos) << text;
  EXPECT_NE(text.find("10.0.0.9 does not relay"), std::string::npos) << text;
}

// Relaying shows only while the peer sends something: an absent peer says nothing against a host.
TEST(WhatIfStart, WithoutThePeerRelayingIsNotKnown) {
  const std::string status = R"({"peer": "serv2", "nodes": {"serv2": {"heard": false}},
    "hosts": [{"host": "10.0.0.9", "answers": true, "relays": false}]})";
  EXPECT_TRUE(start_from_status(two_services(), status).relays[0]);
}

TEST(WhatIfStart, FindingsNameSinglesAndCountTheRest) {
  const Config config = two_services();
  whatif::Exploration all;
  all.faults = whatif::faults_of(config);
  for (uint32_t i = 0; i < all.faults.size(); ++i) {
    whatif::Run run;
    run.faults = {i};
    run.services.resize(2);
    for (auto& service : run.services) service.up = true;
    all.singles.push_back(run);
  }
  EXPECT_EQ(whatif_findings(config, all).size(), 1U) << "the summary";
  all.singles[1].services[0].up = false;
  all.singles[1].services[0].why = "serv1: off\x1b[2J";
  all.singles[2].both = true;
  const auto findings = whatif_findings(config, all);
  ASSERT_EQ(findings.size(), 3U);
  EXPECT_EQ(findings[0].level, Level::kWarning);
  EXPECT_EQ(findings[0].text.find('\x1b'), std::string::npos);
  EXPECT_EQ(findings[1].level, Level::kError);
  EXPECT_EQ(findings[2].level, Level::kOk);
}

}  // namespace
}  // namespace clusterd::ctl
