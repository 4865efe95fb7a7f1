// Lines between the mirror's programs, and lines of its files: cut, flipped, of other versions, with odd
// bytes.
#include <gtest/gtest.h>

#include <string>

#include "mirror/itemize.hpp"
#include "mirror/loss.hpp"
#include "mirror/manifest.hpp"
#include "mirror/messages.hpp"
#include "unit/damage.hpp"

namespace clusterd::mirror {
namespace {

using clusterd::testing::for_each_flip;
using clusterd::testing::for_each_truncation;

Config one_mirror() {
  Config config;
  config.services.resize(1);
  config.services[0].name = "web";
  config.services[0].mirrors.resize(1);
  config.services[0].mirrors[0].name = "data";
  return config;
}

Entry entry(std::string path) {
  Entry e;
  e.mode = 0644;
  e.uid = e.gid = 1000;
  e.size = 10;
  e.mtime_ns = e.ctime_ns = 5;
  e.inode = 7;
  e.path = std::move(path);
  return e;
}

TEST(HostileMessages, EveryTruncationIsRefusedAndEveryFlipIsRefusedOrMeansWhatItSays) {
  const Config config = one_mirror();
  MirrorReport report;
  report.service = ServiceId(0);
  report.mirror = MirrorId(0);
  report.epoch.value = 7;
  report.detail = "a \"b\"";
  std::string line = write_report(config, report);
  line.pop_back();
  for_each_truncation(line, [&](const std::string& cut, size_t length) {
    ASSERT_FALSE(parse_report(config, cut).has_value()) << length;
  });
  for_each_flip(line, [&](const std::string& bad, size_t bit) {
    const auto parsed = parse_report(config, bad);
    if (!parsed) return;
    const auto again = parse_report(config, write_report(config, *parsed));
    ASSERT_TRUE(again.has_value()) << bit;
    ASSERT_EQ(write_report(config, *again), write_report(config, *parsed)) << bit;
  });
  std::string order = write_order(config, {ServiceId(0), MirrorId(0), {}, Epoch{7}, false});
  order.pop_back();
  for_each_truncation(order, [&](const std::string& cut, size_t length) {
    ASSERT_FALSE(parse_order(config, cut).has_value()) << length;
  });
}

TEST(HostileMessages, TextsThatAreNoTextAreRefused) {
  const Config config = one_mirror();
  for (const std::string& name : {std::string("\xff"), std::string("\xc3"), std::string("\xed\xa0\x80"),
                                  std::string("web\0", 4), std::string("\x1b[2J"), std::string(2000, '\\')}) {
    EXPECT_FALSE(parse_order(config, "{\"cancel\":\"" + name + "\"}").has_value());
  }
  EXPECT_FALSE(parse_order(config, R"({"cancel":"web\u0000"})").has_value()) << "another name";
  EXPECT_TRUE(parse_order(config, R"({"cancel":"web"})").has_value());
  EXPECT_FALSE(parse_order(config, R"({"cancel":"web"}{"cancel":"web"})").has_value())
      << "one order, one line";
}

TEST(HostileManifest, OtherVersionsAreRefusedOldAndNew) {
  for (const char* first : {"clusterd-manifest 0", "clusterd-manifest 2", "clusterd-manifest 10",
                            "clusterd-manifest", "clusterd-manifest 1 ", "Clusterd-manifest 1", ""}) {
    ManifestParser parser;
    EXPECT_FALSE(parser.line(first).has_value()) << first;
  }
}

TEST(HostileManifest, AFlippedBitIsRefusedOrReadsAsWritten) {
  const std::string line = "f 644 1000 1000 10 5 5 7 /srv/a b\\xff";
  ASSERT_TRUE(parse_entry(line).has_value());
  for_each_flip(line, [&](const std::string& bad, size_t bit) {
    const auto parsed = parse_entry(bad);
    if (!parsed) return;
    ASSERT_TRUE(is_clean_path(parsed->path)) << bit;
    std::string again = write_entry(*parsed);
    again.pop_back();
    const auto twice = parse_entry(again);
    ASSERT_TRUE(twice.has_value() && *twice == *parsed) << bit;
  });
}

TEST(HostileManifest, NoMoreRootsAndMountsThanAnySaneMirror) {
  ManifestParser parser;
  ASSERT_TRUE(parser.line("clusterd-manifest 1").has_value());
  size_t taken = 0;
  for (int i = 0; i < 5000; ++i) taken += parser.line("mount /m" + std::to_string(i)).has_value() ? 1U : 0U;
  EXPECT_EQ(taken, parser.header().mounts.size());
  EXPECT_LE(taken, 1024U);
}

TEST(HostileLoss, EveryTruncationIsRefusedOrAnotherChange) {
  const Entry here = entry("/srv/a\tb"), mirrored = entry("/srv/a\tb");
  std::string line = write_candidate({Candidate::Change::kChanged, here, mirrored});
  line.pop_back();
  for_each_truncation(line, [&](const std::string& cut, size_t length) {
    // The path stands last, and both have to be equal: no shorter form is one.
    ASSERT_FALSE(parse_candidate(cut).has_value()) << length;
  });
  for_each_flip(line, [&](const std::string& bad, size_t bit) {
    const auto parsed = parse_candidate(bad);
    if (!parsed) return;
    ASSERT_TRUE(is_clean_path(parsed->path())) << bit;
    std::string again = write_candidate(*parsed);
    again.pop_back();
    const auto twice = parse_candidate(again);
    ASSERT_TRUE(twice.has_value() && *twice == *parsed) << bit;
  });
}

TEST(HostileItemize, WhateverRsyncPrintsIsAnAbsolutePathOrNothing) {
  const std::string line = "@ <f+++++++++ 120 100 srv/data/\\#012x";
  ASSERT_TRUE(parse_item(line).has_value());
  const auto look = [](const std::string& bad, size_t at) {
    const auto item = parse_item(bad);
    if (!item) return;
    ASSERT_EQ(item->path.front(), '/') << at;
    ASSERT_TRUE(item->path.size() == 1 || item->path.back() != '/') << at;
  };
  for_each_truncation(line, look);
  for_each_flip(line, look);
  EXPECT_FALSE(parse_item("@ <f+++++++++ 18446744073709551616 1 a").has_value()) << "more than 64 bits";
  EXPECT_FALSE(parse_item("@ <f+++++++++ -1 1 a").has_value());
}

}  // namespace
}  // namespace clusterd::mirror
