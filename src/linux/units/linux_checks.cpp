#include "linux/units/linux_checks.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <optional>
#include <utility>

#include "base/check.hpp"
#include "config/passwords.hpp"
#include "linux/fd.hpp"
#include "linux/socket_address.hpp"
#include "linux/units/ocf_agent.hpp"
#include "linux/units/process.hpp"

namespace clusterd {

namespace {

constexpr size_t kLineLimit = 300;

}  // namespace

class LinuxChecks::Run {
 public:
  Run(EventLoop& loop, const CheckConfig& check, const ServiceConfig& service,
      std::optional<IpAddress> address, const std::string& program,
      std::function<void(bool, std::string)> report)
      : loop_(loop),
        check_(check),
        service_(service),
        address_(address),
        program_(program),
        report_(std::move(report)) {
    timer_ = loop_.at(EventLoop::now(), [this] { run(); });
  }

 private:
  void run() {
    reported_ = false;
    timer_ = loop_.at(EventLoop::now() + check_.timeout, [this] { timed_out(); });
    switch (check_.kind) {
      case CheckConfig::Kind::kTcp:
        return connect_tcp();
      case CheckConfig::Kind::kCommand:
        return run_command();
      case CheckConfig::Kind::kHttp:
      case CheckConfig::Kind::kDns:
      case CheckConfig::Kind::kProcess:
      case CheckConfig::Kind::kUnit:
        return run_question();
      case CheckConfig::Kind::kOcf:
        return run_agent();
    }
  }

