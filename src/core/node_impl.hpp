// The inside of `Node`: one class, implemented in node.cpp (the step, and the evidence it takes in),
// node_conclusions.cpp, node_fencing.cpp (the peer's end, and the own one), node_sending.cpp (what leaves the
// node), node_commands.cpp (the administrator's orders) and node_status.cpp (what is shown).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/fencing.hpp"
#include "core/node.hpp"
#include "core/peer.hpp"
#include "core/reference_hosts.hpp"
#include "core/service_machine.hpp"
#include "core/timing.hpp"

namespace clusterd {

class Node::Impl {
 public:
  Impl(const Config& config, const PersistedState& state);

  Actions step(Instant now, const Event& event);
  [[nodiscard]] Instant next_deadline() const { return deadline_; }
  [[nodiscard]] const Status& status() {
    make_status();
    return status_;
  }

  [[nodiscard]] const PersistedState& state() const { return state_; }
  [[nodiscard]] Instant now() const { return now_; }
  // Everything that a snapshot of the node must hold (core/node_snapshot.cpp), but for `state_`, from which
  // the node was made, and `status_`, which is made anew when it is asked for.
  template <class Archive>
  void fields(Archive& archive) {
    for (auto& service : services_) archive(service);
    archive(peer_, hosts_, nics_, now_, wall_, wall_at_, clock_skew_, started_, started_at_, boot_, sequence_,
            deadline_, next_heartbeat_, next_slow_probe_, last_probe_, next_address_probe_, fast_,
            say_it_now_, lease_, inherited_lease_, gates_, lateness_, late_at_, leaving_, exiting_,
            peer_was_heard_, links_due_, told_awaited_, told_config_differs_, moves_stopped_, link_up_,
            peer_better_since_, lineage_turn_, promise_wanted_, promise_sequence_, promise_asked_,
            restart_command_, promised_until_, holds_back_, submitted_, version_, durable_version_,
            retry_persist_, told_persist_failed_, held_replies_, waiting_, request_, answered_request_,
            answer_, answer_is_new_, answer_version_, last_decision_, nics_up_, spare_used_, spare_lost_,
            spare_due_, host_rebooted_, fencing_, watchdog_armed_, next_pet_, next_arm_, unsane_since_,
            told_unsane_, told_unarmed_, watchdog_detail_, tells_lacks_, peer_lacks_, always_stuck_);
    archive.same_size(gates_, config_.services);
    archive.same_size(link_up_, config_.links);
    archive.same_size(unsane_since_, config_.services);
  }

 private:
  // Evidence (node.cpp), conclusions (node_conclusions.cpp), what leaves (node_sending.cpp).
  void note_lateness(Instant now, Actions& out);
  void on(const Started& event, Actions& out);
  void on(const Tick& event, Actions& out);
  void on(const HeartbeatReceived& event, Actions& out);
  void on(const SignOfLife& event, Actions& out);
  void on(const ProbeAnswered& event, Actions& out);
  void on(const NicChanged& event, Actions& out);
  void on(const AddressAnswered& event, Actions& out);
  void on(const AddressReport& event, Actions& out);
  void on(const AddressLost& event, Actions& out);
  void on(const UnitReport& event, Actions& out);
  void on(const CheckReport& event, Actions& out);
  void on(const MirrorReport& event, Actions& out);
  void on(const Persisted& event, Actions& out);
  void on(const Command& event, Actions& out);
  void on(const WatchdogReport& event, Actions& out);
  void on(const FenceReport& event, Actions& out);
  void on(const LackReport& event, Actions& out);
  void on(const GuardReport& event, Actions& out);
  [[nodiscard]] bool repeats(const Heartbeat& heartbeat) const;
  void learn_from_peer(const Heartbeat& heartbeat, Actions& out);
  void obey_peer_lock(const Heartbeat& heartbeat, Actions& out);
  void renew_lease();
  void review_links(Actions& out);
  void review_spare(Actions& out);
  void review_reachability();
  void review_moves_stopped(Actions& out);
  void review_services(Actions& out);
  void review_fencing(Actions& out);
  void review_watchdog(Instant lease_before, Actions& out);
  void review_promise(Actions& out);
  void send_heartbeat(Actions& out);
  void probe_addresses(Actions& out);
  void set_gates(Actions& out);
  void persist(Actions& out);
  void hold_replies(Actions& out);
  void release_replies(const Persisted& event, Actions& out);
  void number_notices(Actions& out);
  void reckon_deadline();

