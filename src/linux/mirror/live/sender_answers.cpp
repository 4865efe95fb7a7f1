// What the target says of the operations that it was sent: the other half of sender.hpp.
#include <algorithm>

#include "linux/mirror/live/sender.hpp"

namespace clusterd::live {

namespace ml = mirror::live;

namespace {

constexpr std::chrono::milliseconds kLongestWait{30'000};

}  // namespace

// What has become of a path through the renames that were sent after it.
std::string Sender::path_now(size_t flight, std::string path) const {
  for (size_t i = flight + 1; i < flights_.size(); ++i) {
    if (flights_[i].kind != Flight::Kind::kRename) continue;
    if (auto there = ml::moved(path, flights_[i].path, flights_[i].to)) path = std::move(*there);
  }
  return path;
}

// What was renamed away from below `folder` after an operation may never have been what it was taken for.
void Sender::doubt_what_left(size_t flight, std::string folder) {
  for (size_t i = flight + 1; i < flights_.size(); ++i) {
    const Flight& later = flights_[i];
    if (later.kind != Flight::Kind::kRename) continue;
    if (later.path != folder && ml::is_within(later.path, folder))
      hooks_.again(
          {path_now(i, later.to), kAll | ml::kSubtree, std::chrono::milliseconds(0), "", later.since});
    if (auto there = ml::moved(folder, later.path, later.to)) folder = std::move(*there);
  }
}

void Sender::take(const ml::Failed& failed) {
  using Reason = ml::Failed::Reason;
  const auto it = std::lower_bound(flights_.begin(), flights_.end(), failed.number,
                                   [](const Flight& f, uint64_t n) { return f.number < n; });
  if (it == flights_.end() || it->number != failed.number || it->failed) return;
  it->failed = true;
  const auto at = static_cast<size_t>(it - flights_.begin());
  const bool renamed = it->kind == Flight::Kind::kRename;
  const std::string path = path_now(at, renamed ? it->to : it->path);
  (void)take_sums(path);
  const Instant began = it->since;
  constexpr auto kNow = std::chrono::milliseconds(0);
  if (renamed) {
    doubt_what_left(at, it->to);
    hooks_.again({path_now(at, it->path), kAll | ml::kSubtree, kNow, "", began});
  }
  if (it->kind == Flight::Kind::kLink) {
    // The name that it was to be joined to is not what it was taken for.
    const std::string leader = path_now(at, it->to);
    links_.removed(leader);
    hooks_.again({leader, kAll, kNow, "", began});
  }
  if (failed.reason == Reason::kDiffers) return hooks_.again({path, kAll, kNow, "", began, it->object});
  const unsigned strikes = strikes_[path]++;
  const auto wait = std::min(kLongestWait, std::chrono::milliseconds(20) * (1U << std::min(strikes, 11U)));
  if (renamed) return hooks_.again({path, kAll | ml::kSubtree, strikes == 0 ? kNow : wait, "", began});
  if (failed.reason == Reason::kAbsent && strikes < 8) {
    // Its directory is not there as it should be: the two are compared.
    std::string folder = path.substr(0, path.rfind('/'));
    if (!anchors_.covers(folder)) folder = path;
    doubt_what_left(at, it->path.substr(0, it->path.rfind('/')));
    // Should it be called otherwise by then, that compare does not see it.
    if (!it->object.empty()) hooks_.again({path, kAll, wait, "", began, it->object});
    return hooks_.again({folder, ml::kName | ml::kAttributes | ml::kSubtree, wait, "", began});
  }
  troubles[path] = failed.why;
  hooks_.again({path, kAll, std::max(wait, std::chrono::milliseconds(500)), failed.why, {}, it->object});
}

void Sender::take(const ml::Acked& acked) {
  const auto now = Clock::now();
  const auto before = std::exchange(acked_at_, now);
  while (!flights_.empty() && flights_.front().number <= acked.number) {
    Flight flight = std::move(flights_.front());
    flights_.pop_front();
    bytes_in_flight_ -= flight.bytes;
    {
      const std::lock_guard lock(paths_mutex_);
      if (const auto count = paths_.find(flight.path); --count->second == 0) paths_.erase(count);
    }
    if (flight.begun != Clock::time_point{}) rest(flight.path, now - std::max(flight.begun, before));
    if (flight.failed) continue;
    strikes_.erase(flight.path);
    troubles.erase(flight.path);
    switch (flight.kind) {
      case Flight::Kind::kEntry:
      case Flight::Kind::kLink:
        if (flight.proof != Flight::Proof::kNone)
          store_.agreed(flight.path, flight.status, flight.proof == Flight::Proof::kRead);
        break;
      case Flight::Kind::kRemove:
        store_.gone(flight.path);
        break;
      case Flight::Kind::kRename:
        store_.moved(flight.path, flight.to);
        break;
    }
  }
}

std::vector<std::pair<std::string, uint8_t>> Sender::in_doubt() const {
  std::vector<std::pair<std::string, uint8_t>> out;
  for (size_t i = 0; i < flights_.size(); ++i) {
    const Flight& flight = flights_[i];
    // A directory that was removed because another one took its place may still have what was in it.
    const bool entry = flight.kind == Flight::Kind::kEntry || flight.kind == Flight::Kind::kLink;
    const uint8_t marks = entry ? kAll : kAll | ml::kSubtree;
    out.emplace_back(path_now(i, flight.path), marks);
    if (flight.kind == Flight::Kind::kRename) out.emplace_back(path_now(i, flight.to), marks);
  }
  return out;
}

std::optional<std::chrono::steady_clock::time_point> Sender::resting_until(const std::string& path) {
  const auto it = resting_.find(path);
  if (it == resting_.end()) return std::nullopt;
  if (it->second <= Clock::now()) {
    resting_.erase(it);
    return std::nullopt;
  }
  return it->second;
}

}  // namespace clusterd::live
