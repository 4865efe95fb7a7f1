// profile and [timing]: the figures of S1 and S2, and the inequality that they must satisfy.
#include <fmt/format.h>

#include <cmath>

#include "config/draft.hpp"
#include "config/scalar.hpp"
#include "core/timing.hpp"

namespace clusterd::config {

namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

// Rounded up to whole milliseconds, so that the advice can be typed in and holds.
Duration whole_ms_above(Duration d) { return std::chrono::ceil<milliseconds>(d); }

void check_window(const Timing& t, const Place& place, Problems& problems) {
  if (window_is_safe(t)) return;
  const Duration least = smallest_safe_window(t.lease, t.gate_latency, t.clock_error);
  problems.error(place,
                 fmt::format("the window is too short: two nodes could serve at once. W = {:g} ms must be at "
                             "least 1.01·(L {:g} + F {:g}) "
                             "+ 2 = {:g} ms, with L the lease and F the gate's latency",
                             to_ms(t.window), to_ms(t.lease), to_ms(t.gate_latency),
                             std::ceil(to_ms(least) * 100) / 100),
                 fmt::format("write window = \"{}\" or more, or shorten the lease",
                             duration_text(whole_ms_above(least))));
}

void check_relations(const Section& section, const Timing& t, Problems& problems) {
  const auto where = [&section](std::initializer_list<const char*> keys) -> const Place& {
    for (const char* key : keys)
      if (section.has(key)) return section.place(key);
    return section.place();
  };
  if (t.lease < 3 * t.heartbeat)
    problems.error(
        where({"lease", "heartbeat"}),
        fmt::format(
            "the lease ({}) is shorter than three heartbeats (3 × {}): one lost datagram would end it",
            duration_text(t.lease), duration_text(t.heartbeat)),
        fmt::format("write lease = \"{}\" or more, or heartbeat = \"{}\" or less",
                    duration_text(3 * t.heartbeat),
                    duration_text(std::chrono::floor<std::chrono::microseconds>(t.lease / 3))));
  check_window(t, where({"window", "lease", "gate_latency"}), problems);
  if (t.host_gone < 3 * t.probe_slow || t.host_gone <= t.window) {
    const Duration least = std::max(3 * t.probe_slow, whole_ms_above(t.window + milliseconds(1)));
    problems.error(
        where({"host_gone", "probe", "window"}),
        fmt::format("host_gone ({}) must be longer than the window ({}) and at least three probes (3 × {})",
                    duration_text(t.host_gone), duration_text(t.window), duration_text(t.probe_slow)),
        fmt::format("write host_gone = \"{}\" or more", duration_text(least)));
  }
  if (t.host_back < t.probe_slow)
    problems.error(where({"host_back", "probe"}),
                   fmt::format("host_back ({}) is shorter than the time between two probes ({})",
                               duration_text(t.host_back), duration_text(t.probe_slow)),
                   fmt::format("write host_back = \"{}\" or more", duration_text(t.probe_slow)));
}

}  // namespace

void read_timing(const Value* timing, const std::optional<Text>& profile, ClusterDraft& draft,
                 Problems& problems) {
  Timing& t = draft.config.timing;
  const auto known = timing_profile(profile ? profile->value : "steady");
  if (!known)
    problems.error(profile->place, fmt::format("there is no profile \"{:.60}\"", profile->value),
                   "write profile = \"steady\" or \"fast\" or \"realtime\"");
  t = known ? *known : *timing_profile("steady");
  if (timing == nullptr) return;
  Section section(*timing, "[timing]", problems);
  const size_t before = problems.count();
  section.duration("heartbeat", t.heartbeat, milliseconds(1), seconds(10));
  section.duration("lease", t.lease, milliseconds(5), minutes(1));
  section.duration("window", t.window, milliseconds(5), minutes(5));
  section.duration("gate_latency", t.gate_latency, milliseconds(1), seconds(10));
  section.duration("settle", t.settle, milliseconds(100), hours(1));
  section.duration("host_gone", t.host_gone, milliseconds(100), hours(24));
  section.duration("host_back", t.host_back, milliseconds(100), hours(24));
  section.duration("probe", t.probe_slow, milliseconds(20), minutes(1));
  const bool all_read = problems.count() == before;
  section.finish();
  if (all_read) check_relations(section, t, problems);
}

}  // namespace clusterd::config
