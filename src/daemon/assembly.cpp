#include "daemon/assembly.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <utility>

#include "config/passwords.hpp"
#include "config/record.hpp"
#include "core/node.hpp"
#include "daemon/config_child.hpp"
#include "daemon/control_server.hpp"
#include "daemon/daemon_backend.hpp"
#include "daemon/fallback_gate.hpp"
#include "daemon/leftovers.hpp"
#include "daemon/likeness.hpp"
#include "daemon/logging_notifier.hpp"
#include "daemon/reactor.hpp"
#include "linux/address/linux_addresses.hpp"
#include "linux/fence/linux_fence.hpp"
#include "linux/gate/bpf_gate.hpp"
#include "linux/helper_thread.hpp"
#include "linux/mirror/mirror_process.hpp"
#include "linux/net/host_prober.hpp"
#include "linux/net/secret.hpp"
#include "linux/net/udp_transport.hpp"
#include "linux/record/recorder.hpp"
#include "linux/state/child_notifier.hpp"
#include "linux/state/file_state_store.hpp"
#include "linux/units/linux_checks.hpp"
#include "linux/units/linux_units.hpp"
#include "linux/units/machine_lacks.hpp"
#include "linux/units/shutdown_guard.hpp"
#include "linux/versions/store.hpp"
#include "linux/watchdog/watchdog_keeper.hpp"

namespace clusterd {

namespace {

class NodeDecider final : public Decider {
 public:
  NodeDecider(const Config& config, const PersistedState& state) : node_(config, state) {}
  [[nodiscard]] Actions step(Instant now, const Event& event) override { return node_.step(now, event); }
  [[nodiscard]] Instant next_deadline() const override { return node_.next_deadline(); }
  [[nodiscard]] const Status& status() const override { return node_.status(); }
  [[nodiscard]] std::vector<uint8_t> snapshot() const { return node_.snapshot(); }

 private:
  Node node_;
};

WallTime wall_now() { return std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now()); }

void add_counters(std::vector<std::pair<std::string, uint64_t>>& counters, const PathStats& stats) {
  counters.emplace_back("sent", stats.sent);
  counters.emplace_back("send_errors", stats.send_errors);
  counters.emplace_back("received", stats.received);
  counters.emplace_back("delivered", stats.delivered);
  counters.emplace_back("foreign", stats.foreign);
  counters.emplace_back("malformed", stats.malformed);
  counters.emplace_back("wrong_cluster", stats.wrong_cluster);
  counters.emplace_back("wrong_key", stats.wrong_key);
  counters.emplace_back("replayed", stats.replayed);
  counters.emplace_back("unproven", stats.unproven);
  counters.emplace_back("undecodable", stats.undecodable);
}

}  // namespace

// Members are in the order of their construction; what comes later may use what stands before it.
class Assembly::Impl {
 public:
  Impl(EventLoop& loop_in, const Config& config_in, const DaemonOptions& options_in,
       const Privileges& privileges_in, Log& log_in)
      : loop(loop_in),
        config(config_in),
        options(options_in),
        privileges(privileges_in),
        log(log_in),
        boot(random_boot_id()),
        started(EventLoop::now()),
        likeness(config_in, log_in) {}

  Result<void> build();
  [[nodiscard]] DaemonFacts facts() const;

  EventLoop& loop;
  const Config& config;
  const DaemonOptions options;
  const Privileges privileges;
  Log& log;
  const BootId boot;
  const Instant started;
  LikenessKnown likeness;
  Started first_event;

  std::unique_ptr<BpfGate> bpf_gate;  // one of the two
  std::unique_ptr<FallbackGate> fallback_gate;
  std::unique_ptr<NodeDecider> decider;
  std::unique_ptr<Recorder> recorder;
  std::unique_ptr<Reactor> reactor;
  std::unique_ptr<FileStateStore> state;
  std::unique_ptr<ChildNotifier> notifier;
  std::unique_ptr<UdpTransport> transport;
  std::unique_ptr<HostProber> prober;
  std::unique_ptr<LinuxAddresses> addresses;
  std::unique_ptr<LinuxUnits> units;
  std::unique_ptr<LinuxChecks> checks;
  std::unique_ptr<MachineLacks> lacks;
  std::unique_ptr<MirrorProcess> mirror;
  std::unique_ptr<WatchdogKeeper> watchdog;  // if configured
  std::unique_ptr<LinuxFence> fence;         // if the peer has one
  std::unique_ptr<DaemonBackend> backend;
  std::unique_ptr<ControlServer> control;
  std::unique_ptr<LoggingNotifier> logging_notifier;
  std::unique_ptr<ShutdownGuard> shutdown_guard;
  std::unique_ptr<Timer> exit_timer;
  std::unique_ptr<Leftovers> leftovers;   // of a former configuration, if there may be any
  std::shared_ptr<void> config_child;     // clusterd-config
  std::unique_ptr<HelperThread> reading;  // a configuration that is to be taken, or a record

