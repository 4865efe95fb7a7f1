// One LinuxUnits with one service, its reports, and ways to wait for them.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <vector>

#include "linux/units/linux_units.hpp"
#include "linux/units/process.hpp"
#include "linux/units/process_identity.hpp"
#include "unit/state/temporary_folder.hpp"

namespace clusterd {

class UnitsTest : public testing::Test {
 protected:
  using Outcome = UnitReport::Outcome;

  // Waits for the next report, which must be `outcome`; returns its detail.
  std::string expect(Outcome outcome, Duration limit = std::chrono::seconds(60)) {
    const bool came = loop_.run_until([this] { return seen_ < reports_.size(); }, limit);
    EXPECT_TRUE(came) << "no report";
    if (!came) return {};
    const UnitReport& report = reports_[seen_++];
    EXPECT_EQ(report.outcome, outcome) << report.detail;
    EXPECT_EQ(report.service, ServiceId(0));
    return report.detail;
  }
  // Nothing is waiting, and nothing comes in while the loop turns a little.
  void expect_silence() {
    loop_.run_until([this] { return seen_ < reports_.size(); }, std::chrono::milliseconds(300));
    EXPECT_EQ(seen_, reports_.size()) << reports_.back().detail;
  }
  void make() {
    units_ = std::make_unique<LinuxUnits>(loop_, config_, folder_.path(), [this](Event event) {
      reports_.push_back(std::get<UnitReport>(event));
    });
  }
  void add(UnitConfig unit) {
    if (config_.services.empty()) config_.services.emplace_back().name = "web";
    config_.services[0].units.push_back(std::move(unit));
  }
  void start(size_t unit = 0) { units_->start({ServiceId(0), UnitId(unit)}); }
  void stop(bool kill = false, size_t unit = 0) { units_->stop({ServiceId(0), UnitId(unit), kill}); }
  bool wait(const std::function<bool()>& done) { return loop_.run_until(done, std::chrono::seconds(60)); }
  bool wait_file(const std::string& name) {
    return wait([&] { return folder_.read(name).find('\n') != std::string::npos; });
  }
  pid_t number_in(const std::string& name) {
    EXPECT_TRUE(wait_file(name)) << name;
    return std::atoi(folder_.read(name).c_str());
  }
  static bool lives(pid_t pid) { return pid > 0 && identify(pid).has_value(); }

  void TearDown() override {
    // Whatever a failed test has left running.
    if (const auto record = read_record(folder_.file("units/web.app.pid"))) signal_group(*record, SIGKILL);
    units_.reset();
  }

  const TemporaryFolder folder_;
  EventLoop loop_;
  Config config_;
  std::unique_ptr<LinuxUnits> units_;
  std::vector<UnitReport> reports_;
  size_t seen_ = 0;
};

}  // namespace clusterd
