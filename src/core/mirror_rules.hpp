// Mirror rules of one service on the active node: when its mirrors run, and whether the peer has everything.
//
// The active node of the highest epoch is the only source (S8). After each activation, and each time the peer
// was away, every mirror is first run as a *resync* (overwritten files go to a backup set, S9); once all of
// them have completed, the peer is `synced` and may take over. From then on they run on their schedule.
// A halted mirror (S10) waits for the administrator. Mirrors with a target of their own (`to`) only run on
// schedule and count for nothing else.
//
// A live mirror is ordered to take note of changes (kFollow) as soon as the node is active, whether or not
// the peer is there. Once its resync has ended it follows; its schedule is that of compares for safety's
// sake. If the stream breaks, a run (a compare, and it follows again) is ordered at once, and after a failure
// of that with growing pauses. For `synced` it counts like any other: a stream that has broken leaves the
// peer behind, as the time between two runs does.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/actions.hpp"
#include "core/config.hpp"
#include "core/status.hpp"

namespace clusterd {

class MirrorRules {
 public:
  MirrorRules(const Config& config, ServiceId id);

  // What the administrator has not confirmed yet, from an earlier life of the daemon (S10).
  void restore_halts(const std::vector<std::string>& mirrors);
  // The files here were replaced by the peer's: what the halts were about is gone.
  void forget_halts();
  // This node has become active at `epoch`: nothing is known of the peer's files.
  void begin(Instant now, Epoch epoch, Actions& out);
  // It is no longer active: runs under way are cancelled.
  void end(Actions& out);
  // The peer was away or has restarted: it has to be resynchronised.
  void peer_was_away();
  // Orders what is due. `peer_receives`: the peer is heard directly and stands by for this service.
  void review(Instant now, bool peer_receives, Actions& out);
  void on(Instant now, const MirrorReport& report, Actions& out);

  // The last run before a handover. Done when flush_state() is no longer kRunning. It fails at once while a
  // mirror is halted: what the root has become must not reach the peer by this way either (S10).
  enum class Flush : uint8_t { kNone, kRunning, kDone, kFailed };
  void flush(Instant now, Actions& out);
  [[nodiscard]] Flush flush_state() const { return flush_; }
  [[nodiscard]] const std::string& flush_trouble() const { return flush_trouble_; }

  // The administrator's orders. False if there is no such mirror (or nothing to do).
  bool run_now(Instant now);
  void resync_now(Instant now);
  bool confirm(const std::string& mirror, Instant now);
  // Contents of a live mirror (empty: of all) are compared from now on, beside everything else. Why not, or
  // "".
  std::string scrub(const std::string& mirror, Actions& out);
  // Nothing is carried over by this mirror (empty: by all) until `resume`; a live one goes on taking note. A
  // pause is the administrator's for the time being: it ends with the tenure, and with a handover, which
  // needs the files. A run by rsync that is under way ends first.
  std::string pause(const std::string& mirror, Actions& out);
  std::string resume(const std::string& mirror, Instant now);

  [[nodiscard]] bool any_to_peer() const;
  // The name of a mirror to the peer that waits for the administrator: nothing is flushed before he has
  // spoken.
  [[nodiscard]] std::optional<std::string> halted_to_peer() const;
  // All mirrors to the peer have completed in this epoch (true if there are none).
  [[nodiscard]] bool peer_synced() const;
  [[nodiscard]] bool busy() const;
  [[nodiscard]] Instant next_deadline(Instant now) const;  // after `now`
  [[nodiscard]] std::vector<MirrorStatus> status() const;
  // Results to tell a human about, since the last call. With kProgress: a scrub has ended.
  struct Finished {
    MirrorReport report;
    std::string mirror;
    bool first_failure = false;
  };
  [[nodiscard]] std::vector<Finished> take_finished();

  // Everything that a snapshot of the node must hold (core/node_snapshot.cpp).
  template <class Archive>
  void fields(Archive& archive) {
    archive(active_, epoch_, flush_, flush_trouble_, mirrors_, finished_);
    archive.same_size(mirrors_, service().mirrors);
  }

 private:
  struct Mirror {
    bool synced = false;
    bool running = false;
    bool halted = false;
    bool confirmed = false;
    bool paused = false;
    bool noting = false;     // live: has been ordered to take note of changes, and has not failed since
    bool following = false;  // live: … and sends them as they happen
    unsigned failures = 0;
    MirrorReport::Kind kind = MirrorReport::Kind::kRun;
    Instant started = kLongAgo;
    Instant last_success = kLongAgo;
    Instant due = kLongAgo;
    std::string detail;
    std::optional<MirrorReport> last;
    MirrorLag lag;
    Instant lag_at = kLongAgo;
    MirrorScrub scrub;
  };

  [[nodiscard]] const ServiceConfig& service() const { return config_->service(id_); }
  [[nodiscard]] bool to_peer(size_t mirror) const { return !service().mirrors.at(mirror).to; }
  [[nodiscard]] bool live(size_t mirror) const { return service().mirrors.at(mirror).live; }
  void order(Instant now, size_t mirror, MirrorReport::Kind kind, Actions& out);
  void take_note(size_t mirror, Actions& out);
  void cancel(Actions& out);
  [[nodiscard]] bool concerns_this_tenure(const MirrorReport& report) const;
  [[nodiscard]] std::string unknown(const std::string& mirror) const;
  void take_scrub(const MirrorReport& report, Mirror& mirror);
  [[nodiscard]] bool stands_failed(size_t mirror) const;
  void failed(Instant now, Mirror& mirror, const MirrorConfig& config, Finished& finished);
  void finish_flush();

  const Config* config_;
  ServiceId id_;
  bool active_ = false;
  Epoch epoch_;
  Flush flush_ = Flush::kNone;
  std::string flush_trouble_;
  std::vector<Mirror> mirrors_;
  std::vector<Finished> finished_;
};

}  // namespace clusterd
