// One member of a service, whatever its kind: what LinuxUnits drives. Internal to this folder.
//
// A driver answers each order with one report (through `report` of its context), unless a later order
// supersedes it: a stop during a start cancels the start, and only the stop is answered. Reports are the last
// thing a driver does in a function, so that the receiver may give the next order from inside.
#pragma once

#include <functional>
#include <string>

#include "core/config.hpp"
#include "core/events.hpp"
#include "linux/event_loop.hpp"

namespace clusterd {

struct UnitContext {
  EventLoop& loop;
  const UnitConfig& config;
  std::string service;  // its name
  std::string stem;     // run_dir/units/<service>.<unit>, without extension
  std::function<void(UnitReport::Outcome, std::string detail)> report;
  // The same, with where it is worth trying again.
  std::function<void(UnitReport::Outcome, std::string detail, UnitReport::Again)> report_again;
  std::function<void(std::string text)> warn;  // tells the administrator of what is no failure; may be empty
};

class UnitDriver {
 public:
  virtual ~UnitDriver() = default;  // leaves running what runs
  virtual void start() = 0;
  virtual void stop(bool kill) = 0;
};

}  // namespace clusterd
