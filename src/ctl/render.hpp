// Turns the daemon's JSON (shapes: daemon/status_json.hpp) into what a person reads. Pure: text in, text out.
// Fields that an older or newer daemon does not send are shown as unknown, never as an error.
#pragma once

#include <string>
#include <vector>

#include "ctl/table.hpp"

namespace clusterd::ctl {

// One screen. `json` is the body of GET /v1/status.
[[nodiscard]] std::string render_status(const std::string& json, const Look& look);

// What needs a human, one sentence with its remedy each; empty when all is well.
[[nodiscard]] std::vector<std::string> alarms(const std::string& json);

[[nodiscard]] std::string render_mirrors(const std::string& json, const Look& look);
[[nodiscard]] std::string render_decisions(const std::string& json, const Look& look);

// `last` receives the number of the last event.
[[nodiscard]] std::string render_events(const std::string& json, const Look& look, unsigned long long& last);

// "12 s", "3.4 min", "2 h", "5 d"
[[nodiscard]] std::string span_text(double seconds);
// "512 B", "1.4 GiB"
[[nodiscard]] std::string size_text(uint64_t bytes);

}  // namespace clusterd::ctl