  [[nodiscard]] Surroundings surroundings() const;
  [[nodiscard]] Heartbeat heartbeat() const;
  [[nodiscard]] bool config_agrees() const;
  [[nodiscard]] bool peer_heard() const;
  [[nodiscard]] bool evidence_is_late() const;
  [[nodiscard]] bool find_nics_up() const;
  [[nodiscard]] bool spare_is_used() const;
  [[nodiscard]] bool nics_up() const { return nics_up_; }
  [[nodiscard]] bool nics_reach() const { return nics_up_ && !spare_lost_; }
  [[nodiscard]] Duration window() const;         // W, lengthened by the own lateness
  [[nodiscard]] Duration lease_is_over() const;  // silence after which the peer's lease has run out
  [[nodiscard]] Instant silent_since() const;
  [[nodiscard]] Instant conclusive_at() const;  // a probe sent from then on can complete the evidence
  [[nodiscard]] bool promised() const;
  [[nodiscard]] bool silent_past_lease() const;
  [[nodiscard]] bool silent_past_window() const;
  // The peer's end, and the own one (node_fencing.cpp).
  [[nodiscard]] bool fence_mode() const;
  [[nodiscard]] bool may_fence() const;
  [[nodiscard]] bool fence_holds() const;
  [[nodiscard]] bool peer_watchdog_has_fired() const;
  void add_effects(Surroundings& s) const;
  [[nodiscard]] std::string effects_reason() const;
  void doubt_fence(bool new_boot, Actions& out);
  [[nodiscard]] std::vector<std::string> silence_evidence() const;
  [[nodiscard]] std::string no_takeover_reason() const;
  [[nodiscard]] int score_here() const;
  [[nodiscard]] int score_peer() const;
  [[nodiscard]] const std::string& self_name() const { return config_.node(config_.self).name; }
  [[nodiscard]] const std::string& peer_name() const { return config_.node(config_.peer()).name; }

  // Orders (node_commands.cpp).
  void obey(const Command& command, Actions& out);
  std::string order_move(const Command& command);
  void order_standby(const Command& command, Actions& out);
  void order_online(const Command& command, Actions& out);
  void order_force(const Command& command, Actions& out);
  void order_mirror(const Command& command, Actions& out);
  void order_stop_services();
  void order_restart(const Command& command, Actions& out);
  void order_hold_back(const Command& command, Actions& out);
  void order_always_stuck(const Command& command, Actions& out);
  void lock(const std::string& reason, Actions& out);
  void unlock(Actions& out);
  bool forward(Request::Kind kind, const Command& command, Actions& out);
  void obey_request(const Heartbeat& heartbeat, Actions& out);
  void take_back(uint64_t request);
  void shorten_forwarded_moves();
  void review_waiting(Actions& out);
  void reply(Actions& out, uint64_t command, bool ok, std::string text) const;

  // Telling (node_status.cpp).
  void make_status();
  [[nodiscard]] std::string guarantee() const;
  [[nodiscard]] std::string fence_text() const;
  void log(Actions& out, Severity severity, std::string text) const;
  void notice(Actions& out, Severity severity, std::string kind, std::string text) const;

  const Config config_;
  const Duration lease_is_over_;  // see lease_is_over()
  const Duration stop_limit_;     // S of S13 (core/timing.hpp)
  const Duration effects_bound_;  // E; zero without a watchdog
  PersistedState state_;
  std::vector<ServiceMachine> services_;
  Peer peer_;
  ReferenceHosts hosts_;
  std::map<std::string, NicChanged> nics_;
  bool nics_up_ = true;  // those of the links that services need
  // The spare NIC (mac = "redundant") shows its carrier only while a service is on it; that it had none is
  // remembered after the service has left, lest it come back for nothing.
  static constexpr Duration kSpareLimit = std::chrono::seconds(10);  // to come up
  bool spare_used_ = false;
  bool spare_lost_ = false;
  Instant spare_due_ = kNever;

