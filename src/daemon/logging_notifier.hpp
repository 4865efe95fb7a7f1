// A notifier that writes each notice to the log as well, with fields for the journal, and then hands it on.
//
//   journalctl CLUSTERD_SERVICE=web             every notice of a service
//   journalctl CLUSTERD_NOTICE=takeover -x      every takeover, explained
#pragma once

#include "core/config.hpp"
#include "daemon/log.hpp"
#include "ports/ports.hpp"

namespace clusterd {

class LoggingNotifier final : public Notifier {
 public:
  LoggingNotifier(const Config& config, Log& log, Notifier& next) : config_(config), log_(log), next_(next) {}
  void notify(const Notice& notice) override;

 private:
  const Config& config_;
  Log& log_;
  Notifier& next_;
};

}  // namespace clusterd
