#include "linux/mirror/live/source_scrub.hpp"

#include <chrono>
#include <cstdio>
#include <ctime>

namespace clusterd::live {

void SourceScrub::remember() {
  if (times_.last == 0) {
    times_ = read_scrub_times(manifest_, ::time(nullptr));
    told_.proved = times_.proved;
  }
}

bool SourceScrub::look_after(Session& session) {
  const int64_t now = ::time(nullptr);
  if (Scrub* scrub = session.scrub()) {
    const auto ended = scrub->ended();
    told_ = scrub->progress();
    if (ended && !*ended) return true;
    session.end_scrub();
    if (ended || ended.error().code != Code::kRetry) has_ended(now, ended.has_value());
    if (!ended)
      std::fprintf(stderr, "<4>scrub of %s: %s\n", mirror_.name.c_str(), ended.error().message.c_str());
    return true;
  }
  const auto every = std::chrono::duration_cast<std::chrono::seconds>(mirror_.scrub_every).count();
  const bool due = every > 0 && now - times_.last >= every;
  if (!place_.under_way && !due && !wanted_) return false;
  wanted_ = false;
  if (!place_.under_way) {
    place_ = {true, now, "", {}};
    place_.tally.running = true;
    place_.tally.proved = times_.proved;
  }
  told_ = place_.tally;
  session.scrub(place_);
  return true;
}

void SourceScrub::has_ended(int64_t now, bool through) {
  told_.running = false;
  told_.ended = through;
  times_.last = now;
  if (through && told_.differed == 0) told_.proved = times_.proved = place_.begun;
  place_ = {};
  if (auto ok = write_scrub_times(manifest_, times_); !ok)
    std::fprintf(stderr, "<4>%s\n", ok.error().message.c_str());
}

}  // namespace clusterd::live