 private:
  Result<void> open_gate();
  void build_recorder(const PersistedState& loaded);
  void build_ports(const Secret& secret);
  void guard_shutdown();
  void hold_back();
  void clear_leftovers();
  void keep_versions();
  [[nodiscard]] Gate& gate() { return bpf_gate ? static_cast<Gate&>(*bpf_gate) : *fallback_gate; }
  friend class Assembly;
};

Result<void> Assembly::Impl::open_gate() {
  first_event.gate_deadlines.assign(config.services.size(), kLongAgo);
  if (options.without_gate) {
    log.line(Severity::kWarning,
             "running WITHOUT the kernel's gate: a frozen or killed daemon keeps its addresses; the window "
             "is longer");
    // A gate that an earlier daemon left on the NICs would stay shut for ever.
    if (auto removed = BpfGate::remove_all(options.bpf_dir); !removed) {
      log.line(Severity::kWarning, "an earlier gate may still be in place: " + removed.error().message);
    }
    fallback_gate = std::make_unique<FallbackGate>(loop, config.services.size());
    return {};
  }
  auto opened = BpfGate::open(config, options.bpf_dir);
  if (!opened) {
    return fail(
        opened.error().code,
        "the lease gate cannot be used: " + opened.error().message +
            ". clusterd needs root (CAP_BPF, CAP_NET_ADMIN), a kernel with BPF and a bpffs on /sys/fs/bpf; "
            "`clusterctl check` says more. Start with --without-gate to run with weaker guarantees");
  }
  bpf_gate = std::move(*opened);
  for (size_t i = 0; i < config.services.size(); ++i) {
    if (auto attached = bpf_gate->attach(ServiceId(i)); !attached) {
      // A NIC that is missing now is gated before an address is put on it; the addresses port sees to that.
      log.line(Severity::kWarning, fmt::format("{}: the gate is not attached yet: {}",
                                               config.services[i].name, attached.error().message));
    }
    first_event.gate_deadlines[i] = bpf_gate->deadline(ServiceId(i));
  }
  return {};
}

Result<void> Assembly::Impl::build() {
  const auto secret = read_secret(config.secret_file);
  if (!secret) return fail(Code::kConfig, secret.error().message);
  if (auto opened = open_gate(); !opened) return opened;

  // The store is asked for the state before the reactor exists; what it reports later finds it.
  auto late_sink = std::make_shared<EventSink>();
  state = std::make_unique<FileStateStore>(loop, config, options.state_dir, [late_sink](Event event) {
    if (*late_sink) (*late_sink)(std::move(event));
  });
  auto loaded = state->load();
  if (!loaded) return fail(loaded.error().code, loaded.error().message);
  if (!loaded->warning.empty()) log.line(Severity::kWarning, loaded->warning);
  first_event.boot = boot;
  first_event.host_rebooted = loaded->host_rebooted;

  decider = std::make_unique<NodeDecider>(config, loaded->state);
  reactor = std::make_unique<Reactor>(loop, *decider, config.services.size(), log);
  *late_sink = reactor->sink();
  build_recorder(loaded->state);
  if (options.former) {
    leftovers = std::make_unique<Leftovers>(loop, *options.former, config, options.run_dir, log);
    leftovers->clear_first();
  }
  build_ports(*secret);
  return {};
}

void Assembly::Impl::build_recorder(const PersistedState& loaded) {
  const RecordConfig settings = record_config(options.config_texts);
  if (!settings.on) return;
  RecorderOptions record;
  record.folder = options.state_dir + "/record";
  record.max_bytes = settings.max;
  record.head.node = config.node(config.self).name;
  record.head.boot = boot;
  record.head.without_gate = options.without_gate;
  for (const auto& [file, text] : options.config_texts)
    record.head.config.emplace(file, without_passwords(text));
  record.head.state = loaded;
  recorder = std::make_unique<Recorder>(
      std::move(record), [this] { return decider->snapshot(); }, wall_now,
      [this](Severity severity, const std::string& text) { log.line(severity, text); });
  reactor->record_to(*recorder);
}

