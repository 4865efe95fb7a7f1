// The service machine: one service on one node, from standby to active and back.
//
// It is level-triggered: events change what is known (members, mirrors, the peer's report), and `review` then
// looks at everything afresh and takes the transitions that hold. A node becomes active by exactly these
// ways, each with a fresh epoch that was made durable first (S4), except that a node whose members never went
// down goes on at its own epoch:
//
//   takeover   the peer has been silent for the window while all counted reference hosts answered (S2)
//   release    the peer, heard just now, says that it has let go: after a handover (S5), or because it judges
//              this node the right one when nobody serves (cold start of both)
//   resume     it was active, lost its lease, and the peer acknowledges that it has not taken over
//   (force)    an administrator vouches for the peer's death: a takeover without evidence (S6)
//
//            takeover, release, force                      members up
//   Standby ------------------------------> Starting ----------------------> Active
//     ^  ^                                    |   ^ resume                     |
//     |  |        members down                |   |          lease ran out     |
//     |  +-- Stopping <---- step down --------+-- Suspended <------------------+
//     |         |                                                              |
//     |         | members down, mirrors flushed           handover             |
//     +-- Released <----------------------------- Stopping <-------------------+
//   peer active
//
// `Failed` is reached from a stop that did not stop, or a start beyond its budget with no peer to go to.
// A suspended service that may not be served here any more (NIC down, failed, shutting down, locked) goes to
// `Released` through `Stopping` as soon as the peer is ready for it; a handover that comes to nothing ends in
// `Suspended`. What a gate has shut stays shut until one of the ways above opens it again.
//
// Whoever says "released" may not take before the peer has acknowledged that it does not say so any more
// (`release_is_fresh`): so a release is always good for the other node alone.
//
// Relations to other services (service_relations.cpp) put off a start, or keep a service from being handed
// over alone; they never give a right to serve, and nothing waits for them once the lease has run out. In
// words: the *companions* of a service are the rest of its `with` group, its *forerunners* stand in its
// `after`, and it is a *follower* of them. A service in Starting whose members are down *waits* for a
// forerunner: it serves nothing yet, but it is already this node's to serve.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/actions.hpp"
#include "core/config.hpp"
#include "core/guard_rules.hpp"
#include "core/members.hpp"
#include "core/mirror_rules.hpp"
#include "core/persisted_state.hpp"
#include "core/status.hpp"
#include "core/timing.hpp"

namespace clusterd {

class ServiceMachine;

// What the node knows at this instant, as far as a service has to know it. Made anew by Node for each review.
struct Surroundings {
  Instant now;
  const std::vector<ServiceMachine>* services = nullptr;  // all of this node, per ServiceId
  const Heartbeat* peer = nullptr;  // newest; nullptr if none was heard in this daemon's life
  bool peer_heard = false;          // within the window
  bool peer_direct = false;         // … on a link, not only off a reference host
  bool config_agrees = true;        // both nodes have the same configuration (S12); true until told otherwise
  // The newest own heartbeat that the peer's present daemon has acknowledged: its number, and when it was
  // sent.
  uint64_t acked_sequence = 0;
  Instant acked_sent = kLongAgo;
  uint64_t next_sequence = 1;  // of the heartbeat that will tell what is decided now
  bool lease_held = false;
  bool silent_past_lease = false;   // the peer's lease has run out: a takeover may be prepared
  bool silent_past_window = false;  // … and the window has passed with all hosts answering: it may be done
  std::vector<std::string> silence_evidence;
  std::string no_takeover_reason;  // the peer is long silent, but the evidence does not suffice: why
  Duration probe_time{};           // what the LAN is given to answer before a takeover
  bool watchdog_settled = true;    // it is known whether it can be armed
  bool watchdog_ready = true;      // this node's watchdog is armed, or none is configured
  bool fence_mode = false;    // there are no reference hosts: nothing but a fence tells dead from cut off
  bool effects_over = false;  // nothing of a service with effects = "node" runs on the silent peer (S13)
  // A lease of this machine that ended no longer ago: the peer cannot have become active on E since.
  Duration effects_grace{};
  Instant lease_end = kLongAgo;  // of the newest lease
  std::string effects_evidence;  // … how that is known
  std::string effects_reason;    // … not yet: why
  bool locked = false, leaving = false, moves_stopped = false;
  bool peer_better = false;  // the peer has had the better reachability for the settle time (S5)
  std::string better_evidence;
  int reach_here = 0, reach_peer = 0;  // comparable scores
  bool nics_up = true;                 // without them nothing can be served here
  bool nics_reach = true;              // … and the spare NIC has carrier, as far as is known
  bool disk_refuses = false;           // the last state could not be written: no epoch can be claimed (S4)
  bool counts_hosts = true;            // S_A is not empty: without the peer a lease can be had
  uint64_t durable_version = 0;
  uint64_t next_version = 1;  // the version that a change made in this review will have
};

class ServiceMachine {
 public:
  ServiceMachine(const Config& config, ServiceId id, PersistedService& stored);

