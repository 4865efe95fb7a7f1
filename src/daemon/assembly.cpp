#include "daemon/assembly.hpp"

#include <fmt/format.h>

#include <utility>

#include "config/passwords.hpp"
#include "config/record.hpp"
#include "core/node.hpp"
#include "daemon/control_server.hpp"
#include "daemon/daemon_backend.hpp"
#include "daemon/fallback_gate.hpp"
#include "daemon/reactor.hpp"
#include "linux/address/linux_addresses.hpp"
#include "linux/gate/bpf_gate.hpp"
#include "linux/mirror/mirror_process.hpp"
#include "linux/net/host_prober.hpp"
#include "linux/net/secret.hpp"
#include "linux/net/udp_transport.hpp"
#include "linux/record/recorder.hpp"
#include "linux/state/child_notifier.hpp"
#include "linux/state/file_state_store.hpp"
#include "linux/units/linux_checks.hpp"
#include "linux/units/linux_units.hpp"

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
        started(EventLoop::now()) {}

  Result<void> build();
  [[nodiscard]] DaemonFacts facts() const;

  EventLoop& loop;
  const Config& config;
  const DaemonOptions options;
  const Privileges privileges;
  Log& log;
  const BootId boot;
  const Instant started;
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
  std::unique_ptr<MirrorProcess> mirror;
  std::unique_ptr<DaemonBackend> backend;
  std::unique_ptr<ControlServer> control;
  std::unique_ptr<Timer> exit_timer;

 private:
  Result<void> open_gate();
  void build_recorder(const PersistedState& loaded);
  void build_ports(const Secret& secret);
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
  units = std::make_unique<LinuxUnits>(loop, config, options.run_dir, reactor->sink());
  checks = std::make_unique<LinuxChecks>(loop, config, reactor->sink());
  MirrorPaths paths;
  paths.config_dir = options.config_dir;
  paths.state_dir = options.state_dir;
  paths.run_dir = options.run_dir;
  paths.node = config.node(config.self).name;
  paths.program = options.libexec_dir + "/clusterd-mirror";
  mirror = std::make_unique<MirrorProcess>(loop, config, paths, reactor->sink());
  DaemonBackend::Hooks hooks;
  hooks.facts = [this] { return facts(); };
  hooks.events = [this](uint64_t after) { return notifier->recent(after); };
  hooks.register_receiver = [this](ServiceId service, pid_t pid) { mirror->register_receiver(service, pid); };
  backend = std::make_unique<DaemonBackend>(config, *reactor, std::move(hooks));
  control = std::make_unique<ControlServer>(loop, *backend);
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
  ports.notifier = impl.notifier.get();
  impl.reactor->on_exit([&impl] {
    // A moment for answers that are on their way to clients; no step is taken any more.
    const Duration grace = std::chrono::milliseconds(impl.control->connections() > 0 ? 50 : 0);
    impl.exit_timer = impl.loop.at(EventLoop::now() + grace, [&impl] { impl.loop.stop(); });
  });
  // The socket first: a failure here must not leave behind a node that has already spoken.
  if (auto listening = impl.control->listen(impl.options.run_dir + "/control.sock"); !listening)
    return listening;
  impl.first_event.wall = wall_now();
  impl.reactor->start(ports, impl.first_event);
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

void Assembly::last_words() {
  if (impl_->recorder) impl_->recorder->last_words();
}

}  // namespace clusterd
