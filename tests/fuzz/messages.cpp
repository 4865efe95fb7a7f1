// One line of the mirror process to the daemon, and of the daemon to it.
#include "mirror/messages.hpp"

#include "sample_config.hpp"
#include "targets.hpp"

namespace clusterd::fuzz {

void fuzz_messages(Bytes input) {
  static const Config config = sample_config();
  const std::string_view line = text_of(input);
  if (const auto order = mirror::parse_order(config, line)) {
    if (const auto* run = std::get_if<MirrorOrder>(&*order)) {
      require(run->mirror.at() < config.service(run->service).mirrors.size(), "a mirror of the service");
      const auto again = mirror::parse_order(config, mirror::write_order(config, *run));
      require(again && std::holds_alternative<MirrorOrder>(*again), "an order is read back");
      const auto& back = std::get<MirrorOrder>(*again);
      require(back.service == run->service && back.mirror == run->mirror && back.kind == run->kind &&
                  back.epoch == run->epoch && back.confirmed == run->confirmed,
              "an order is read back as it was");
    } else {
      const auto service = std::get<mirror::Cancel>(*order).service;
      const auto again = mirror::parse_order(config, mirror::write_cancel(config, service));
      require(again && std::holds_alternative<mirror::Cancel>(*again) &&
                  std::get<mirror::Cancel>(*again).service == service,
              "a cancelled service is read back as it was");
    }
  }
  if (const auto report = mirror::parse_report(config, line)) {
    require(report->mirror.at() < config.service(report->service).mirrors.size(), "a mirror of the service");
    const std::string written = mirror::write_report(config, *report);
    const auto again = mirror::parse_report(config, written);
    // A text may have been shortened, but what was read once stays.
    require(again && mirror::write_report(config, *again) == written, "a report is read back as it was");
  }
}

}  // namespace clusterd::fuzz
