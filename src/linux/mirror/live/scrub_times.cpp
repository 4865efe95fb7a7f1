#include "linux/mirror/live/scrub_times.hpp"

#include <fmt/format.h>

#include <cinttypes>
#include <cstdio>

#include "linux/mirror/files.hpp"

namespace clusterd::live {
namespace {

std::string path_of(const std::string& manifest_path) { return manifest_path + ".scrub"; }

}  // namespace

ScrubTimes read_scrub_times(const std::string& manifest_path, int64_t now) {
  ScrubTimes times;
  char end = 0;
  if (const auto text = read_whole_file(path_of(manifest_path), 256);
      text &&
      std::sscanf(text->c_str(), "last %" SCNd64 " proved %" SCNd64 "%c", &times.last, &times.proved, &end) ==
          3 &&
      end == '\n' && times.last > 0 && times.last <= now && times.proved >= 0 && times.proved <= times.last)
    return times;
  times = {now, 0};
  (void)write_scrub_times(manifest_path, times);
  return times;
}

Result<void> write_scrub_times(const std::string& manifest_path, const ScrubTimes& times) {
  return write_durably(path_of(manifest_path), fmt::format("last {} proved {}\n", times.last, times.proved));
}

}  // namespace clusterd::live