  // First call: what a predecessor left. `gate` is the deadline that its pinned gate still permits.
  void begin(Instant now, bool host_rebooted, Instant gate, Actions& out);

  // Looks at everything and takes at most one transition; true if it took one (call again).
  bool review(const Surroundings& s, Actions& out);

  // Once everything has come to rest: one step orders one thing, since it would not be performed in the order
  // in which it was thought.
  void review_guard(Actions& out);

  // Falls silent if the lease has run out; called before an event whose evidence could renew it.
  bool review_lease(const Surroundings& s, Actions& out);

  // Events. The next review draws the conclusions.
  template <class MemberEvent>
  void on_member(Instant now, const MemberEvent& event, Actions& out) {
    members_.on(now, event, out);
  }
  void on(Instant now, const MirrorReport& report, Actions& out) { mirrors_.on(now, report, out); }
  void on(const LackReport& report) { lacks_ = report.lacks; }
  void on(const GuardReport& report, Actions& out);
  void answered_by_stranger(Instant now, const AddressAnswered& event, Instant counts_from, Actions& out);
  void learn_lineage(const std::vector<Epoch>& lineage);
  // This node stood still, and has not asked the LAN meanwhile: what it has not heard says nothing.
  void ask_lan_anew(Instant now) {
    if (claim_) claim_->since = now;
  }
  void peer_was_away() { mirrors_.peer_was_away(); }
  void tick(Instant now, Actions& out) { members_.tick(now, out); }

  // Orders. An empty string means accepted, else the reason for the refusal.
  [[nodiscard]] std::string order_move(const Surroundings& s);
  [[nodiscard]] std::string why_no_move(const Surroundings& s) const;  // asks, and orders nothing
  [[nodiscard]] std::string order_force(const Surroundings& s);
  void forgive();
  void accept_diverged();
  [[nodiscard]] std::string may_receive(const std::string& mirror, Epoch epoch, const Surroundings& s) const;
  [[nodiscard]] bool confirm_mirror(const std::string& mirror, Instant now);
  [[nodiscard]] bool move_pending() const { return move_ordered_; }
  MirrorRules& mirrors() { return mirrors_; }

  // What the peer is told, and what the administrator sees.
  [[nodiscard]] ServiceReport report(const Surroundings& s) const;
  [[nodiscard]] ServiceStatus status(const Surroundings& s) const;
  [[nodiscard]] Role role() const;
  [[nodiscard]] bool holds_lease() const;      // it rests on the lease
  [[nodiscard]] bool needs_gate() const;       // … and serves, or is about to: its gate is to be kept open
  [[nodiscard]] bool holds() const;            // has not let go
  [[nodiscard]] bool watches_address() const;  // about to take over: the LAN is probed (veto)
  [[nodiscard]] bool forced() const { return forced_; }
  // S13. Whether its units are known to have ended, or run by right: then the watchdog may be petted.
  [[nodiscard]] bool effects_are_sane(const Surroundings& s) const;
  [[nodiscard]] bool effects_may_go_on() const;  // units of a service with effects = "node" may run here
  // It would take over but for what may still run on the peer.
  [[nodiscard]] bool wants_fence(const Surroundings& s) const;
  // What this machine lacks to run its members, in words. It hinders nothing: a takeover is tried all the
  // same.
  [[nodiscard]] const std::string& lacks() const { return lacks_; }
  // The next instant after `now` at which something is due here. `now` itself: a time limit is over, and the
  // event of this moment was no Tick, which looks at the limits.
  [[nodiscard]] Instant next_deadline(Instant now) const;
  [[nodiscard]] const PersistedService& stored() const { return *stored_; }
  // Once after a takeover on evidence. The peer is at fault only if it was the one that had been active.
  enum class Took : uint8_t { kNothing, kOwn, kFromPeer };
  [[nodiscard]] Took take_takeover() { return std::exchange(took_, Took::kNothing); }
  [[nodiscard]] bool take_changed() { return std::exchange(changed_, false); }

