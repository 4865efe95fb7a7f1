// The rules of a service's `alike`.
#include "config/alike.hpp"
#include "rules.hpp"

namespace clusterd {
namespace {

using namespace test;
using testing::ElementsAre;
using testing::Pair;

Rule row(const std::string& paths, const char* text, const char* remedy) {
  return {kS, "prefer", "alike = [" + paths + "]\nprefer", text, remedy};
}

TEST(AlikeRules, Refused) {
  for (const Rule& rule : {
           row("\"nginx.conf\"", "no plain absolute path", "write it in full"),
           row("\"/etc/../etc/nginx/\"", "no plain absolute path", "write it in full"),
           row("\"/etc//nginx/\"", "no plain absolute path", "write it in full"),
           row("\"/\"", "is the whole system", "the files that the service needs"),
           row("\"/proc/cpuinfo\"", "is no disk", "remove it"),
           row("\"/sys/\"", "is no disk", "remove it"),
           row("\"/dev/null\"", "is no disk", "remove it"),
           row("\"/run/nginx/\"", "empty after each boot", "remove it"),
           row("\"/etc/cluster.d/secret.key\"", "the cluster's configuration", "clusterctl versions"),
           row("\"/var/lib/clusterd/\"", "clusterd's own state", "remove it"),
           row("7", "every entry of alike", "write alike = ["),
           Rule{kS, "prefer", "alike = \"/etc/nginx/\"\nprefer", "alike", ""},
       })
    expect_refused(rule);
}

TEST(AlikeRules, AcceptedAlsoWhereNoMirrorMayGo) {
  expect_accepted(
      row("\"/etc/nginx/\", \"/usr/local/bin/foo\", \"/bin/sh\", \"/usr/lib/foo/\", \"/boot/x\"", "", ""));
}

TEST(AlikeRules, WhatDiffersByDesignIsWarnedOf) {
  expect_warned(row("\"/srv/www/index.html\"", "which is mirrored, hold the same files", ""));
  expect_warned(row("\"/srv/\"", "which is mirrored, hold the same files", ""));
}

TEST(AlikeRules, NoDecisionDependsOnIt) {
  Files without, with;
  with.change(kS, "prefer", "alike = [\"/etc/nginx/\"]\nprefer");
  const auto a = without.load(), b = with.load();
  ASSERT_TRUE(a && b);
  EXPECT_EQ(a->hash, b->hash);
}

TEST(AlikeRules, ThePathsOfEachService) {
  const ConfigTexts texts{{"cluster.toml", "alike = [\"/etc/no\"]"},
                          {"services/web.toml", "alike = [\"/etc/nginx/\", \"/proc/x\", \"/usr/bin/foo\"]"},
                          {"services/mail.toml", "units = []"},
                          {"services/bad.toml", "alike = ["},
                          {"elsewhere/a.toml", "alike = [\"/etc/no\"]"}};
  EXPECT_THAT(alike_paths(texts), ElementsAre(Pair("web", ElementsAre("/etc/nginx/", "/usr/bin/foo"))));
}

}  // namespace
}  // namespace clusterd
