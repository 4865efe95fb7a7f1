#include "linux/mirror/live/scrub.hpp"

#include <fcntl.h>

#include <algorithm>

#include "linux/mirror/live/contents.hpp"
#include "linux/mirror/live/record.hpp"
#include "linux/mirror/live/session.hpp"
#include "linux/mirror/live/walk.hpp"
#include "mirror/escape.hpp"

namespace clusterd::live {

namespace ml = mirror::live;

namespace {

constexpr uint64_t kPart = uint64_t{1} << 20;
constexpr size_t kWindow = 32;               // parts that are not answered yet
constexpr uint64_t kCostOfAFile = 4 * 1024;  // … however small it is
constexpr std::chrono::seconds kAtRestFor{2};
constexpr std::chrono::seconds kSecondLook{1};
constexpr size_t kMaxSuspects = 1000;
constexpr size_t kMaxNamed = 3;
static_assert(kPart <= ml::kMaxHashed && kWindow < ml::kMaxHashesWanted);

bool changed_lately(const Status& status) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const int64_t age = int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec - status.ctime_ns;
  return age < std::chrono::nanoseconds(kAtRestFor).count();
}

}  // namespace

Scrub::Scrub(const Anchors& anchors, const MirrorConfig& mirror, uint64_t seed, Outbox<ml::SourceFrame>& out,
             ScrubPlace& place, Hooks hooks)
    : anchors_(anchors),
      mirror_(mirror),
      seed_(seed),
      out_(out),
      place_(place),
      hooks_(std::move(hooks)),
      bucket_(mirror.scrub_rate),
      thread_([this] { run(); }) {}

Scrub::~Scrub() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Scrub::run() {
  read_when_idle();
  auto done = count();
  if (done) done = walk();
  if (done) done = judge();
  const std::lock_guard lock(mutex_);
  done_ = true;
  if (!done) error_ = done.error();
}

bool Scrub::wait(Duration limit) {
  std::unique_lock lock(mutex_);
  wake_.wait_for(lock, limit, [&] { return stop_; });
  return !stop_;
}

// How much there is to do, for those who wait for it.
Result<void> Scrub::count() {
  uint64_t total = 0;
  TreeWalk walk(anchors_, root_paths(mirror_), mirror_.exclude);
  while (true) {
    auto step = walk.next();
    if (!step) return tl::unexpected(step.error());
    if (step->kind == TreeWalk::Step::Kind::kEnd) break;
    if (step->kind == TreeWalk::Step::Kind::kEntry && step->status.type == 'f') total += step->status.size;
  }
  const std::lock_guard lock(mutex_);
  place_.tally.total = total;
  return stop_ ? fail(Code::kRetry, "ended") : Result<void>();
}

Result<void> Scrub::walk() {
  TreeWalk walk(anchors_, root_paths(mirror_), mirror_.exclude);
  const std::string from = place_.through;
  while (true) {
    auto step = walk.next();
    if (!step) return tl::unexpected(step.error());
    if (step->kind == TreeWalk::Step::Kind::kEnd) return {};
    if (step->kind != TreeWalk::Step::Kind::kEntry || step->status.type != 'f') continue;
    const std::string path(step->path);
    if (!from.empty() && !mirror::path_before(from, path)) continue;
    if (auto ok = compare(path, false); !ok) return ok;
    bool many = false;
    {
      const std::lock_guard lock(mutex_);
      many = suspects_.size() >= kMaxSuspects;
    }
    if (!many) continue;
    if (auto ok = judge(); !ok) return ok;
  }
}

void Scrub::skip() {
  const std::lock_guard lock(mutex_);
  ++place_.tally.skipped;
}

