// The guard's system calls and its keeper, with real mounts: each test runs in a child with a mount namespace
// of its own, in which "/" is shared as under systemd, or private as in a container.
#include "linux/mirror/guard.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>

#include "linux/mirror/guard_keeper.hpp"
#include "linux/mirror/mounts.hpp"

namespace clusterd {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using Outcome = GuardReport::Outcome;

// 0, or the errno of an attempt to write there.
int write_at(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  if (!fd.valid()) return errno;
  return ::write(fd.get(), "x", 1) == 1 ? 0 : errno;
}

// Runs it in a child, and waits: what it has expected in vain fails the test.
void in_a_child(const std::function<void()>& work) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    work();
    ::_exit(testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "the child has failed, see above";
}

// A child that does one thing after the other when told to.
class Helper {
 public:
  explicit Helper(std::vector<std::function<void()>> steps) {
    int go[2], done[2];
    EXPECT_EQ(::pipe2(go, O_CLOEXEC), 0);
    EXPECT_EQ(::pipe2(done, O_CLOEXEC), 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::close(go[1]);
      ::close(done[0]);
      char byte = 0;
      for (const auto& step : steps) {
        if (::read(go[0], &byte, 1) != 1) break;
        step();
        if (::write(done[1], "d", 1) != 1) break;
      }
      (void)!::read(go[0], &byte, 1);
      ::_exit(testing::Test::HasFailure() ? 1 : 0);
    }
    ::close(go[0]);
    ::close(done[1]);
    go_ = Fd(go[1]);
    done_ = Fd(done[0]);
  }
  ~Helper() {
    go_.reset();
    int status = 0;
    ::waitpid(pid_, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "the helper has failed, see above";
  }
  Helper(const Helper&) = delete;
  Helper& operator=(const Helper&) = delete;
  void step() {
    char byte = 0;
    EXPECT_EQ(::write(go_.get(), "g", 1), 1);
    EXPECT_EQ(::read(done_.get(), &byte, 1), 1);
  }
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  Fd go_, done_;
};

class Guard : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root for mounts";
    folder_ = fs::path(::testing::TempDir()) / fmt::format("guard.{}", ::getpid());
    fs::create_directories(folder_);
  }
  void TearDown() override {
    std::error_code error;
    fs::remove_all(folder_, error);
  }

  // Work on an own file system, with nobody else about.
  void apart(const std::function<void()>& work) {
    in_a_child([&] {
      ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
      const unsigned long manner = GetParam() ? MS_SHARED : MS_PRIVATE;
      ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
      ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | manner, nullptr), 0);
      ASSERT_EQ(::mount("tmpfs", folder_.c_str(), "tmpfs", 0, nullptr), 0);
      fs::create_directories(web() + "/sub");
      work();
    });
  }
  [[nodiscard]] std::string web() const { return folder_ / "web"; }

  static Fd guarded(const std::string& folder) {
    auto plan = prepare_guard(folder);
    EXPECT_TRUE(plan) << (plan ? "" : plan.error().message);
    auto mount = set_guard(std::move(*plan));
    EXPECT_TRUE(mount) << (mount ? "" : mount.error().message);
    return std::move(*mount);
  }

  fs::path folder_;
};

TEST_P(Guard, RefusesWritesAndIsLifted) {
  apart([&] {
    const Fd mount = guarded(web());
    EXPECT_EQ(write_at(web() + "/a"), EROFS);
    EXPECT_EQ(::mkdir((web() + "/d").c_str(), 0755), -1);
    EXPECT_EQ(write_at(folder_ / "beside"), 0);
    ASSERT_TRUE(lift_guard(mount));
    EXPECT_EQ(write_at(web() + "/a"), 0);
    EXPECT_FALSE(find_guard(web()));
    // Not a border any more: names can be moved over it.
    EXPECT_EQ(::rename((web() + "/a").c_str(), (folder_ / "a").c_str()), 0);
  });
}

