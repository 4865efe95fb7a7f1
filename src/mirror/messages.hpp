// Between the daemon and its mirror process: one JSON object per line in each direction.
//
//   to the agent    {"order":"run","service":"web","mirror":"data","epoch":7,"confirmed":false}
//   run|resync|flush|follow
//                   {"cancel":"web"}
//   to the daemon   {"report":"done","kind":"run","service":"web","mirror":"data","epoch":7,"files":1, …}
//
// Services and mirrors go by name, so that two programs with different tables cannot misunderstand each
// other.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.hpp"
#include "core/actions.hpp"
#include "core/config.hpp"

namespace clusterd::mirror {

inline constexpr size_t kMaxMessage = 64 * 1024;

struct Cancel {
  ServiceId service;
};

[[nodiscard]] std::string write_order(const Config& config, const MirrorOrder& order);
[[nodiscard]] std::string write_cancel(const Config& config, ServiceId service);
[[nodiscard]] std::string write_report(const Config& config, const MirrorReport& report);
[[nodiscard]] Result<std::variant<MirrorOrder, Cancel>> parse_order(const Config& config,
                                                                    std::string_view line);
[[nodiscard]] Result<MirrorReport> parse_report(const Config& config, std::string_view line);

}  // namespace clusterd::mirror
