// A systemd unit (UnitConfig::Kind::kSystemd).
//
// Started means: the start job ended with "done" and the unit is active. So a Type=notify or Type=forking
// service is started when it says so; a oneshot needs RemainAfterExit=yes. Stopped means: the stop job ended
// and the unit is inactive or failed. A crash is an event (PropertiesChanged): the unit is inactive or
// failed, or about to be restarted by systemd, without an order of ours and without a job queued by somebody
// else
// (`systemctl restart` by the administrator is no crash; `systemctl stop` is reported as one).
//
// systemd's own Restart= does not fight with clusterd: a crash is reported although systemd is about to
// restart the unit, the core counts it and orders a start (which does not wait for RestartSec=) or a stop
// (which ends systemd's attempts). After a failed start the attempts are ended here. A failed unit is reset
// before it is started, so that systemd's start limit does not add to the budget of the core.
//
// Units of services must not be enabled at boot, nor be pulled in by other units: `clusterctl check` warns.
#pragma once

#include <memory>
#include <string>

#include "linux/units/systemd_bus.hpp"
#include "linux/units/unit_driver.hpp"

namespace clusterd {

class SystemdUnit final : public UnitDriver, private SystemdBus::Listener {
 public:
  SystemdUnit(UnitContext context, SystemdBus& bus);
  ~SystemdUnit() override;
  SystemdUnit(const SystemdUnit&) = delete;
  SystemdUnit& operator=(const SystemdUnit&) = delete;
  void start() override;
  void stop(bool kill) override;

 private:
  enum class State { kIdle, kStarting, kRunning, kStopping };

  void unit_changed() override;
  void job_removed(const std::string& job, const std::string& unit, const std::string& result) override;
  void connection_lost(const std::string& why) override;

  void look();  // loads the unit and reads its state, then goes on with the order under way
  void order_failed(const std::string& why);
  void go_on_starting(const SystemdState& state);
  void go_on_stopping(const SystemdState& state);
  void send_start(bool at_once);
  void send_stop();
  void send_kill();
  void job_ended(const std::string& result);
  void start_verdict(const std::string& job_result, const SystemdState& state);
  void stop_verdict(const std::string& job_result, const SystemdState& state);
  void judge_running(const SystemdState& state);

  // Wraps a continuation so that it is dropped when this unit is gone or a later order was given.
  template <class T>
  SystemdBus::Done<T> guarded(std::function<void(Result<T>)> next);

  const std::string& name() const { return context_.config.name; }

  UnitContext context_;
  SystemdBus& bus_;
  std::shared_ptr<bool> alive_;
  State state_ = State::kIdle;
  bool kill_ = false;
  uint64_t turn_ = 0;  // number of the order under way
  std::string path_, id_;
  std::string job_;                            // the order's job, while it is queued or running
  bool looking_ = false, look_again_ = false;  // a reading for judge_running is under way; it is out of date
  std::unique_ptr<Timer> kill_timer_;
};

}  // namespace clusterd
