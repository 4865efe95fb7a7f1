// Children on the loop: results, output, limits, groups, and a clean start.
#include "linux/units/process.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

namespace clusterd {
namespace {

using namespace std::chrono_literals;

struct Runner {
  EventLoop loop;
  std::optional<ChildResult> result;
  std::unique_ptr<ChildProcess> child;

  void start(ChildSpec spec) {
    child = run_child(loop, std::move(spec), [this](const ChildResult& r) {
      EXPECT_FALSE(result) << "called twice";
      result = r;
    });
    EXPECT_FALSE(result) << "called from inside run_child";
  }
  const ChildResult& wait() {
    EXPECT_TRUE(loop.run_until([this] { return result.has_value(); }, 30s));
    return *result;
  }
  const ChildResult& run(ChildSpec spec) {
    start(std::move(spec));
    return wait();
  }
};

bool alive(pid_t pid) { return kill(pid, 0) == 0; }

// State of a process as /proc shows it; a zombie counts as gone.
bool runs(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  std::getline(stat, line);
  const size_t end = line.rfind(')');
  return end != std::string::npos && line.size() > end + 2 && line[end + 2] != 'Z' && line[end + 2] != 'X';
}

TEST(Process, GivesExitCodeAndOutputOfBothStreams) {
  Runner run;
  const auto& r = run.run(ChildSpec::shell("echo out; echo err >&2; exit 3"));
  EXPECT_TRUE(r.started);
  EXPECT_EQ(r.exit_code, 3);
  EXPECT_EQ(r.signal, 0);
  EXPECT_FALSE(r.timed_out);
  EXPECT_EQ(r.output, "out\nerr\n");
  EXPECT_EQ(r.text(), "exit code 3: err");
  EXPECT_FALSE(alive(run.child->pid())) << "not reaped";
}

TEST(Process, GivesTheSignal) {
  Runner run;
  const auto& r = run.run(ChildSpec::shell("kill -9 $$"));
  EXPECT_EQ(r.signal, SIGKILL);
  EXPECT_EQ(r.exit_code, -1);
  EXPECT_EQ(r.text(), "killed by SIGKILL");
}

TEST(Process, AProgramThatIsNotThereIsAResult) {
  Runner run;
  ChildSpec spec;
  spec.argv = {"/no/such/program"};
  bool started = false;
  spec.on_started = [&] { started = true; };
  const auto& r = run.run(std::move(spec));
  EXPECT_FALSE(r.started);
  EXPECT_FALSE(r.ok());
  EXPECT_FALSE(started);
  EXPECT_EQ(r.text(), "cannot execute /no/such/program: No such file or directory");
}

TEST(Process, ADirectoryThatIsNotThereIsAResult) {
  Runner run;
  ChildSpec spec = ChildSpec::shell("true");
  spec.directory = "/no/such/directory";
  EXPECT_EQ(run.run(std::move(spec)).text(),
            "cannot change to the directory /no/such/directory: No such file or directory");
}

TEST(Process, NoCommandIsAResult) {
  Runner run;
  EXPECT_FALSE(run.run(ChildSpec{}).started);
}

TEST(Process, FindsProgramsInPath) {
  Runner run;
  ChildSpec spec;
  spec.argv = {"printf", "%s", "a b"};
  EXPECT_EQ(run.run(std::move(spec)).output, "a b");
}

TEST(Process, PassesInputAndEnvironmentAndHidesTheDaemons) {
  setenv("NOTIFY_SOCKET", "/run/secret", 1);
  setenv("CDT_KEPT", "kept", 1);
  Runner run;
  ChildSpec spec = ChildSpec::shell("cat; echo \"$CDT_KEPT $CDT_ADDED [$NOTIFY_SOCKET]\"");
  spec.input = "text\n";
  spec.environment = {{"CDT_ADDED", "x=1"}};
  EXPECT_EQ(run.run(std::move(spec)).output, "text\nkept x=1 []\n");
  unsetenv("NOTIFY_SOCKET");
}

TEST(Process, AChildThatDoesNotReadItsInputDoesNoHarm) {
  Runner run;
  ChildSpec spec = ChildSpec::shell("exit 0");
  spec.input.assign(1 << 20, 'x');
  EXPECT_TRUE(run.run(std::move(spec)).ok());
}

TEST(Process, KeepsTheTailOfALongOutput) {
  Runner run;
  ChildSpec spec = ChildSpec::shell("head -c 3000000 /dev/zero | tr '\\0' a; echo; echo end");
  spec.output_limit = 100;
  const auto& r = run.run(std::move(spec));
  EXPECT_EQ(r.output.size(), 100U);
  EXPECT_EQ(r.output.substr(95), "\nend\n");
}

TEST(Process, StdoutCanBeFollowed) {
  Runner run;
  std::string seen;
  ChildSpec spec = ChildSpec::shell("head -c 3000000 /dev/zero; echo no >&2");
  spec.on_stdout = [&](std::string_view text) { seen += text; };
  const auto& r = run.run(std::move(spec));
  EXPECT_EQ(seen.size(), 3000000U);
  EXPECT_EQ(r.output, "no\n");
}

TEST(Process, TimeoutEndsTheGroupEvenIfItIgnoresTerm) {
  Runner run;
  std::string pids;
  ChildSpec spec = ChildSpec::shell("trap '' TERM; sleep 1000 & echo $!; wait; while :; do sleep 1000; done");
  spec.timeout = 300ms;
  spec.kill_after = 100ms;
  spec.on_stdout = [&](std::string_view text) { pids += text; };
  const auto& r = run.run(std::move(spec));
  EXPECT_TRUE(r.timed_out);
  EXPECT_EQ(r.signal, SIGKILL);
  EXPECT_FALSE(r.ok());
  EXPECT_EQ(r.text(), "timed out");
  const pid_t grandchild = std::stoi(pids);
  EXPECT_TRUE(run.loop.run_until([&] { return !runs(grandchild); }, 10s));
}

TEST(Process, TimeoutCleansUpWhatADutifulChildLeavesBehind) {
  Runner run;
  std::string pids;
  ChildSpec spec = ChildSpec::shell("(trap '' TERM; sleep 1000) & echo $!; sleep 1000");
  spec.timeout = 300ms;
  spec.kill_after = 60s;
  spec.on_stdout = [&](std::string_view text) { pids += text; };
  EXPECT_TRUE(run.run(std::move(spec)).timed_out);
  EXPECT_TRUE(run.loop.run_until([&] { return !runs(std::stoi(pids)); }, 10s));
}

TEST(Process, EndsWithTheChildAlthoughADescendantHoldsThePipe) {
  Runner run;
  const auto& r = run.run(ChildSpec::shell("sleep 1000 & echo $!"));
  EXPECT_TRUE(r.ok());
  const pid_t left = std::stoi(r.output);
  EXPECT_TRUE(runs(left)) << "a start command's daemon must survive it";
  kill(left, SIGKILL);
}

TEST(Process, OutputFileSurvivesForDescendants) {
  char name[] = "/tmp/cdt-units-XXXXXX";
  ASSERT_NE(mkdtemp(name), nullptr);
  const std::string file = std::string(name) + "/log";
  std::ofstream(file) << "before\n";
  Runner run;
  ChildSpec spec = ChildSpec::shell("echo now; exit 1");
  spec.output_file = file;
  const auto& r = run.run(std::move(spec));
  EXPECT_EQ(r.output, "now\n");
  std::stringstream all;
  all << std::ifstream(file).rdbuf();
  EXPECT_EQ(all.str(), "before\nnow\n");
  std::filesystem::remove_all(name);
}

TEST(Process, DestroyingTheHandleKillsTheGroup) {
  Runner run;
  std::string pids;
  ChildSpec spec = ChildSpec::shell("trap '' TERM; sleep 1000 & echo $!; wait");
  spec.on_stdout = [&](std::string_view text) { pids += text; };
  run.start(std::move(spec));
  ASSERT_TRUE(run.loop.run_until([&] { return pids.find('\n') != std::string::npos; }, 30s));
  const pid_t leader = run.child->pid(), grandchild = std::stoi(pids);
  run.child.reset();
  EXPECT_TRUE(run.loop.run_until([&] { return !runs(leader) && !runs(grandchild); }, 10s));
  EXPECT_FALSE(run.result);
}

TEST(Process, DestroyingADetachedHandleLeavesItRunning) {
  Runner run;
  bool started = false;
  ChildSpec spec;
  spec.argv = {"sleep", "1000"};
  spec.detached = true;
  spec.on_started = [&] { started = true; };
  run.start(std::move(spec));
  ASSERT_TRUE(run.loop.run_until([&] { return started; }, 30s));
  const pid_t pid = run.child->pid();
  run.child.reset();
  EXPECT_TRUE(runs(pid));
  kill(pid, SIGKILL);
}

TEST(Process, TheCallbackMayDestroyTheHandle) {
  EventLoop loop;
  bool called = false;
  std::unique_ptr<ChildProcess> child;
  child = run_child(loop, ChildSpec::shell("exit 0"), [&](const ChildResult& r) {
    called = r.ok();
    child.reset();
  });
  EXPECT_TRUE(loop.run_until([&] { return called; }, 30s));
}

TEST(Process, StartsClean) {
  // The parent as the daemon is: blocked and ignored signals, an open descriptor without O_CLOEXEC, SCHED_RR.
  sigset_t set, old;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &set, &old);
  const auto handler = signal(SIGPIPE, SIG_IGN);
  const int leak = open("/dev/null", O_RDONLY);
  const int high = fcntl(leak, F_DUPFD, 200);
  sched_param rr{.sched_priority = 1};
  const bool realtime = sched_setscheduler(0, SCHED_RR, &rr) == 0;
  Runner run;
  const auto& r =
      run.run(ChildSpec::shell("grep -E 'Sig(Blk|Ign)' /proc/self/status; ls /proc/self/fd | tr '\\n' ' ';"
                               "cut -d')' -f2 /proc/$$/stat | cut -d' ' -f5-6,40; echo $$"));
  const sched_param other{};
  sched_setscheduler(0, SCHED_OTHER, &other);
  close(leak);
  close(high);
  signal(SIGPIPE, handler);
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  const std::string pid = std::to_string(run.child->pid());
  EXPECT_NE(r.output.find("SigBlk:\t0000000000000000"), std::string::npos) << r.output;
  EXPECT_NE(r.output.find("SigIgn:\t0000000000000000"), std::string::npos) << r.output;
  EXPECT_NE(r.output.find("\n0 1 2 3 "), std::string::npos) << "3 is the directory itself: " << r.output;
  EXPECT_EQ(r.output.find("200"), std::string::npos) << r.output;
  // Session = own pid, policy 0 = SCHED_OTHER.
  EXPECT_NE(r.output.find(pid + " 0 0\n" + pid + "\n"), std::string::npos) << realtime << r.output;
}

TEST(Process, LastLineIsHarmless) {
  EXPECT_EQ(last_line("one\n\x1b[31mtwo\n\n"), " [31mtwo");
  EXPECT_EQ(last_line(""), "");
  EXPECT_EQ(last_line(std::string(500, 'x')).size(), 200U);
}

}  // namespace
}  // namespace clusterd
