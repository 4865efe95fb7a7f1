// A node that died as the source comes back: what it takes over, what is kept, what is reported, and how an
// administrator gets it back.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <thread>

#include "linux/mirror/backups.hpp"
#include "two_nodes.hpp"

namespace clusterd {
namespace {

namespace fs = std::filesystem;
using Kind = MirrorReport::Kind;
using Outcome = MirrorReport::Outcome;

class Resync : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root for sshd and namespaces";
    nodes = std::make_unique<TwoNodes>();
    for (const int node : {0, 1}) write_file(nodes->at(node, "conf/etc/app.conf"), "setting = 1\n");
  }
  // serv1 was active at epoch 2 with these files mirrored; it died, and serv2 has taken over at epoch 3.
  void fail_over() {
    for (const char* name : {"same", "edited", "deleted", "both edited", "other edited", "dir/nested"}) {
      write_file(a(name), std::string("mirrored ") + name);
    }
    const auto report = nodes->run(0, "data", Kind::kRun, 2);
    ASSERT_EQ(report.outcome, Outcome::kDone) << report.detail;
    // Not mirrored any more:
    write_file(a("edited"), "edited on serv1 after the last run");
    write_file(a("both edited"), "serv1's version");
    write_file(a("created"), "new on serv1");
    write_file(a(std::string("odd \xff name")), "new on serv1 too");
    fs::remove(a("deleted"));
    // serv2 goes on with what it has:
    write_file(b("both edited"), "serv2's version");
    write_file(b("other edited"), "new on serv2");
    write_file(b("dir/more"), "new on serv2");
  }
  MirrorReport resync(uint64_t epoch = 3) { return nodes->run(1, "data", Kind::kResync, epoch); }
  std::string a(const std::string& name) const { return nodes->at(0, "data/" + name); }
  std::string b(const std::string& name) const { return nodes->at(1, "data/" + name); }
  std::string state(int node) const { return nodes->at(node, "state"); }
  // "changed edited" for each line of the loss report
  std::set<std::string> losses(const BackupReport& report) const {
    std::set<std::string> out;
    for (const auto& f : report.lost) {
      out.insert(f.change + " " + f.path.substr(nodes->path("data/").size()));
    }
    return out;
  }
  std::unique_ptr<TwoNodes> nodes;
};

TEST_F(Resync, ReportsExactlyWhatHadNotBeenMirroredAndKeepsIt) {
  fail_over();
  const auto report = resync();
  ASSERT_EQ(report.outcome, Outcome::kDone) << report.detail;
  EXPECT_EQ(nodes->differences("data"), "");
  EXPECT_EQ(read_file(a("both edited")), "serv2's version");

  auto shown = show_backup(state(0), "web", report.backup_set);
  ASSERT_TRUE(shown.has_value()) << shown.error().message;
  EXPECT_EQ(losses(*shown), (std::set<std::string>{"changed edited", "changed both edited", "created created",
                                                   "created odd \\xff name", "deleted deleted"}));
  EXPECT_EQ(report.lost, 5u);
  EXPECT_EQ(report.backed_up, shown->files.size());
  for (const auto& f : shown->lost) {
    EXPECT_EQ(f.kept, f.change != "deleted") << f.path;
    EXPECT_EQ(f.mirrored.has_value(), f.change != "created") << f.path;
  }
  // Byte for byte; also the version that was mirrored, but replaced by serv2's.
  const std::string files = state(0) + "/backups/web/" + report.backup_set + "/files" + nodes->path("data/");
  EXPECT_EQ(read_file(files + "edited"), "edited on serv1 after the last run");
  EXPECT_EQ(read_file(files + "both edited"), "serv1's version");
  EXPECT_EQ(read_file(files + "created"), "new on serv1");
  EXPECT_EQ(read_file(files + "odd \xff name"), "new on serv1 too");
  EXPECT_EQ(read_file(files + "other edited"), "mirrored other edited");
  EXPECT_EQ(shown->files.size(), 5u);
  // The source has a copy of the report.
  const std::string copy = read_file(state(1) + "/reports/web." + report.backup_set + ".json");
  EXPECT_NE(copy.find("odd \\\\xff name"), std::string::npos) << copy;
  // Nothing more to do, and nothing more to report.
  const auto again = resync();
  EXPECT_EQ(again.outcome, Outcome::kDone) << again.detail;
  EXPECT_EQ(again.lost, 0u);
  EXPECT_EQ(again.backup_set, "");
  EXPECT_EQ(list_backups(state(0))->size(), 1u);
}

