// rsync's words, command lines, and the messages between daemon and agent.
#include "mirror/command.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "mirror/itemize.hpp"
#include "mirror/messages.hpp"

namespace clusterd::mirror {
namespace {

using ::testing::Contains;
using ::testing::Not;

TEST(Item, ReadsRsyncsLines) {
  const auto sent = parse_item("@ <f+++++++++ 120 100 srv/data/a b");
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->kind, Item::Kind::kSent);
  EXPECT_EQ(sent->type, 'f');
  EXPECT_EQ(sent->sent, 120u);
  EXPECT_EQ(sent->size, 100u);
  EXPECT_EQ(sent->path, "/srv/data/a b");
  const auto removed = parse_item("@ *deleting   0 0 srv/data/old/");
  ASSERT_TRUE(removed);
  EXPECT_EQ(removed->kind, Item::Kind::kRemoved);
  EXPECT_EQ(removed->type, 'd');
  EXPECT_EQ(removed->path, "/srv/data/old");
  EXPECT_EQ(parse_item("@ .d..t...... 0 4096 srv/data/")->kind, Item::Kind::kAttributes);
  EXPECT_EQ(parse_item("@ cL+++++++++ 0 5 srv/l")->kind, Item::Kind::kCreated);
  EXPECT_EQ(parse_item("@ hf+++++++++ 0 5 srv/h")->kind, Item::Kind::kCreated);
  EXPECT_EQ(parse_item("@ <f.st...... 1 2 srv/\\#012\\#377")->path, "/srv/\n\xff");
  EXPECT_EQ(parse_item("@ <f+++++++++ 1 2  starts with a blank")->path, "/ starts with a blank");
  for (const char* line :
       {"", "@", "@ ", "@ <f+++++++++", "@ <f+++++++++ 1", "@ <f+++++++++ 1 2", "@ <f+++++++++ 1 2 ",
        "sent 5 bytes", "@ zf+++++++++ 1 2 a", "@ <f+++++++++ x 2 a"}) {
    EXPECT_FALSE(parse_item(line)) << line;
  }
}

TEST(Item, TallyCountsFilesNotFolders) {
  Tally tally;
  for (const char* line :
       {"@ <f+++++++++ 120 100 a", "@ cd+++++++++ 0 0 d/", "@ *deleting   0 0 x", "@ .f....og... 0 5 o"}) {
    tally.add(*parse_item(line));
  }
  EXPECT_EQ(tally.files, 2u);
  EXPECT_EQ(tally.bytes, 120u);
  EXPECT_EQ(tally.removed, 1u);
}

TEST(Explain, NamesTheCauseInWords) {
  EXPECT_EQ(
      explain_failure(11, {"rsync: [receiver] write failed on \"/srv/a\": No space left on device (28)"},
                      "serv2", 3),
      "the disk of serv2 is full: 3 files wait");
  EXPECT_EQ(explain_failure(11, {"rsync: [receiver] mkstemp: Disk quota exceeded (122)"}, "serv2", 1),
            "the disk quota on serv2 is used up: 1 file waits");
  const std::string denied = "rsync: [receiver] mkstemp \"/srv/.a.x\" failed: Permission denied (13)";
  EXPECT_EQ(explain_failure(23, {denied}, "serv2", 2),
            "serv2 has no permission: 2 files wait (" + denied + ")");
  EXPECT_EQ(explain_failure(255, {"ssh: connect to host x: No route to host"}, "serv2", 2),
            "serv2 cannot be reached over ssh: 2 files wait; ssh: connect to host x: No route to host");
  EXPECT_EQ(explain_failure(23, {}, "serv2", 0),
            "rsync ended with code 23: nothing was skipped, the next run tries again");
}

TEST(RsyncCommand, CarriesTheConfiguration) {
  MirrorConfig mirror;
  mirror.exclude = {"*.tmp"};
  mirror.remove = false;
  mirror.whole_file = mirror.compress = true;
  mirror.bandwidth = 2 << 20;
  SshConfig ssh;
  ssh.identity = "/root/it's a key";
  RsyncPlan plan;
  plan.roots = {"/srv/data/", "/etc/x.conf"};
  plan.destination = "root@10.0.0.2:/";
  plan.receive = "clusterd-mirror receive --";
  plan.backup_dir = "/var/lib/clusterd/backups/web/x/files";
  const auto words = rsync_command(mirror, ssh, plan);
  for (const char* word : {"--whole-file", "--compress", "--bwlimit=2048", "--exclude=*.tmp", "--backup",
                           "--modify-window=-1", "--backup-dir=/var/lib/clusterd/backups/web/x/files",
                           "--fsync", "--no-implied-dirs", "--rsync-path=clusterd-mirror receive --"}) {
    EXPECT_THAT(words, Contains(word));
  }
  EXPECT_THAT(words, Not(Contains("--delete")));
  const std::vector<std::string> tail(words.end() - 4, words.end());
  EXPECT_EQ(tail, (std::vector<std::string>{"--", "/srv/data/", "/etc/x.conf", "root@10.0.0.2:/"}));
  const auto shell = std::find(words.begin(), words.end(), "-e") + 1;
  EXPECT_NE(shell->find("'-i' '/root/it''s a key'"), std::string::npos) << *shell;
  EXPECT_NE(shell->find("'StrictHostKeyChecking=yes'"), std::string::npos);
  mirror.remove = true;
  EXPECT_THAT(rsync_command(mirror, ssh, plan), Contains("--delete"));
}

TEST(Destination, QuotesIpv6AndRefusesOptions) {
  EXPECT_EQ(rsync_destination("root", *IpAddress::parse("10.0.0.2")), "root@10.0.0.2:/");
  EXPECT_EQ(rsync_destination("root", *IpAddress::parse("fd00::2")), "root@[fd00::2]:/");
  EXPECT_EQ(*offsite_destination("me@host:/copy"), "me@host:/copy/");
  EXPECT_EQ(*offsite_destination("me@[fd00::1]:/copy/"), "me@[fd00::1]:/copy/");
  for (const char* to : {"", "/local/", "host", "host:relative", "-oProxyCommand=x:/a", "me@-x:/a", "a b:/c",
                         "$(x):/a", "me@:/a", ":/a"}) {
    EXPECT_FALSE(offsite_destination(to).has_value()) << to;
  }
}

TEST(SafeName, IsPlain) {
  for (const char* name : {"web", "web-1_a.b@c", "20261122T181500Z-e7-data"})
    EXPECT_TRUE(is_safe_name(name)) << name;
  for (const char* name : {"", ".", "..", "-x", ".x", "a/b", "a b", "a\n", "ä", "$x"})
    EXPECT_FALSE(is_safe_name(name)) << name;
}

std::vector<std::string> server(std::vector<std::string> more = {}) {
  std::vector<std::string> out = {"--server",        "-blWHogDtpAXrRSze.iLsfxCIvu",
                                  "--log-format=%i", "--msgs2stderr",
                                  "--timeout=120",   "--bwlimit=1000"};
  out.insert(out.end(), more.begin(), more.end());
  out.insert(out.end(), {"-@-1", "--numeric-ids", "--fsync", "--no-implied-dirs", ".", "/"});
  return out;
}

TEST(ServerOptions, LetsThroughWhatARunSends) {
  EXPECT_TRUE(check_server_options(server(), true, "").has_value());
  EXPECT_TRUE(check_server_options(server({"--delete"}), true, "").has_value());
  EXPECT_TRUE(
      check_server_options(server({"--backup-dir", "/b/files", "--delete"}), true, "/b/files").has_value());
}

TEST(ServerOptions, RefusesEverythingElse) {
  for (const char* option : {"--sender",
                             "--daemon",
                             "--config=/x",
                             "--log-file=/etc/cron.d/x",
                             "--remove-source-files",
                             "--delete-excluded",
                             "--inplace",
                             "--write-devices",
                             "--copy-devices",
                             "-K",
                             "-L",
                             "-k",
                             "-s",
                             "--keep-dirlinks",
                             "--temp-dir=/etc",
                             "-T",
                             "--partial-dir=/etc",
                             "--files-from=/etc/passwd",
                             "--link-dest=/x",
                             "--backup-dir=/etc",
                             "--suffix=x",
                             "--rsync-path=x",
                             "--iconv=x",
                             "/etc",
                             ".",
                             "--timeout=1;id",
                             "--log-format=%o",
                             "-",
                             "--",
                             "-e",
                             ""}) {
    if (std::string_view(option) == "-e") continue;  // no capabilities: harmless
    EXPECT_FALSE(check_server_options(server({option}), true, "").has_value()) << option;
  }
  EXPECT_FALSE(check_server_options(server({"--delete"}), false, "").has_value());
  EXPECT_FALSE(check_server_options(server(), true, "/b/files").has_value()) << "a resync without backups";
  EXPECT_FALSE(check_server_options(server({"--backup-dir", "/other"}), true, "/b/files").has_value());
  auto elsewhere = server();
  elsewhere.back() = "/etc";
  EXPECT_FALSE(check_server_options(elsewhere, true, "").has_value());
  elsewhere.push_back("/");
  EXPECT_FALSE(check_server_options(elsewhere, true, "").has_value());
  EXPECT_FALSE(check_server_options({}, true, "").has_value());
  EXPECT_FALSE(check_server_options({".", "/"}, true, "").has_value());
  EXPECT_FALSE(check_server_options({"-r", ".", "/"}, true, "").has_value());
  EXPECT_FALSE(check_server_options({"--server", "--backup-dir", ".", "/"}, true, ".").has_value());
}

TEST(SplitCommand, KnowsWordsAndRefusesShellSyntax) {
  using Words = std::vector<std::string>;
  EXPECT_EQ(*split_command("a  b\\ c 'd e'f"), (Words{"a", "b c", "d ef"}));
  EXPECT_EQ(*split_command("x ''"), (Words{"x", ""}));
  EXPECT_EQ(*split_command("a\\;b"), (Words{"a;b"}));
  for (const char* line : {"a;b", "a&b", "a|b", "a>b", "a<b", "$a", "`a`", "(a)", "a\nb", "\"a\"", "a*", "~",
                           "'a", "a\\", "{a}", "!a"}) {
    EXPECT_FALSE(split_command(line).has_value()) << line;
  }
}

TEST(ReceiveCommand, ComesThroughAsItWasBuilt) {
  const auto words = split_command(receive_command({"web", "data", 7, "set-1", true}));
  EXPECT_EQ(*words,
            (std::vector<std::string>{"clusterd-mirror", "receive", "--service", "web", "--mirror", "data",
                                      "--epoch", "7", "--backup-set", "set-1", "--confirmed", "--"}));
}

Config sample() {
  Config config;
  config.services.resize(2);
  config.services[0].name = "mail";
  config.services[1].name = "web";
  config.services[1].mirrors.resize(2);
  config.services[1].mirrors[0].name = "1";
  config.services[1].mirrors[1].name = "data";
  return config;
}

TEST(Messages, ComeBackAsTheyWere) {
  const Config config = sample();
  MirrorOrder order{ServiceId(size_t{1}), MirrorId(size_t{1}), MirrorReport::Kind::kFlush, Epoch{UINT64_MAX},
                    true};
  const auto back = parse_order(config, write_order(config, order));
  ASSERT_TRUE(back.has_value());
  const auto& o = std::get<MirrorOrder>(*back);
  EXPECT_EQ(o.service, order.service);
  EXPECT_EQ(o.mirror, order.mirror);
  EXPECT_EQ(o.kind, order.kind);
  EXPECT_EQ(o.epoch, order.epoch);
  EXPECT_TRUE(o.confirmed);
  EXPECT_EQ(std::get<Cancel>(*parse_order(config, write_cancel(config, ServiceId(size_t{1})))).service.at(),
            1u);

  MirrorReport report;
  report.service = order.service;
  report.mirror = order.mirror;
  report.epoch.value = 9;
  report.outcome = MirrorReport::Outcome::kHalted;
  report.kind = MirrorReport::Kind::kResync;
  report.files = 1;
  report.bytes = 2;
  report.removed = 3;
  report.backed_up = 4;
  report.lost = 5;
  report.backup_set = "set";
  report.detail = "why \"so\"\n";
  report.scrub = {true, true, 6, 7, 8, 9, 10, 11, "/a"};
  const auto r = parse_report(config, write_report(config, report));
  ASSERT_TRUE(r.has_value());
  EXPECT_EQ(write_report(config, *r), write_report(config, report));
  EXPECT_EQ(r->detail, report.detail);
  EXPECT_EQ(r->scrub, report.scrub);
}

TEST(Messages, AreRefusedWhereTheyAreWrong) {
  const Config config = sample();
  for (const char* line :
       {"", "x", "[]", "{}", "{\"cancel\":\"none\"}", "{\"cancel\":5}", R"({"order":"run"})",
        R"({"order":"fly","service":"web","mirror":"data","epoch":1,"confirmed":false})",
        R"({"order":"run","service":"web","mirror":"none","epoch":1,"confirmed":false})",
        R"({"order":"run","service":"web","mirror":"data","epoch":-1,"confirmed":false})",
        R"({"order":"run","service":"web","mirror":"data","epoch":1,"confirmed":"no"})",
        "[[[[[[[[[[1]]]]]]]]]]"}) {
    EXPECT_FALSE(parse_order(config, line).has_value()) << line;
    EXPECT_FALSE(parse_report(config, line).has_value()) << line;
  }
  EXPECT_FALSE(parse_order(config, std::string(kMaxMessage + 1, ' ')).has_value());
  std::mt19937 random(2);
  const std::string good = write_order(config, {ServiceId(size_t{1}), MirrorId(size_t{0}), {}, {}, false});
  for (int i = 0; i < 5000; ++i) {
    std::string line = good;
    for (int n = 0; n < 2; ++n) line[random() % line.size()] = static_cast<char>(random());
    (void)parse_order(config, line);
  }
}

}  // namespace
}  // namespace clusterd::mirror
