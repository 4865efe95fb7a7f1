// What tests with a Bench (bench.hpp) have in common: orders, reports, and the beginnings of stories.
#pragma once

#include <algorithm>
#include <string>

#include "unit/core/bench.hpp"

namespace clusterd::testing {

inline Command order(Command::Kind kind) { return Command{kind, 1, Bench::web, std::nullopt, "", {}}; }

inline bool told(const Bench& b, const std::string& kind) {
  return std::any_of(b.notices.begin(), b.notices.end(), [&](const Notice& n) { return n.kind == kind; });
}

inline void mirrored(Bench& b) {
  MirrorConfig mirror;
  mirror.name = "files";
  mirror.every = std::chrono::minutes(60);
  b.config.services.front().mirrors = {mirror};
}

inline void report(Bench& b, MirrorReport::Kind kind, MirrorReport::Outcome outcome,
                   const std::string& detail = "") {
  MirrorReport event;
  event.service = Bench::web;
  event.mirror = MirrorId(0);
  event.epoch = b.disk.services.at(0).epoch;
  event.kind = kind;
  event.outcome = outcome;
  event.detail = detail;
  b.step(event);
}

// Active with a peer that has everything.
inline void become_active_with_mirror(Bench& b) {
  mirrored(b);
  b.become_active();
  report(b, MirrorReport::Kind::kResync, MirrorReport::Outcome::kDone);
}

inline void fail_the_unit(Bench& b) {
  b.step(UnitReport{Bench::web, UnitId(0), UnitReport::Outcome::kCrashed, "signal 9"});
}

// Neither peer nor host is heard until the lease has run out.
inline void isolate(Bench& b, Duration span) {
  b.peer_alive = b.host_answers = false;
  b.run(span);
}

inline std::string why_broken_off(const Bench& b) {
  for (const auto& notice : b.notices) {
    if (notice.kind == "handover-failed") return notice.text;
  }
  return "";
}

}  // namespace clusterd::testing
