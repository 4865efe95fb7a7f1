// Backup sets as JSON; the only place of this folder that includes Boost.JSON.
#pragma once

#include <string_view>

#include "linux/mirror/backups.hpp"

namespace clusterd {

[[nodiscard]] Result<BackupSet> parse_set(std::string_view text);
[[nodiscard]] Result<BackupReport> parse_report_json(std::string_view text);
// Body of POST /v1/command, and what its answer says.
[[nodiscard]] std::string receive_request(const std::string& service, const std::string& mirror,
                                          uint64_t epoch);
[[nodiscard]] std::string answer_text(std::string_view body);

}  // namespace clusterd
