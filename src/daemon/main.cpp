// clusterd: the daemon. Reads its configuration, builds itself, runs until it is told to end.
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include "config/load.hpp"
#include "daemon/assembly.hpp"
#include "daemon/fallback_gate.hpp"
#include "daemon/status_json.hpp"
#include "linux/gate/bpf_gate.hpp"
#include "linux/mirror/guard_keeper.hpp"
#include "linux/versions/store.hpp"
#include "versions/agree.hpp"

namespace {

using namespace clusterd;

constexpr int kExitConfig = 78;  // EX_CONFIG: systemd does not start it again
constexpr int kAgain = -1;       // no exit: this process begins anew, with another configuration

std::string own_folder() {
  std::error_code error;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? "." : path.parent_path().string();
}

std::string host_name() {
  char name[256] = {};
  if (::gethostname(name, sizeof name - 1) != 0) return "";
  return std::string(name).substr(0, std::string_view(name).find('.'));
}

void add_options(CLI::App& app, DaemonOptions& options) {
  app.set_version_flag("--version", std::string("clusterd ") + kVersion);
  app.add_option("--config-dir", options.config_dir, "Configuration of the cluster")->capture_default_str();
  app.add_option("--state-dir", options.state_dir, "What must survive a restart")->capture_default_str();
  app.add_option("--run-dir", options.run_dir, "Control socket and lock")->capture_default_str();
  app.add_option("--bpf-dir", options.bpf_dir, "Where the lease gate is pinned")->capture_default_str();
  app.add_option("--libexec-dir", options.libexec_dir,
                 "Folder of clusterd-mirror and clusterd-check (default: that of clusterd)");
  app.add_option("--node", options.node, "This node's name in the configuration (default: the host's name)");
  app.add_flag("!--no-realtime", options.realtime, "Ordinary priority, memory not locked");
  app.add_flag("--without-gate", options.without_gate,
               "Run on a kernel without BPF: longer window, weaker guarantees; needed on both nodes");
  app.add_flag("--remove-gate", options.remove_gate,
               "Take the lease gate from every NIC and end: before the package is removed");
  app.add_flag("--lift-guards", options.lift_guards,
               "Make the folders of guarded mirrors writable again and end: while the daemon does not run");
  app.add_flag("--debug", options.debug, "Log what is of interest to developers only");
}

// Handlers, not dispositions or masks: both would be inherited by the children.
void ignore_broken_pipes() {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  ::sigaction(SIGPIPE, &action, nullptr);
}

// Feeds systemd's watchdog from the loop, so that a loop that stands still is noticed.
class WatchdogFeeder {
 public:
  WatchdogFeeder(EventLoop& loop, Duration interval) : loop_(loop), interval_(interval) { feed(); }

 private:
  void feed() {
    notify_manager("WATCHDOG=1");
    timer_ = loop_.at(EventLoop::now() + interval_, [this] { feed(); });
  }
  EventLoop& loop_;
  Duration interval_;
  std::unique_ptr<Timer> timer_;
};

class Signals {
 public:
  Signals(EventLoop& loop, Assembly& assembly, Log& log)
      : set_(*static_cast<boost::asio::io_context*>(loop.native()), SIGTERM, SIGINT, SIGHUP),
        assembly_(assembly),
        log_(log) {
    wait();
  }
  // Whether the process is to begin anew with another configuration, instead of ending.
  [[nodiscard]] bool again() const { return again_; }

