// The edges of the mirror core: odd bytes, odd options, odd trees, each with what it must give.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mirror/command.hpp"
#include "mirror/escape.hpp"
#include "mirror/exclude.hpp"
#include "mirror/halt.hpp"
#include "mirror/itemize.hpp"
#include "mirror/loss.hpp"
#include "mirror/manifest.hpp"
#include "mirror/messages.hpp"

namespace clusterd::mirror {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(EscapeEdges, OnlyWellFormedPrintableUtf8StaysAsItIs) {
  for (const char* text : {"\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\xC2\xA0", "\xC3\xA9", "\xF4\x8F\xBF\xBF",
                           "\xED\x9F\xBF", "\xE0\xA0\x80", "\xF1\x80\x80\x80", "~"}) {
    EXPECT_EQ(escape(text), text);
  }
  const std::vector<std::pair<std::string, std::string>> broken{
      {"\xE2\x82(", "\\xe2\\x82("},                  // third byte too low
      {"\xE2\x82\xFF", "\\xe2\\x82\\xff"},           // third byte too high
      {"\xE2\x82", "\\xe2\\x82"},                    // ends too early
      {"\xC3(", "\\xc3("},                           // second byte too low
      {"\xC3\xC3\xA9", "\\xc3\xC3\xA9"},             // second byte too high
      {"\xE0\x80\x80", "\\xe0\\x80\\x80"},           // longer than needed
      {"\xF0\x80\x80\x80", "\\xf0\\x80\\x80\\x80"},  //
      {"\xED\xA0\x80", "\\xed\\xa0\\x80"},           // half of a pair
      {"\xF4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},  // beyond the last character
      {"\xF5\x80\x80\x80", "\\xf5\\x80\\x80\\x80"},  //
      {"\xC2\x85", "\\xc2\\x85"},                    // a control character
      {"\x7F", "\\x7f"},                             //
      {std::string("a\0b", 3), "a\\x00b"},           //
  };
  for (const auto& [bytes, text] : broken) EXPECT_EQ(escape(bytes), text);
}

TEST(EscapeEdges, RsyncsOctalIsReadOnlyWhereItIsWhole) {
  EXPECT_EQ(unescape_rsync("a\\#012b"), "a\nb");
  EXPECT_EQ(unescape_rsync("\\#377"), "\xFF");
  for (const char* text : {"\\#400", "\\#08x", "\\#0x8", "\\#80x", "\\#0 1", "\\#01", "\\x123", "\\#", "\\",
                           "\\#/12", "\\#1/2", "\\#12/"}) {
    EXPECT_EQ(unescape_rsync(text), text);
  }
}

TEST(ExcludeEdges, Classes) {
  const auto hit = [](const char* pattern, const char* text) { return wildcard_match(pattern, text); };
  EXPECT_TRUE(hit("[]a]x", "]x"));  // a bracket that comes first is one of the class
  EXPECT_TRUE(hit("[]a]x", "ax"));
  EXPECT_FALSE(hit("[]a]x", "bx"));
  EXPECT_TRUE(hit("[a-]x", "-x"));  // a dash at the end is one too
  EXPECT_TRUE(hit("[a-]x", "ax"));
  EXPECT_FALSE(hit("[a-]x", "bx"));
  EXPECT_TRUE(hit("[^a]x", "bx"));
  EXPECT_FALSE(hit("[^a]x", "ax"));
  EXPECT_TRUE(hit("[b-dx]", "c"));
  EXPECT_TRUE(hit("[b-dx]", "x"));
  EXPECT_FALSE(hit("[b-dx]", "a"));
  EXPECT_FALSE(hit("[b-dx]", "e"));
  EXPECT_FALSE(hit("a[!b]c", "a/c"));  // no class crosses a folder
  EXPECT_FALSE(hit("[a", "a"));
  EXPECT_FALSE(hit("[a-", "a"));
  EXPECT_FALSE(hit("[!", "a"));
  EXPECT_FALSE(hit("a\\", "a"));
  EXPECT_TRUE(hit("a\\", "a\\"));
  EXPECT_TRUE(hit("a*", "a"));
  EXPECT_TRUE(hit("a**", "a/b/c"));
  EXPECT_FALSE(hit("a?", "a/"));
}

TEST(ExcludeEdges, TwoStarsWithoutASlashCompareWithTheWholeEnd) {
  EXPECT_TRUE(excluded({"a**z"}, "/srv/a/b/z", false));
  EXPECT_FALSE(excluded({"a**z"}, "/srv/b/z", false));
  EXPECT_FALSE(excluded({"/"}, "/srv", true));  // the root of all is no folder to leave out
}

TEST(CommandEdges, TheShortestCommandLine) {
  MirrorConfig mirror;
  mirror.remove = false;
  SshConfig ssh;
  ssh.known_hosts = "/etc/a b";
  RsyncPlan plan;
  plan.more_excludes = {"/srv/data/tmp"};
  plan.make_path = true;
  plan.destination = "root@10.0.0.2:/";
  const auto words = rsync_command(mirror, ssh, plan);
  EXPECT_THAT(words, Contains("--no-whole-file"));
  EXPECT_THAT(words, Contains("--exclude=/srv/data/tmp"));
  EXPECT_THAT(words, Contains("--mkpath"));
  for (const char* word : {"--compress", "--backup", "--whole-file", "--delete"})
    EXPECT_THAT(words, Not(Contains(word)));
  for (const auto& word : words) {
    EXPECT_THAT(word, Not(HasSubstr("--bwlimit")));
    EXPECT_THAT(word, Not(HasSubstr("--rsync-path")));
  }
  const auto shell = ssh_command(ssh);
  EXPECT_THAT(shell, Contains("UserKnownHostsFile=\"/etc/a b\""));
  EXPECT_THAT(shell, Not(Contains("-i")));
  EXPECT_EQ(receive_command({"web", "data", 7, "", false}),
            "clusterd-mirror receive --service web --mirror data --epoch 7 --");
}

TEST(CommandEdges, ServerOptionsWithValues) {
  const auto allowed = [](const std::string& option, bool remove = true) {
    return check_server_options({"--server", option, ".", "/"}, remove, "").has_value();
  };
  for (const char* option : {"--timeout=1", "--compress-level=9", "--compress-choice=zstd",
                             "--checksum-choice=xxh128", "-bl", "-e.iLsfxCIvu", "--delete-during",
                             "--delete-before", "--delete-after", "--delete-delay", "-ze.LA0"}) {
    EXPECT_TRUE(allowed(option)) << option;
  }
  for (const char* option :
       {"--timeout=", "--timeout=1x", "--timeout= 1", "--timeout=1234567890123456789",
        "--compress-choice=", "--checksum-choice=a;b", "-", "-k", "-e.i;x", "-e/", "", "x"}) {
    EXPECT_FALSE(allowed(option)) << option;
  }
  for (const char* option :
       {"--delete", "--delete-during", "--delete-before", "--delete-after", "--delete-delay"})
    EXPECT_FALSE(allowed(option, false)) << option;
  EXPECT_FALSE(check_server_options({"--server", "."}, true, "").has_value());
  EXPECT_FALSE(check_server_options({"--server", "-bl", "x", "/"}, true, "").has_value());
  EXPECT_FALSE(check_server_options({"--server", "--backup-dir", ".", "/"}, true, "/b").has_value());
  EXPECT_FALSE(check_server_options({"--server", "--backup-dir=/b", ".", "/"}, true, "").has_value());
  EXPECT_TRUE(check_server_options({"--server", "--backup-dir=/b", ".", "/"}, true, "/b").has_value());
}

TEST(CommandEdges, NamesAndWords) {
  EXPECT_TRUE(is_safe_name(std::string(200, 'a')));
  EXPECT_FALSE(is_safe_name(std::string(201, 'a')));
  EXPECT_TRUE(is_safe_name("Az09"));
  EXPECT_FALSE(is_safe_name("a{"));
  EXPECT_FALSE(is_safe_name("a["));
  EXPECT_EQ(*offsite_destination("me_1.x-y@[fd00::1]:/a"), "me_1.x-y@[fd00::1]:/a/");
  EXPECT_FALSE(split_command("a\\\nb").has_value());
  EXPECT_EQ(*split_command("a "), std::vector<std::string>{"a"});
  EXPECT_TRUE(split_command("")->empty());
}

TEST(ItemEdges, LinesThatAreNotOfTheFormat) {
  for (const char* line : {"@ ", "@ <f", "@ < 1 1 a", "@ <f+++ 1 1", "@ <f+++ 1 1 ", "@ <f+++ 1x 1 a",
                           "@ <f+++ x 1 a", "@ <f+++ 1", "@ ?f+++ 1 1 a", "@ <f 1 1 a", "@  1 1 a"}) {
    EXPECT_FALSE(parse_item(line).has_value()) << line;
  }
  EXPECT_EQ(parse_item("@ <f+++++++++ 1 1 /srv/a")->path, "/srv/a");
  EXPECT_EQ(parse_item("@ hf+++++++++ 0 5 srv/a")->kind, Item::Kind::kCreated);
  EXPECT_EQ(parse_item("@ cd+++++++++ 0 5 /")->path, "/");
}

TEST(ExplainEdges, TheOtherCauses) {
  const std::string read_only = "rsync: [receiver] mkstemp \"/a\" failed: Read-only file system (30)";
  EXPECT_EQ(explain_failure(23, {read_only}, "serv2", 2),
            "a file system of serv2 is read-only: 2 files wait (" + read_only + ")");
  const std::string denied = "rsync: [sender] send_files failed to open \"/a\": Permission denied (13)";
  EXPECT_EQ(explain_failure(23, {denied}, "serv2", 2),
            "this node has no permission: 2 files wait (" + denied + ")");
  const std::string barred = "rsync: [receiver] chown \"/a\" failed: Operation not permitted (1)";
  EXPECT_EQ(explain_failure(23, {barred}, "serv2", 1),
            "serv2 may not write there: 1 file waits (" + barred + ")");
  EXPECT_EQ(explain_failure(12, {"one", "two", "three", "four"}, "serv2", 0),
            "rsync ended with code 12: nothing was skipped, the next run tries again; one; two; three");
}

RootsNow one_root(char type = 'd') {
  RootsNow now;
  RootNow root;
  root.path = "/srv";
  root.exists = true;
  root.record = {"/srv", type, 5, "/", "ext4", 1};
  now.roots = {root};
  now.boot = "one";
  return now;
}

TEST(HaltEdges, EachKindOfFileHasItsWord) {
  ManifestHeader last;
  last.roots = {one_root().roots.front().record};
  const std::vector<std::pair<char, std::string>> words{
      {'p', "fifo"}, {'s', "socket"}, {'b', "device"}, {'c', "device"}, {'l', "symbolic link"}};
  for (const auto& [type, word] : words)
    EXPECT_EQ(halt_reason(one_root(type), &last), "/srv was a directory and is a " + word + " now");
}

TEST(HaltEdges, TheOtherReasons) {
  RootsNow now = one_root();
  ManifestHeader last;
  last.roots = {now.roots.front().record};
  last.boot = "one";
  now.roots.front().record.filesystem = "xfs";
  EXPECT_THAT(halt_reason(now, &last).value_or(""), HasSubstr("is it not mounted?"));
  now = one_root();
  now.roots.front().record.files = 0;
  EXPECT_EQ(halt_reason(now, &last), "/srv held 1 file at the last run and is empty now");
  now = one_root();
  now.roots.front().problem = "/srv is a symbolic link";
  EXPECT_EQ(halt_reason(now, &last), "/srv is a symbolic link");
  EXPECT_EQ(halt_reason(now, nullptr), "/srv is a symbolic link");
  EXPECT_EQ(halt_reason(one_root(), nullptr), std::nullopt);
  // A root that is itself a mount point is looked for among the mounts, too.
  now = one_root();
  last.mounts = {"/srv"};
  EXPECT_EQ(halt_reason(now, &last), "/srv was a mounted file system at the last run and is not mounted now");
  now.mounts = {"/srv"};
  EXPECT_EQ(halt_reason(now, &last), std::nullopt);
  // Device numbers mean nothing where the boot is not known.
  now.roots.front().record.device = 6;
  now.boot.clear();
  last.boot.clear();
  EXPECT_EQ(halt_reason(now, &last), std::nullopt);
}

TEST(LossEdges, WordsAndDamage) {
  EXPECT_EQ(change_name(Candidate::Change::kChanged), "changed");
  EXPECT_EQ(change_name(Candidate::Change::kCreated), "created");
  EXPECT_EQ(change_name(Candidate::Change::kDeleted), "deleted");
  EXPECT_FALSE(parse_candidate("-\tx").has_value());
  EXPECT_FALSE(parse_candidate("f 644 0 0 1 2 3 4 /a\tx").has_value());
}

Entry file() {
  Entry e;
  e.path = "/a";
  e.size = 1;
  return e;
}

TEST(ManifestEdges, EveryPropertyCounts) {
  const auto changed = [](const std::function<void(Entry&)>& change) {
    Entry e = file();
    change(e);
    return !same_state(file(), e);
  };
  EXPECT_FALSE(changed([](Entry&) {}));
  EXPECT_TRUE(changed([](Entry& e) { e.type = 'l'; }));
  EXPECT_TRUE(changed([](Entry& e) { e.mode = 1; }));
  EXPECT_TRUE(changed([](Entry& e) { e.uid = 1; }));
  EXPECT_TRUE(changed([](Entry& e) { e.gid = 1; }));
  EXPECT_TRUE(changed([](Entry& e) { e.size = 2; }));
  EXPECT_TRUE(changed([](Entry& e) { e.mtime_ns = 2; }));
  EXPECT_TRUE(changed([](Entry& e) { e.ctime_ns = 2; }));
  EXPECT_TRUE(changed([](Entry& e) { e.inode = 2; }));
}

std::string header_with(const std::string& line, size_t times) {
  std::string out = "clusterd-manifest 1\n";
  for (size_t i = 0; i < times; ++i) out += line + "\n";
  return out;
}

bool accepted(const std::string& text) {
  ManifestParser parser;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    if (!parser.line(std::string_view(text).substr(at, end - at))) return false;
    at = end + 1;
  }
  return true;
}

TEST(ManifestEdges, ItsListsHaveLimits) {
  for (const char* line : {"root d 1 1 ext4 / /srv", "mount /srv"}) {
    EXPECT_TRUE(accepted(header_with(line, 1024))) << line;
    EXPECT_FALSE(accepted(header_with(line, 1025))) << line;
  }
  for (const char* line : {"root dd 1 1 ext4 / /srv", "root q 1 1 ext4 / /srv", "root d x 1 ext4 / /srv",
                           "root d 1 x ext4 / /srv", "root d 1 1 ext4 \\ /srv", "root d 1 1 ext4 / srv",
                           "mount srv", "role both", "epoch x", "time x", "unknown x"}) {
    EXPECT_FALSE(accepted(header_with(line, 1))) << line;
  }
  EXPECT_TRUE(accepted(header_with("role source", 1)));
  EXPECT_FALSE(accepted("clusterd-manifest 2\n"));
  EXPECT_FALSE(accepted("clusterd-manifest 1\nentries\nend 0\nend 0\n"));
}

TEST(ManifestEdges, WhatIsNotKnownComesBackEmpty) {
  ManifestHeader header;
  header.roots = {{"/srv", 'd', 1, "/", "", 0}};
  ManifestParser parser;
  const std::string text = write_header(header);
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    ASSERT_TRUE(parser.line(std::string_view(text).substr(at, end - at)).has_value());
    at = end + 1;
  }
  EXPECT_EQ(parser.header(), header);
  EXPECT_TRUE(parser.in_entries());
  EXPECT_FALSE(parser.complete());
}