TEST_F(Resync, TheBackupSetIsDurableBeforeItsReport) {
  fail_over();
  const auto report = resync();
  ASSERT_EQ(report.outcome, Outcome::kDone) << report.detail;
  const auto calls = nodes->syncs(0);
  const std::string set = nodes->path("state/backups/web/" + report.backup_set);
  const auto at = [&](const std::string& what) { return std::find(calls.begin(), calls.end(), what); };
  const auto reported = at("rename " + set + "/report.json");
  ASSERT_NE(reported, calls.end());
  EXPECT_LT(at("syncfs " + set + "/files"), reported);
}

TEST_F(Resync, APlainRunTowardsTheLastSourceBecomesOne) {
  fail_over();
  const auto report = nodes->run(1, "data", Kind::kRun, 3);
  ASSERT_EQ(report.outcome, Outcome::kDone) << report.detail;
  EXPECT_EQ(report.kind, Kind::kRun);
  EXPECT_EQ(report.lost, 5u);
  EXPECT_EQ(report.backed_up, 5u);
}

TEST_F(Resync, OfANodeThatWasOnlyEverStandbyLosesNothing) {
  write_file(a("x"), "1");
  write_file(b("stray"), "somebody wrote here");
  const auto report = nodes->run(0, "data", Kind::kResync, 2);
  ASSERT_EQ(report.outcome, Outcome::kDone) << report.detail;
  EXPECT_EQ(report.lost, 0u);
  EXPECT_EQ(report.backed_up, 1u);
  EXPECT_EQ(nodes->differences("data"), "");
}

// The source's copies would grow for ever otherwise: a cluster that moves its services every day resyncs as
// often.
TEST_F(Resync, TheSourceKeepsCopiesOfReportsThatNameLossesAndOnlyAsLongAsBackups) {
  write_file(a("x"), "1");
  write_file(b("stray"), "somebody wrote here");
  ASSERT_EQ(nodes->run(0, "data", Kind::kResync, 2).backed_up, 1u);
  EXPECT_FALSE(exists(state(0) + "/reports")) << "nothing was lost";
  // Copies of long ago: two of this mirror, and what merely looks alike.
  const std::string folder = state(1) + "/reports/";
  const std::set<std::string> others = {"web.20250101T000000Z-e3-other.json",
                                        "web.20250101T000000Z-e3-data2.json",
                                        "other.20250101T000000Z-e3-data.json", "web.notes"};
  fs::create_directories(folder);
  for (const std::string& name : others) write_file(folder + name, "{}");
  for (const char* name : {"web.20250101T000000Z-e3-data.json", "web.20250101T000000Z-e3-data.2.json"}) {
    write_file(folder + name, "{}");
  }
  for (const auto& entry : fs::directory_iterator(folder)) {
    fs::last_write_time(entry, fs::file_time_type::clock::now() - std::chrono::hours(24 * 31));
  }
  fail_over();
  const auto report = resync();
  ASSERT_EQ(report.outcome, Outcome::kDone) << report.detail;
  std::set<std::string> left;
  for (const auto& entry : fs::directory_iterator(folder)) left.insert(entry.path().filename().string());
  std::set<std::string> expected = others;
  expected.insert("web." + report.backup_set + ".json");
  EXPECT_EQ(left, expected);
}

TEST_F(Resync, AFlushedHandoverLosesNothing) {
  write_file(a("x"), "1");
  ASSERT_EQ(nodes->run(0, "data", Kind::kRun, 2).outcome, Outcome::kDone);
  write_file(a("x"), "2");
  ASSERT_EQ(nodes->run(0, "data", Kind::kFlush, 2).outcome, Outcome::kDone);
  write_file(b("x"), "3");
  const auto report = resync();
  ASSERT_EQ(report.outcome, Outcome::kDone) << report.detail;
  EXPECT_EQ(report.lost, 0u);
  EXPECT_EQ(report.backed_up, 1u);
  // And back: what serv1 has received counts as mirrored, what is new on serv2 does not.
  write_file(b("x"), "4");
  const auto back = nodes->run(0, "data", Kind::kResync, 4);
  ASSERT_EQ(back.outcome, Outcome::kDone) << back.detail;
  EXPECT_EQ(back.lost, 1u);
}

