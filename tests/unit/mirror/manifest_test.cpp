#include "mirror/manifest.hpp"

#include <gtest/gtest.h>

#include <random>

#include "mirror/escape.hpp"
#include "mirror/loss.hpp"

namespace clusterd::mirror {
namespace {

Entry entry(std::string path, int64_t version = 1, char type = 'f') {
  Entry e;
  e.type = type;
  e.mode = 0644;
  e.uid = 1000;
  e.size = type == 'd' ? 0 : 10;
  e.mtime_ns = version;
  e.ctime_ns = version;
  e.inode = 7;
  e.path = std::move(path);
  return e;
}

TEST(Escape, GivesBackEveryByte) {
  std::string all;
  for (int c = 1; c < 256; ++c) all += static_cast<char>(c);
  const std::string text = escape(all);
  EXPECT_EQ(unescape(text), all);
  for (const char c : text) EXPECT_GE(static_cast<unsigned char>(c), 0x20);
  EXPECT_EQ(escape("größe"), "größe");
  EXPECT_EQ(escape("a\xff\xc0\xafz"), "a\\xff\\xc0\\xafz");
  EXPECT_EQ(escape("\xc2\x9b"
                   "m"),
            "\\xc2\\x9bm");                              // a control character that terminals obey
  EXPECT_EQ(escape("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // half of a surrogate pair is no UTF-8
}

TEST(Escape, RefusesWhatItCannotHaveWritten) {
  for (const char* text : {"\\", "\\x", "\\x0", "\\x00", "\\xG1", "\\xAB", "\\n", "a\\", "a\nb", "\x7f",
                           "\xff", "\xc3", "\xc2\x9b"}) {
    EXPECT_FALSE(unescape(text)) << text;
  }
  EXPECT_FALSE(unescape(std::string_view("a\0b", 3)));
}

TEST(Escape, ReadsRsyncsOctal) {
  EXPECT_EQ(unescape_rsync("a\\#012b\\#377"), "a\nb\xff");
  EXPECT_EQ(unescape_rsync("\\#134#012"), "\\#012");
  EXPECT_EQ(unescape_rsync("\\#9\\#01"), "\\#9\\#01");
}

TEST(TreeOrder, PutsADirectoryRightBeforeWhatIsInIt) {
  const std::vector<std::string> sorted = {"/a",   "/a/b",   "/a/b/c", "/a/z", "/a\x01",
                                           "/a b", "/a.txt", "/b",     "/\xff"};
  for (size_t i = 0; i < sorted.size(); ++i) {
    for (size_t j = 0; j < sorted.size(); ++j) EXPECT_EQ(path_before(sorted[i], sorted[j]), i < j) << i << j;
  }
}

TEST(TreeOrder, IsThatOfTheirBytesHoweverLongTheyAgree) {
  const std::string letters = "/ab\x01\xff";
  for (size_t common = 0; common < 40; ++common) {
    for (const char x : letters) {
      for (const char y : letters) {
        const std::string start(common, 'p'), a = start + x + "rest", b = start + y + "tail";
        const auto rank = [](char c) { return c == '/' ? 0 : static_cast<uint8_t>(c); };
        EXPECT_EQ(path_before(a, b), x == y ? true : rank(x) < rank(y)) << common << x << y;
        EXPECT_FALSE(path_before(a, a));
        EXPECT_TRUE(path_before(start, a));
        EXPECT_FALSE(path_before(a, start));
      }
    }
  }
}

TEST(CleanPath, RefusesWhatLeadsElsewhere) {
  for (const char* good : {"/a", "/a/b", "/a/..b", "/.a", "/a b/\xff"})
    EXPECT_TRUE(is_clean_path(good)) << good;
  for (const char* bad : {"", "/", "a", "/a/", "//a", "/a//b", "/..", "/a/..", "/a/../b", "/.", "/a/."}) {
    EXPECT_FALSE(is_clean_path(bad)) << bad;
  }
  EXPECT_FALSE(is_clean_path(std::string_view("/a\0b", 4)));
}

struct Parsed {
  ManifestHeader header;
  std::vector<Entry> entries;
};
Result<Parsed> parse(const std::string& text) {
  ManifestParser parser;
  Parsed out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    if (end == std::string::npos) return fail(Code::kCorrupt, "truncated");
    auto e = parser.line(std::string_view(text).substr(at, end - at));
    if (!e) return tl::unexpected(e.error());
    if (*e) out.entries.push_back(**e);
    at = end + 1;
  }
  if (!parser.complete()) return fail(Code::kCorrupt, "truncated");
  out.header = parser.header();
  return out;
}

std::string sample() {
  ManifestHeader header;
  header.role = ManifestHeader::Role::kTarget;
  header.epoch = 12;
  header.time_unix = 1700000000;
  header.boot = "d2c1";
  header.roots = {{"/srv/with blank\n", 'd', 2049, "/mnt point", "ext4", 3}};
  header.mounts = {"/srv/with blank\n/disk two"};
  return write_header(header) + write_entry(entry("/srv/a", 5, 'd')) + write_entry(entry("/srv/a/\xff x")) +
         write_entry(entry("/srv/a.b", -5)) + write_end(3);
}

TEST(Manifest, IsReadAsItWasWritten) {
  const auto parsed = parse(sample());
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
  EXPECT_EQ(parsed->header.role, ManifestHeader::Role::kTarget);
  EXPECT_EQ(parsed->header.epoch, 12u);
  EXPECT_EQ(parsed->header.boot, "d2c1");
  ASSERT_EQ(parsed->header.roots.size(), 1u);
  EXPECT_EQ(parsed->header.roots[0], (RootRecord{"/srv/with blank\n", 'd', 2049, "/mnt point", "ext4", 3}));
  EXPECT_EQ(parsed->header.mounts, std::vector<std::string>{"/srv/with blank\n/disk two"});
  EXPECT_EQ(parsed->entries,
            (std::vector<Entry>{entry("/srv/a", 5, 'd'), entry("/srv/a/\xff x"), entry("/srv/a.b", -5)}));
}

TEST(Manifest, IsRefusedWhereItIsDamaged) {
  const std::string good = sample();
  for (size_t cut = 0; cut + 1 < good.size(); ++cut)
    EXPECT_FALSE(parse(good.substr(0, cut)).has_value()) << cut;
  const auto with = [&](const std::string& line) { return write_header({}) + line + "\n" + write_end(1); };
  ASSERT_TRUE(parse(with("f 644 0 0 1 2 3 4 /a")).has_value());
  for (const char* line :
       {"f 644 0 0 1 2 3 4 a", "f 644 0 0 1 2 3 4 /a/../b", "f 644 0 0 1 2 3 4 /a/", "x 644 0 0 1 2 3 4 /a",
        "f 10000 0 0 1 2 3 4 /a", "f 648 0 0 1 2 3 4 /a", "f 644 -1 0 1 2 3 4 /a", "f 644 0 0 -1 2 3 4 /a",
        "f 644 0 0 99999999999999999999 2 3 4 /a", "f 644 0 0 1 2 3 /a", "f 644 0 0 1 2 3 4", "", "f", "end",
        "f 644 0 0 1 2 3 4 /a\\x00", "f 644 99999999999 0 1 2 3 4 /a"}) {
    EXPECT_FALSE(parse(with(line)).has_value()) << line;
  }
  EXPECT_FALSE(parse(good + "f 644 0 0 1 2 3 4 /z\n").has_value());
  EXPECT_FALSE(parse(write_header({}) + write_entry(entry("/b")) + write_entry(entry("/a")) + write_end(2))
                   .has_value());
  EXPECT_FALSE(parse(write_header({}) + write_entry(entry("/a")) + write_entry(entry("/a")) + write_end(2))
                   .has_value());
  EXPECT_FALSE(parse(write_header({}) + write_entry(entry("/a")) + write_end(2)).has_value());
  EXPECT_FALSE(
      parse(write_header({}) + std::string(kMaxManifestLine + 1, 'f') + "\n" + write_end(1)).has_value());
}

TEST(Manifest, SurvivesRandomBytes) {
  std::mt19937 random(1);
  const std::string good = sample();
  for (int i = 0; i < 20000; ++i) {
    std::string text = good;
    for (int n = 0; n < 3; ++n) text[random() % text.size()] = static_cast<char>(random());
    (void)parse(text);  // must neither crash nor run away
  }
}

EntryStream stream(std::vector<Entry> entries) {
  auto list = std::make_shared<std::vector<Entry>>(std::move(entries));
  return [list, at = size_t{0}]() mutable -> Result<std::optional<Entry>> {
    if (at == list->size()) return std::optional<Entry>{};
    return std::optional<Entry>((*list)[at++]);
  };
}

TEST(CompareStreams, MeetsEachPathOnce) {
  std::vector<std::string> seen;
  auto ok = compare_streams(stream({entry("/a"), entry("/a/x"), entry("/c")}),
                            stream({entry("/a"), entry("/a.b"), entry("/c"), entry("/d")}),
                            [&](const Entry* was, const Entry* now) -> Result<void> {
                              seen.push_back((was ? was->path : "-") + (now ? now->path : "-"));
                              return {};
                            });
  ASSERT_TRUE(ok.has_value());
  EXPECT_EQ(seen, (std::vector<std::string>{"/a/a", "/a/x-", "-/a.b", "/c/c", "-/d"}));
  auto broken = compare_streams(
      stream({}), [] { return Result<std::optional<Entry>>(fail(Code::kCorrupt, "x")); },
      [](const Entry*, const Entry*) -> Result<void> { return {}; });
  EXPECT_FALSE(broken.has_value());
}

TEST(AgreedAfterRun, RecordsOnlyWhatStoodStill) {
  const Entry v1 = entry("/a", 1), v2 = entry("/a", 2), v3 = entry("/a", 3);
  EXPECT_EQ(agreed_after_run(nullptr, &v1, &v1), v1);                // new, sent
  EXPECT_EQ(agreed_after_run(&v1, &v2, &v2), v2);                    // changed, sent
  EXPECT_EQ(agreed_after_run(&v1, &v2, &v3), v1);                    // changed again while it was sent
  EXPECT_EQ(agreed_after_run(nullptr, &v2, &v3), unproven(v3));      // new, and changed while it was sent
  EXPECT_EQ(agreed_after_run(&v1, nullptr, nullptr), std::nullopt);  // deleted before: so it is at the target
  EXPECT_EQ(agreed_after_run(&v1, nullptr, &v2), unproven(v2));      // made anew meanwhile
  EXPECT_EQ(agreed_after_run(nullptr, nullptr, &v2), unproven(v2));  // new meanwhile: may have been sent
  EXPECT_EQ(agreed_after_run(&v1, &v2, nullptr), v2);                // deleted meanwhile: may have been sent
}

TEST(AgreedAfterBrokenRun, KeepsWhatWasAgreedAndDoubtsTheRest) {
  const Entry v1 = entry("/a", 1), v2 = entry("/a", 2);
  EXPECT_EQ(agreed_after_broken_run(&v1, &v2, &v2), v1);
  EXPECT_EQ(agreed_after_broken_run(&v1, &v1, nullptr), v1);  // deleted since: what the peer has is known
  EXPECT_EQ(agreed_after_broken_run(nullptr, &v2, nullptr), unproven(v2));
  EXPECT_EQ(agreed_after_broken_run(nullptr, nullptr, &v2), unproven(v2));
  EXPECT_EQ(agreed_after_broken_run(nullptr, &v1, &v2), unproven(v1));
}

// The run may have deleted it at the target before it broke off. Put back as it was, it is not what both
// have.
TEST(AgreedAfterBrokenRun, DoubtsWhatWasGoneWhenTheRunBegan) {
  const Entry v1 = entry("/a", 1);
  const Entry after = agreed_after_broken_run(&v1, nullptr, &v1);
  EXPECT_EQ(after, unproven(v1));
  const auto found = candidate(&after, &v1);
  ASSERT_TRUE(found);
  EXPECT_TRUE(is_lost(*found, nullptr, true));
  EXPECT_EQ(agreed_after_broken_run(&v1, nullptr, nullptr), unproven(v1));
}

TEST(Unproven, IsMirroredByNoneAndSurvivesTheFile) {
  const Entry e = entry("/a", 1);
  EXPECT_TRUE(is_unproven(unproven(e)));
  EXPECT_FALSE(is_unproven(e));
  EXPECT_FALSE(same_state(unproven(e), e));
  EXPECT_EQ(parse_entry(write_entry(unproven(e)).substr(0, write_entry(unproven(e)).size() - 1)),
            unproven(e));
}

TEST(UnionOf, TakesEachPathOnceAndTheFirstStreamsEntry) {
  const auto stream = [](std::vector<Entry> entries) -> EntryStream {
    return [entries, i = size_t{0}]() mutable -> Result<std::optional<Entry>> {
      return i < entries.size() ? std::optional<Entry>(entries[i++]) : std::nullopt;
    };
  };
  auto all = union_of(stream({entry("/a", 1), entry("/c", 1)}), stream({entry("/b", 2), entry("/c", 2)}));
  for (const Entry& expected : {entry("/a", 1), entry("/b", 2), entry("/c", 1)}) EXPECT_EQ(*all(), expected);
  EXPECT_EQ(*all(), std::nullopt);
  auto broken = union_of(stream({}), [] { return Result<std::optional<Entry>>(fail(Code::kCorrupt, "x")); });
  EXPECT_FALSE(broken().has_value());
}

}  // namespace
}  // namespace clusterd::mirror
