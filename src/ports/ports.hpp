// The seams between decisions and the world. src/linux implements each against a real kernel, sim/ against a
// simulated one. Every port reports what it observes as events into the `EventSink` that it was given.
//
// Threading: all calls come from the reactor's thread, and all events are delivered on it, never from inside
// a call of the same port (the sink queues). No call blocks: what takes time answers later with an event.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "base/result.hpp"
#include "core/actions.hpp"
#include "core/config.hpp"
#include "core/events.hpp"

namespace clusterd {

using EventSink = std::function<void(Event)>;

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual Instant now() const = 0;
  [[nodiscard]] virtual WallTime wall() const = 0;
};

// Heartbeats, direct and relayed. Reports HeartbeatReceived and SignOfLife.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual void send(const SendHeartbeat& order) = 0;
};

// Probes of reference hosts. Reports ProbeAnswered; silence is no event.
class Prober {
 public:
  virtual ~Prober() = default;
  virtual void probe(const SendProbe& order) = 0;
};

// The service's addresses and MAC, and the state of the NICs. Reports AddressReport (after add),
// AddressLost, AddressAnswered (after probe), NicChanged.
class Addresses {
 public:
  virtual ~Addresses() = default;
  virtual void add(ServiceId service) = 0;
  virtual void remove(ServiceId service) = 0;
  virtual void announce(ServiceId service) = 0;
  virtual void probe(const ProbeAddress& order) = 0;
};

// The kernel's lease gate. Attached to a service's NICs by `attach` before its first address is added, and
// left attached when the daemon ends. `set` is one memory store.
class Gate {
 public:
  virtual ~Gate() = default;
  virtual Result<void> attach(ServiceId service) = 0;
  virtual void set(ServiceId service, Instant deadline) = 0;
  virtual void shut(ServiceId service) = 0;
};

// Members of services. Reports UnitReport.
class Units {
 public:
  virtual ~Units() = default;
  virtual void start(const StartUnit& order) = 0;
  virtual void stop(const StopUnit& order) = 0;
};

// Reports CheckReport at each change and after each failure, while started.
class Checks {
 public:
  virtual ~Checks() = default;
  virtual void start(ServiceId service) = 0;
  virtual void stop(ServiceId service) = 0;
};

// The mirror process. Reports MirrorReport, and GuardReport. A run that was cancelled reports kFailed.
class MirrorPeer {
 public:
  virtual ~MirrorPeer() = default;
  virtual void order(const MirrorOrder& order) = 0;
  virtual void cancel(ServiceId service) = 0;
  // Kills what the peer's runs are writing on this node; returns when none of them can write any more.
  virtual void stop_receivers(ServiceId service) = 0;
  // The folders of the service's mirrors with `guard` become read-only for everybody but the peer's runs, as
  // soon as that is possible …
  virtual void set_guard(ServiceId service) = 0;
  // … and are writable again when this returns, whatever there was to guard, and whoever has set it.
  virtual void lift_guard(ServiceId service) = 0;
};

// Durable state. Reports Persisted. Calls may overlap; a later state replaces an earlier one.
class StateStore {
 public:
  virtual ~StateStore() = default;
  virtual void persist(uint64_t version, const PersistedState& state) = 0;
};

// This machine's watchdog device. Reports WatchdogReport: after kArm, and for a pet that did not arrive.
class Watchdog {
 public:
  virtual ~Watchdog() = default;
  virtual void tend(WatchdogOrder order) = 0;
};

// The peer's fence agent. Reports FenceReport; a later order ends an earlier one without a report.
class Fence {
 public:
  virtual ~Fence() = default;
  virtual void run(const FenceOrder& order) = 0;
};

// Tells humans: hook command and mail, in order, one at a time. Reports nothing.
class Notifier {
 public:
  virtual ~Notifier() = default;
  virtual void notify(const Notice& notice) = 0;
};

}  // namespace clusterd