void Assembly::Impl::build_ports(const Secret& secret) {
  notifier = std::make_unique<ChildNotifier>(loop, config, options.state_dir);
  transport = std::make_unique<UdpTransport>(loop, config, secret, boot, reactor->sink());
  prober = std::make_unique<HostProber>(loop, config, reactor->sink());
  addresses = std::make_unique<LinuxAddresses>(loop, config, gate(), reactor->sink());
  if (fallback_gate) fallback_gate->use(*addresses);
  units =
      std::make_unique<LinuxUnits>(loop, config, options.run_dir, reactor->sink(),
                                   [this](const std::string& text) { log.line(Severity::kWarning, text); });
  checks =
      std::make_unique<LinuxChecks>(loop, config, reactor->sink(), options.libexec_dir + "/clusterd-check");
  MirrorPaths paths;
  paths.config_dir = options.config_dir;
  paths.state_dir = options.state_dir;
  paths.run_dir = options.run_dir;
  paths.node = config.node(config.self).name;
  paths.program = options.libexec_dir + "/clusterd-mirror";
  mirror = std::make_unique<MirrorProcess>(loop, config, paths, reactor->sink());
  if (config.watchdog) watchdog = std::make_unique<WatchdogKeeper>(loop, *config.watchdog, reactor->sink());
  if (config.peer_fence() != nullptr) fence = std::make_unique<LinuxFence>(loop, config, reactor->sink());
  DaemonBackend::Hooks hooks;
  hooks.facts = [this] { return facts(); };
  hooks.events = [this](uint64_t after) { return notifier->recent(after); };
  hooks.register_receiver = [this](ServiceId service, pid_t pid) { mirror->register_receiver(service, pid); };
  hooks.likeness = [this](const std::string& text) {
    CommandAnswer answer = likeness.take(text, reactor->status());
    if (answer.ok && lacks) lacks->also(likeness.lacks());
    return answer;
  };
  backend = std::make_unique<DaemonBackend>(config, *reactor, std::move(hooks));
  control = std::make_unique<ControlServer>(loop, *backend);
}

// Where systemd runs, it is logind that announces a shutdown.
void Assembly::Impl::guard_shutdown() {
  if (::access("/run/systemd/system", F_OK) != 0) return;
  const auto hand_over = [this](ShutdownGuard::GoOn go_on) {
    Command command;
    command.kind = Command::Kind::kStopServices;
    reactor->command(command, [this, go_on = std::move(go_on)](const CommandAnswer& answer) {
      log.line(answer.ok ? Severity::kNotice : Severity::kWarning, "before the shutdown: " + answer.text);
      go_on();
    });
  };
  shutdown_guard = std::make_unique<ShutdownGuard>(
      loop, hand_over, [this](const std::string& text) { log.line(Severity::kNotice, text); });
}

void Assembly::Impl::hold_back() {
  Command command;
  command.kind = Command::Kind::kHoldBack;
  reactor->command(command, [](const CommandAnswer& /*answer*/) {});
}

void Assembly::Impl::clear_leftovers() {
  if (!leftovers) return;
  leftovers->clear_rest([this] {
    leftovers.reset();
    reading = std::make_unique<HelperThread>();
    reading->run(
        [store = VersionStore(options.state_dir, options.config_dir), number = options.former_number] {
          const auto done = store.change([number](versions::Record& record) {
            if (record.clear_of == number) record.clear_of = 0;
            return true;
          });
          if (!done) std::fprintf(stderr, "<4>configuration: %s\n", done.error().message.c_str());
        });
  });
}

void Assembly::Impl::keep_versions() {
  std::vector<std::string> words{options.libexec_dir + "/clusterd-config",
                                 "--config-dir",
                                 options.config_dir,
                                 "--state-dir",
                                 options.state_dir,
                                 "--run-dir",
                                 options.run_dir,
                                 "--node",
                                 config.node(config.self).name};
  if (::access(words.front().c_str(), X_OK) != 0) {
    log.line(Severity::kWarning,
             words.front() + " is missing: `clusterctl apply` does not work on this node");
    return;
  }
  if (options.without_gate) words.emplace_back("--without-gate");
  config_child = run_config_child(loop, std::move(words));
}