// Nobody can stand in the guard's way, and nobody is thrown out.
TEST_P(Guard, WhoHasAFileOpenGoesOnAndIsNamed) {
  apart([&] {
    Helper shell({[&] { ASSERT_EQ(::chdir((web() + "/sub").c_str()), 0); }});
    shell.step();
    const Fd open_before(::open((web() + "/log").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    ASSERT_TRUE(open_before.valid());
    const Fd mount = guarded(web());
    EXPECT_EQ(::write(open_before.get(), "x", 1), 1);
    const std::string writers = writers_from_before(web());
    EXPECT_THAT(writers, HasSubstr(fmt::format("process {} ", ::getpid())));
    EXPECT_THAT(writers, HasSubstr(fmt::format("has {}/log open for writing", web())));
    EXPECT_THAT(writers, HasSubstr(fmt::format("process {} ", shell.pid())));
    EXPECT_THAT(writers, HasSubstr(fmt::format("works in {}/sub", web())));
    ASSERT_TRUE(lift_guard(mount));
  });
}

// Who only reads, or has come later, cannot write.
TEST_P(Guard, ReadersAndLatecomersAreNotNamed) {
  apart([&] {
    ASSERT_EQ(write_at(web() + "/a"), 0);
    const Fd reads(::open((web() + "/a").c_str(), O_RDONLY | O_CLOEXEC));
    const Fd elsewhere(::open((folder_ / "b").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    const Fd mount = guarded(web());
    Helper shell({[&] { ASSERT_EQ(::chdir((web() + "/sub").c_str()), 0); }});
    shell.step();
    EXPECT_EQ(writers_from_before(web()), "");
  });
}

// What works inside of the guard when it is lifted can write from then on, wherever it was unmounted.
TEST_P(Guard, WhoIsInsideWhenItIsLiftedCanWrite) {
  apart([&] {
    const Fd mount = guarded(web());
    ASSERT_EQ(::chdir(web().c_str()), 0);
    EXPECT_EQ(write_at("a"), EROFS);
    ASSERT_TRUE(lift_guard(mount));
    EXPECT_EQ(write_at("a"), 0);
    EXPECT_TRUE(fs::exists(web() + "/a"));
    ASSERT_EQ(::chdir("/"), 0);
  });
}

TEST_P(Guard, HoldsForFileSystemsBelowAndLeavesThemThere) {
  apart([&] {
    ASSERT_EQ(::mount("tmpfs", (web() + "/sub").c_str(), "tmpfs", 0, nullptr), 0);
    const Fd mount = guarded(web());
    EXPECT_EQ(write_at(web() + "/sub/a"), EROFS);
    ASSERT_TRUE(lift_guard(mount));
    EXPECT_EQ(write_at(web() + "/sub/a"), 0);
    struct stat above {
    }, below{};
    ASSERT_EQ(::stat(web().c_str(), &above), 0);
    ASSERT_EQ(::stat((web() + "/sub").c_str(), &below), 0);
    EXPECT_NE(above.st_dev, below.st_dev) << "the file system below is gone";
  });
}

// A file system that was read-only of its own is so again.
TEST_P(Guard, MakesNothingWritableThatWasNot) {
  apart([&] {
    const std::string sub = web() + "/sub";
    ASSERT_EQ(::mount(sub.c_str(), sub.c_str(), nullptr, MS_BIND, nullptr), 0);
    ASSERT_EQ(::mount(nullptr, sub.c_str(), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr), 0);
    const Fd mount = guarded(web());
    ASSERT_TRUE(lift_guard(mount));
    EXPECT_EQ(write_at(sub + "/a"), EROFS);
    EXPECT_EQ(write_at(web() + "/a"), 0);
  });
}

// The folder is a file system itself.
TEST_P(Guard, OfAMountPoint) {
  apart([&] {
    ASSERT_EQ(::mount("tmpfs", web().c_str(), "tmpfs", 0, nullptr), 0);
    const auto before = look_at_roots({web() + "/"});
    const Fd mount = guarded(web());
    EXPECT_EQ(write_at(web() + "/a"), EROFS);
    EXPECT_EQ(look_at_roots({web() + "/"}).roots[0].record.mount_point, before.roots[0].record.mount_point);
    ASSERT_TRUE(lift_guard(mount));
    EXPECT_EQ(write_at(web() + "/a"), 0);
    EXPECT_EQ(look_at_roots({web() + "/"}).roots[0].record.device, before.roots[0].record.device);
  });
}

// What is mounted below it meanwhile is guarded at the next look, and does not vanish when the guard is
// lifted.
TEST_P(Guard, WhatIsMountedBelowMeanwhileStays) {
  apart([&] {
    const std::string sub = web() + "/sub";
    const Fd mount = guarded(web());
    ASSERT_EQ(::mount("tmpfs", sub.c_str(), "tmpfs", 0, nullptr), 0);
    EXPECT_EQ(write_at(sub + "/a"), 0);
    {
      const Fd writer(::open((sub + "/a").c_str(), O_WRONLY | O_CLOEXEC));
      const auto plan = prepare_guard(web());
      ASSERT_TRUE(plan);
      EXPECT_THAT(plan->half_guarded, HasSubstr("stays writable"));
    }
    const auto plan = prepare_guard(web());
    ASSERT_TRUE(plan);
    EXPECT_EQ(plan->half_guarded, "");
    EXPECT_FALSE(plan->copy.valid());
    EXPECT_EQ(write_at(sub + "/a"), EROFS);
    const auto lifted = lift_guard(mount);
    ASSERT_FALSE(lifted);
    EXPECT_THAT(lifted.error().message, HasSubstr("stays mounted onto itself"));
    EXPECT_EQ(write_at(sub + "/b"), 0);
    EXPECT_EQ(write_at(web() + "/b"), 0);
    EXPECT_FALSE(find_guard(web())) << "a mount that is writable guards nothing";
    // It can be guarded anew, and lifted, as often as one likes.
    const Fd again = guarded(web());
    EXPECT_EQ(write_at(sub + "/b"), EROFS);
    EXPECT_TRUE(lift_guard(again));
    EXPECT_EQ(write_at(sub + "/b"), 0);
  });
}

TEST_P(Guard, IsFoundAgainAndNotSetTwice) {
  apart([&] {
    { const Fd mount = guarded(web()); }  // the daemon that has set it is gone
    const size_t mounts = read_mounts().size();
    const auto plan = prepare_guard(web());
    ASSERT_TRUE(plan);
    EXPECT_FALSE(plan->copy.valid());
    EXPECT_EQ(read_mounts().size(), mounts);
    const auto found = find_guard(web());
    ASSERT_TRUE(found);
    ASSERT_TRUE(lift_guard(*found));
    EXPECT_EQ(write_at(web() + "/a"), 0);
  });
}

TEST_P(Guard, SomebodyElseHasUnmountedIt) {
  apart([&] {
    const Fd mount = guarded(web());
    ASSERT_EQ(::umount2(web().c_str(), MNT_DETACH), 0);
    EXPECT_FALSE(find_guard(web()));
    EXPECT_TRUE(lift_guard(mount));
    EXPECT_EQ(write_at(web() + "/a"), 0);
  });
}

TEST_P(Guard, IsOfFoldersAlone) {
  apart([&] {
    const auto missing = prepare_guard(folder_ / "none");
    ASSERT_TRUE(missing);
    EXPECT_TRUE(missing->absent);
    ASSERT_EQ(::symlink(web().c_str(), (folder_ / "link").c_str()), 0);
    const auto link = prepare_guard(folder_ / "link");
    ASSERT_TRUE(link);
    EXPECT_TRUE(link->absent);
    EXPECT_FALSE(prepare_guard(folder_ / "link/sub"));  // through a link: elsewhere
    EXPECT_EQ(write_at(folder_ / "file"), 0);
    const auto file = prepare_guard(folder_ / "file");
    ASSERT_TRUE(file);
    EXPECT_TRUE(file->absent);
  });
}

// S10 compares where a root lies with where it lay: the guard must not look like another file system.
TEST_P(Guard, LooksTheSameToTheMirror) {
  apart([&] {
    ASSERT_EQ(::mount("tmpfs", (web() + "/sub").c_str(), "tmpfs", 0, nullptr), 0);
    const auto before = look_at_roots({web() + "/"});
    const Fd mount = guarded(web());
    const auto now = look_at_roots({web() + "/"});
    EXPECT_EQ(now.roots[0].record.mount_point, before.roots[0].record.mount_point);
    EXPECT_EQ(now.roots[0].record.filesystem, before.roots[0].record.filesystem);
    EXPECT_EQ(now.roots[0].record.device, before.roots[0].record.device);
    EXPECT_EQ(now.mounts, before.mounts);
    EXPECT_EQ(now.mounts, std::vector<std::string>{web() + "/sub"});
  });
}

// The mirror writes all the time, whatever happens to the guard meanwhile.
TEST_P(Guard, TheMirrorSeesItsFoldersWritable) {
  apart([&] {
    ASSERT_EQ(::mount("tmpfs", (web() + "/sub").c_str(), "tmpfs", 0, nullptr), 0);
    const auto before = look_at_roots({web() + "/"});
    const auto writes = [&](const std::string& name) {
      EXPECT_EQ(write_at(web() + "/" + name), 0);
      EXPECT_EQ(write_at(web() + "/sub/" + name), 0);
    };
    const std::vector<std::function<void()>> steps{
        [&] {
          ASSERT_TRUE(see_writable({web(), folder_ / "none"}));
          writes("a");
          EXPECT_EQ(look_at_roots({web() + "/"}).roots[0].record.mount_point,
                    before.roots[0].record.mount_point);
          EXPECT_EQ(look_at_roots({web() + "/"}).mounts, before.mounts);
        },
        [&] { writes("b"); }, [&] { writes("c"); }, [&] { writes("d"); }};
    Helper before_the_guard(steps);
    before_the_guard.step();
    const Fd mount = guarded(web());
    before_the_guard.step();
    Helper behind_the_guard(steps);
    behind_the_guard.step();
    EXPECT_EQ(write_at(web() + "/x"), EROFS);
    EXPECT_TRUE(fs::exists(web() + "/b"));
    ASSERT_TRUE(lift_guard(mount));
    before_the_guard.step();
    behind_the_guard.step();
    const Fd again = guarded(web());
    before_the_guard.step();
    behind_the_guard.step();
    EXPECT_TRUE(fs::exists(web() + "/sub/d"));
    EXPECT_EQ(write_at(web() + "/x"), EROFS);
  });
}

// What was mounted below since the guard was set hangs on the guard alone.
TEST_P(Guard, TheMirrorSeesWhatWasMountedBelowMeanwhile) {
  apart([&] {
    const Fd mount = guarded(web());
    ASSERT_EQ(::mount("tmpfs", (web() + "/sub").c_str(), "tmpfs", 0, nullptr), 0);
    ASSERT_TRUE(prepare_guard(web()));
    EXPECT_EQ(write_at(web() + "/sub/x"), EROFS);
    Helper mirror({[&] {
      ASSERT_TRUE(see_writable({web()}));
      EXPECT_EQ(write_at(web() + "/a"), 0);
      EXPECT_EQ(write_at(web() + "/sub/a"), 0);
    }});
    mirror.step();
    EXPECT_TRUE(fs::exists(web() + "/sub/a"));
  });
}

// ---- the keeper ----

class Keeper {
 public:
  explicit Keeper(const fs::path& run, const std::vector<std::string>& paths) : run_(run) {
    fs::create_directories(run);
    ServiceConfig service;
    service.name = "web";
    for (const std::string& path : paths) {
      MirrorConfig mirror;
      mirror.name = std::to_string(service.mirrors.size() + 1);
      mirror.guard = true;
      mirror.paths = {path};
      service.mirrors.push_back(mirror);
    }
    config_.services = {service};
    start();
  }
  void start() {
    keeper_ = std::make_unique<GuardKeeper>(
        loop_, config_, run_,
        [this](const Event& event) { reports_.push_back(std::get<GuardReport>(event)); },
        [this](ServiceId) { ++changed_; });
  }
  void crash() { keeper_.reset(); }
  bool until(const std::function<bool()>& done) { return loop_.run_until(done, std::chrono::seconds(60)); }
  [[nodiscard]] bool told(Outcome outcome) const {
    return !reports_.empty() && reports_.back().outcome == outcome;
  }

  EventLoop loop_;
  fs::path run_;
  Config config_;
  std::vector<GuardReport> reports_;
  size_t changed_ = 0;
  std::unique_ptr<GuardKeeper> keeper_;
  static constexpr ServiceId kWeb{0};
};

TEST_P(Guard, KeeperSetsAndLifts) {
  apart([&] {
    Keeper k(folder_ / "run", {web() + "/"});
    k.keeper_->set(Keeper::kWeb);
    ASSERT_TRUE(k.until([&] { return k.told(Outcome::kSet); }));
    EXPECT_EQ(write_at(web() + "/a"), EROFS);
    k.keeper_->lift(Keeper::kWeb);
    EXPECT_EQ(write_at(web() + "/a"), 0);
  });
}

// The order that is taken back while the folder is looked at sets nothing.
TEST_P(Guard, KeeperLetsTheLaterOrderWin) {
  apart([&] {
    Keeper k(folder_ / "run", {web() + "/"});
    k.keeper_->set(Keeper::kWeb);
    k.keeper_->lift(Keeper::kWeb);
    bool later = false;
    const auto timer = k.loop_.at(EventLoop::now() + std::chrono::milliseconds(300), [&] { later = true; });
    ASSERT_TRUE(k.until([&] { return later; }));
    EXPECT_EQ(write_at(web() + "/a"), 0);
    EXPECT_TRUE(k.reports_.empty());
  });
}

TEST_P(Guard, KeeperWaitsForAFolderAndNamesWhoWasThereBefore) {
  apart([&] {
    const std::string late = folder_ / "late";
    Keeper k(folder_ / "run", {late + "/"});
    k.keeper_->set(Keeper::kWeb);
    ASSERT_TRUE(k.until([&] { return k.told(Outcome::kAbsent); }));
    fs::create_directories(late);
    Fd writer(::open((late + "/log").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    ASSERT_TRUE(k.until([&] { return k.told(Outcome::kSet) && !k.reports_.back().detail.empty(); }));
    EXPECT_THAT(k.reports_.back().detail, HasSubstr("/log open for writing"));
    writer.reset();
    ASSERT_TRUE(k.until([&] { return k.told(Outcome::kSet) && k.reports_.back().detail.empty(); }));
    EXPECT_EQ(write_at(late + "/log"), EROFS);
  });
}

TEST_P(Guard, KeeperSetsAnewWhatWasTakenAwayAndTellsOfMounts) {
  apart([&] {
    Keeper k(folder_ / "run", {web() + "/"});
    k.keeper_->set(Keeper::kWeb);
    ASSERT_TRUE(k.until([&] { return k.told(Outcome::kSet); }));
    ASSERT_EQ(::umount2(web().c_str(), MNT_DETACH), 0);
    ASSERT_TRUE(k.until([&] { return write_at(web() + "/a") == EROFS; }));
    EXPECT_EQ(k.changed_, 0U);
    ASSERT_EQ(::mount("tmpfs", (web() + "/sub").c_str(), "tmpfs", 0, nullptr), 0);
    ASSERT_TRUE(k.until([&] { return k.changed_ == 1; }));
    EXPECT_EQ(write_at(web() + "/sub/a"), EROFS);
  });
}

// kill -9 of the daemon, and what the next one does.
TEST_P(Guard, NextKeeperFindsWhatTheFormerHasSet) {
  apart([&] {
    Keeper k(folder_ / "run", {web() + "/"});
    k.keeper_->set(Keeper::kWeb);
    ASSERT_TRUE(k.until([&] { return k.told(Outcome::kSet); }));
    k.crash();
    EXPECT_EQ(write_at(web() + "/a"), EROFS);
    k.start();
    EXPECT_EQ(write_at(web() + "/a"), EROFS);
    k.keeper_->lift(Keeper::kWeb);
    EXPECT_EQ(write_at(web() + "/a"), 0);
  });
}

TEST_P(Guard, NextKeeperLiftsWhatIsNotConfiguredAnyMore) {
  apart([&] {
    Keeper k(folder_ / "run", {web() + "/"});
    k.keeper_->set(Keeper::kWeb);
    ASSERT_TRUE(k.until([&] { return k.told(Outcome::kSet); }));
    k.crash();
    k.config_.services[0].mirrors[0].guard = false;
    k.start();
    EXPECT_EQ(write_at(web() + "/a"), 0);
    EXPECT_FALSE(fs::exists(folder_ / "run/guarded"));
  });
}

TEST_P(Guard, AllAreLiftedBeforeTheProgramIsRemoved) {
  apart([&] {
    Keeper k(folder_ / "run", {web() + "/", folder_ / "two/"});
    fs::create_directories(folder_ / "two");
    k.keeper_->set(Keeper::kWeb);
    ASSERT_TRUE(
        k.until([&] { return write_at(web() + "/a") == EROFS && write_at(folder_ / "two/a") == EROFS; }));
    k.crash();
    EXPECT_TRUE(lift_all_guards(folder_ / "run").empty());
    EXPECT_EQ(write_at(web() + "/a"), 0);
    EXPECT_EQ(write_at(folder_ / "two/a"), 0);
    EXPECT_TRUE(lift_all_guards(folder_ / "run").empty());
  });
}

INSTANTIATE_TEST_SUITE_P(Mounts, Guard, testing::Bool(),
                         [](const auto& one) { return one.param ? "Shared" : "Private"; });

}  // namespace
}  // namespace clusterd
