// Damaged files are refused or understood, and never crash the loader.
#include <gtest/gtest.h>

#include <random>

#include "config/report.hpp"
#include "files.hpp"

namespace clusterd {
namespace {

using test::Files;

// Whatever comes out must be sane: a configuration that keeps its promises, or problems with a place each.
void load_damaged(Files& files) {
  const auto loaded = files.load();
  if (loaded) {
    EXPECT_TRUE(loaded->self.valid());
    EXPECT_FALSE(timing_report(*loaded).empty());
    for (const ServiceConfig& service : loaded->services) ASSERT_LT(service.link.at(), loaded->links.size());
    return;
  }
  EXPECT_FALSE(loaded.error().empty());
  for (const ConfigProblem& problem : loaded.error()) {
    EXPECT_FALSE(problem.file.empty());
    EXPECT_FALSE(problem.text.empty());
    EXPECT_FALSE(problem.remedy.empty()) << problem.text;
  }
}

TEST(Fuzz, TruncationAtEveryByte) {
  Files files;
  for (const auto& [name, content] : {std::pair<const char*, std::string>{"cluster.toml", test::kCluster},
                                      std::pair<const char*, std::string>{"services/web.toml", test::kWeb}}) {
    for (size_t length = 0; length <= content.size(); ++length) {
      SCOPED_TRACE(std::string(name) + " cut at " + std::to_string(length));
      files.write(name, content.substr(0, length));
      load_damaged(files);
    }
  }
}

TEST(Fuzz, RandomDamage) {
  std::mt19937 random(20240607);
  Files files;
  for (int round = 0; round < 1500; ++round) {
    const bool main_file = round % 2 == 0;
    const char* name = main_file ? "cluster.toml" : "services/web.toml";
    std::string content = main_file ? test::kCluster : test::kWeb;
    for (unsigned flips = 1 + random() % 4; flips > 0; --flips) {
      const size_t at = random() % content.size();
      switch (random() % 4) {
        case 0:
          content[at] = static_cast<char>(static_cast<unsigned char>(content[at]) ^ (1U << random() % 8));
          break;
        case 1:
          content[at] = static_cast<char>(random() % 256);
          break;
        case 2:
          content.erase(at, 1 + random() % 8);
          break;
        default:
          content.insert(at, content.substr(random() % content.size(), random() % 40));
      }
    }
    SCOPED_TRACE(std::string(name) + ":\n" + content);
    files.write(name, content);
    load_damaged(files);
    files.write(name, main_file ? test::kCluster : test::kWeb);
  }
}

TEST(Fuzz, RandomBytes) {
  std::mt19937 random(7);
  Files files;
  for (int round = 0; round < 300; ++round) {
    std::string content(random() % 400, '\0');
    for (char& c : content) c = static_cast<char>(random() % 256);
    files.write("cluster.toml", content);
    load_damaged(files);
  }
}

TEST(Fuzz, DepthAndLengthDoNotExhaustTheStack) {
  std::string dotted = "a", nested, spread;
  for (int i = 0; i < 200'000; ++i) dotted += ".a";
  for (int i = 0; i < 200'000; ++i) nested += "[";
  for (int i = 0; i < 20'000; ++i) spread += "[\n{a.a.a.a.a.a.a.a.a.a=";
  Files files;
  for (const std::string& content :
       {dotted + " = 1", "[" + dotted + "]", "x = " + nested, "x = {" + dotted + " = 1}", "x = " + spread,
        std::string(1'000'000, '['), std::string(1'000'000, '"'),
        "x = \"" + std::string(900'000, 'y') + "\""}) {
    files.write("cluster.toml", content);
    const auto loaded = files.load();
    EXPECT_FALSE(loaded);
  }
}

}  // namespace
}  // namespace clusterd