TEST_F(Resync, GoesOnAfterABrokenAttemptAndListsEachLossOnce) {
  fail_over();
  // The first attempt copies everything, but its end cannot be told: the daemon refuses the last step.
  int calls = 0;
  nodes->daemons[0]->when_allowed([&](pid_t) { nodes->daemons[0]->allow = ++calls < 2; });
  EXPECT_EQ(resync().outcome, Outcome::kFailed);
  nodes->daemons[0]->when_allowed(nullptr);
  nodes->daemons[0]->allow = true;
  // Meanwhile serv2 changes a file that the first attempt has just written on serv1: no loss.
  write_file(b("edited"), "serv2 once more");
  ::sleep(1);  // another second, another name of the set
  const auto report = resync();
  ASSERT_EQ(report.outcome, Outcome::kDone) << report.detail;
  std::multiset<std::string> all;
  const auto sets = list_backups(state(0));
  ASSERT_TRUE(sets.has_value());
  for (const auto& set : *sets) {
    EXPECT_TRUE(set.complete);
    const auto shown = show_backup(state(0), "web", set.name);
    ASSERT_TRUE(shown.has_value());
    for (const auto& line : losses(*shown)) all.insert(line);
  }
  EXPECT_EQ(all, (std::multiset<std::string>{"changed edited", "changed both edited", "created created",
                                             "created odd \\xff name", "deleted deleted"}));
}

