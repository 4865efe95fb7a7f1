// A service of two units and a check, and the reports it gets written by hand.
#pragma once

#include <gtest/gtest.h>

#include <optional>

#include "core/members.hpp"

namespace clusterd::testing {

class MembersTest : public ::testing::Test {
 protected:
  using Outcome = UnitReport::Outcome;
  using State = Members::State;
  static constexpr ServiceId kWeb{0};

  MembersTest() {
    config_.services.resize(1);
    auto& service = config_.services.front();
    service.name = "web";
    service.units.resize(2);
    service.units.at(0).name = "first";
    service.units.at(1).name = "second";
    service.checks.resize(1);
    service.checks.front().grace = std::chrono::seconds(10);
    service.checks.front().failures = 2;
    service.budget = {2, std::chrono::seconds(600)};
  }
  Members& members() {
    if (!members_) members_.emplace(config_, kWeb);
    return *members_;
  }
  Actions unit(size_t id, Outcome outcome) {
    Actions out;
    members().on(now_, UnitReport{kWeb, UnitId(id), outcome, "detail"}, out);
    return out;
  }
  Actions addresses(bool ok) {
    Actions out;
    members().on(now_, AddressReport{kWeb, ok, "detail"}, out);
    return out;
  }
  Actions tick(Duration later) {
    now_ += later;
    Actions out;
    members().tick(now_, out);
    return out;
  }
  Actions stop() {
    Actions out;
    members().stop(now_, out);
    return out;
  }
  void bring_up() {
    Actions out;
    members().start(now_, out);
    (void)addresses(true);
    (void)unit(0, Outcome::kStarted);
    (void)unit(1, Outcome::kStarted);
    ASSERT_EQ(members().state(), State::kUp);
  }

  Config config_;
  std::optional<Members> members_;
  Instant now_{std::chrono::seconds(1000)};
};

}  // namespace clusterd::testing
