// From one machine to a proposal, and from two to a configuration that the loader takes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "setup/propose.hpp"

namespace clusterd::setup {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

MachineNic nic(const std::string& name, const std::vector<std::string>& addresses, bool routes_out = false) {
  MachineNic nic{name, {}, routes_out};
  for (const std::string& text : addresses) nic.addresses.push_back(*Prefix::parse(text));
  return nic;
}

Machine first() {
  return {"serv1",
          {nic("eth1", {"192.168.111.1/24"}), nic("eth0", {"192.168.1.11/24", "fd00::11/64"}, true),
           nic("eth2", {})},
          {*IpAddress::parse("192.168.1.1")},
          {*IpAddress::parse("192.168.1.2"), *IpAddress::parse("9.9.9.9"), *IpAddress::parse("127.0.0.53")}};
}

Machine second() {
  return {"serv2", {nic("eth0", {"192.168.1.12/24"}), nic("eth1", {"192.168.111.2/24"})}, {}, {}};
}

std::string text_of(const Machine& machine, const Wishes& wishes = {}) {
  const auto sketch = propose(machine, wishes);
  EXPECT_TRUE(sketch) << sketch.error().text;
  return written(*sketch).at("cluster.toml");
}

TEST(Propose, TheNicTowardsTheRouterCarriesTheServices) {
  const auto sketch = propose(first(), {});
  ASSERT_TRUE(sketch);
  const auto& ends = sketch->nodes[0].ends;
  ASSERT_EQ(ends.size(), 2U);
  EXPECT_EQ(ends[0].link + " " + ends[0].nic + " " + ends[0].address, "service eth0 192.168.1.11/24");
  EXPECT_EQ(ends[1].link + " " + ends[1].nic + " " + ends[1].address, "heartbeat eth1 192.168.111.1/24");
  EXPECT_THAT(sketch->reference_hosts, ElementsAre("192.168.1.1", "192.168.1.2")) << "near ones only";
  EXPECT_THAT(text_of(first()), HasSubstr("unused: eth2"));
}

TEST(Propose, WishesComeFirst) {
  const auto sketch = propose(first(), {"office", {"192.168.1.9"}, {{"service", "eth1", ""}}});
  ASSERT_TRUE(sketch);
  EXPECT_EQ(sketch->cluster, "office");
  EXPECT_THAT(sketch->reference_hosts, ElementsAre("192.168.1.9"));
  EXPECT_EQ(sketch->nodes[0].ends[0].address, "192.168.111.1/24");
}

TEST(Propose, MistakesSayWhatToDo) {
  const auto missing = propose(first(), {"", {}, {{"service", "eth7", ""}}});
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().text, HasSubstr("eth0 (192.168.1.11/24 fd00::11/64)"));
  EXPECT_THAT(propose(first(), {"", {}, {{"service", "eth2", ""}}}).error().text,
              HasSubstr("has no address"));
  EXPECT_THAT(propose(first(), {"", {}, {{"heartbeat", "eth1", ""}}}).error().remedy,
              HasSubstr("--link service="));
  EXPECT_THAT(propose({"serv1", {nic("eth0", {})}, {}, {}}, {}).error().remedy,
              HasSubstr("network configuration"));
  EXPECT_THAT(propose({"localhost", {}, {}, {}}, {}).error().remedy, HasSubstr("hostnamectl"));
}

TEST(Joined, LinksMeetOnCommonNetworks) {
  const auto both = joined(text_of(first()), "serv1", second());
  ASSERT_TRUE(both) << both.error().text;
  EXPECT_THAT(both->notes, IsEmpty());
  const auto config = parse_config({{"cluster.toml", both->cluster_toml}}, "/etc/cluster.d", "serv2");
  ASSERT_TRUE(config) << describe(config.error()[0]) << both->cluster_toml;
  ASSERT_EQ(config->links.size(), 2U);
  EXPECT_EQ(config->links[1].name, "service");
  EXPECT_EQ(config->links[1].ends[1].address.text(), "192.168.1.12/24");
}

TEST(Joined, WhatAPersonWroteStays) {
  const std::string text = text_of(first()) + "# mine\n";
  const auto both = joined(text, "serv1", second());
  ASSERT_TRUE(both);
  EXPECT_EQ(both->cluster_toml.substr(0, text.size()), text);
}

TEST(Joined, ALinkWithoutACommonNetworkIsLeftOut) {
  Machine machine = second();
  machine.nics[1] = nic("eth1", {"10.0.0.2/24"});
  const auto both = joined(text_of(first()), "serv1", machine);
  ASSERT_TRUE(both);
  EXPECT_THAT(both->notes, ElementsAre(HasSubstr("heartbeat is left out")));
  EXPECT_THAT(both->cluster_toml, HasSubstr("# serv2 has no address there: heartbeat = "));
  const auto config = parse_config({{"cluster.toml", both->cluster_toml}}, "/etc/cluster.d", "serv2");
  ASSERT_TRUE(config) << describe(config.error()[0]);
  EXPECT_EQ(config->links.size(), 1U);
}

TEST(Joined, MistakesSayWhatToDo) {
  const std::string text = text_of(first());
  Machine machine = second();
  machine.nics[0] = nic("eth0", {"192.168.1.12/16"});
  EXPECT_THAT(joined(text, "serv1", machine).error().text, HasSubstr("of another length"));
  machine.nics[0] = nic("eth0", {"192.168.1.11/24"});
  EXPECT_THAT(joined(text, "serv1", machine).error().text,
              HasSubstr("both nodes have the address 192.168.1.11"));
  machine = second();
  machine.name = "serv1";
  EXPECT_THAT(joined(text, "serv1", machine).error().remedy, HasSubstr("hostnamectl"));
  EXPECT_THAT(joined(text, "other", second()).error().text, HasSubstr("no [node.other]"));
  EXPECT_THAT(joined("[cluster\n", "serv1", second()).error().text, HasSubstr("cluster.toml:1"));
}

TEST(Joined, ANodeThatIsKnownGetsTheConfigurationBack) {
  const auto both = joined(text_of(first()), "serv1", second());
  ASSERT_TRUE(both);
  const auto again = joined(both->cluster_toml, "serv1", second());
  ASSERT_TRUE(again);
  EXPECT_EQ(again->cluster_toml, both->cluster_toml);
  Machine third = second();
  third.name = "serv3";
  EXPECT_THAT(joined(both->cluster_toml, "serv1", third).error().text, HasSubstr("two nodes already"));
  Machine other = second();
  other.nics[0] = nic("eth0", {"192.168.1.13/24"});
  EXPECT_THAT(joined(both->cluster_toml, "serv1", other).error().text,
              HasSubstr("says that serv2 has 192.168.1.12/24"));
}

TEST(Written, TextsAreQuoted) {
  EXPECT_EQ(toml_text("a\"b\\c\n\x7f\xff\xc2\x85\xc3\xa4"), "\"a\\\"b\\\\c???\?\xc3\xa4\"");
  EXPECT_EQ(comment_text("a\nb = 1"), "a?b = 1");
}

}  // namespace
}  // namespace clusterd::setup
