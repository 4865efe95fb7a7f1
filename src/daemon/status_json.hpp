// What the control socket says, as JSON with names instead of indices. The shapes are stable: fields are only
// ever added. Unknown instants are null; ages end in `_ms` or `_s`; wall-clock times are RFC 3339 in UTC.
//
// GET /v1/status
//   {"version": "0.1.0", "cluster": "office", "node": "serv1", "peer": "serv2", "time": "2026-…Z",
//    "boot": "hex", "uptime_s": 12.3,
//    "mode": "reference", "guarantee": "…", "fence": "ready" | null, "watchdog": "armed: …" | null,
//    "engine": "embedded", "config_hash": "hex", "config_differs": false,
//    "always_stuck": "" (what of the always mirror waits for a human),
//    "moves_stopped": false, "lease_remaining_ms": 540.2 | null, "lateness_ms": 0.1,
//    "worst_lateness_ms": 3.2, "timing": {"profile": "steady", "heartbeat_ms", "lease_ms", "window_ms",
//    "gate_latency_ms"}, "gate": {"kind": "bpf" | "none", "detail": "…"}, "realtime": true, "memory_locked":
//    true, "nodes": {"serv1": {"self": true, "heard": true, "locked": false, "lock_reason": "", "leaving":
//    false,
//                        "last_heard_ms": null, "clock_skew_ms": 0}, …},
//    "links": [{"name": "service", "up": true, "last_heard_ms": 40.1,
//               "ends": {"serv1": {"nic": "eth0", "address": "192.168.1.11/24"}, …}}, …],
//    "hosts": [{"host": "192.168.1.1", "kind": "icmp", "answers": true, "relays": true, "last_answer_ms":
//    200.0,
//               "counted": {"serv1": {"to_stay": true, "to_take_over": true, "leaving": false}, "serv2": …}},
//               …],
//    "services": [{"name": "web", "active_on": "serv1" | null, "prefer": "serv1" | null,
//                  "roles": {"serv1": "active", "serv2": "standby" | null (never heard)},
//                  "ready": {"serv1": false, "serv2": true} (for a handover), "takes_over": {"serv1": false,
//                  "serv2": true} (also if the active node falls silent), "prepared": {…} (its machine
//                  has what the members need), "lacks": "" (what this one has not, in words), "likeness":
//                  null (not looked at yet) | {"compared": true, "why": "" (not compared), "same": 12,
//                  "differ": 1, "differences": [{"what": "unit" | "drop-in" | "program" | "agent" | "file",
//                  "name":
//                  "/usr/sbin/nginx", "text": "… differs …", "lacking": ["serv2"] (where nothing starts for
//                  it), "serv1": {"kind": "file", "size", "mtime", "mode", "user", "group"}, "serv2": null
//                  (absent)}, … fewer than "differ" if there are many]}, "blocked":
//                  {"serv1": false, …}, "epoch": 7, "data_epoch": 7, "diverged": false, "wants_human": false,
//                  "detail": "", "restarts": 0, "addresses": ["192.168.1.20/24"], "mac": "virtual", "link":
//                  "service", "gate": {"open": true, "remaining_ms": 540.2 | null}, "units": [{"name":
//                  "nginx.service", "state": "started" | "unknown" | …}], "checks": [{"check": "tcp 80",
//                  "ok": true}], "mirrors": [{"name": "1", "state":
//                  "idle|running|failed|halted|never|following|paused|receiving", "synced": true,
//                               "lag_s": 12.1 | null, "next_run_s": 48.0 | null, "to": "peer" |
//                               "user@host:/…", "paths": ["/srv/web/"], "detail": "", "last": {…report…} |
//                               null}]}, …],
//    "transport": {"counter": number, …},
//    "last_decision": {…as in decisions…} | null}
//
// GET /v1/decisions → {"decisions": [{"time", "age_s", "service": "web" | null, "what", "evidence": ["…"]},
// …]}, oldest first. GET /v1/events → {"events": [{"sequence", "time", "kind", "severity", "service" | null,
// "text"}, …], "last": 41} GET /v1/check → {"findings": [{"level": "ok" | "warning" | "error", "topic",
// "text", "remedy"}, …]}
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "alike/words.hpp"
#include "base/version.hpp"
#include "core/config.hpp"
#include "core/status.hpp"

namespace clusterd {

// What the daemon knows beside the core's own picture.
struct DaemonFacts {
  Instant now{};
  WallTime wall{};
  BootId boot;
  Instant started{};
  bool has_gate = true;
  std::string gate_detail;
  bool realtime = false;  // runs with SCHED_RR
  bool memory_locked = false;
  Duration worst_lateness{};            // of the loop, within the last one to two minutes
  std::vector<Instant> gate_deadlines;  // per ServiceId, as last set; kLongAgo = shut
  std::vector<std::pair<std::string, uint64_t>> transport;
  alike::Report likeness;  // as clusterd-config has told it last; of a service that it did not tell: nothing
};

struct DatedDecision {
  WallTime wall{};
  Decision decision;
};

[[nodiscard]] std::string status_json(const Config& config, const Status& status, const DaemonFacts& facts);

// The newest `limit` decisions, of one service (and those that concern the whole node) or of all.
[[nodiscard]] std::string decisions_json(const Config& config, const std::deque<DatedDecision>& history,
                                         std::optional<ServiceId> service, size_t limit, Instant now);

// `events` are JSON objects, as the notifier keeps them, oldest first.
[[nodiscard]] std::string events_json(const std::vector<std::string>& events, uint64_t after);

[[nodiscard]] std::string check_json(const Config& config, const Status& status, const DaemonFacts& facts);

}  // namespace clusterd