// rsync has "vanishing" on its list, but when its turn comes it is gone from the source: serv1 keeps its own
// version for the moment. The next plain run, which keeps nothing, must not be the one that deletes it.
TEST_F(Resync, AFileThatVanishesFromTheSourceMeanwhileIsKeptAllTheSame) {
  fail_over();
  write_file(a("vanishing"), "serv1's own");
  write_file(b("vanishing"), "serv2's own, and longer");
  write_file(b("a big one"), "");
  fs::resize_file(b("a big one"), 100'000'000);  // keeps rsync busy before it comes to "vanishing"
  std::thread remover([&] {
    const auto begun = [&] {
      for (const auto& entry : fs::directory_iterator(nodes->at(0, "data"))) {
        if (entry.path().filename().string().find("a big one") != std::string::npos) return true;
      }
      return false;
    };
    for (int i = 0; i < 60'000 && !begun(); ++i) ::usleep(1000);
    fs::remove(b("vanishing"));
  });
  const auto report = resync();
  remover.join();
  ASSERT_EQ(report.outcome, Outcome::kDone) << report.detail;
  const auto run = nodes->run(1, "data", Kind::kRun, 3);
  ASSERT_EQ(run.outcome, Outcome::kDone) << run.detail;
  EXPECT_FALSE(exists(a("vanishing")));
  std::multiset<std::string> all;
  bool kept = false;
  const auto sets = list_backups(state(0));
  ASSERT_TRUE(sets.has_value());
  for (const auto& set : *sets) {
    const auto shown = show_backup(state(0), "web", set.name);
    ASSERT_TRUE(shown.has_value());
    for (const auto& line : losses(*shown)) all.insert(line);
    const std::string copy =
        state(0) + "/backups/web/" + set.name + "/files" + nodes->path("data/") + "vanishing";
    kept = kept || (exists(copy) && read_file(copy) == "serv1's own");
  }
  EXPECT_TRUE(kept);
  EXPECT_EQ(all,
            (std::multiset<std::string>{"changed edited", "changed both edited", "created created",
                                        "created odd \\xff name", "deleted deleted", "created vanishing"}));
  EXPECT_EQ(report.lost, 6u);
  EXPECT_EQ(nodes->differences("data"), "");
}

// A file that a broken run has carried over, and that was deleted before the next one: it comes back, and the
// report says so.
TEST_F(Resync, NamesADeletionOfWhatOnlyABrokenRunHasCarriedOver) {
  fail_over();
  write_file(a("fresh"), "new on serv1");
  const std::string in_the_way = nodes->at(1, "state/mirror/web.data.manifest.new");  // of serv2's own record
  fs::create_directory(in_the_way);
  EXPECT_EQ(nodes->run(0, "data", Kind::kRun, 2).outcome, Outcome::kFailed);
  ASSERT_TRUE(exists(b("fresh")));
  fs::remove(in_the_way);
  fs::remove(a("fresh"));

  const auto report = resync();
  ASSERT_EQ(report.outcome, Outcome::kDone) << report.detail;
  EXPECT_TRUE(exists(a("fresh")));
  auto shown = show_backup(state(0), "web", report.backup_set);
  ASSERT_TRUE(shown.has_value()) << shown.error().message;
  EXPECT_TRUE(losses(*shown).contains("deleted fresh"));
}

// The reverse: a broken run has deleted it at the target, and then it was put back as it was.
TEST_F(Resync, NamesWhatOnlyABrokenRunHasDeleted) {
  fail_over();
  ASSERT_EQ(nodes->run(0, "data", Kind::kRun, 2).outcome, Outcome::kDone);
  fs::rename(nodes->at(0, "data/dir"), nodes->at(0, "aside"));
  const std::string in_the_way = nodes->at(1, "state/mirror/web.data.manifest.new");
  fs::create_directory(in_the_way);
  EXPECT_EQ(nodes->run(0, "data", Kind::kRun, 2).outcome, Outcome::kFailed);
  ASSERT_FALSE(exists(b("dir/nested")));
  fs::remove(in_the_way);
  fs::rename(nodes->at(0, "aside"), nodes->at(0, "data/dir"));

  const auto report = resync();
  ASSERT_EQ(report.outcome, Outcome::kDone) << report.detail;
  EXPECT_FALSE(exists(a("dir/nested")));
  auto shown = show_backup(state(0), "web", report.backup_set);
  ASSERT_TRUE(shown.has_value()) << shown.error().message;
  EXPECT_TRUE(losses(*shown).contains("created dir/nested"));
}

TEST_F(Resync, WritesNothingIfTheBackupSetCannotBeWritten) {
  fail_over();
  // A file system that is full before the first byte of the backup.
  ASSERT_EQ(nodes->inside(0,
                          [&] {
                            return ::system(
                                fmt::format(
                                    "mkdir -p {0}/backups && mount -t tmpfs -o size=64k tmpfs {0}/backups && "
                                    "mkdir -p {0}/backups/web && head -c 40k /dev/zero > {0}/backups/fill",
                                    nodes->path("state"))
                                    .c_str());
                          }),
            0);
  write_file(a("big and edited"), std::string(200'000, 'x'));
  write_file(b("big and edited"), std::string(100'000, 'y'));
  const auto report = resync();
  EXPECT_EQ(report.outcome, Outcome::kFailed);
  EXPECT_NE(report.detail.find("disk of serv1 is full"), std::string::npos) << report.detail;
  EXPECT_EQ(read_file(a("big and edited")), std::string(200'000, 'x'));
}

TEST_F(Resync, RestoresAFileOrEverything) {
  fail_over();
  const auto report = resync();
  ASSERT_EQ(report.outcome, Outcome::kDone) << report.detail;
  const std::string elsewhere = nodes->root + "/restored";
  fs::create_directory(elsewhere);
  auto done = restore_backup(state(0), {"web", report.backup_set, nodes->path("data/created"), elsewhere});
  ASSERT_TRUE(done.has_value()) << done.error().message;
  EXPECT_EQ(done->files, 1u);
  EXPECT_EQ(done->kept_set, "");
  EXPECT_EQ(read_file(elsewhere + nodes->path("data/created")), "new on serv1");

  // To the original place, as the node sees it; what is there goes to a set of its own.
  ASSERT_EQ(nodes->inside(
                0,
                [&] {
                  const auto all = restore_backup(nodes->path("state"), {"web", report.backup_set, "", ""});
                  return all && all->files == 5 && !all->kept_set.empty() ? 0 : 1;
                }),
            0);
  EXPECT_EQ(read_file(a("both edited")), "serv1's version");
  EXPECT_EQ(read_file(a("odd \xff name")), "new on serv1 too");
  const auto sets = list_backups(state(0), "web");
  ASSERT_EQ(sets->size(), 2u);
  const auto kept = show_backup(state(0), "web", sets->back().name);
  EXPECT_EQ(kept->files.size(), 3u);
  EXPECT_EQ(
      read_file(state(0) + "/backups/web/" + sets->back().name + "/files" + nodes->path("data/both edited")),
      "serv2's version");
}

TEST_F(Resync, ARestoreFollowsNoSymbolicLink) {
  fail_over();
  const auto report = resync();
  ASSERT_EQ(report.outcome, Outcome::kDone) << report.detail;
  const std::string to = nodes->root + "/to", outside = nodes->root + "/outside";
  fs::create_directories(outside);
  fs::create_directories((to + nodes->root));
  fs::create_symlink(outside, to + nodes->path("data"));
  const auto done = restore_backup(state(0), {"web", report.backup_set, "", to});
  ASSERT_FALSE(done.has_value());
  EXPECT_NE(done.error().message.find("symbolic link"), std::string::npos) << done.error().message;
  EXPECT_TRUE(fs::is_empty(outside));
  for (const char* path : {"../etc", "/..", "relative", "/a/../b", "\\x0"}) {
    EXPECT_FALSE(restore_backup(state(0), {"web", report.backup_set, path, to}).has_value()) << path;
  }
  for (const char* name : {"..", "", "../../mirror", "none"}) {
    EXPECT_FALSE(restore_backup(state(0), {"web", name, "", to}).has_value()) << name;
  }
}

TEST_F(Resync, PurgesOnlyWhatTheAdministratorLetsGo) {
  fail_over();
  const auto report = resync();
  ASSERT_EQ(report.outcome, Outcome::kDone) << report.detail;
  const auto sets = list_backups(state(0));
  const int64_t later = sets->at(0).created_unix + 31 * 86400;
  auto expired = expire_backups(state(0), nodes->config(0), later);
  EXPECT_TRUE(expired.purged.empty());
  ASSERT_EQ(expired.waiting.size(), 1u);
  EXPECT_NE(expired.waiting[0].find("is older than 30 days"), std::string::npos) << expired.waiting[0];
  ASSERT_TRUE(confirm_backup(state(0), "web", report.backup_set).has_value());
  // Confirmed, but not due yet.
  EXPECT_TRUE(expire_backups(state(0), nodes->config(0), later - 2 * 86400).purged.empty());
  expired = expire_backups(state(0), nodes->config(0), later);
  EXPECT_EQ(expired.purged, std::vector<std::string>{"web/" + report.backup_set});
  EXPECT_TRUE(list_backups(state(0))->empty());
  EXPECT_FALSE(purge_backups(state(0), "web", report.backup_set).has_value());
}

// As a power cut leaves them while a set is made, or removed.
TEST_F(Resync, WhatACrashLeavesOfASetIsNoneAndDoesNotStay) {
  fail_over();
  write_file(state(0) + "/backups/web/.new-data/files/half", "made");
  write_file(state(0) + "/backups/web/.old-20261101T000000Z-e1-data/files/half", "removed");
  EXPECT_EQ(list_backups(state(0), "web")->size(), 0u);
  const auto report = resync();
  ASSERT_EQ(report.outcome, Outcome::kDone) << report.detail;
  const auto holds = [&] {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(state(0) + "/backups/web"))
      names.insert(entry.path().filename());
    return names;
  };
  EXPECT_EQ(holds(), std::set<std::string>{report.backup_set});
  ASSERT_TRUE(purge_backups(state(0), "web", report.backup_set));
  EXPECT_EQ(holds(), std::set<std::string>{});
}

TEST_F(Resync, ADamagedManifestCostsTheReportButNoFile) {
  fail_over();
  write_file(state(0) + "/mirror/web.data.manifest",
             "clusterd-manifest 1\nrole source\nentries\nf garbage\n");
  const auto report = resync();
  ASSERT_EQ(report.outcome, Outcome::kDone) << report.detail;
  EXPECT_EQ(report.lost, 0u);
  EXPECT_EQ(report.backed_up, 5u);
}

}  // namespace
}  // namespace clusterd
