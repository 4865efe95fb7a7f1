// Marks: names for what rarely happens in the core and in the mirror core.
//
// Each rare branch (a veto, a refusal, a race, a retry, something stale that is ignored) calls `mark` with
// the name of what has just happened. Tests, transcripts and random campaigns then show which of them they
// have reached; `tests/marks` fails for a mark that nothing reaches (docs/testing.md). So a fault that the
// simulator can no longer produce is noticed, and so is a rare branch that nobody has tested.
//
// In every ordinary build `mark` leaves nothing in the program. With CLUSTERD_PROOF=1 it adds one to a
// counter of the calling thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace clusterd {

// X(enumerator, name), by unit. A name says what has happened.
#define CLUSTERD_MARKS(X)                                                        \
  /* peer: the detector */                                                       \
  X(kStragglerOfEndedDaemon, "straggler-of-ended-daemon-ignored")                \
  X(kAckOfAnotherLife, "ack-of-another-life-ignored")                            \
  X(kAckNeverSent, "ack-of-what-was-never-sent-ignored")                         \
  X(kHeartbeatOvertaken, "heartbeat-that-was-overtaken-proves-life-only")        \
  X(kPeerDaemonNew, "peer-daemon-started-anew")                                  \
  /* heartbeat */                                                                \
  X(kHeartbeatMalformed, "heartbeat-malformed")                                  \
  X(kReasonShortened, "reason-shortened-to-fit")                                 \
  /* node: evidence */                                                           \
  X(kLoopLate, "own-loop-late")                                                  \
  X(kLoopVeryLate, "own-loop-later-than-half-a-lease")                           \
  X(kLeaseInherited, "lease-inherited-from-predecessor")                         \
  X(kPromiseAskedOnInherited, "promise-asked-for-the-inherited-lease")           \
  X(kSignOfLife, "datagram-of-a-daemon-not-yet-proven-is-a-sign-of-life")        \
  X(kHeartbeatNotFromPeer, "heartbeat-not-from-the-peer-ignored")                \
  X(kHeartbeatUnknownLink, "heartbeat-on-unknown-link-ignored")                  \
  X(kHeartbeatWrongTables, "heartbeat-with-other-tables-ignored")                \
  X(kConfigDiffers, "configurations-differ")                                     \
  X(kConfigAgreesAgain, "configurations-agree-again")                            \
  X(kPromiseGiven, "promise-given-to-the-peer")                                  \
  X(kPromiseReturned, "promise-given-back-early")                                \
  X(kLockedByPeer, "locked-by-the-peer")                                         \
  X(kPeerLockSeen, "faulty-peer-has-locked-itself")                              \
  X(kProbeAnswerIgnored, "probe-answer-from-the-future-ignored")                 \
  X(kNicDown, "nic-down")                                                        \
  X(kNicBack, "nic-up-again")                                                    \
  X(kSpareLost, "spare-nic-without-carrier-under-a-service")                     \
  X(kSpareBack, "spare-nic-has-carrier-again")                                   \
  X(kSpareForgiven, "lost-spare-nic-forgiven-by-order")                          \
  X(kPersistFailed, "persist-failed")                                            \
  X(kPersistWorksAgain, "persist-works-again")                                   \
  X(kReportOfUnknown, "report-of-unknown-part-ignored")                          \
  /* node: conclusions */                                                        \
  X(kInheritedLeaseEnded, "inherited-lease-replaced-by-own-evidence")            \
  X(kWindowLengthened, "window-lengthened-by-lateness")                          \
  X(kHeldBackByPromise, "takeover-held-back-by-promise")                         \
  X(kNoTakeoverConfig, "no-takeover-configurations-differ")                      \
  X(kNoTakeoverHoldsBack, "no-takeover-while-a-configuration-is-not-settled")    \
  X(kNoTakeoverDamped, "no-takeover-moves-stopped")                              \
  X(kNoTakeoverNoHosts, "no-takeover-without-reference-hosts")                   \
  X(kNoTakeoverDiskRefuses, "no-takeover-while-the-disk-refuses")                \
  X(kNoTakeoverNothingCounted, "no-takeover-while-no-host-counts")               \
  X(kNoTakeoverHostsMissing, "no-takeover-hosts-do-not-answer")                  \
  X(kNoTakeoverUnproven, "no-takeover-peer-sends-but-is-not-proven")             \
  /* fencing and the watchdog */                                                 \
  X(kFenceUnanswered, "fence-agent-did-not-answer")                              \
  X(kFenceNotNeeded, "fence-not-needed-after-its-delay")                         \
  X(kFenceConfirmationOld, "fence-confirmation-too-old")                         \
  X(kFenceTriedAgain, "fence-tried-again")                                       \
  X(kFenceReportUnawaited, "fence-report-nobody-waits-for-ignored")              \
  X(kFenceConfirmed, "fence-confirmed")                                          \
  X(kFenceNotVerified, "fence-off-but-status-does-not-say-so")                   \
  X(kFenceFailed, "fence-failed")                                                \
  X(kFenceNotAfterBoot, "no-fence-before-the-peer-was-heard-after-a-boot")       \
  X(kFenceLied, "fenced-peer-heard-as-if-nothing-had-happened")                  \
  X(kFenceEndsWithHearing, "fence-confirmation-ends-peer-heard")                 \
  X(kPeerWatchdogFired, "peer-watchdog-must-have-fired")                         \
  X(kEffectsOnlyHere, "just-active-here-so-nowhere-else")                        \
  X(kNoTakeoverEffects, "no-takeover-effects-may-go-on")                         \
  X(kWatchdogArmed, "watchdog-armed")                                            \
  X(kWatchdogNotArmed, "watchdog-not-armed")                                     \
  X(kWatchdogPetFailed, "watchdog-pet-failed")                                   \
  X(kWatchdogStarved, "watchdog-not-petted-units-still-run")                     \
  X(kWatchdogPettedAgain, "watchdog-petted-again")                               \
  X(kWatchdogDisarmed, "watchdog-disarmed-at-the-end")                           \
  X(kWatchdogLeftArmed, "watchdog-left-armed-at-the-end")                        \
  X(kLinkLost, "link-lost")                                                      \
  X(kLinkBack, "link-back")                                                      \
  X(kLinkDeadFromStart, "link-dead-from-the-start")                              \
  X(kHeardOnlyRelayed, "peer-heard-only-off-reference-hosts")                    \
  X(kPeerLost, "peer-lost")                                                      \
  X(kPeerAwaited, "peer-awaited-while-it-restarts")                              \
  X(kPeerReachesMore, "peer-reaches-more")                                       \
  X(kPeerReachedMoreBriefly, "peer-reached-more-only-briefly")                   \
  X(kTakeoverOfOwn, "takeover-of-own-service-counted")                           \
  X(kPeerJudgedFaulty, "peer-judged-faulty")                                     \
  X(kTakeoverForgotten, "takeover-older-than-an-hour-forgotten")                 \
  X(kMovesStopped, "automatic-moves-stopped")                                    \
  X(kMovesAllowedAgain, "automatic-moves-allowed-again")                         \
  X(kRestartPromised, "restart-with-the-peer's-promise")                         \
  X(kRestartUnpromised, "restart-without-the-peer's-promise")                    \
  X(kRestartServingNothing, "restart-while-serving-nothing")                     \
  /* node: sending */                                                            \
  X(kEvidenceLate, "evidence-late-probes-go-fast")                               \
  X(kAnswerLate, "answer-late-probes-go-fast")                                   \
  X(kGateOfForced, "gate-held-open-by-force")                                    \
  X(kGateUnchangedLeaseOver, "gate-not-set-lease-over")                          \
  X(kPersistRetried, "persist-retried")                                          \
  X(kReplyHeld, "reply-held-until-durable")                                      \
  X(kReplyRefusedByDisk, "reply-refused-by-the-disk")                            \
  X(kAnswerAwaitsDisk, "request-answer-awaits-the-disk")                         \
  /* node: orders */                                                             \
  X(kOrderUnknownService, "order-for-unknown-service")                           \
  X(kMoveRefused, "move-refused")                                                \
  X(kStandbyRefused, "standby-refused")                                          \
  X(kOrderForwarded, "order-forwarded-to-the-peer")                              \
  X(kForwardBusy, "order-not-forwarded-another-under-way")                       \
  X(kPeerNotHeardForOrder, "order-refused-peer-not-heard")                       \
  X(kRequestObeyed, "request-of-the-peer-obeyed")                                \
  X(kRequestRefused, "request-of-the-peer-refused")                              \
  X(kRequestRefusedByPeer, "request-refused-by-the-peer")                        \
  X(kStaleAnswer, "answer-to-an-earlier-daemon-ignored")                         \
  X(kOrderTimedOut, "order-timed-out")                                           \
  X(kMoveBrokenOff, "ordered-move-broken-off")                                   \
  X(kForceRefused, "force-refused")                                              \
  X(kRestartTwice, "restart-ordered-twice")                                      \
  X(kHoldsBack, "takeovers-held-back-for-a-configuration")                       \
  X(kHoldsBackNoMore, "takeovers-possible-again-configuration-settled")          \
  X(kShutdownCalledOff, "shutdown-called-off")                                   \
  X(kDivergenceAccepted, "divergence-accepted")                                  \
  X(kMirrorOrderRefused, "mirror-order-refused-not-active")                      \
  X(kAlwaysStuck, "always-mirror-waits-for-a-human")                             \
  X(kAlwaysGoesOn, "always-mirror-waits-for-nobody-any-more")                    \
  /* reference hosts */                                                          \
  X(kProbeOvertaken, "probe-answer-that-was-overtaken-ignored")                  \
  X(kProbeRunBroken, "run-of-answers-broken-by-a-gap")                           \
  X(kProbesRenamed, "lost-probes-told-from-others-by-another-name")              \
  X(kProbesRest, "no-probes-until-lost-ones-cannot-be-mistaken")                 \
  X(kAnswerFromBeforeLeaseOver, "answer-from-before-the-lease-was-over-ignored") \
  X(kHostLeavesActive, "host-leaves-active-set")                                 \
  X(kLastHostOfActiveKept, "last-host-of-active-set-kept")                       \
  X(kHostLeaving, "host-about-to-leave-standby-set")                             \
  X(kLastHostOfStandbyKept, "last-host-of-standby-set-kept")                     \
  X(kHostLeavingCalledOff, "leaving-of-a-host-called-off")                       \
  X(kHostLeavesStandby, "host-leaves-standby-set")                               \
  X(kHostEntersStandby, "host-enters-standby-set")                               \
  X(kHostEntersActive, "host-enters-active-set")                                 \
  X(kHostEntryWithdrawn, "host-entry-into-active-set-withdrawn")                 \
  X(kStatesInFlightDiffer, "states-in-flight-differ-on-a-host")                  \
  X(kSeveralStatesDurable, "several-states-durable-at-once")                     \
  /* service machine */                                                          \
  X(kStartsBlocked, "starts-with-a-blocked-service")                             \
  X(kGoesOnAtLease, "goes-on-within-the-predecessor's-lease")                    \
  X(kClaimFoundAtStart, "claimed-epoch-found-at-start")                          \
  X(kOwnEpochRemembered, "epoch-of-a-predecessor-learnt-from-the-peer")          \
  X(kStartsSuspended, "starts-suspended")                                        \
  X(kForcedHeardAgain, "forced-service-rests-on-evidence-again")                 \
  X(kLeaseLost, "lease-lost")                                                    \
  X(kLeaseLostWhileStopping, "lease-lost-while-stopping")                        \
  X(kHigherEpochWhileHolding, "steps-down-to-a-higher-epoch")                    \
  X(kHigherEpochLearnt, "higher-epoch-learnt-as-standby")                        \
  X(kDataComplete, "data-of-the-peer's-epoch-complete")                          \
  X(kDivergedHereNewer, "divergence-found-newer-side")                           \
  X(kDivergedPeerNewer, "divergence-found-older-side")                           \
  X(kLineageNotKnownYet, "descent-not-judged-lineage-unknown")                   \
  X(kClaimOverruled, "claim-dropped-by-another-transition")                      \
  X(kClaimAborted, "claim-aborted-right-is-gone")                                \
  X(kClaimChangedRight, "claim-goes-on-by-another-right")                        \
  X(kClaimAwaitsStop, "claim-awaits-members-that-stop")                          \
  X(kClaimAwaitsDisk, "claim-awaits-the-disk")                                   \
  X(kResumedAsItWas, "resumed-at-the-same-epoch")                                \
  X(kTakeoverVetoed, "takeover-vetoed-by-stranger")                              \
  X(kTakeoverAwaitsHosts, "takeover-awaits-window-or-hosts")                     \
  X(kForceAwaitsWindow, "force-awaits-its-window")                               \
  X(kReleaseAwaitsLease, "release-awaits-a-lease")                               \
  X(kActivatedByTakeover, "activated-by-takeover")                               \
  X(kActivatedByRelease, "activated-by-release")                                 \
  X(kActivatedByResume, "activated-by-resume")                                   \
  X(kActivatedByForce, "activated-by-force")                                     \
  X(kLineageFromPeer, "descent-taken-from-the-peer's-epoch")                     \
  X(kLineageCut, "lineage-cut-to-its-limit")                                     \
  X(kMirrorHalted, "mirror-halted")                                              \
  X(kMirrorFailedFirst, "mirror-failed-first-time")                              \
  X(kMirrorFailedAgain, "mirror-failed-again")                                   \
  X(kResyncLostFiles, "resync-took-back-files")                                  \
  X(kHandoverBrokenOff, "handover-broken-off")                                   \
  X(kStepDownWhileReleased, "steps-down-while-released")                         \
  X(kStepDownWhileStopFailed, "steps-down-while-a-stop-has-failed")              \
  X(kStepDownMembersDown, "steps-down-members-already-down")                     \
  X(kFailedToPeer, "service-failed-goes-to-the-peer")                            \
  X(kFailedAlone, "service-failed-nobody-takes-it")                              \
  /* service states */                                                           \
  X(kStopFailedOnStandby, "stop-failed-on-standby")                              \
  X(kHotKeptUp, "hot-standby-kept-up")                                           \
  X(kGranted, "granted-to-the-peer-at-a-cold-start")                             \
  X(kWaitsForPeer, "waits-for-its-peer")                                         \
  X(kDoesNotTakeOver, "does-not-take-over")                                      \
  X(kNoTakeoverLocked, "no-takeover-locked")                                     \
  X(kNoTakeoverBlocked, "no-takeover-failed-here-before")                        \
  X(kNoTakeoverNicDown, "no-takeover-own-nic-down")                              \
  X(kNoTakeoverUnwatched, "no-takeover-own-watchdog-not-armed")                  \
  X(kNoTakeoverIncomplete, "no-takeover-files-incomplete")                       \
  X(kShutdownWhileStarting, "shutdown-while-starting")                           \
  X(kShutdownAlone, "shutdown-nobody-takes-it")                                  \
  X(kRestartsMember, "restarts-a-member-while-active")                           \
  X(kHandoverByOrder, "handover-by-order")                                       \
  X(kHandoverLeaving, "handover-this-node-leaves")                               \
  X(kHandoverLocked, "handover-this-node-is-locked")                             \
  X(kHandoverDamped, "handover-put-off-damped-or-paused")                        \
  X(kHandoverReach, "handover-peer-reaches-more")                                \
  X(kHandoverFailback, "handover-failback")                                      \
  X(kStopFailed, "stop-failed")                                                  \
  X(kFlushStarted, "flush-started")                                              \
  X(kFlushTimedOut, "flush-timed-out")                                           \
  X(kFlushPeerLost, "flush-peer-lost")                                           \
  X(kFlushFailed, "flush-failed")                                                \
  X(kReleasedUnflushed, "released-without-flush")                                \
  X(kRestsForShutdown, "rests-as-the-last-active-one")                           \
  X(kSuspendedHandsOver, "suspended-service-handed-over")                        \
  X(kSuspendedLocked, "suspended-service-locked")                                \
  X(kSuspendedLeaving, "suspended-service-stopped-for-shutdown")                 \
  X(kSuspendedBlocked, "suspended-service-failed-before")                        \
  X(kSuspendedStopFailed, "suspended-service-does-not-stop")                     \
  X(kSuspendGraceOver, "suspended-service-stopped-after-grace")                  \
  X(kGrantTaken, "grant-taken-by-the-peer")                                      \
  X(kGrantWithdrawn, "grant-withdrawn")                                          \
  X(kReleaseNotTaken, "release-not-taken-in-time")                               \
  X(kStopFailedEndedAfterAll, "failed-stop-ended-after-all")                     \
  X(kStopFailedTriedAgain, "failed-stop-tried-again")                            \
  X(kFailedForgiven, "failed-service-forgiven")                                  \
  X(kFailedReleased, "failed-service-released-to-a-ready-peer")                  \
  X(kFailedFlushed, "failed-service-flushed-before-release")                     \
  /* service rights, service orders */                                           \
  X(kReleaseUnacknowledged, "release-before-own-withdrawal-was-acknowledged")    \
  X(kReleaseStale, "release-that-waited-in-a-queue")                             \
  X(kResumeUnacknowledged, "resume-not-acknowledged-yet")                        \
  X(kResumeStale, "resume-acknowledged-long-ago")                                \
  X(kResumeAwaitsUnitsOfPeer, "resume-awaits-the-end-of-the-peers-units")        \
  X(kResumePeerHolds, "resume-refused-peer-holds-it")                            \
  X(kCandidatesEqual, "both-candidates-equal-by-preference")                     \
  X(kCandidateByReach, "candidate-by-reach")                                     \
  X(kCandidateByNumber, "candidate-by-number")                                   \
  X(kNobodyMayServe, "nobody-may-serve")                                         \
  X(kStrangerAnswered, "stranger-answered-for-the-address")                      \
  X(kStrangerTooEarly, "answer-for-the-address-from-before-the-silence-ignored") \
  X(kReceiveRefusedActive, "mirror-run-refused-not-standby")                     \
  X(kReceiveRefusedEpoch, "mirror-run-refused-older-epoch")                      \
  X(kReceiveRefusedUnsaid, "mirror-run-refused-peer-does-not-claim-it")          \
  /* service relations */                                                        \
  X(kAwaitsForerunner, "start-awaits-a-forerunner")                              \
  X(kForerunnerAtPeer, "forerunner-is-active-on-the-peer")                       \
  X(kForerunnerOldNews, "forerunner-was-active-on-the-peer-once")                \
  X(kWaitsWithoutRight, "waits-because-this-node-may-not-serve")                 \
  X(kWaitingHandsOver, "handed-over-before-it-was-started")                      \
  X(kStepsAside, "stops-for-a-while-for-its-forerunner")                         \
  X(kAwaitsFollower, "stop-awaits-a-follower")                                   \
  X(kCompanionCannotGo, "stays-because-a-companion-cannot-go")                   \
  X(kHandoverAlong, "handover-along-with-a-companion")                           \
  X(kAwaitsCompanion, "release-awaits-a-companion")                              \
  X(kCompanionStays, "release-given-up-a-companion-stays")                       \
  X(kGroupSplit, "group-on-both-nodes")                                          \
  X(kHandoverJoins, "handover-joins-the-group")                                  \
  X(kMoveRefusedForCompanion, "move-refused-for-a-companion")                    \
  X(kHandoverSpreads, "handover-spreads")                                        \
  X(kOtherOneSpreads, "the-other-one-spreads")                                   \
  X(kCandidateByRelation, "candidate-by-relation")                               \
  /* members */                                                                  \
  X(kAddressAddFailed, "address-could-not-be-added")                             \
  X(kAddressPutBack, "address-put-back")                                         \
  X(kAddressTimedOut, "address-not-added-in-time")                               \
  X(kUnitDidNotStart, "unit-did-not-start")                                      \
  X(kUnitStartTimedOut, "unit-start-timed-out")                                  \
  X(kUnitCrashed, "unit-crashed")                                                \
  X(kCheckFailed, "check-failed-too-often")                                      \
  X(kCheckInGrace, "check-failed-within-grace")                                  \
  X(kCheckGoodAgain, "check-good-again")                                         \
  X(kStandbyLacks, "standby-could-not-run-it-as-it-is")                          \
  X(kStandbyLacksNothing, "standby-has-what-it-needs-again")                     \
  X(kKillEscalated, "stop-escalated-to-kill")                                    \
  X(kKillFailed, "kill-failed")                                                  \
  X(kStopTimedOut, "stop-timed-out")                                             \
  X(kRestartStopFailed, "restart-found-a-unit-that-does-not-stop")               \
  X(kBudgetUsedUp, "restart-budget-used-up")                                     \
  X(kRestartWithinBudget, "restart-within-budget")                               \
  X(kNoUseHere, "start-is-no-use-here")                                          \
  X(kNoUseAnywhere, "start-is-no-use-on-either-node")                            \
  X(kStopDuringRestart, "stop-during-a-restart")                                 \
  X(kStartTakenBack, "start-taken-back-by-a-stop")                               \
  X(kLateStopAfterFailure, "unit-ended-after-its-stop-had-failed")               \
  X(kHotUnitCrashed, "hot-unit-crashed-on-standby")                              \
  X(kHotUnitDidNotStart, "hot-unit-did-not-start-on-standby")                    \
  X(kUnitReportUnawaited, "unit-report-not-awaited")                             \
  X(kForgivenAfterFailure, "members-forgiven-after-failure")                     \
  /* mirror rules */                                                             \
  X(kHaltRestored, "halt-restored-after-restart")                                \
  X(kHaltedNotFlushed, "halted-mirror-not-flushed")                              \
  X(kHaltsForgotten, "halts-forgotten-files-replaced")                           \
  X(kMirrorsCancelled, "mirror-runs-cancelled")                                  \
  X(kMirrorReportStale, "mirror-report-of-another-run-ignored")                  \
  X(kMirrorStreamBroke, "live-mirror-stream-broke")                              \
  X(kMirrorRetry, "mirror-retry-put-off")                                        \
  X(kPeerDoesNotReceive, "mirror-waits-peer-does-not-receive")                   \
  X(kHaltConfirmed, "halt-confirmed")                                            \
  /* guard rules */                                                              \
  X(kGuardSetAgain, "guard-set-again-after-it-was-lifted")                       \
  X(kGuardReportStale, "guard-report-of-an-order-taken-back-ignored")            \
  X(kGuardFailed, "guard-failed")                                                \
  X(kGuardEvaded, "guard-evaded-by-who-was-there-before")                        \
  /* mirror core */                                                              \
  X(kHaltRootProblem, "halt-root-has-a-problem")                                 \
  X(kHaltRootMissing, "halt-root-missing")                                       \
  X(kHaltRootNoDirectory, "halt-root-not-a-directory")                           \
  X(kHaltRootType, "halt-root-changed-type")                                     \
  X(kHaltRootFilesystem, "halt-root-on-another-file-system")                     \
  X(kHaltRootDevice, "halt-root-on-another-device")                              \
  X(kHaltRootEmptied, "halt-root-emptied")                                       \
  X(kHaltMountMissing, "halt-mount-below-root-missing")                          \
  X(kManifestDamaged, "manifest-damaged")                                        \
  X(kChangedDuringRun, "entry-changed-during-the-run")                           \
  X(kDeletedDuringRun, "entry-deleted-during-the-run")                           \
  X(kGoneWhenRunBroke, "entry-gone-when-a-run-broke-off")                        \
  X(kNewSinceRunBegan, "entry-newer-than-the-run")                               \
  X(kLostChanged, "lost-changed-file")                                           \
  X(kLostDeletion, "lost-deletion")                                              \
  X(kServerOptionRefused, "rsync-option-refused")                                \
  X(kCommandRefused, "remote-command-refused")                                   \
  X(kMessageRefused, "mirror-message-refused")

enum class Mark : uint16_t {
#define CLUSTERD_MARK_ENUMERATOR(enumerator, name) enumerator,
  CLUSTERD_MARKS(CLUSTERD_MARK_ENUMERATOR)
#undef CLUSTERD_MARK_ENUMERATOR
};

inline constexpr auto kMarkNames = std::to_array<std::string_view>({
#define CLUSTERD_MARK_NAME(enumerator, name) name,
    CLUSTERD_MARKS(CLUSTERD_MARK_NAME)
#undef CLUSTERD_MARK_NAME
});

#if CLUSTERD_PROOF

namespace proof_detail {
inline constinit thread_local std::array<uint64_t, kMarkNames.size()> marks{};
}
inline void mark(Mark which) { ++proof_detail::marks[static_cast<size_t>(which)]; }
// How often the calling thread has reached each mark, in the order of kMarkNames.
[[nodiscard]] inline const std::array<uint64_t, kMarkNames.size()>& mark_counts() {
  return proof_detail::marks;
}

#else

constexpr void mark(Mark) {}

#endif

}  // namespace clusterd