 private:
  void wait() {
    set_.async_wait([this](const boost::system::error_code& error, int number) {
      if (error) return;
      if (number == SIGHUP) {
        assembly_.reload([this] {
          again_ = true;
          log_.line(Severity::kNotice, "takes the configuration anew, by a clean restart");
          notify_manager("RELOADING=1");
        });
      } else {
        again_ = false;
        notify_manager("STOPPING=1");
        assembly_.prepare_restart(std::chrono::seconds(4));
      }
      wait();
    });
  }
  boost::asio::signal_set set_;
  Assembly& assembly_;
  Log& log_;
  bool again_ = false;
};

// A broken invariant ends the process at once (base/check.hpp), but for a moment for the flight recorder,
// with whose last block the end can be replayed. Should that hang, the alarm ends it.
Assembly* dying_assembly = nullptr;
void on_abort(int /*number*/) {
  ::signal(SIGABRT, SIG_DFL);
  ::signal(SIGALRM, SIG_DFL);
  ::alarm(1);
  if (Assembly* assembly = std::exchange(dying_assembly, nullptr)) assembly->last_words();
}

// Shut gates that nobody opens any more would drop the services' addresses for ever, whoever takes them then.
int remove_gate(const DaemonOptions& options) {
  const auto lock = lock_instance(options.run_dir);
  const auto removed = lock ? BpfGate::remove_all(options.bpf_dir) : tl::unexpected(lock.error());
  if (removed) return 0;
  std::fprintf(stderr, "clusterd: %s\n", removed.error().message.c_str());
  return 1;
}

// Folders that nobody guards any more would stay read-only until the next boot.
int lift_guards(const DaemonOptions& options) {
  if (::access(options.run_dir.c_str(), F_OK) != 0) return 0;  // no daemon has run since the machine booted
  const auto lock = lock_instance(options.run_dir);
  if (!lock) {
    std::fprintf(stderr, "clusterd: %s\n", lock.error().message.c_str());
    return 1;
  }
  const auto troubles = lift_all_guards(options.run_dir);
  for (const std::string& trouble : troubles) std::fprintf(stderr, "clusterd: %s\n", trouble.c_str());
  return troubles.empty() ? 0 : 1;
}

// With which version this daemon was started. One on trial the other node may accept from now on.
void note_what_runs(const VersionStore& store, const ConfigTexts& texts, Log& log) {
  const std::string digest = versions::digest_of(versions::set_of(texts));
  const auto noted = store.change([&](versions::Record& now) {
    if (now.change && now.change->phase == versions::Phase::kTrying && now.change->to.digest == digest)
      now.change->ran = true;
    if (now.change && now.change->phase == versions::Phase::kReturning && now.change->from.digest == digest)
      now.change->ran = false;
    if (now.current() != nullptr && now.current()->digest == digest) now.due = false;
    return now.current() != nullptr;
  });
  if (!noted) log.line(Severity::kError, noted.error().message);
}

// A version on trial with which the daemon does not even start: the former one is put back in its place.
bool return_to_former(const VersionStore& store, const std::string& why) {
  bool returns = false;
  const auto changed = store.change([&](versions::Record& record) {
    returns = versions::return_from_failed_start(record, why);
    record.placing = record.placing || returns;
    return returns;
  });
  if (!changed || !returns) return false;
  std::fprintf(stderr, "<3>the version on trial is given up: %s\n", why.c_str());
  const auto placed = store.finish_placing();
  return placed.has_value();
}

int run(const Config& config, const DaemonOptions& options, const Privileges& privileges,
        const VersionStore& store, Log& log) {
  for (const auto& [folder, mode] :
       {std::pair{options.run_dir, 0755U}, std::pair{options.state_dir, 0700U}}) {
    if (auto made = make_folder(folder, mode); !made) {
      log.line(Severity::kError, made.error().message);
      return 1;
    }
  }
  if (const auto lock = lock_instance(options.run_dir); !lock) {
    log.line(Severity::kError, lock.error().message);
    return 1;
  }
  for (const std::string& warning : privileges.warnings) log.line(Severity::kWarning, warning);
  EventLoop loop;
  auto assembly = Assembly::build(loop, config, options, privileges, log);
  if (assembly) {
    note_what_runs(store, options.config_texts, log);
    if (auto started = (*assembly)->start(); !started) assembly = tl::unexpected(started.error());
  }
  if (!assembly) {
    log.line(Severity::kError, assembly.error().message);
    if (return_to_former(store, "clusterd does not start with it: " + assembly.error().message))
      return kAgain;
    return assembly.error().code == Code::kConfig ? kExitConfig : 1;
  }
  const Signals signals(loop, **assembly, log);
  dying_assembly = assembly->get();
  ::signal(SIGABRT, on_abort);
  std::optional<WatchdogFeeder> watchdog;
  if (const auto interval = watchdog_interval()) watchdog.emplace(loop, *interval);
  notify_manager("READY=1");
  loop.run();
  dying_assembly = nullptr;
  // Between this and the successor's handler the signal would end the process.
  ::signal(SIGHUP, SIG_IGN);
  if (signals.again()) return kAgain;
  notify_manager("STOPPING=1");
  log.line(Severity::kNotice, "ends; services, addresses and gate stay as they are");
  return 0;
}

// What is to be known of versions before the start: what the daemon holds back for, and what it clears away.
void look_at_versions(const VersionStore& store, const Config& config, DaemonOptions& options) {
  const versions::Record record = store.load();
  options.hold_back = versions::holds_back(record);
  if (record.clear_of == 0) return;
  const auto files = store.files(record.clear_of);
  if (!files) return;
  auto former = parse_config(*files, options.config_dir, options.node);
  if (!former || former->hash == config.hash) return;
  options.former = std::move(*former);
  options.former_number = record.clear_of;
}

void print(const ConfigProblem& problem, int level) {
  std::fprintf(stderr, level <= 3 ? "<%d>%s:%d:%d: %s. Remedy: %s\n" : "<%d>%s:%d:%d: %s (%s)\n", level,
               problem.file.c_str(), problem.line, problem.column, problem.text.c_str(),
               problem.remedy.c_str());
}

int begin(DaemonOptions options) {
  const VersionStore store(options.state_dir, options.config_dir);
  if (const auto placed = store.finish_placing(); !placed)
    std::fprintf(stderr, "<3>configuration: %s\n", placed.error().message.c_str());
  std::vector<ConfigProblem> warnings;
  auto config = load_config(options.config_dir, options.node, &warnings, &options.config_texts);
  for (const ConfigProblem& problem : warnings) print(problem, 4);
  if (!config) {
    for (const ConfigProblem& problem : config.error()) print(problem, 3);
    return return_to_former(store, describe(config.error()[0])) ? kAgain : kExitConfig;
  }
  look_at_versions(store, *config, options);
  if (options.without_gate) lengthen_window_without_gate(*config);
  const Privileges privileges = take_privileges(options.realtime);  // before the log's thread exists
  Log log(options.debug, 2, connect_to_journal());
  try {
    return run(*config, options, privileges, store, log);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "<2>clusterd: %s; ending, the gate falls shut by itself\n", error.what());
    std::abort();
  }
}

}  // namespace

int main(int argc, char** argv) {
  DaemonOptions options;
  CLI::App app{"clusterd: keeps services available on two servers", "clusterd"};
  add_options(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (options.remove_gate) return remove_gate(options);
  if (options.lift_guards) return lift_guards(options);
  if (options.node.empty()) options.node = host_name();
  if (options.libexec_dir.empty()) options.libexec_dir = own_folder();
  ignore_broken_pipes();
  ::signal(SIGHUP, SIG_IGN);  // until there is a handler
  ::umask(022);
  while (::waitpid(-1, nullptr, WNOHANG) > 0) {
  }  // what ended while this process began anew
  const int code = begin(std::move(options));
  if (code != kAgain) return code;
  // The same process for the service manager and for those who watch it. A path rather than the file that
  // runs: an upgrade may have replaced it.
  ::execv(std::strchr(argv[0], '/') != nullptr ? argv[0] : "/proc/self/exe", argv);
  std::fprintf(stderr, "<2>clusterd: %s: %s\n", argv[0], std::strerror(errno));
  return 1;
}
