// Performs one step's actions, in the order that core/actions.hpp documents. Nothing here decides anything.
#pragma once

#include <functional>

#include "core/actions.hpp"
#include "ports/ports.hpp"

namespace clusterd {

// The ports of a running daemon. All are owned elsewhere and outlive the reactor.
struct Ports {
  Transport* transport = nullptr;
  Prober* prober = nullptr;
  Addresses* addresses = nullptr;
  Gate* gate = nullptr;
  Units* units = nullptr;
  Checks* checks = nullptr;
  MirrorPeer* mirror = nullptr;
  StateStore* state = nullptr;
  Watchdog* watchdog = nullptr;  // if one is configured
  Fence* fence = nullptr;        // if the peer has one
  Notifier* notifier = nullptr;
};

// Where the sixth group of actions ("tell") goes, beside the notifier.
struct Teller {
  std::function<void(const LogLine&)> log;
  std::function<void(const Decision&)> decision;
  std::function<void(const Reply&)> reply;
};

void perform(const Actions& actions, const Ports& ports, const Teller& teller);

}  // namespace clusterd
