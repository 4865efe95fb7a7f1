#include "linux/units/linux_units.hpp"

#include <filesystem>
#include <system_error>
#include <utility>

#include "base/check.hpp"
#include "linux/units/command_unit.hpp"
#include "linux/units/ocf_unit.hpp"
#include "linux/units/run_unit.hpp"
#include "linux/units/systemd_bus.hpp"
#include "linux/units/systemd_unit.hpp"

namespace clusterd {

namespace {

// Names of units may be anything that the configuration lets pass; file names may not.
std::string file_name(const std::string& name) {
  std::string safe;
  for (const char c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '@' || (c == '.' && !safe.empty());
    safe += plain ? c : '_';
  }
  return safe.substr(0, 100);
}

std::unique_ptr<UnitDriver> make_driver(UnitContext context, SystemdBus& bus) {
  switch (context.config.kind) {
    case UnitConfig::Kind::kSystemd:
      return std::make_unique<SystemdUnit>(std::move(context), bus);
    case UnitConfig::Kind::kCommand:
    case UnitConfig::Kind::kLsb:
    case UnitConfig::Kind::kMount:
      return std::make_unique<CommandUnit>(std::move(context));
    case UnitConfig::Kind::kRun:
      return std::make_unique<RunUnit>(std::move(context));
    case UnitConfig::Kind::kOcf:
      break;
  }
  CLUSTERD_CHECK(context.config.kind == UnitConfig::Kind::kOcf, "unknown kind of unit");
  return std::make_unique<OcfUnit>(std::move(context));
}

}  // namespace

LinuxUnits::LinuxUnits(EventLoop& loop, const Config& config, const std::string& run_dir, EventSink sink,
                       Warn warn)
    : sink_(std::move(sink)), warn_(std::move(warn)), bus_(std::make_unique<SystemdBus>(loop)) {
  std::error_code ignored;  // each unit that needs the folder says so when it cannot write there
  std::filesystem::create_directories(run_dir + "/units", ignored);
  for (size_t s = 0; s < config.services.size(); ++s) {
    const ServiceConfig& service = config.services[s];
    auto& units = drivers_.emplace_back();
    for (size_t u = 0; u < service.units.size(); ++u) {
      const std::string stem =
          run_dir + "/units/" + file_name(service.name) + "." + file_name(service.units[u].name);
      auto report_again = [this, s, u](UnitReport::Outcome outcome, std::string detail,
                                       UnitReport::Again again) {
        sink_(UnitReport{ServiceId(s), UnitId(u), outcome, std::move(detail), again});
      };
      auto report = [report_again](UnitReport::Outcome outcome, std::string detail) {
        report_again(outcome, std::move(detail), UnitReport::Again::kHere);
      };
      auto tell = [this, name = service.name + ": " + service.units[u].name](const std::string& text) {
        if (warn_) warn_(name + ": " + text);
      };
      units.push_back(make_driver({loop, service.units[u], service.name, stem, std::move(report),
                                   std::move(report_again), std::move(tell)},
                                  *bus_));
    }
  }
}

LinuxUnits::~LinuxUnits() = default;

UnitDriver& LinuxUnits::driver(ServiceId service, UnitId unit) {
  CLUSTERD_CHECK(service.at() < drivers_.size() && unit.at() < drivers_[service.at()].size(),
                 "an order for a unit that is not configured");
  return *drivers_[service.at()][unit.at()];
}

void LinuxUnits::start(const StartUnit& order) { driver(order.service, order.unit).start(); }

void LinuxUnits::stop(const StopUnit& order) { driver(order.service, order.unit).stop(order.kill); }

void LinuxUnits::unit_file_state(const std::string& unit, std::function<void(Result<std::string>)> done) {
  bus_->unit_file_state(unit, std::move(done));
}

}  // namespace clusterd