Result<void> Scrub::compare(const std::string& path, bool again) {
  auto file = open_plain_file(anchors_, path);
  auto status = file ? look(file->get(), "") : tl::unexpected(file.error());
  if (!status) {
    if (!is_absent(status.error().error)) skip();
    return {};
  }
  if (changed_lately(*status) || !hooks_.at_rest(path)) {
    skip();
    return {};
  }
  (void)::posix_fadvise(file->get(), 0, 0, POSIX_FADV_NOREUSE);
  uint64_t at = 0;
  do {
    const uint64_t length = std::min(kPart, status->size - at);
    if (auto ok = pay(std::max(length, at == 0 ? kCostOfAFile : 0)); !ok) return ok;
    const auto hash = hash_part(file->get(), at, length, seed_);
    if (!hash) {  // it has become shorter, or cannot be read
      skip();
      return {};
    }
    Asked asked{{path, at, length}, *hash, *status, at + length == status->size, again};
    if (auto ok = ask(std::move(asked)); !ok) return ok;
    at += length;
  } while (at < status->size);
  return {};
}

Result<void> Scrub::pay(uint64_t bytes) {
  while (bytes > 0) {
    bytes -= bucket_.take(now_instant(), static_cast<size_t>(bytes));
    if (bytes > 0 && !wait(bucket_.wait())) return fail(Code::kRetry, "ended");
  }
  return {};
}

Result<void> Scrub::ask(Asked asked) {
  const ml::WantHash want = asked.part;
  {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [&] { return stop_ || asked_.size() < kWindow; });
    if (stop_) return fail(Code::kRetry, "ended");
    asked_.push_back(std::move(asked));
  }
  if (auto ok = out_.put(want); !ok) return ok;
  return out_.flush();
}

bool Scrub::take(const ml::PartHash& hash) {
  const std::lock_guard lock(mutex_);
  if (asked_.empty() || asked_.front().part.path != hash.path || asked_.front().part.offset != hash.offset)
    return false;
  const Asked asked = std::move(asked_.front());
  asked_.pop_front();
  const bool equal = hash.hash && *hash.hash == asked.hash && hash.size == asked.status.size;
  if (!equal) (asked.again ? convicts_ : suspects_).emplace(hash.path, asked.status);
  if (!asked.again) {
    place_.tally.bytes += asked.part.length;
    if (asked.last) {
      ++place_.tally.files;
      place_.through = hash.path;
    }
  }
  wake_.notify_all();
  return true;
}

Result<void> Scrub::drain(std::unique_lock<std::mutex>& lock) {
  wake_.wait(lock, [&] { return stop_ || asked_.empty(); });
  return stop_ ? fail(Code::kRetry, "ended") : Result<void>();
}

// A second look at what has differed: by now whatever was on its way has arrived.
Result<void> Scrub::judge() {
  std::map<std::string, Status> suspects;
  {
    std::unique_lock lock(mutex_);
    if (auto ok = drain(lock); !ok) return ok;
    suspects.swap(suspects_);
  }
  if (suspects.empty()) return {};
  if (!wait(kSecondLook)) return fail(Code::kRetry, "ended");
  for (const auto& [path, status] : suspects) {
    if (auto ok = compare(path, true); !ok) return ok;
  }
  std::map<std::string, Status> convicts;
  {
    std::unique_lock lock(mutex_);
    if (auto ok = drain(lock); !ok) return ok;
    convicts.swap(convicts_);
  }
  for (const auto& [path, status] : convicts) {
    auto now = look(anchors_, path);
    if (!now || !same_version(*now, suspects.at(path)) || !hooks_.at_rest(path)) {
      skip();
      continue;
    }
    hooks_.differs(path);
    const std::lock_guard lock(mutex_);
    MirrorScrub& tally = place_.tally;
    if (++tally.differed <= kMaxNamed)
      tally.found += (tally.found.empty() ? "" : ", ") + mirror::escape(path);
    else if (tally.differed == kMaxNamed + 1)
      tally.found += ", …";
  }
  return {};
}

MirrorScrub Scrub::progress() {
  const std::lock_guard lock(mutex_);
  return place_.tally;
}

Result<bool> Scrub::ended() {
  const std::lock_guard lock(mutex_);
  if (error_) return tl::unexpected(*error_);
  return done_;
}

}  // namespace clusterd::live
