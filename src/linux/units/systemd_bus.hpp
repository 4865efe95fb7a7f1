// systemd's manager and logind over the system bus, without a blocking call. Internal to this folder; the
// only file that includes sd-bus is systemd_bus.cpp.
//
// Connects when first asked, and again with growing pauses (0.2 s to 10 s) after the connection was lost. A
// call made without a connection tries at once, and fails at once with the reason when there is no bus. Calls
// that were under way when the connection broke get an error.
//
// Callbacks come on the loop's thread, never from inside the call, and none after the bus was destroyed. The
// caller guards its own lifetime.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.hpp"
#include "linux/event_loop.hpp"
#include "linux/fd.hpp"

namespace clusterd {

// What is needed of a unit's properties; empty where the unit has no such property.
struct SystemdState {
  std::string id;    // canonical name: another one if it was asked for by an alias
  std::string load;  // "loaded", "not-found", "masked", "bad-setting", "error"
  std::string load_error;
  std::string active;     // "active", "reloading", "inactive", "failed", "activating", "deactivating"
  std::string sub;        // "running", "exited", "dead", "auto-restart", …
  std::string result;     // "success", "exit-code", "signal", "timeout", "start-limit-hit", …
  int32_t main_code = 0;  // CLD_EXITED, CLD_KILLED… of the last main process
  int32_t main_status = 0;
  uint32_t job = 0;  // a queued job's number

  [[nodiscard]] bool runs() const { return active == "active" || active == "reloading"; }
  [[nodiscard]] bool stopped() const { return active == "inactive" || active == "failed"; }
  // "failed (exit code 3)", "inactive (dead)"
  [[nodiscard]] std::string text() const;
};

// The unit cannot be started whatever is tried: says why, or nothing.
[[nodiscard]] std::string systemd_obstacle(const std::string& unit, const SystemdState& state);

class SystemdBus {
 public:
  explicit SystemdBus(EventLoop& loop);
  ~SystemdBus();
  SystemdBus(const SystemdBus&) = delete;
  SystemdBus& operator=(const SystemdBus&) = delete;

  template <class T>
  using Done = std::function<void(Result<T>)>;

  // The unit's object path; systemd loads its file if it has not yet.
  void load_unit(const std::string& unit, Done<std::string> done);
  void state(const std::string& path, Done<SystemdState> done);
  // Mode "replace"; the job's object path.
  void start_unit(const std::string& unit, Done<std::string> done);
  void restart_unit(const std::string& unit, Done<std::string> done);
  void stop_unit(const std::string& unit, Done<std::string> done);
  void kill_unit(const std::string& unit, int signal, Done<std::string> done);  // every process; result empty
  void reset_failed(const std::string& unit, Done<std::string> done);           // result empty
  // "enabled", "disabled", "masked", "static", …
  void unit_file_state(const std::string& unit, Done<std::string> done);
  // Of the whole system: "running", "degraded", … and "stopping" as soon as a shutdown is under way.
  void system_state(Done<std::string> done);

  // logind: a shutdown waits (for as long as logind.conf allows) while the descriptor is open.
  void delay_shutdown(const std::string& who, const std::string& why, Done<Fd> done);
  // logind says that the system is about to go down (true), or that it will not after all (false).
  void on_shutdown(std::function<void(bool)> told);

  struct Listener {
    virtual ~Listener() = default;
    // A property of a followed unit may have changed. Also after a new connection.
    virtual void unit_changed() = 0;
    virtual void job_removed(const std::string& job, const std::string& unit, const std::string& result) = 0;
    virtual void connection_lost(const std::string& why) = 0;
  };
  // The listener hears of all jobs and of the unit at `path` until it is dropped.
  void follow(Listener* listener, const std::string& path);
  void drop(Listener* listener);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace clusterd