  // Everything that a snapshot of the node must hold (core/node_snapshot.cpp).
  template <class Archive>
  void fields(Archive& archive) {
    archive(state_, members_, mirrors_, guard_, claim_, claim_perhaps_used_, synced_by_peer_, move_ordered_,
            force_ordered_, forced_, forced_until_, withdrawn_sequence_, force_since_, vetoed_at_,
            probe_time_, no_handover_before_, peer_ready_since_, split_since_, peer_lineage_,
            divergence_told_, detail_, told_why_not_, lacks_, told_lacks_, took_, changed_);
  }

 private:
  enum class Right : uint8_t { kTakeover, kRelease, kResume, kForce };
  enum class Then : uint8_t { kStandby, kRelease, kFail, kRest };
  struct Standby {};
  struct Starting {};
  struct Active {};
  struct Stopping {
    Then then = Then::kStandby;
    // Its gate is shut for good: the lease ran out on the way, or had done so before. What was evidence
    // before that cannot open it again; only a right to serve can.
    bool silent = false;
    bool flushing = false;
    Instant flush_limit = kNever;
    bool ready = false;  // stopped and flushed: let go of together with those that go along
  };
  struct Suspended {
    Instant since = kLongAgo;
    bool stopping = false;         // the members are being taken down (the grace has passed)
    Instant lease_end = kLongAgo;  // kLongAgo: not known
  };
  struct Released {
    Instant since = kLongAgo;
    bool held = false;  // a handover, as opposed to a grant at a cold start
  };
  struct Failed {
    bool stop_failed = false;
  };
  using State = std::variant<Standby, Starting, Active, Stopping, Suspended, Released, Failed>;
  struct Claim {
    Right right;
    uint64_t version = 0;  // durable from this version on
    Instant since = kLongAgo;
  };

  [[nodiscard]] const ServiceConfig& service() const { return config_->service(id_); }
  [[nodiscard]] const ServiceReport* theirs(const Surroundings& s) const;
  [[nodiscard]] bool peer_holds(const Surroundings& s) const;
  [[nodiscard]] bool data_complete(const Surroundings& s) const;
  [[nodiscard]] bool may_serve(const Surroundings& s) const;
  [[nodiscard]] bool ready(const Surroundings& s) const;
  [[nodiscard]] bool peer_ready(const Surroundings& s) const;
  [[nodiscard]] bool peer_is_candidate(const Surroundings& s) const;
  [[nodiscard]] bool right_holds(Right right, const Surroundings& s) const;
  [[nodiscard]] std::optional<Right> right_to_serve(const Surroundings& s) const;
  [[nodiscard]] bool may_take_over(const Surroundings& s) const;
  [[nodiscard]] bool effects_cleared(const Surroundings& s) const;
  [[nodiscard]] bool may_resume(const Surroundings& s) const;
  [[nodiscard]] bool was_last_active() const;
  [[nodiscard]] bool release_is_fresh(const Surroundings& s) const;

  bool review_peer(const Surroundings& s, Actions& out);
  bool review_claim(const Surroundings& s, Actions& out);
  bool review_state(const Surroundings& s, Actions& out, Standby& state);
  bool review_state(const Surroundings& s, Actions& out, Starting& state);
  bool review_state(const Surroundings& s, Actions& out, Active& state);
  bool review_state(const Surroundings& s, Actions& out, Stopping& state);
  bool review_state(const Surroundings& s, Actions& out, Suspended& state);
  bool review_state(const Surroundings& s, Actions& out, Released& state);
  bool review_state(const Surroundings& s, Actions& out, Failed& state);
  [[nodiscard]] bool wants_to_hand_over(const Surroundings& s, std::string& why) const;
  [[nodiscard]] bool served_unremembered(Epoch told) const;
  void remember(const Surroundings& s, Epoch epoch, Actions& out);
  void review_divergence(const Surroundings& s, Actions& out);
  void tell_mirrors(const Surroundings& s, Actions& out);
  void tell_lacks(Actions& out);
  void tell_scrub(const std::string& title, const MirrorScrub& scrub, Actions& out) const;

  void drop_claim();
  void activate(const Surroundings& s, Actions& out);
  void suspend(const Surroundings& s, const std::string& why, Actions& out);
  void step_down(const Surroundings& s, const std::string& why, Actions& out);
  void stop(const Surroundings& s, Then then, Actions& out);
  void members_failed(const Surroundings& s, Actions& out);
  void stopped(const Surroundings& s, Stopping& state, Actions& out);
  bool flushed(const Surroundings& s, Actions& out, Stopping& state);
  void withdraw(const Surroundings& s);
  void break_off(const Surroundings& s, const std::string& why, Actions& out);
  void become(State state);
  [[nodiscard]] std::vector<std::string> takeover_evidence(const Surroundings& s) const;
  [[nodiscard]] Epoch next_epoch(const Surroundings& s) const;

