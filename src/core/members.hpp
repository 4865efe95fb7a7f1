// The members of one service on this node: addresses, units and checks, brought up in order and taken down in
// the reverse order, each with its time limit.
//
// This machine knows nothing of peers, leases and epochs: it is told to be up or down, restarts what fails
// within the budget, and says when it cannot. A stop counts only when each unit has been verified as stopped
// (S7); what does not stop in time is killed, and what survives that leaves the state kStopFailed.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "core/actions.hpp"
#include "core/config.hpp"

namespace clusterd {

class Members {
 public:
  enum class State : uint8_t {
    kUnknown,      // the daemon has just started
    kDown,         // verified
    kStarting,     //
    kUp,           //
    kStopping,     //
    kStartFailed,  // beyond the restart budget; something may still run
    kStopFailed,   // something may still run, and refuses to end
  };

  Members(const Config& config, ServiceId id);

  // Brings everything up, or makes sure that it is (idempotent).
  void start(Instant now, Actions& out);
  // Takes everything down (a hot service keeps its units).
  void stop(Instant now, Actions& out);
  // A hot standby: units up, addresses down. Only for a hot service that is down.
  void keep_hot(Instant now, Actions& out);

  void on(Instant now, const AddressReport& event, Actions& out);
  void on(Instant now, const AddressLost& event, Actions& out);
  void on(Instant now, const UnitReport& event, Actions& out);
  void on(Instant now, const CheckReport& event, Actions& out);
  void tick(Instant now, Actions& out);
  [[nodiscard]] Instant next_deadline() const;

  [[nodiscard]] State state() const { return state_; }
  // Something of it may run here: not verified as stopped, or not asked yet.
  [[nodiscard]] bool may_run() const { return state_ != State::kDown && !service().units.empty(); }
  [[nodiscard]] bool hot_ready() const;  // of a hot service: its units run
  // Why the last start or stop failed, in words.
  [[nodiscard]] const std::string& trouble() const { return trouble_; }
  // After kStartFailed: the unit says that it cannot start on the peer either.
  [[nodiscard]] bool nowhere() const { return nowhere_; }
  [[nodiscard]] unsigned restarts(Instant now) const;
  void forgive();  // the administrator gives the budget back

  [[nodiscard]] const std::vector<UnitReport::Outcome>& units() const { return outcome_; }
  [[nodiscard]] const std::vector<bool>& checks() const { return check_good_; }

  // Everything that a snapshot of the node must hold (core/node_snapshot.cpp).
  template <class Archive>
  void fields(Archive& archive) {
    archive(state_, addresses_up_, killing_, restarting_, restart_to_, at_, limit_, checks_count_from_,
            nowhere_, trouble_, restart_times_, outcome_, check_failures_, check_good_);
    archive.same_size(outcome_, service().units);
    archive.same_size(check_failures_, service().checks);
    archive.same_size(check_good_, service().checks);
    archive.fail_if(at_ > outcome_.size() || restart_to_ > outcome_.size());
  }

 private:
  static constexpr Duration kAddressLimit = std::chrono::seconds(10);

  [[nodiscard]] const ServiceConfig& service() const { return config_->service(id_); }
  void log(Actions& out, Severity severity, const std::string& text) const;
  void start_unit(Instant now, size_t unit, Actions& out);
  void started_all(Instant now, Actions& out);
  void stop_unit(Instant now, size_t unit, bool kill, Actions& out);
  void take_back_starts(Actions& out) const;
  void stopped_all(Actions& out);
  void stop_did_not_work(Instant now, const std::string& detail, Actions& out);
  void failed(Instant now, const std::string& what, Actions& out,
              UnitReport::Again again = UnitReport::Again::kHere);
  void give_up(Actions& out);
  void restart_from(Instant now, size_t unit, Actions& out);
  [[nodiscard]] bool unit_runs(size_t unit) const;

  const Config* config_;
  ServiceId id_;
  State state_ = State::kUnknown;
  bool addresses_up_ = false;
  bool killing_ = false;
  bool restarting_ = false;  // stops units in order to start them again,
  size_t restart_to_ = 0;    // from the last one down to this one
  size_t at_ = 0;            // the unit that is being started or stopped
  Instant limit_ = kNever;   // of the step under way
  Instant checks_count_from_ = kNever;
  bool nowhere_ = false;
  std::string trouble_;
  std::deque<Instant> restart_times_;
  std::vector<UnitReport::Outcome> outcome_;
  std::vector<unsigned> check_failures_;
  std::vector<bool> check_good_;
};

}  // namespace clusterd