DaemonFacts Assembly::Impl::facts() const {
  DaemonFacts facts;
  facts.now = EventLoop::now();
  facts.wall = wall_now();
  facts.boot = boot;
  facts.started = started;
  facts.has_gate = bpf_gate != nullptr;
  facts.gate_detail =
      bpf_gate ? "the kernel's gate is in use, pinned under " + options.bpf_dir : "--without-gate";
  facts.realtime = privileges.realtime;
  facts.memory_locked = privileges.memory_locked;
  facts.worst_lateness = reactor->worst_lateness();
  facts.gate_deadlines = reactor->gate_deadlines();
  add_counters(facts.transport, transport->stats().total());
  facts.likeness = likeness.report();
  return facts;
}

Assembly::Assembly(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Assembly::~Assembly() = default;

Result<std::unique_ptr<Assembly>> Assembly::build(EventLoop& loop, const Config& config,
                                                  const DaemonOptions& options, const Privileges& privileges,
                                                  Log& log) {
  auto impl = std::make_unique<Impl>(loop, config, options, privileges, log);
  if (auto built = impl->build(); !built) return tl::unexpected(built.error());
  return std::unique_ptr<Assembly>(new Assembly(std::move(impl)));
}

Result<void> Assembly::start() {
  Impl& impl = *impl_;
  Ports ports;
  ports.transport = impl.transport.get();
  ports.prober = impl.prober.get();
  ports.addresses = impl.addresses.get();
  ports.gate = &impl.gate();
  ports.units = impl.units.get();
  ports.checks = impl.checks.get();
  ports.mirror = impl.mirror.get();
  ports.state = impl.state.get();
  ports.watchdog = impl.watchdog.get();
  ports.fence = impl.fence.get();
  impl.logging_notifier = std::make_unique<LoggingNotifier>(impl.config, impl.log, *impl.notifier);
  ports.notifier = impl.logging_notifier.get();
  impl.reactor->on_exit([&impl] {
    // A moment for answers that are on their way to clients; no step is taken any more.
    const Duration grace = std::chrono::milliseconds(impl.control->connections() > 0 ? 50 : 0);
    impl.exit_timer = impl.loop.at(EventLoop::now() + grace, [&impl] { impl.loop.stop(); });
  });
  // The socket first: a failure here must not leave behind a node that has already spoken.
  if (auto listening = impl.control->listen(impl.options.run_dir + "/control.sock"); !listening)
    return listening;
  impl.first_event.wall = wall_now();
  if (impl.options.hold_back) impl.hold_back();
  impl.reactor->start(ports, impl.first_event);
  impl.lacks =
      std::make_unique<MachineLacks>(impl.loop, impl.config, impl.options.state_dir, impl.reactor->sink());
  impl.guard_shutdown();
  impl.clear_leftovers();
  impl.keep_versions();
  return {};
}

void Assembly::prepare_restart(Duration limit) {
  Impl& impl = *impl_;
  if (impl.exit_timer) return;
  Command command;
  command.kind = Command::Kind::kPrepareRestart;
  impl.reactor->command(command, [&impl](const CommandAnswer& answer) {
    impl.log.line(answer.ok ? Severity::kInfo : Severity::kWarning, "clean restart: " + answer.text);
  });
  impl.exit_timer = impl.loop.at(EventLoop::now() + limit, [&impl] {
    impl.log.line(Severity::kWarning,
                  "ending without the peer's promise: it may take over before clusterd is back");
    impl.loop.stop();
  });
}

void Assembly::reload(std::function<void()> taken) {
  Impl& impl = *impl_;
  if (impl.exit_timer) return;
  impl.reading = std::make_unique<HelperThread>();
  impl.reading->run([this, &impl, taken = std::move(taken)] {
    auto config = load_config(impl.options.config_dir, impl.options.node);
    impl.loop.post([this, &impl, taken, config = std::move(config)] {
      if (config) {
        taken();
        return prepare_restart(std::chrono::seconds(4));
      }
      for (const ConfigProblem& problem : config.error())
        impl.log.line(Severity::kError, "the new configuration is not taken: " + describe(problem));
    });
  });
}

void Assembly::last_words() {
  if (impl_->recorder) impl_->recorder->last_words();
}

}  // namespace clusterd