  // Relations (service_relations.cpp).
  enum class Along : uint8_t { kNobody, kAwaited, kStays };
  [[nodiscard]] const ServiceMachine& other(ServiceId id, const Surroundings& s) const;
  [[nodiscard]] bool serves() const;
  [[nodiscard]] bool waits() const;
  [[nodiscard]] bool serves_at_peer(ServiceId id, const Surroundings& s) const;
  [[nodiscard]] bool is_old_news(const Surroundings& s) const;
  [[nodiscard]] bool is_with(ServiceId id) const;
  [[nodiscard]] std::optional<ServiceId> awaited(const Surroundings& s) const;
  [[nodiscard]] std::optional<ServiceId> running_follower(const Surroundings& s) const;
  [[nodiscard]] bool wants_away(const Surroundings& s) const;
  [[nodiscard]] std::optional<ServiceId> yields_to(const Surroundings& s) const;
  [[nodiscard]] bool may_move(const Surroundings& s) const;
  [[nodiscard]] bool own_wish(const Surroundings& s, std::string& why) const;
  [[nodiscard]] bool leads_away(const Surroundings& s) const;
  [[nodiscard]] bool joins_peer(const Surroundings& s) const;
  [[nodiscard]] std::optional<ServiceId> crowded_by(const Surroundings& s) const;
  [[nodiscard]] bool apart_at_peer(const Surroundings& s) const;
  [[nodiscard]] int pull_of_peer() const;
  [[nodiscard]] std::optional<NodeId> related_place(const Surroundings& s) const;
  [[nodiscard]] std::string why_companions_stay(const Surroundings& s) const;
  [[nodiscard]] Along along(const Surroundings& s) const;
  bool awaits_along(const Surroundings& s, Stopping& state, Actions& out);
  void note_split(const Surroundings& s);
  void start_members(const Surroundings& s, Actions& out);
  bool review_waiting(const Surroundings& s, Actions& out);
  bool await_follower(const Surroundings& s);
  void step_aside(const Surroundings& s, ServiceId forerunner, Actions& out);
  void hand_over(const Surroundings& s, const std::string& why, Actions& out);

  void log(Actions& out, Severity severity, const std::string& text) const;
  void notice(Actions& out, Severity severity, const std::string& kind, const std::string& text) const;
  void decide(const Surroundings& s, Actions& out, const std::string& what,
              std::vector<std::string> evidence) const;

  static constexpr Duration kReleaseLimit = std::chrono::seconds(10);
  static constexpr Duration kFlushLimit = std::chrono::minutes(5);
  static constexpr Duration kHandoverPause = std::chrono::seconds(60);

  const Config* config_;
  ServiceId id_;
  PersistedService* stored_;
  State state_ = Standby{};
  Members members_;
  MirrorRules mirrors_;
  GuardRules guard_;
  std::optional<Claim> claim_;
  // The claim that was found on disk at the start: whether the predecessor has served at it is not known. It
  // stays there until an activation or a higher epoch of the peer overtakes it.
  bool claim_perhaps_used_ = false;
  bool synced_by_peer_ = false;  // the active peer said last that this node has everything
  bool move_ordered_ = false;
  bool force_ordered_ = false;
  bool forced_ = false;  // serves on a human's word: its lease needs no evidence until the peer is heard
  Instant forced_until_ = kLongAgo;  // then the gate's last deadline stands until evidence is there
  uint64_t withdrawn_sequence_ = 1;  // first heartbeat that says that this node does not release (any more)
  Instant force_since_ = kNever;
  Instant vetoed_at_ = kLongAgo;
  Duration probe_time_{};
  Instant no_handover_before_ = kLongAgo;
  Instant peer_ready_since_ = kNever;
  Instant split_since_ = kNever;  // a companion serves on the peer while this one serves here
  std::vector<Epoch> peer_lineage_;
  Epoch divergence_told_;  // data epoch of the other side when it was found
  std::string detail_;
  std::string told_why_not_;  // the last "does not take over" that was written down
  std::string lacks_;         // as last reported
  bool told_lacks_ = false;   // … and told while it was standby
  Took took_ = Took::kNothing;
  bool changed_ = false;  // something that the peer should hear at once
};

}  // namespace clusterd
