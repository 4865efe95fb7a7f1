// Comparing what two nodes have of what a service needs.
#include "alike/list.hpp"

#include <gmock/gmock.h>

#include "items.hpp"

namespace clusterd::alike {
namespace {

using always::Kind;
using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> texts(const Service& mine, const Service& theirs) {
  std::vector<std::string> out;
  for (const Difference& one : compare(mine, &theirs).differences) out.push_back(text(one, "serv1", "serv2"));
  return out;
}

TEST(Compare, WhatIsTheSameIsCountedAndNotNamed) {
  const Service one = service({{"nginx.service", {What::kUnit, file("[Unit]")}},
                               {"/usr/sbin/nginx", {What::kProgram, file("nginx")}}});
  const Likeness likeness = compare(one, &one);
  EXPECT_TRUE(likeness.compared);
  EXPECT_EQ(likeness.same, 2U);
  EXPECT_EQ(likeness.differ, 0U);
  EXPECT_THAT(likeness.differences, IsEmpty());
  EXPECT_THAT(likeness.lacks, IsEmpty());
}

TEST(Compare, ADifferenceNamesBothSides) {
  always::Entry newer = file("nginx 2");
  newer.mtime_ns += int64_t{86'400} * 1'000'000'000;
  EXPECT_THAT(
      texts(service({{"/usr/sbin/nginx", {What::kProgram, file("nginx")}}}),
            service({{"/usr/sbin/nginx", {What::kProgram, newer}}})),
      ElementsAre("/usr/sbin/nginx differs (serv1: 5 bytes of 2023-11-14, serv2: 7 bytes of 2023-11-15)"));
}

TEST(Compare, EachKindOfDifferenceHasItsWords) {
  const auto said = [](const always::Entry& mine, const always::Entry& theirs) {
    return text({What::kFile, "/etc/app", mine, theirs}, "serv1", "serv2");
  };
  always::Entry owned = file("a");
  owned.uid = 7;
  owned.user = "app";
  EXPECT_EQ(said(file("a"), file("a", 0600)), "/etc/app differs (serv1: mode 0755, serv2: mode 0600)");
  EXPECT_EQ(said(file("a"), owned), "/etc/app differs (serv1: owner 0:0, serv2: owner app:0)");
  EXPECT_EQ(said(file("a"), of_kind(Kind::kFolder)), "/etc/app differs (serv1: a file, serv2: a directory)");
  EXPECT_EQ(said(of_kind(Kind::kLink, "a"), of_kind(Kind::kLink, "b\n")),
            "/etc/app differs (serv1: leads to a, serv2: leads to b\\x0a)");
  EXPECT_EQ(said(of_kind(Kind::kOpaque, "it is masked"), file("a")),
            "/etc/app cannot be compared: on serv1 it is masked");
  EXPECT_EQ(said(file("a"), of_kind(Kind::kSpecial)),
            "/etc/app cannot be compared: on serv2 it is no file, directory or symbolic link");
  EXPECT_EQ(said({}, file("a")), "/etc/app is not on serv1");
}

TEST(Compare, WithoutAUnitAProgramOrAnAgentNothingStarts) {
  const Service mine = service({{"nginx.service", {What::kUnit, file("[Unit]")}},
                                {"/usr/sbin/nginx", {What::kProgram, file("nginx")}},
                                {"/usr/lib/ocf/a", {What::kAgent, file("a")}},
                                {"/etc/a.conf", {What::kFile, file("conf", 0644)}}});
  const Service theirs = service({{"nginx.service", {What::kUnit, {}}},
                                  {"/usr/sbin/nginx", {What::kProgram, file("nginx", 0644)}},
                                  {"/usr/lib/ocf/a", {What::kAgent, {}}},
                                  {"/etc/a.conf", {What::kFile, {}}}});
  const Likeness likeness = compare(mine, &theirs);
  EXPECT_THAT(
      texts(mine, theirs),
      ElementsAre("nginx.service is not installed on serv2", "/usr/sbin/nginx may not be executed on serv2",
                  "/usr/lib/ocf/a does not exist on serv2", "/etc/a.conf is not on serv2"));
  std::vector<bool> lacks;
  for (const Difference& one : likeness.differences) lacks.push_back(is_lack(one.what, one.theirs));
  EXPECT_THAT(lacks, ElementsAre(true, true, true, false));
  EXPECT_THAT(likeness.lacks, IsEmpty()) << "here is all";
  EXPECT_THAT(compare(theirs, &mine).lacks, ElementsAre("/usr/sbin/nginx may not be executed"))
      << "units and agents are looked at by the daemon itself";
}

TEST(Compare, AProgramThatIsMissingHereIsSaidWithoutTheOtherNode) {
  const Likeness likeness = compare(service({{"/usr/bin/a", {What::kProgram, {}}}}), nullptr);
  EXPECT_FALSE(likeness.compared);
  EXPECT_EQ(likeness.why, "it has no such service");
  EXPECT_THAT(likeness.lacks, ElementsAre("/usr/bin/a does not exist"));
}

TEST(Compare, OnlyWhatBothWantCanBeCompared) {
  Service other = service({{"/a", {What::kFile, file("x")}}});
  other.wanted = always::digest_of("something else");
  const Likeness likeness = compare(service({{"/a", {What::kFile, file("y")}}}), &other);
  EXPECT_FALSE(likeness.compared);
  EXPECT_EQ(likeness.why, "it has another configuration of the service");
  EXPECT_THAT(likeness.differences, IsEmpty());
}

TEST(Compare, WhatLiesInAListedFolderIsAbsentWhereItIsNotListed) {
  const always::Entry folder = of_kind(Kind::kFolder);
  const Service mine = service({{"/etc/n", {What::kFile, folder}},
                                {"/etc/n/a", {What::kFile, file("a")}},
                                {"/etc/n/sub", {What::kFile, folder}},
                                {"/etc/n/sub/b", {What::kFile, file("b")}},
                                {"/etc/nx", {What::kFile, file("not in it")}}});
  EXPECT_THAT(
      texts(mine, service({{"/etc/n", {What::kFile, folder}}, {"/etc/n/z", {What::kFile, file("z")}}})),
      ElementsAre("/etc/n/a is not on serv2", "/etc/n/sub is not on serv2", "/etc/n/sub/b is not on serv2",
                  "/etc/n/z is not on serv1"));
  EXPECT_THAT(texts(mine, service({{"/etc/n", {What::kFile, {}}}})), ElementsAre("/etc/n is not on serv2"))
      << "one word for the folder is enough";
  EXPECT_THAT(
      texts(mine, service({{"/etc/n", {What::kFile, of_kind(Kind::kOpaque, "there is too much in it")}}})),
      ElementsAre("/etc/n cannot be compared: on serv2 there is too much in it"));
}

TEST(Compare, OfTheProgramOfAnotherUnitFileNothingIsKnown) {
  EXPECT_THAT(
      texts(service({{"a.service", {What::kUnit, file("1")}}, {"/bin/one", {What::kProgram, file("one")}}}),
            service({{"a.service", {What::kUnit, file("22")}}, {"/bin/two", {What::kProgram, file("two")}}})),
      ElementsAre("a.service differs (serv1: 1 bytes of 2023-11-14, serv2: 2 bytes of 2023-11-14)"));
}

TEST(Compare, ADropInOfOneNodeIsToldAndOneThatIsGoneIsNot) {
  const std::string path = "/etc/systemd/system/a.service.d/x.conf";
  const Service none = service({{"a.service", {What::kUnit, file("1")}}});
  Service with = none;
  with.items[path] = {What::kDropIn, file("x", 0644)};
  EXPECT_THAT(texts(none, with), ElementsAre(path + " is not on serv1"));
  with.items[path].entry = {};
  EXPECT_THAT(texts(none, with), IsEmpty()) << "systemd has still loaded what was deleted";
}

TEST(Compare, TheOrderIsTheSameOnBothNodes) {
  const Service mine = service({{"/a", {What::kFile, file("1")}}, {"/z", {What::kProgram, file("1")}}});
  const Service theirs = service({{"/a", {What::kFile, file("2")}}, {"/z", {What::kProgram, {}}}});
  const auto names = [](const Likeness& likeness) {
    std::vector<std::string> out;
    for (const Difference& one : likeness.differences) out.push_back(one.name);
    return out;
  };
  EXPECT_THAT(names(compare(mine, &theirs)), ElementsAre("/z", "/a"));
  EXPECT_THAT(names(compare(theirs, &mine)), ElementsAre("/z", "/a"));
}

TEST(Text, HasNoByteThatATerminalWouldObey) {
  const std::string said = text({What::kFile, "/etc/\x1b[2J\n\xff", file("a"), {}}, "serv1", "serv2");
  EXPECT_EQ(said, "/etc/\\x1b[2J\\x0a\\xff is not on serv2");
}

TEST(Text, IsCutBetweenCharacters) {
  EXPECT_EQ(short_text("aä", 2), "a…");
  EXPECT_EQ(short_text("aä", 3), "aä");
  EXPECT_LT(text({What::kFile, "/" + std::string(4000, 'x'), file("a"), {}}, "a", "b").size(), 300U);
}

TEST(Text, AnImpossibleTimeIsNoReasonToFail) {
  always::Entry odd = file("b");
  odd.mtime_ns = INT64_MIN;
  EXPECT_EQ(text({What::kFile, "/a", file("a"), odd}, "s", "t"),
            "/a differs (s: 1 bytes of 2023-11-14, t: 1 bytes of ?)");
}

TEST(Wanted, IsTakenFromUnitsCommandsAgentsAndChecks) {
  ServiceConfig config;
  config.units.resize(5);
  config.units[0].name = "nginx.service";
  config.units[1].kind = UnitConfig::Kind::kRun;
  config.units[1].start = "/opt/app --fast";
  config.units[2].kind = UnitConfig::Kind::kCommand;
  config.units[2].start = "cd /tmp && /opt/other";
  config.units[2].stop = "/opt/stop";
  config.units[3].kind = UnitConfig::Kind::kOcf;
  config.units[3].ocf.type = "Dummy";
  config.units[4].kind = UnitConfig::Kind::kLsb;
  config.units[4].script = "/etc/init.d/x";
  config.checks.emplace_back().command = "/opt/check web";
  const auto agent = [](const OcfConfig& ocf) { return "/ocf/" + ocf.type; };
  const Wanted all = wanted(config, {"/etc/app/"}, agent);
  EXPECT_THAT(all.units, ElementsAre("nginx.service"));
  EXPECT_THAT(all.programs, ElementsAre("/opt/app", "/opt/stop", "/etc/init.d/x"));
  EXPECT_THAT(all.agents, ElementsAre("/ocf/Dummy"));
  EXPECT_THAT(all.paths, ElementsAre("/etc/app/", "/opt/check"));
  EXPECT_NE(all.digest(), wanted(config, {}, agent).digest());
}

TEST(Wanted, ItsDigestKnowsWhereAListEnds) {
  Wanted a, b;
  a.units = {"x"};
  b.programs = {"x"};
  EXPECT_NE(a.digest(), b.digest());
  a = {};
  b = {};
  a.paths = {"/a", "/b"};
  b.paths = {"/a/b"};
  EXPECT_NE(a.digest(), b.digest());
}

}  // namespace
}  // namespace clusterd::alike
