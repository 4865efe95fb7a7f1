// The source's copies of loss reports: /var/lib/clusterd/reports/SERVICE.SET.json.
//
// The report itself lies with its backup set on the node that came back. If that node is gone for good, the
// copy still says what was lost. Only reports that name losses are copied, and a copy that is older than
// backups of its mirror are to be kept is removed when the next one is written: their number is bounded by
// what happens within that time.
#pragma once

#include <cstdint>
#include <string>

#include "linux/mirror/backups.hpp"

namespace clusterd {

[[nodiscard]] Result<void> keep_report_copy(const std::string& state_dir, const std::string& service,
                                            const MirrorConfig& mirror, const BackupReport& report,
                                            int64_t now_unix);

}  // namespace clusterd
