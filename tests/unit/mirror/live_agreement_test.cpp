// The log of the agreement: each of its lines, with and without moves, and streams that fail.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "mirror/live/agreement.hpp"
#include "mirror/live/entry.hpp"

namespace clusterd::mirror::live {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Entry entry(const std::string& path, uint64_t inode) {
  Entry e;
  e.path = path;
  e.inode = inode;
  return e;
}

// Fails instead of giving the entry `fails_at`, if that is less than their number, or instead of the end.
EntryStream stream_of(std::vector<Entry> entries, size_t fails_at = SIZE_MAX) {
  return [entries = std::move(entries), fails_at, i = size_t{0}]() mutable -> Result<std::optional<Entry>> {
    if (i == fails_at) return fail(Code::kCorrupt, "the manifest is damaged");
    return i == entries.size() ? std::optional<Entry>() : std::optional<Entry>(entries[i++]);
  };
}

// A log over these entries. A manifest that fails does so whoever reads it.
EntryStream over(Overlay overlay, const std::vector<Entry>& manifest, size_t fails_at = SIZE_MAX) {
  const auto parts = [&](const std::vector<std::string>& paths) {
    EXPECT_TRUE(std::is_sorted(paths.begin(), paths.end(), PathOrder{}));
    std::vector<Entry> some;
    for (const Entry& e : manifest) {
      if (std::any_of(paths.begin(), paths.end(), [&](const auto& p) { return is_within(e.path, p); }))
        some.push_back(e);
    }
    return stream_of(std::move(some), fails_at);
  };
  return std::move(overlay).over(stream_of(manifest, fails_at), parts);
}

Overlay overlay_of(const std::vector<std::string>& lines) {
  Overlay overlay;
  for (std::string line : lines) {
    EXPECT_EQ(line.back(), '\n');
    line.pop_back();
    EXPECT_TRUE(overlay.take(line)) << line;
  }
  EXPECT_EQ(overlay.lines(), lines.size());
  return overlay;
}

// "path:inode" of each entry; "!" for an error.
std::vector<std::string> read(const EntryStream& stream) {
  std::vector<std::string> out;
  while (true) {
    auto next = stream();
    if (!next) out.emplace_back("!");
    if (!next || !*next) return out;
    out.push_back((*next)->path + ":" + std::to_string((*next)->inode));
  }
}

const std::vector<Entry> kManifest = {entry("/a", 1), entry("/a/x", 2), entry("/ab", 3), entry("/b", 4)};

std::vector<std::string> played(const std::vector<std::string>& lines) {
  return read(over(overlay_of(lines), kManifest));
}

TEST(LiveAgreementLog, WithoutLinesIsTheManifest) {
  EXPECT_TRUE(Overlay().empty());
  EXPECT_THAT(played({}), ElementsAre("/a:1", "/a/x:2", "/ab:3", "/b:4"));
}

// Every story is told twice: a move elsewhere changes nothing but the way in which the log is played.
TEST(LiveAgreementLog, MeansTheSameWithAndWithoutMoves) {
  const auto both = [](std::vector<std::string> lines) {
    const auto plain = played(lines);
    lines.push_back(write_moved("/none", "/nowhere"));
    EXPECT_THAT(played(lines), testing::ElementsAreArray(plain));
    lines.insert(lines.begin(), write_moved("/none", "/nowhere"));
    EXPECT_THAT(played(lines), testing::ElementsAreArray(plain));
    return plain;
  };
  EXPECT_THAT(both({write_agreed(entry("/a/x", 9)), write_agreed(entry("/a/x", 8))}),
              ElementsAre("/a:1", "/a/x:8", "/ab:3", "/b:4"));
  EXPECT_THAT(both({write_gone("/a")}), ElementsAre("/ab:3", "/b:4"));
  EXPECT_THAT(both({write_gone("/b"), write_gone("/none")}), ElementsAre("/a:1", "/a/x:2", "/ab:3"));
  EXPECT_THAT(both({write_gone("/a"), write_agreed(entry("/a/y", 7))}),
              ElementsAre("/a/y:7", "/ab:3", "/b:4"));
  // Until the peer has said that it is gone there, nothing below is proven; nor what was agreed before that.
  EXPECT_THAT(both({write_leaving("/a")}), ElementsAre("/a:0", "/a/x:0", "/ab:3", "/b:4"));
  EXPECT_THAT(both({write_agreed(entry("/a/x", 5)), write_agreed(entry("/c", 6)), write_leaving("/a")}),
              ElementsAre("/a:0", "/a/x:0", "/ab:3", "/b:4", "/c:6"));
  EXPECT_THAT(both({write_leaving("/a"), write_leaving("/a/x"), write_leaving("/none")}),
              ElementsAre("/a:0", "/a/x:0", "/ab:3", "/b:4"));
  EXPECT_THAT(both({write_leaving("/a"), write_gone("/a")}), ElementsAre("/ab:3", "/b:4"));
  // … or that it has what was put back.
  EXPECT_THAT(both({write_leaving("/a"), write_agreed(entry("/a/x", 2))}),
              ElementsAre("/a:0", "/a/x:2", "/ab:3", "/b:4"));
}

// What is removed below something that was removed before is not all that is gone.
TEST(LiveAgreementLog, ARemovalWithinARemovalEndsNothing) {
  const std::vector<Entry> manifest = {entry("/a", 1), entry("/a/x", 2), entry("/a/y", 3), entry("/b", 4)};
  const auto log = overlay_of(
      {write_gone("/a"), write_agreed(entry("/a", 5)), write_agreed(entry("/a/x", 6)), write_gone("/a/x")});
  EXPECT_THAT(read(over(log, manifest)), ElementsAre("/a:5", "/b:4"));
}

// The log that is merged with the manifest, and the same log played over the whole of it.
TEST(LiveAgreementLog, IsMergedAsItIsPlayed) {
  const std::vector<std::string> paths = {"/a",  "/a/x", "/a/x/1", "/a/x/2", "/a/y",
                                          "/a-", "/ab",  "/ab/x",  "/b"};
  std::mt19937 random(5);
  for (int round = 0; round < 2000; ++round) {
    std::vector<Entry> manifest;
    for (const std::string& path : paths) {
      if (random() % 2 == 0) manifest.push_back(entry(path, 100));
    }
    std::vector<std::string> lines;
    for (uint64_t n = 1 + random() % 6; n > 0; --n) {
      const std::string& path = paths[random() % paths.size()];
      const auto kind = random() % 3;
      lines.push_back(kind == 0   ? write_gone(path)
                      : kind == 1 ? write_agreed(entry(path, n))
                                  : write_leaving(path));
    }
    const auto merged = read(over(overlay_of(lines), manifest));
    auto with_move = lines;
    with_move.push_back(write_moved("/none", "/nowhere"));
    const auto all = read(over(overlay_of(with_move), manifest));
    ASSERT_THAT(merged, testing::ElementsAreArray(all)) << testing::PrintToString(lines);
  }
}

// Any log, against what its lines say one after the other.
TEST(LiveAgreementLog, IsWhatItsLinesSay) {
  const std::vector<std::string> paths = {"/a",  "/a/x",  "/a/x/1",  "/a/x/1/2", "/a/y", "/a-",
                                          "/ab", "/ab/x", "/ab/x/1", "/b",       "/b/1", "/c"};
  std::mt19937 random(7);
  for (int round = 0; round < 20'000; ++round) {
    std::vector<Entry> manifest;
    std::map<std::string, uint64_t, PathOrder> expected;
    for (const std::string& path : paths) {
      if (random() % 2 == 0) continue;
      manifest.push_back(entry(path, 100 + manifest.size()));
      expected[path] = manifest.back().inode;
    }
    std::sort(manifest.begin(), manifest.end(),
              [](const auto& a, const auto& b) { return path_before(a.path, b.path); });
    std::vector<std::string> lines;
    for (uint64_t n = 1 + random() % 10; n > 0; --n) {
      const std::string &path = paths[random() % paths.size()], &to = paths[random() % paths.size()];
      switch (random() % 4) {
        case 0:
          lines.push_back(write_agreed(entry(path, n)));
          expected[path] = n;
          break;
        case 1:
          lines.push_back(write_gone(path));
          std::erase_if(expected, [&](const auto& each) { return is_within(each.first, path); });
          break;
        case 2:
          lines.push_back(write_leaving(path));
          for (auto& [known, inode] : expected) inode = is_within(known, path) ? 0 : inode;
          break;
        default:
          if (is_within(path, to) || is_within(to, path)) break;
          lines.push_back(write_moved(path, to));
          std::erase_if(expected, [&](const auto& each) { return is_within(each.first, to); });
          const auto before = expected;
          for (const auto& [known, inode] : before) {
            if (!is_within(known, path)) continue;
            expected.erase(known);
            expected[*moved(known, path, to)] = inode;
          }
      }
    }
    std::vector<std::string> told;
    for (const auto& [path, inode] : expected) told.push_back(path + ":" + std::to_string(inode));
    ASSERT_THAT(read(over(overlay_of(lines), manifest)), testing::ElementsAreArray(told))
        << testing::PrintToString(lines);
  }
}

// What concerns a part of the tree is all that has to be known of it: of the log, and of the manifest.
TEST(LiveAgreementLog, APartIsToldByWhatConcernsIt) {
  const std::vector<std::string> paths = {"/a",    "/a/x", "/a/x/1", "/a/x/2", "/a/y", "/a-", "/ab",
                                          "/ab/x", "/b\n", "/b\n/1", "/b\\",   "/c",   "/c/d"};
  const auto is_in = [](const std::vector<std::string>& folders, const std::string& path) {
    return std::any_of(folders.begin(), folders.end(), [&](const auto& f) { return is_within(path, f); });
  };
  std::mt19937 random(6);
  size_t left_out = 0, moves = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::vector<Entry> manifest;
    for (const std::string& path : paths) {
      if (random() % 2 == 0) manifest.push_back(entry(path, 100));
    }
    std::sort(manifest.begin(), manifest.end(),
              [](const auto& a, const auto& b) { return path_before(a.path, b.path); });
    const auto any = [&] { return paths[random() % paths.size()]; };
    std::vector<std::string> lines;
    for (uint64_t n = 1 + random() % 8; n > 0; --n) {
      const std::string path = any(), to = any();
      const auto kind = random() % 4;
      if (kind == 3 && (is_within(path, to) || is_within(to, path))) continue;
      lines.push_back(kind == 0   ? write_gone(path)
                      : kind == 1 ? write_agreed(entry(path, n))
                      : kind == 2 ? write_leaving(path)
                                  : write_moved(path, to));
      moves += kind == 3;
    }
    std::vector<std::string> scopes = {any()};
    if (random() % 3 == 0) scopes.push_back(any());
    std::sort(scopes.begin(), scopes.end(), path_before);
    if (scopes.size() == 2 && is_within(scopes[1], scopes[0])) scopes.pop_back();

    auto bare = lines;
    for (std::string& line : bare) line.pop_back();
    const Concerned part = concerned(bare, scopes);
    ASSERT_TRUE(std::is_sorted(part.lines.begin(), part.lines.end()));
    ASSERT_TRUE(std::is_sorted(part.paths.begin(), part.paths.end(), PathOrder{}));
    std::vector<std::string> some_lines;
    for (const size_t number : part.lines) some_lines.push_back(lines[number]);
    std::vector<Entry> some;
    for (const Entry& e : manifest) {
      if (is_in(part.paths, e.path)) some.push_back(e);
    }
    left_out += manifest.size() - some.size() + lines.size() - some_lines.size();
    const auto in_scopes = [&](std::vector<std::string> all) {
      std::erase_if(all,
                    [&](const std::string& each) { return !is_in(scopes, each.substr(0, each.rfind(':'))); });
      return all;
    };
    const auto whole = in_scopes(read(over(overlay_of(lines), manifest)));
    ASSERT_THAT(in_scopes(read(over(overlay_of(some_lines), some))), testing::ElementsAreArray(whole))
        << testing::PrintToString(lines) << testing::PrintToString(scopes);
  }
  EXPECT_GT(left_out, 100'000U);
  EXPECT_GT(moves, 10'000U);
}

TEST(LiveAgreementLog, WhatIsNoLineConcernsNothing) {
  EXPECT_THAT(concerned({"", "+", "+ f 644", ">", "> /a", "- /b", "? /a"}, {"/a"}).lines, ElementsAre(4, 6));
}

TEST(LiveAgreementLog, MovesWhatIsBelowAndReplacesWhatWasThere) {
  EXPECT_THAT(played({write_moved("/a", "/b")}), ElementsAre("/ab:3", "/b:1", "/b/x:2"));
  EXPECT_THAT(played({write_moved("/b", "/a")}), ElementsAre("/a:4", "/ab:3"));
  EXPECT_THAT(played({write_moved("/none", "/a")}), ElementsAre("/ab:3", "/b:4"));
  EXPECT_TRUE(overlay_of({write_moved("/a", "/c")}).moves());
  EXPECT_FALSE(overlay_of({write_gone("/a")}).moves());
}

TEST(LiveAgreementLog, SaysSoIfTheManifestFails) {
  for (size_t at = 0; at <= kManifest.size(); ++at) {
    const auto plain =
        read(over(overlay_of({write_agreed(entry("/a/y", 7)), write_agreed(entry("/c", 7))}), kManifest, at));
    ASSERT_FALSE(plain.empty());
    EXPECT_EQ(plain.back(), "!") << at;
    EXPECT_LE(plain.size(), at + 2);
    EXPECT_THAT(read(over(overlay_of({write_moved("/a", "/c")}), kManifest, at)), ElementsAre("!"));
  }
}

TEST(LiveAgreementLog, KeepsEveryByteOfAPath) {
  const std::string odd = "/a\n\t\\x\xff";
  EXPECT_THAT(read(over(overlay_of({write_agreed(entry(odd, 5))}), {})), ElementsAre(odd + ":5"));
  EXPECT_THAT(read(over(overlay_of({write_moved(odd, "/z")}), {entry(odd, 5)})), ElementsAre("/z:5"));
  EXPECT_THAT(read(over(overlay_of({write_gone(odd)}), {entry(odd, 5)})), IsEmpty());
}

TEST(LiveAgreementLog, RefusesWhatIsNoLine) {
  Overlay overlay;
  const std::string agreed = write_agreed(entry("/a", 1));
  for (const std::string& line :
       {std::string("+"), std::string("+ "), std::string("+/a"), std::string("- "), std::string("- /a\\"),
        std::string("> /a\t"), std::string("> /a\t/a"), std::string("> /a/b\t/a"), std::string("> /a\t/a/b"),
        std::string("> a\t/b"), std::string("> /a\tb"), std::string("* /a"), "-" + agreed.substr(1, 5),
        "- /" + std::string(2 * kMaxManifestLine, 'x'), std::string("? f 644 0 0 0 0 0 0 relative")})
    EXPECT_FALSE(overlay.take(line)) << line.substr(0, 80);
  EXPECT_TRUE(overlay.empty());
}

}  // namespace
}  // namespace clusterd::mirror::live