  void connect_tcp() {
    if (!address_) {
      finish(false, "the service has no address to connect to: write \"address:port\"");
      return;
    }
    const net::SocketAddress to = net::socket_address(*address_, check_.port, 0);
    socket_.reset(socket(to.get()->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (socket_.get() < 0) {
      finish(false, std::string("socket: ") + std::strerror(errno));
    } else if (connect(socket_.get(), to.get(), to.length) == 0) {
      finish(true, "connected");
    } else if (errno == EINPROGRESS) {
      watch_ = loop_.watch_writable(socket_.get(), [this] { connected(); });
    } else {
      finish(false, where() + std::strerror(errno));
    }
  }

  void connected() {
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    if (error == 0) {
      finish(true, "connected");
    } else {
      finish(false, where() + std::strerror(error));
    }
  }

  void run_command() {
    ChildSpec spec = ChildSpec::shell(check_.command);
    spec.environment = {{"CLUSTERD_SERVICE", service_.name}};
    launch(std::move(spec),
           [](const ChildResult& result) { return result.ok() ? last_line(result.output) : result.text(); });
  }

  // clusterd-check asks; it says on one line what it found.
  void run_question() {
    ChildSpec spec;
    spec.argv = question();
    launch(std::move(spec), [](const ChildResult& result) {
      const std::string line = last_line(result.output, kLineLimit);
      const bool answered = result.started && result.signal == 0 && result.exit_code <= 1 && !line.empty();
      return answered ? line : result.text();
    });
  }

  std::vector<std::string> question() const {
    const std::string timeout = "--timeout=" + std::to_string(static_cast<long>(to_ms(check_.timeout)));
    const std::string address = address_ ? address_->text() : "";
    if (check_.kind == CheckConfig::Kind::kProcess) return {program_, "process", "--", check_.target};
    if (check_.kind == CheckConfig::Kind::kUnit) return {program_, "unit", "--", check_.target};
    // An option is only given where there is something to say: "--body=" would take the next word.
    std::vector<std::string> argv{program_};
    const auto option = [&argv](const char* name, const std::string& value) {
      if (!value.empty()) argv.push_back(name + value);
    };
    if (check_.kind == CheckConfig::Kind::kDns) {
      argv.emplace_back("dns");
      option("--server=", address);
      option("--port=", std::to_string(check_.port));
      option("--type=", check_.record);
      option("--answer=", check_.answer);
    } else {
      const bool v6 = address_ && !address_->is_v4();
      argv.emplace_back("http");
      option("--connect=", (v6 ? "[" + address + "]" : address) + ":" + std::to_string(check_.port));
      option("--least=", std::to_string(check_.status_least));
      option("--most=", std::to_string(check_.status_most));
      option("--body=", check_.body);
      if (!check_.verify) argv.emplace_back("--insecure");
    }
    argv.insert(argv.end(), {timeout, "--", check_.target});
    return argv;
  }

  // The agent of one of the service's units looks deeper than while it just watches.
  void run_agent() {
    const auto unit = std::find_if(service_.units.begin(), service_.units.end(),
                                   [this](const UnitConfig& u) { return u.name == check_.target; });
    CLUSTERD_CHECK(unit != service_.units.end(), "a check of an agent that is not configured");
    OcfCall call;
    call.action = "monitor";
    call.timeout = check_.timeout;
    call.interval = check_.every;
    call.depth = check_.depth;
    const OcfConfig& agent = unit->ocf;
    launch(ocf_command(agent, service_.name, unit->name, call), [&agent](const ChildResult& result) {
      return hide_passwords(agent.parameters, ocf_text(result));
    });
  }

  void launch(ChildSpec spec, std::function<std::string(const ChildResult&)> in_words) {
    child_ =
        run_child(loop_, std::move(spec), [this, in_words = std::move(in_words)](const ChildResult& result) {
          child_.reset();
          finish(is_good(result), reported_ ? std::string() : in_words(result));
        });
  }

  bool is_good(const ChildResult& result) const {
    if (check_.kind != CheckConfig::Kind::kOcf) return result.ok();
    const OcfMeaning meaning = ocf_meaning(result);
    return meaning == OcfMeaning::kGood || meaning == OcfMeaning::kWarning;
  }

  void timed_out() {
    const std::string detail =
        (check_.kind == CheckConfig::Kind::kTcp ? where() : std::string()) + "no answer in time";
    if (!child_) {
      finish(false, detail);
      return;
    }
    child_->terminate();
    reported_ = true;
    timer_.reset();
    tell(false, detail);
  }

  // Ends the run. The report is the last thing: it may stop the checks of the service.
  void finish(bool ok, std::string detail) {
    watch_.reset();
    socket_.reset();
    timer_ = loop_.at(EventLoop::now() + check_.every, [this] { run(); });
    if (!reported_) tell(ok, std::move(detail));
  }

  void tell(bool ok, std::string detail) {
    const bool news = !ok || last_ != ok;
    last_ = ok;
    const auto report = report_;  // the receiver may stop the checks, which destroys this
    if (news) report(ok, std::move(detail));
  }

  std::string where() const { return address_->text() + " port " + std::to_string(check_.port) + ": "; }

  EventLoop& loop_;
  const CheckConfig& check_;
  const ServiceConfig& service_;
  std::optional<IpAddress> address_;
  const std::string& program_;
  std::function<void(bool, std::string)> report_;
  std::optional<bool> last_;
  bool reported_ = false;  // this run's result was told before its end
  Fd socket_;
  std::unique_ptr<Watch> watch_;
  std::unique_ptr<ChildProcess> child_;
  std::unique_ptr<Timer> timer_;
};

LinuxChecks::LinuxChecks(EventLoop& loop, const Config& config, EventSink sink, std::string program)
    : loop_(loop),
      config_(config),
      sink_(std::move(sink)),
      program_(std::move(program)),
      runs_(config.services.size()) {}

LinuxChecks::~LinuxChecks() = default;

void LinuxChecks::start(ServiceId service) {
  CLUSTERD_CHECK(service.at() < runs_.size(), "checks of a service that is not configured");
  auto& runs = runs_[service.at()];
  if (!runs.empty()) return;
  const ServiceConfig& config = config_.service(service);
  for (size_t i = 0; i < config.checks.size(); ++i) {
    const CheckConfig& check = config.checks[i];
    std::optional<IpAddress> address = check.address;
    if (!address && !config.addresses.empty()) address = config.addresses.front().address;
    auto report = [this, service, i](bool ok, std::string detail) {
      sink_(CheckReport{service, CheckId(i), ok, std::move(detail)});
    };
    runs.push_back(std::make_unique<Run>(loop_, check, config, address, program_, std::move(report)));
  }
}

void LinuxChecks::stop(ServiceId service) {
  CLUSTERD_CHECK(service.at() < runs_.size(), "checks of a service that is not configured");
  runs_[service.at()].clear();
}

}  // namespace clusterd
