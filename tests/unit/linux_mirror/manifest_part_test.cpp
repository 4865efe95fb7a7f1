// Parts of a manifest are what a reader of all of it would have kept.
#include "linux/mirror/manifest_part.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>

#include "mirror/live/entry.hpp"

namespace clusterd {
namespace {

namespace fs = std::filesystem;
using mirror::Entry;
using mirror::live::is_within;

class Part : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/cdt-part-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    root_ = name;
  }
  void TearDown() override { fs::remove_all(root_); }

  [[nodiscard]] std::string manifest() const { return root_ + "/manifest"; }
  void write(const std::vector<Entry>& entries, const std::string& end) const {
    mirror::ManifestHeader header;
    header.epoch = 7;
    std::ofstream out(manifest(), std::ios::binary);
    out << mirror::write_header(header);
    for (const Entry& entry : entries) out << mirror::write_entry(entry);
    out << end;
  }
  void write(const std::vector<Entry>& entries) const { write(entries, mirror::write_end(entries.size())); }
  // Their paths; "!" for an error.
  [[nodiscard]] std::vector<std::string> read(const std::vector<std::string>& paths) const {
    auto part = ManifestPart::open(manifest(), paths);
    if (!part) return {"!"};
    EXPECT_EQ((*part)->header().epoch, 7U);
    std::vector<std::string> out;
    while (true) {
      auto next = (*part)->next();
      if (!next) out.emplace_back("!");
      if (!next || !*next) return out;
      out.push_back((*next)->path);
    }
  }

  std::string root_;
};

TEST_F(Part, IsWhatLiesAtAndBelowItsPaths) {
  std::mt19937 random(3);
  for (const size_t count : {0U, 1U, 20U, 3000U, 30'000U}) {
    // Folders of all sizes; some names are as long as they can be.
    std::set<std::string, bool (*)(std::string_view, std::string_view)> paths(mirror::path_before);
    while (paths.size() < count) {
      std::string path;
      for (auto depth = 1 + random() % 5; depth > 0; --depth) path += "/" + std::to_string(random() % 20);
      if (random() % 500 == 0) path += "/" + std::string(200 + random() % 10'000, '\x01');  // four bytes each
      paths.insert(path);
    }
    std::vector<Entry> entries;
    for (const std::string& path : paths) {
      entries.push_back({});
      entries.back().path = path;
    }
    write(entries);
    EXPECT_EQ(read({}), std::vector<std::string>{});
    for (int round = 0; round < 200; ++round) {
      std::vector<std::string> wanted;
      for (auto n = 1 + random() % (round % 10 == 0 ? 300 : 4); n > 0; --n) {
        const bool known = !entries.empty() && random() % 2 == 0;
        wanted.push_back(known ? entries[random() % entries.size()].path
                               : "/" + std::to_string(random() % 25) + "/" + std::to_string(random() % 25));
      }
      std::sort(wanted.begin(), wanted.end(), mirror::path_before);
      std::vector<std::string> tops;
      for (const std::string& path : wanted) {
        if (tops.empty() || !is_within(path, tops.back())) tops.push_back(path);
      }
      std::vector<std::string> expected;
      for (const Entry& entry : entries) {
        if (std::any_of(tops.begin(), tops.end(),
                        [&](const auto& top) { return is_within(entry.path, top); }))
          expected.push_back(entry.path);
      }
      ASSERT_EQ(read(tops), expected) << count << " " << round;
    }
  }
}

TEST_F(Part, OfNothingIsNothing) {
  auto part = ManifestPart::open(manifest(), {"/a"});
  ASSERT_TRUE(part);
  EXPECT_EQ(*part, nullptr);
}

TEST_F(Part, OfWhatIsDamagedIsAnError) {
  const auto expect_corrupt = [&](const std::string& text) {
    std::ofstream(manifest(), std::ios::binary) << text;
    EXPECT_EQ(read({"/a"}), std::vector<std::string>{"!"}) << text.substr(0, 60);
  };
  expect_corrupt("");
  expect_corrupt("clusterd-manifest 1\n");
  expect_corrupt("clusterd-manifest 1\nrole somebody\n");
  mirror::ManifestHeader seventh;
  seventh.epoch = 7;
  const std::string header = mirror::write_header(seventh);
  expect_corrupt(header + "nonsense\n");
  expect_corrupt(header + std::string(200'000, 'x') + "\n");
  expect_corrupt(header + "f 644 0 0 1 1 1 1 /a");  // without its newline
}

// A manifest that is cut is noticed by whoever reads all of it; here it is only shorter.
TEST_F(Part, EndsWhereTheManifestDoes) {
  Entry a, b;
  a.path = "/a";
  b.path = "/a/b";
  write({a, b}, "");
  EXPECT_EQ(read({"/a"}), (std::vector<std::string>{"/a", "/a/b"}));
}

}  // namespace
}  // namespace clusterd
