// meta.json and report.json of a backup set, and the daemon's answer to the mirror process.
#include <boost/json.hpp>

#include "linux/mirror/backup_json.hpp"
#include "targets.hpp"

namespace clusterd::fuzz {

void fuzz_backups(Bytes input) {
  const std::string_view text = text_of(input);
  if (const auto set = parse_set(text)) {
    const std::string written = to_json(*set);
    const auto again = parse_set(written);
    require(again && to_json(*again) == written, "a set is read back as it was");
  }
  if (const auto report = parse_report_json(text)) {
    const std::string written = to_json(*report);
    const auto again = parse_report_json(written);
    require(again && to_json(*again) == written, "a report is read back as it was");
  }
  (void)answer_text(text);
}

}  // namespace clusterd::fuzz
