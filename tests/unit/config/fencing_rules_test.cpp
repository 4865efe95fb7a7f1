// The rules of [watchdog], [fence.NODE] and effects.
#include "rules.hpp"

namespace clusterd {
namespace {

using namespace test;
using testing::HasSubstr;

// Before the table [ssh] of the sample.
std::string with(const std::string& tables) { return tables + "\n[ssh]"; }

const std::string kFence =
    "[fence.serv1]\nagent = \"fence_ipmilan\"\nparameters = { ip = \"10.0.0.1\", password = \"topsecret\" "
    "}\n";
const std::string kBoth =
    kFence + "[fence.serv2]\nagent = \"/opt/fence\"\nparameters = { plug = 7, ssl = true }\n";

TEST(FencingRules, Refused) {
  for (const Rule& rule : {
           Rule{kC, "[ssh]", with("[watchdog]\ndevice = \"watchdog\""), "no absolute path", "/dev/watchdog"},
           Rule{kC, "[ssh]", with("[watchdog]\ntimeout = \"1s\""), "timeout in [watchdog]", ""},
           Rule{kC, "[ssh]", with("[watchdog]\ntimeout = \"7500ms\""), "whole seconds", "timeout = \"8s\""},
           Rule{kC, "[ssh]", with("[watchdog]\ntimout = \"7s\""), "unknown key \"timout\" in [watchdog]",
                "did you mean timeout?"},
           Rule{kC, "[ssh]", with("[fence.serv3]\nagent = \"fence_ipmilan\"\nparameters = {}"),
                "names no node", "serv"},
           Rule{kC, "[ssh]", with("[fence.serv1]\nparameters = {}\n" + kBoth.substr(kFence.size())),
                "lacks the key agent", "fence_ipmilan"},
           Rule{kC, "[ssh]", with("[fence.serv1]\nagent = \"fence_ipmilan\"\n" + kBoth.substr(kFence.size())),
                "has no parameters", "metadata"},
           Rule{kC, "[ssh]",
                with("[fence.serv1]\nagent = \"fence_ipmilan\"\nparameters = { action = \"on\" }\n" +
                     kBoth.substr(kFence.size())),
                "what clusterd itself tells the agent", "remove action"},
           Rule{kC, "[ssh]",
                with("[fence.serv1]\nagent = \"../x\"\nparameters = {}\n" + kBoth.substr(kFence.size())),
                "is no program", "fence_ipmilan"},
           Rule{kC, "[ssh]",
                with("[fence.serv1]\nagent = \"fence_ipmilan\"\nparameters = { ip = [1] }\n" +
                     kBoth.substr(kFence.size())),
                "is neither a text nor a number", "ip = "},
           Rule{kS, "mac = \"virtual\"", "effects = \"all\"",
                "effects in services/web.toml cannot be \"all\"", "\"address\" or \"node\""},
           Rule{kS, "mac = \"virtual\"", "effects = \"node\"\nhot = true", "must never run on both nodes",
                "remove one"},
           Rule{kS, "mac = \"virtual\"", "instances = \"one\"\nhot = true",
                "instances = \"one\" says that the units must never run on both nodes", "remove one"},
           Rule{kS, "mac = \"virtual\"", "instances = \"one\"\neffects = \"address\"",
                "effects = \"address\" lets the units of a silent node run on", "remove effects"},
           Rule{kS, "mac = \"virtual\"", "instances = \"two\"",
                "instances in services/web.toml cannot be \"two\"", "\"one\""},
       })
    expect_refused(rule);
}

TEST(FencingRules, AcceptedOrWarnedOf) {
  expect_accepted({kC, "[ssh]", with("[watchdog]\ntimeout = \"7s\""), "", ""});
  expect_accepted({kC, "[ssh]", with(kBoth), "", ""});
  expect_warned({kC, "[ssh]", with(kFence), "serv2 cannot", ""});
  expect_warned({kS, "mac = \"virtual\"", "effects = \"node\"", "never taken over by itself", ""});
}

// The same in the words of a licence.
TEST(FencingRules, OneInstanceMeansEffectsOfTheNode) {
  expect_warned({kS, "mac = \"virtual\"", "instances = \"one\"", "never taken over by itself", ""});
  Files one, node;
  one.change(kS, "mac = \"virtual\"", "instances = \"one\"");
  node.change(kS, "mac = \"virtual\"", "effects = \"node\"");
  ASSERT_TRUE(one.load() && node.load());
  EXPECT_EQ(one.load()->services[0].effects, Effects::kNode);
  EXPECT_EQ(one.load()->hash, node.load()->hash);
}

TEST(FencingRules, WhatIsReadIsWhatWasWritten) {
  Files files;
  files.change(kC, "[ssh]", with(kBoth));
  const auto config = files.load();
  ASSERT_TRUE(config);
  ASSERT_TRUE(config->fences[0] && config->fences[1]);
  EXPECT_EQ(config->fences[0]->agent, "/usr/sbin/fence_ipmilan");
  EXPECT_EQ(config->fences[1]->agent, "/opt/fence");
  EXPECT_EQ(config->fences[1]->parameters.at("plug"), "7");
  EXPECT_EQ(config->fences[1]->parameters.at("ssl"), "1");
  for (const std::string& line : config->hashed_lines) EXPECT_EQ(line.find("topsecret"), std::string::npos);
}

}  // namespace
}  // namespace clusterd