TEST(ManifestEdges, ComparingEndsAtTheFirstError) {
  const EntryStream broken = [] { return Result<std::optional<Entry>>(fail(Code::kCorrupt, "x")); };
  const EntryStream empty = [] { return Result<std::optional<Entry>>(std::optional<Entry>{}); };
  const EntryStream endless = [] { return Result<std::optional<Entry>>(std::optional<Entry>{file()}); };
  const auto good = [](const Entry*, const Entry*) { return Result<void>{}; };
  const auto bad = [](const Entry*, const Entry*) { return Result<void>(fail(Code::kCorrupt, "y")); };
  EXPECT_FALSE(compare_streams(broken, empty, good).has_value());
  EXPECT_EQ(compare_streams(endless, empty, bad).error().message, "y");
  EXPECT_EQ(compare_streams(empty, endless, bad).error().message, "y");
  EXPECT_TRUE(compare_streams(empty, empty, bad).has_value());
}

TEST(MessageEdges, AReportIsRefusedWhereOneMemberIsWrong) {
  Config config;
  config.services.resize(1);
  config.services.front().name = "web";
  config.services.front().mirrors.resize(1);
  config.services.front().mirrors.front().name = "data";
  MirrorReport report;
  report.service = ServiceId(size_t{0});
  report.mirror = MirrorId(size_t{0});
  const std::string good = write_report(config, report);
  ASSERT_TRUE(parse_report(config, good).has_value());
  const auto with = [&](const std::string& is, const std::string& becomes) {
    std::string line = good;
    const size_t at = line.find(is);
    EXPECT_NE(at, std::string::npos) << is;
    return parse_report(config, line.replace(at, is.size(), becomes)).has_value();
  };
  EXPECT_FALSE(with("\"done\"", "\"won\""));
  EXPECT_FALSE(with("\"run\"", "\"fly\""));
  EXPECT_FALSE(with("\"web\"", "\"mail\""));
  EXPECT_FALSE(with("\"data\"", "\"other\""));
  EXPECT_FALSE(with("\"files\":0", "\"files\":-1"));
  EXPECT_FALSE(with("\"files\":0", "\"files\":\"0\""));
  EXPECT_FALSE(with("\"files\"", "\"piles\""));
  EXPECT_TRUE(with("\"files\":0", "\"files\":18446744073709551615"));
}

}  // namespace
}  // namespace clusterd::mirror
