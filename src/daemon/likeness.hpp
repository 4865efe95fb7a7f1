// What clusterd-config tells the daemon of the services' likeness: kept for `status` and `check`, and written
// to the log when it changes, by the node that is standby. No decision knows of it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "alike/words.hpp"
#include "core/config.hpp"
#include "core/status.hpp"
#include "daemon/control_backend.hpp"
#include "daemon/log.hpp"

namespace clusterd {

class LikenessKnown {
 public:
  LikenessKnown(const Config& config, Log& log) : config_(config), log_(log) {}

  // One report of clusterd-config. Not ok: it is none, and nothing has changed.
  [[nodiscard]] CommandAnswer take(const std::string& text, const Status& status);

  [[nodiscard]] const alike::Report& report() const { return report_; }
  // Programs that are not on this machine, in words, per service.
  [[nodiscard]] std::vector<std::vector<std::string>> lacks() const;

 private:
  void tell(ServiceId service, const alike::Likeness& likeness);

  const Config& config_;
  Log& log_;
  alike::Report report_;
  std::map<std::string, std::string> told_;  // by service: the differences; empty: none
};

// In words that are the same on both nodes.
[[nodiscard]] std::string text_of(const Config& config, const alike::Difference& difference);

// A service's member "likeness" of the status (status_json.hpp).
[[nodiscard]] boost::json::value likeness_value(const Config& config, const ServiceConfig& service,
                                                const alike::Report& report);

}  // namespace clusterd
