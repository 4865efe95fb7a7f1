// Canaries: rules of the core that a build for proofs can break on purpose, one at a time.
//
// A test that cannot fail proves nothing. Each canary sabotages exactly one rule at the place where the rule
// stands, in one line; the simulator and the transcripts then have to notice (`sim/canaries`,
// `run_scripts --canary NAME`). In every ordinary build `sabotaged` is the constant false and leaves nothing
// in the program; with CLUSTERD_PROOF=1 (the libraries clusterd_core_proof, clusterd_mirror_proof) it
// compares with the one canary that was switched on. Never ship such a build.
//
// Threads: switch the canary on before the threads that run the core are started.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace clusterd {

// X(enumerator, name, the rule of docs/safety.md, what the sabotage does)
#define CLUSTERD_CANARIES(X)                                                                                 \
  X(kLeaseFromReceipt, "lease-from-receipt", "S1", "the lease counts from receipt instead of from sending")  \
  X(kLeaseByAnyHost, "lease-by-any-host", "S2", "hosts outside of S_A renew the lease")                      \
  X(kLeaseEndUnnoticed, "lease-end-unnoticed", "S1", "a lease that ran out is renewed as if it had not")     \
  X(kGateLeftOpen, "gate-left-open", "S3", "the gate has no deadline: only the daemon shuts it")             \
  X(kGateBeyondLease, "gate-beyond-lease", "S3", "the gate's deadline is a lease behind the lease's end")    \
  X(kForcedForEver, "forced-for-ever", "S1", "a forced service never rests on evidence again")               \
  X(kStandbyNeedsFewer, "standby-needs-fewer", "S2", "the standby needs all hosts but one: kA + kB = n")     \
  X(kWindowTooShort, "window-too-short", "S2", "the window is half a lease")                                 \
  X(kRestartWithoutWindow, "restart-without-window", "S6", "a daemon that starts does not wait a window")    \
  X(kLatenessIgnored, "lateness-ignored", "S2", "the own lateness does not lengthen the window")             \
  X(kHostsNeedNoRun, "hosts-need-no-run", "S2", "answers of the hosts of S_B may have gaps")                 \
  X(kLeaveOrderReversed, "leave-order-reversed", "S2", "a host leaves S_B before it has left S_A")           \
  X(kEntersActiveFirst, "enters-active-first", "S2", "a host enters S_A before the peer has it in S_B")      \
  X(kSetsBeforeDurable, "sets-before-durable", "S2", "a counted set is announced before it is durable")      \
  X(kRelaysUncounted, "relays-uncounted", "S2a", "heartbeats bounced off a host are not counted")            \
  X(kStaleAnswersCount, "stale-answers-count", "S2", "answers from before the peer's lease was over count")  \
  X(kAnswerOfTheYoungest, "answer-of-the-youngest", "S1", "an answer by ARP counts for the youngest probe")  \
  X(kLostProbesForEver, "lost-probes-for-ever", "S2", "lost probes make answers by ARP look old for ever")   \
  X(kUnprovenIgnored, "unproven-ignored", "S2", "a peer that has just started gives no sign of life")        \
  X(kVetoIgnored, "veto-ignored", "S2", "an answer for the service's address does not veto")                 \
  X(kEpochIgnored, "epoch-ignored", "S4", "a higher epoch of the peer is not noticed")                       \
  X(kEpochsCollide, "epochs-collide", "S4", "both nodes draw from the same numbers")                         \
  X(kClaimNotDurable, "claim-not-durable", "S4", "activation before the epoch is on disk")                   \
  X(kOwnEpochForgotten, "own-epoch-forgotten", "S8", "what the peer knows of a predecessor is not believed") \
  X(kBootUnchecked, "boot-unchecked", "S1", "acknowledgements of an earlier daemon are accepted")            \
  X(kReleaseAlwaysFresh, "release-always-fresh", "S5", "a release counts however old it is")                 \
  X(kResumeUnasked, "resume-unasked", "S1", "a lost lease is resumed without asking the peer")               \
  X(kStaleAckResumes, "stale-ack-resumes", "S1", "an acknowledgement of long ago resumes a lost lease")      \
  X(kColdStartAlone, "cold-start-alone", "S6", "a node that starts alone serves whatever its disk says")     \
  X(kStopUnverified, "stop-unverified", "S7", "a stop that failed counts as a stop")                         \
  X(kWrongDirection, "wrong-direction", "S8", "mirror runs are accepted whatever role and epoch")            \
  X(kTargetUnasked, "target-unasked", "S8", "runs are ordered whether the peer stands by or not")            \
  X(kReceiversLeft, "receivers-left", "S8", "the peer's writers go on when this node becomes active")        \
  X(kGuardLeft, "guard-left", "S8", "the guard of the files stays when this node becomes active")            \
  X(kUnsyncedTakesOver, "unsynced-takes-over", "S8", "a standby without all files takes over")               \
  X(kAfterIgnored, "after-ignored", "S14", "a service starts before what it runs after")                     \
  X(kStopOrderIgnored, "stop-order-ignored", "S14", "a service stops before what runs after it")             \
  X(kGroupTornApart, "group-torn-apart", "S14", "one of a group is handed over without the others")          \
  X(kSplitStays, "split-stays", "S14", "a group that is on both nodes stays there")                          \
  X(kBackupSkipped, "backup-skipped", "S9", "a resync keeps nothing of what it overwrites")                  \
  X(kLossReportEmpty, "loss-report-empty", "S9", "no file is ever found lost")                               \
  X(kDivergenceMissed, "divergence-missed", "S9", "divergence is not looked for")                            \
  X(kEmptiedRootMirrored, "emptied-root-mirrored", "S10", "nothing halts a mirror")                          \
  X(kHaltForgotten, "halt-forgotten", "S10", "a halt does not survive a restart")                            \
  X(kHaltedIsFlushed, "halted-is-flushed", "S10", "the last run before a handover ignores a halt")           \
  X(kLockIgnored, "lock-ignored", "S11", "a node with the standby lock serves")                              \
  X(kLockForgotten, "lock-forgotten", "S11", "the standby lock does not survive a restart")                  \
  X(kDampingOff, "damping-off", "S11", "takeovers are not counted")                                          \
  X(kConfigUnchecked, "config-unchecked", "S12", "different configurations are not noticed")                 \
  X(kPromiseBroken, "promise-broken", "S1", "a promise to a restarting peer is not kept")                    \
  X(kPromiseForEver, "promise-for-ever", "S1", "a promise never ends")                                       \
  X(kHoldBackIgnored, "hold-back-ignored", "S12", "a takeover while a configuration is not settled")         \
  X(kReplyBeforeDurable, "reply-before-durable", "S11", "an order is answered before its effect is on disk") \
  X(kFenceUnverified, "fence-unverified", "S13", "a fence counts without the agent's status saying off")     \
  X(kFenceWithoutRight, "fence-without-right", "S13", "a node fences whatever its reference hosts say")      \
  X(kWatchdogBoundShort, "watchdog-bound-short", "S13", "the peer's watchdog is given a window only")        \
  X(kStateUnchecked, "state-unchecked", "A3", "a state that was read back damaged is believed")

