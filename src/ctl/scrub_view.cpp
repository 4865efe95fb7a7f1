#include "ctl/scrub_view.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "ctl/render.hpp"
#include "ctl/table.hpp"

namespace clusterd::ctl {
namespace {

constexpr size_t kBar = 30;

double part_of(uint64_t done, uint64_t total) {
  return total == 0 ? 0 : std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
}

std::string day_text(uint64_t unix_time) {
  // Beyond the year 9999 it is no time that anybody has measured.
  const auto time = static_cast<std::time_t>(std::min<uint64_t>(unix_time, 253402300799));
  std::tm parts{};
  char text[32] = {};
  if (::gmtime_r(&time, &parts) == nullptr || std::strftime(text, sizeof text, "%F %H:%M", &parts) == 0)
    return "?";
  return std::string(text) + " UTC";
}

}  // namespace

std::string scrub_note(View scrub) {
  if (scrub["running"].yes())
    return fmt::format("; scrub {:.0f} %",
                       100 * part_of(scrub["bytes"].count(), scrub["total_bytes"].count()));
  if (const uint64_t differed = scrub["differed"].count(); differed > 0)
    return fmt::format("; {} {} at the last scrub", differed,
                       differed == 1 ? "file differed" : "files differed");
  return scrub["proved_unix"].known() ? "; proved equal " + day_text(scrub["proved_unix"].count()) : "";
}

std::string scrub_text(View scrub) {
  std::string text =
      fmt::format("{} files ({}) compared: ", scrub["files"].count(), size_text(scrub["bytes"].count()));
  const uint64_t differed = scrub["differed"].count();
  text += differed == 0 ? "all equal"
                        : fmt::format("{} differed and {} sent anew: {}", differed,
                                      differed == 1 ? "is" : "are", printable(scrub["found"].text()));
  if (const uint64_t skipped = scrub["skipped"].count(); skipped > 0)
    text += fmt::format("; {} changed meanwhile and {} not compared", skipped, skipped == 1 ? "was" : "were");
  return text;
}

std::string scrub_bar(uint64_t done, uint64_t total, double seconds) {
  const double part = part_of(done, total);
  const auto full = static_cast<size_t>(part * kBar);
  std::string text =
      fmt::format("[{}{}] {:3.0f} %, {} of {}", std::string(full, '#'), std::string(kBar - full, '-'),
                  100 * part, size_text(done), size_text(total));
  if (done == 0 || seconds < 1) return text;
  const double rate = static_cast<double>(done) / seconds;
  const double left = static_cast<double>(total > done ? total - done : 0) / rate;
  return text + fmt::format(", {}/s, {} left", size_text(static_cast<uint64_t>(rate)), span_text(left));
}

}  // namespace clusterd::ctl
