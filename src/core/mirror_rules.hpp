// Mirror rules of one service on the active node: when its mirrors run, and whether the peer has everything.
//
// The active node of the highest epoch is the only source (S8). After each activation, and each time the peer
// was away, every mirror is first run as a *resync* (overwritten files go to a backup set, S9); once all of
// them have completed, the peer is `synced` and may take over. From then on they run on their schedule.
// A halted mirror (S10) waits for the administrator. Mirrors with a target of their own (`to`) only run on
// schedule and count for nothing else.
#pragma once

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

  // The last run before a handover. Done when flush_state() is no longer kRunning.
  enum class Flush : uint8_t { kNone, kRunning, kDone, kFailed };
  void flush(Instant now, Actions& out);
  [[nodiscard]] Flush flush_state() const { return flush_; }
  [[nodiscard]] const std::string& flush_trouble() const { return flush_trouble_; }

  // The administrator's orders. False if there is no such mirror (or nothing to do).
  bool run_now(Instant now);
  void resync_now(Instant now);
  bool confirm(const std::string& mirror, Instant now);

  [[nodiscard]] bool any_to_peer() const;
  // All mirrors to the peer have completed in this epoch (true if there are none).
  [[nodiscard]] bool peer_synced() const;
  [[nodiscard]] bool busy() const;
  [[nodiscard]] Instant next_deadline() const;
  [[nodiscard]] std::vector<MirrorStatus> status() const;
  // Results to tell a human about, since the last call.
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
    unsigned failures = 0;
    MirrorReport::Kind kind = MirrorReport::Kind::kRun;
    Instant started = kLongAgo;
    Instant last_success = kLongAgo;
    Instant due = kLongAgo;
    std::string detail;
    std::optional<MirrorReport> last;
  };

  [[nodiscard]] const ServiceConfig& service() const { return config_->service(id_); }
  [[nodiscard]] bool to_peer(size_t mirror) const { return !service().mirrors.at(mirror).to; }
  void order(Instant now, size_t mirror, MirrorReport::Kind kind, Actions& out);
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