enum class Canary : uint8_t {
  kNone,
#define CLUSTERD_CANARY_ENUMERATOR(enumerator, name, rule, what) enumerator,
  CLUSTERD_CANARIES(CLUSTERD_CANARY_ENUMERATOR)
#undef CLUSTERD_CANARY_ENUMERATOR
};

struct CanaryInfo {
  Canary canary;
  std::string_view name, rule, what;
};

inline constexpr auto kCanaries = std::to_array<CanaryInfo>({
#define CLUSTERD_CANARY_INFO(enumerator, name, rule, what) {Canary::enumerator, name, rule, what},
    CLUSTERD_CANARIES(CLUSTERD_CANARY_INFO)
#undef CLUSTERD_CANARY_INFO
});

// nullopt: there is no such canary.
[[nodiscard]] constexpr std::optional<Canary> canary_by_name(std::string_view name) {
  for (const CanaryInfo& info : kCanaries) {
    if (info.name == name) return info.canary;
  }
  return std::nullopt;
}

#if CLUSTERD_PROOF

namespace proof_detail {
inline Canary canary_on = Canary::kNone;
inline Canary second_canary_on = Canary::kNone;
}  // namespace proof_detail
// A second one beside it: for two rules of which each covers for the other.
inline void set_canary(Canary canary, Canary second = Canary::kNone) {
  proof_detail::canary_on = canary;
  proof_detail::second_canary_on = second;
}
#if CLUSTERD_COVERAGE
// What cannot happen in production shall not count as a branch that no test has reached.
[[nodiscard]] consteval bool sabotaged(Canary) { return false; }
#else
[[nodiscard]] inline bool sabotaged(Canary canary) {
  return proof_detail::canary_on == canary || proof_detail::second_canary_on == canary;
}
#endif

#else

// Immediate, so that not even a build without optimisation keeps a branch for it.
[[nodiscard]] consteval bool sabotaged(Canary) { return false; }

#endif

}  // namespace clusterd
