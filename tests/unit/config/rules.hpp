// One rule of the configuration: a valid one, one change, and what must be said about it and where.
#pragma once

#include <gmock/gmock.h>

#include <string>

#include "files.hpp"

namespace clusterd::test {

struct Rule {
  const char* file;
  const char* from;
  std::string to;
  const char* text;
  const char* remedy;
};

inline constexpr const char* kC = "cluster.toml";
inline constexpr const char* kS = "services/web.toml";
inline constexpr const char* kAddresses = "\"192.168.1.20/24\", \"fd00::20/64\"";
inline constexpr const char* kHosts = "\"192.168.1.1\", \"arp://192.168.1.2\", \"tcp://10.9.9.9:53\"";
inline constexpr const char* kUnit = "\"nginx.service\"";
inline constexpr const char* kCheck = "tcp = \"80\"";
inline constexpr const char* kPaths = "\"/srv/www/\"";

// Exactly one problem, in the changed file, at a line, with this text and this remedy.
inline void expect_refused(const Rule& rule) {
  SCOPED_TRACE(std::string(rule.file) + ": " + rule.from + " -> " + rule.to);
  Files files;
  files.change(rule.file, rule.from, rule.to);
  const auto loaded = files.load();
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().size(), 1U) << files.complaints();
  const ConfigProblem& problem = loaded.error().front();
  EXPECT_EQ(problem.file, files.path(rule.file));
  EXPECT_THAT(problem.text, testing::HasSubstr(rule.text));
  EXPECT_THAT(problem.remedy, testing::HasSubstr(rule.remedy));
}

inline void expect_accepted(const Rule& rule) {
  SCOPED_TRACE(std::string(rule.file) + ": " + rule.from + " -> " + rule.to);
  Files files;
  files.change(rule.file, rule.from, rule.to);
  EXPECT_EQ(files.complaints(), "");
}

// A warning with this text, and no error.
inline void expect_warned(const Rule& rule) {
  SCOPED_TRACE(std::string(rule.file) + ": " + rule.from + " -> " + rule.to);
  Files files;
  files.change(rule.file, rule.from, rule.to);
  EXPECT_EQ(files.complaints(), "");
  EXPECT_THAT(files.warned(), testing::HasSubstr(rule.text));
}

}  // namespace clusterd::test
