// clusterd: the daemon. Reads its configuration, builds itself, runs until it is told to end.
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "config/load.hpp"
#include "daemon/assembly.hpp"
#include "daemon/fallback_gate.hpp"
#include "daemon/status_json.hpp"

namespace {

using namespace clusterd;

constexpr int kExitConfig = 78;  // EX_CONFIG: systemd does not start it again

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
                 "Folder of clusterd-mirror (default: that of clusterd)");
  app.add_option("--node", options.node, "This node's name in the configuration (default: the host's name)");
  app.add_flag("!--no-realtime", options.realtime, "Ordinary priority, memory not locked");
  app.add_flag("--without-gate", options.without_gate,
               "Run on a kernel without BPF: longer window, weaker guarantees; needed on both nodes");
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

 private:
  void wait() {
    set_.async_wait([this](const boost::system::error_code& error, int number) {
      if (error) return;
      if (number == SIGHUP) {
        log_.line(
            Severity::kNotice,
            "SIGHUP: the configuration is read at start only; `systemctl restart clusterd` does not disturb "
            "the services");
      } else {
        notify_manager("STOPPING=1");
        assembly_.prepare_restart(std::chrono::seconds(4));
      }
      wait();
    });
  }
  boost::asio::signal_set set_;
  Assembly& assembly_;
  Log& log_;
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

int run(const Config& config, const DaemonOptions& options, const Privileges& privileges, Log& log) {
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
    if (auto started = (*assembly)->start(); !started) assembly = tl::unexpected(started.error());
  }
  if (!assembly) {
    log.line(Severity::kError, assembly.error().message);
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
  notify_manager("STOPPING=1");
  log.line(Severity::kNotice, "ends; services, addresses and gate stay as they are");
  return 0;
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
  if (options.node.empty()) options.node = host_name();
  if (options.libexec_dir.empty()) options.libexec_dir = own_folder();
  ignore_broken_pipes();
  ::umask(022);

  std::vector<ConfigProblem> warnings;
  auto config = load_config(options.config_dir, options.node, &warnings, &options.config_texts);
  for (const ConfigProblem& problem : warnings) {
    std::fprintf(stderr, "<4>%s:%d:%d: %s (%s)\n", problem.file.c_str(), problem.line, problem.column,
                 problem.text.c_str(), problem.remedy.c_str());
  }
  if (!config) {
    for (const ConfigProblem& problem : config.error()) {
      std::fprintf(stderr, "<3>%s:%d:%d: %s. Remedy: %s\n", problem.file.c_str(), problem.line,
                   problem.column, problem.text.c_str(), problem.remedy.c_str());
    }
    return kExitConfig;
  }
  if (options.without_gate) lengthen_window_without_gate(*config);
  const Privileges privileges = take_privileges(options.realtime);  // before the log's thread exists
  Log log(options.debug);
  try {
    return run(*config, options, privileges, log);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "<2>clusterd: %s; ending, the gate falls shut by itself\n", error.what());
    std::abort();
  }
}