  Instant now_ = kLongAgo;
  WallTime wall_{};  // as of wall_at_
  Instant wall_at_ = kLongAgo;
  Duration clock_skew_{};
  bool started_ = false;
  Instant started_at_ = kLongAgo;
  BootId boot_;
  uint64_t sequence_ = 0;
  Instant deadline_ = kLongAgo;
  Instant next_heartbeat_ = kLongAgo;
  Instant next_slow_probe_ = kLongAgo;
  Instant last_probe_ = kLongAgo;
  Instant next_address_probe_ = kLongAgo;
  bool fast_ = false;        // evidence is late: probes and relays go with every heartbeat
  bool say_it_now_ = false;  // something changed that the peer should hear at once

  Instant lease_ = kLongAgo;
  Instant inherited_lease_ = kLongAgo;  // of the predecessor's gate, until the first own evidence
  std::vector<Instant> gates_;          // as last set, per service
  Duration lateness_{};
  Instant late_at_ = kLongAgo;

  bool leaving_ = false;
  bool exiting_ = false;  // the daemon ends: nothing is decided any more
  bool peer_was_heard_ = false;
  Instant links_due_ = kNever;  // by then a peer that has come back is heard on every link
  bool told_awaited_ = false;   // the peer is not heard, but was promised to be waited for
  bool told_config_differs_ = false;
  bool moves_stopped_ = false;
  std::vector<bool> link_up_;
  Instant peer_better_since_ = kNever;
  size_t lineage_turn_ = 0;

  // Promise (clean restart).
  static constexpr Duration kPromise = std::chrono::seconds(5);
  static constexpr Duration kPromiseLimit = std::chrono::seconds(2);
  bool promise_wanted_ = false;
  uint64_t promise_sequence_ = 0;  // first heartbeat that asks for it
  Instant promise_asked_ = kNever;
  std::optional<uint64_t> restart_command_;
  Instant promised_until_ = kLongAgo;  // what this node has promised to its peer
  bool holds_back_ = false;            // until both nodes have settled on a configuration
  std::string always_stuck_;           // what of the always mirror waits for a human

  // Persisting.
  PersistedState submitted_;
  uint64_t version_ = 0;
  uint64_t durable_version_ = 0;
  Instant retry_persist_ = kNever;
  bool told_persist_failed_ = false;
  struct HeldReply {
    uint64_t version = 0;
    Reply reply;
  };
  std::vector<HeldReply> held_replies_;  // until their effect is durable

  // Orders under way.
  struct Waiting {
    uint64_t command = 0;
    Command::Kind kind = Command::Kind::kMove;
    std::optional<ServiceId> service;
    uint64_t request = 0;   // forwarded to the peer under this number, 0 = done here
    uint64_t sequence = 0;  // of the first heartbeat that carries the request
    bool accepted = false;
    Instant limit = kNever;
  };
  std::vector<Waiting> waiting_;
  Request request_;                // the latest one sent to the peer
  uint64_t answered_request_ = 0;  // the last one of the peer's present daemon
  RequestAnswer answer_;           // to the peer's latest request, told once its effect is durable
  bool answer_is_new_ = false;
  uint64_t answer_version_ = 0;

  // Fencing and the watchdog (S13).
  static constexpr Duration kFenceHolds = std::chrono::seconds(30);
  static constexpr Duration kArmAgain = std::chrono::seconds(10);
  bool host_rebooted_ = true;  // before this daemon's life
  Fencing fencing_;
  bool watchdog_armed_ = false;
  Instant next_pet_ = kLongAgo;
  Instant next_arm_ = kLongAgo;
  std::vector<Instant> unsane_since_;  // per service: kNever, or since when its units run without a right
  bool told_unsane_ = false;
  bool told_unarmed_ = false;
  std::string watchdog_detail_;

  bool tells_lacks_ = false;  // something was lacking in this daemon's life: the peer is told (kLacksTurn)
  uint64_t peer_lacks_ = 0;   // a bit per ServiceId, as last told by the peer's present daemon

  std::optional<Decision> last_decision_;
  Status status_;
};

}  // namespace clusterd
