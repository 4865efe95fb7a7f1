#include "linux/units/linux_checks.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <optional>
#include <utility>

#include "base/check.hpp"
#include "linux/units/fd.hpp"
#include "linux/units/process.hpp"

namespace clusterd {

namespace {

socklen_t fill(const IpAddress& address, uint16_t port, sockaddr_storage& storage) {
  if (address.is_v4()) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(&v4.sin_addr, address.bytes.data(), 4);
    return sizeof v4;
  }
  auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  std::memcpy(&v6.sin6_addr, address.bytes.data(), 16);
  return sizeof v6;
}

}  // namespace

class LinuxChecks::Run {
 public:
  Run(EventLoop& loop, const CheckConfig& check, std::string service, std::optional<IpAddress> address,
      std::function<void(bool, std::string)> report)
      : loop_(loop),
        check_(check),
        service_(std::move(service)),
        address_(address),
        report_(std::move(report)) {
    timer_ = loop_.at(EventLoop::now(), [this] { run(); });
  }

 private:
  void run() {
    reported_ = false;
    timer_ = loop_.at(EventLoop::now() + check_.timeout, [this] { timed_out(); });
    if (check_.kind == CheckConfig::Kind::kTcp) {
      connect_tcp();
    } else {
      run_command();
    }
  }

  void connect_tcp() {
    if (!address_) {
      finish(false, "the service has no address to connect to: write \"address:port\"");
      return;
    }
    sockaddr_storage to{};
    const socklen_t size = fill(*address_, check_.port, to);
    socket_.reset(socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (socket_.get() < 0) {
      finish(false, std::string("socket: ") + std::strerror(errno));
    } else if (connect(socket_.get(), reinterpret_cast<const sockaddr*>(&to), size) == 0) {
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
    spec.environment = {{"CLUSTERD_SERVICE", service_}};
    child_ = run_child(loop_, std::move(spec), [this](const ChildResult& result) {
      child_.reset();
      if (reported_) {
        finish(false, "");
      } else {
        finish(result.ok(), result.ok() ? last_line(result.output) : result.text());
      }
    });
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
  std::string service_;
  std::optional<IpAddress> address_;
  std::function<void(bool, std::string)> report_;
  std::optional<bool> last_;
  bool reported_ = false;  // this run's result was told before its end
  Fd socket_;
  std::unique_ptr<Watch> watch_;
  std::unique_ptr<ChildProcess> child_;
  std::unique_ptr<Timer> timer_;
};

LinuxChecks::LinuxChecks(EventLoop& loop, const Config& config, EventSink sink)
    : loop_(loop), config_(config), sink_(std::move(sink)), runs_(config.services.size()) {}

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
    runs.push_back(std::make_unique<Run>(loop_, check, config.name, address, std::move(report)));
  }
}

void LinuxChecks::stop(ServiceId service) {
  CLUSTERD_CHECK(service.at() < runs_.size(), "checks of a service that is not configured");
  runs_[service.at()].clear();
}

}  // namespace clusterd
