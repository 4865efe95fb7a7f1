// The window inequality of S2, shown by simulating the worst case that the assumptions allow.
#include "core/timing.hpp"

#include <gtest/gtest.h>

#include <random>

namespace clusterd {
namespace {

using std::chrono::milliseconds;

// Real time that passes while a clock, which runs at `rate` times the true speed, counts `counted`.
double real(Duration counted, double rate) { return static_cast<double>(counted.count()) / rate; }

// The worst case. At the true instant 0 the active node sends its last evidence, and the standby receives the
// last heartbeat in the same instant (any later receipt only lengthens its wait). The active node counts its
// lease on a clock that is slow by rho; the last packet leaves at most F, in true time, after the deadline.
// The standby counts W on a clock that is fast by rho. True if the active node is silent before the other may
// serve.
bool silent_in_time(const Timing& t, double active_rate, double standby_rate) {
  return real(t.lease, active_rate) + static_cast<double>(t.gate_latency.count()) <=
         real(t.window, standby_rate);
}

TEST(Timing, ProfilesAreSafe) {
  for (const char* name : {"steady", "fast", "realtime"}) {
    SCOPED_TRACE(name);
    const auto timing = timing_profile(name);
    ASSERT_TRUE(timing);
    EXPECT_EQ(timing->profile, name);
    EXPECT_TRUE(window_is_safe(*timing));
    EXPECT_GE(timing->lease, 3 * timing->heartbeat);
    EXPECT_TRUE(silent_in_time(*timing, 1 - timing->clock_error, 1 + timing->clock_error));
  }
  EXPECT_FALSE(timing_profile("Steady"));
  EXPECT_FALSE(timing_profile(""));
}

TEST(Timing, ASafeWindowIsSafeUnderTheWorstClocks) {
  std::mt19937_64 random(1999);
  std::uniform_int_distribution<int64_t> lease(1'000'000, 60'000'000'000);
  std::uniform_int_distribution<int64_t> latency(0, 10'000'000'000);
  std::uniform_real_distribution<double> error(0, 0.099);
  std::uniform_real_distribution<double> slack(0.9, 1.3);
  int safe = 0;
  for (int round = 0; round < 100'000; ++round) {
    Timing t;
    t.heartbeat = milliseconds(1);
    t.lease = Duration{lease(random)};
    t.gate_latency = Duration{latency(random)};
    t.clock_error = round % 2 == 0 ? 0.001 : error(random);
    const Duration least = smallest_safe_window(t.lease, t.gate_latency, t.clock_error);
    t.window = Duration{static_cast<int64_t>(static_cast<double>(least.count()) * slack(random))};
    EXPECT_EQ(window_is_safe(t), t.window >= least);
    if (!window_is_safe(t)) continue;
    ++safe;
    const double rho = t.clock_error;
    ASSERT_TRUE(silent_in_time(t, 1 - rho, 1 + rho))
        << t.lease.count() << " " << t.gate_latency.count() << " " << rho;
    std::uniform_real_distribution<double> rate(1 - rho, 1 + rho);
    for (int clocks = 0; clocks < 5; ++clocks) ASSERT_TRUE(silent_in_time(t, rate(random), rate(random)));
  }
  EXPECT_GT(safe, 10'000);
}

// The bound is not merely large: where clocks are worse than one percent, a window one percent below it does
// fail.
TEST(Timing, TheBoundIsTight) {
  Timing t;
  t.heartbeat = milliseconds(100);
  t.lease = std::chrono::seconds(30);
  t.gate_latency = milliseconds(5);
  t.clock_error = 0.05;
  t.window = smallest_safe_window(t.lease, t.gate_latency, t.clock_error);
  EXPECT_TRUE(window_is_safe(t));
  EXPECT_TRUE(silent_in_time(t, 0.95, 1.05));
  t.window -= t.window / 100;
  EXPECT_FALSE(window_is_safe(t));
  EXPECT_FALSE(silent_in_time(t, 0.95, 1.05));
}

TEST(Timing, AWindowOnePercentBelowTheBoundIsRefused) {
  for (const char* name : {"steady", "fast", "realtime"}) {
    Timing t = *timing_profile(name);
    const Duration least = smallest_safe_window(t.lease, t.gate_latency, t.clock_error);
    t.window = least;
    EXPECT_TRUE(window_is_safe(t)) << name;
    t.window = least - Duration{1};
    EXPECT_FALSE(window_is_safe(t)) << name;
    t.window = least - least / 100;
    EXPECT_FALSE(window_is_safe(t)) << name;
  }
}

// The worst that a silent node can do, with clocks as wrong as they may be: its last evidence was sent when
// it was last heard, it pets until its time to stop is over, its daemon dies just before the watchdog bites,
// and the device, whose clock is slow, gets a whole timeout more from that.
double last_instant(const Timing& t, Duration stop, Duration watchdog, double rate, double device_rate) {
  const double own = static_cast<double>((t.lease + stop + kPetLate).count()) / rate;
  const double once = static_cast<double>(watchdog.count()) / device_rate;
  return own + once + once;
}

TEST(Timing, NothingRunsOnASilentNodeAfterTheBoundOfItsWatchdog) {
  std::mt19937_64 random(13);
  for (int round = 0; round < 20'000; ++round) {
    Timing t = *timing_profile("steady");
    t.lease = milliseconds(std::uniform_int_distribution<int>(5, 5'000)(random));
    const double rho = t.clock_error = std::uniform_real_distribution<double>(0, 0.05)(random);
    const Duration stop = milliseconds(std::uniform_int_distribution<int>(0, 300'000)(random));
    const Duration watchdog = std::chrono::seconds(std::uniform_int_distribution<int>(5, 600)(random));
    std::uniform_real_distribution<double> rate(1 - rho, 1 + rho);
    std::uniform_real_distribution<double> device(1 / (1 + kWatchdogError), 1 + kWatchdogError);
    const double waited = static_cast<double>(effects_bound(t, stop, watchdog).count()) / rate(random);
    ASSERT_LT(last_instant(t, stop, watchdog, rate(random), device(random)), waited) << round;
    const double least = static_cast<double>(effects_bound(t, stop, watchdog).count()) / (1 + rho);
    const double worst = last_instant(t, stop, watchdog, 1 - rho, 1 / (1 + kWatchdogError));
    ASSERT_LE(worst, least) << round;
    ASSERT_GT(worst + 1.1e9, least) << round << ": the bound is not merely large";
  }
}

TEST(Timing, TheTimeToStopIsThatOfTheSlowestServiceThatNeedsIt) {
  ServiceConfig web;
  web.units.resize(3);
  for (auto& unit : web.units) unit.stop_timeout = std::chrono::seconds(100);
  ServiceConfig mail;
  mail.effects = Effects::kNode;
  mail.units.resize(2);
  for (auto& unit : mail.units) unit.stop_timeout = std::chrono::seconds(7);
  EXPECT_EQ(effects_stop_limit({web}), Duration::zero());
  EXPECT_EQ(effects_stop_limit({web, mail}), kSuspendGrace + 2 * (std::chrono::seconds(7) + kKillLimit));
}

TEST(Timing, NonsenseIsNeverSafe) {
  const Timing good = *timing_profile("steady");
  const auto with = [&good](auto change) {
    Timing t = good;
    change(t);
    return window_is_safe(t);
  };
  EXPECT_FALSE(with([](Timing& t) { t.heartbeat = Duration::zero(); }));
  EXPECT_FALSE(with([](Timing& t) { t.lease = Duration::zero(); }));
  EXPECT_FALSE(with([](Timing& t) { t.lease = -t.lease; }));
  EXPECT_FALSE(with([](Timing& t) { t.gate_latency = Duration{-1}; }));
  EXPECT_FALSE(with([](Timing& t) { t.clock_error = -0.001; }));
  EXPECT_FALSE(with([](Timing& t) { t.clock_error = 0.1; }));
  EXPECT_FALSE(with([](Timing& t) { t.clock_error = 1; }));
  EXPECT_FALSE(with([](Timing& t) { t.window = Duration::zero(); }));
}

}  // namespace
}  // namespace clusterd
