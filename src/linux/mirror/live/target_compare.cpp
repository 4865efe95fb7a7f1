#include "linux/mirror/live/target_compare.hpp"

#include <fcntl.h>

#include <algorithm>

namespace clusterd::live {

namespace ml = mirror::live;

namespace {
constexpr uint64_t kMaxListed = 200'000;  // entries that the source has not dealt with yet
constexpr uint64_t kReportEvery = 1024;   // digests
constexpr size_t kListingPart = 1000;
}  // namespace

TargetCompare::TargetCompare(const Anchors& anchors, const std::vector<std::string>& exclude,
                             AgreementStore& store, uint64_t seed, Outbox<ml::TargetFrame>& out,
                             std::vector<std::string> scopes, std::optional<ml::OwnerMap> owners)
    : anchors_(anchors),
      exclude_(exclude),
      store_(store),
      seed_(seed),
      out_(out),
      scopes_(distinct_scopes(std::move(scopes))),
      owners_(std::move(owners)),
      thread_([this] { run(); }) {}

TargetCompare::~TargetCompare() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void TargetCompare::digest(ml::Digest digest) {
  const std::lock_guard lock(mutex_);
  digests_.push_back(std::move(digest));
  wake_.notify_all();
}

void TargetCompare::end() {
  const std::lock_guard lock(mutex_);
  complete_ = true;
  wake_.notify_all();
}

void TargetCompare::credit(uint64_t entries) {
  const std::lock_guard lock(mutex_);
  credited_ += entries;
  wake_.notify_all();
}

std::optional<Error> TargetCompare::error() {
  const std::lock_guard lock(mutex_);
  return error_;
}

void TargetCompare::run() {
  auto done = walk();
  if (!done && done.error().code == Code::kCorrupt) {
    // What had been agreed on is not known any more: then everything is compared.
    store_.put_aside();
    done = fail(Code::kRetry, done.error().message);
  }
  if (done) done = out_.put(ml::CompareDone{files_});
  if (done) done = out_.flush();
  const std::lock_guard lock(mutex_);
  if (!done) error_ = done.error();
}

Result<void> TargetCompare::walk() {
  levels_.push_back({});
  CompareVisitor visitor;
  visitor.entry = [this](std::string_view path, std::string_view folder, const Status& status,
                         const mirror::Entry* /*agreed*/,
                         bool changed) { entry(path, folder, status, changed); };
  if (owners_) visitor.as_told = [this](Status& status) { owners_->to_theirs(status); };
  visitor.vanished = [](const mirror::Entry& /*agreed*/) {};
  visitor.folder = [this](std::string_view path, const ml::Hash& hash) { return finished(path, hash); };
  return walk_for_compare(anchors_, scopes_, exclude_, store_, seed_, visitor);
}

void TargetCompare::entry(std::string_view path, std::string_view folder, const Status& status,
                          bool changed) {
  ml::Listed listed;
  listed.name = folder.empty() ? path : path.substr(folder.size() + 1);
  listed.status = status;
  if (owners_) owners_->to_theirs(listed.status);
  listed.changed = changed;
  listed.leader = leaders_.leader(status, path);
  levels_.back().entries.push_back(std::move(listed));
  if (status.type == 'd') {
    levels_.push_back({std::string(path), {}});
  } else {
    ++files_;
  }
}

// Both sides finish their directories in the same order: a digest that comes before ours is of a directory
// that is not here.
Result<void> TargetCompare::finished(std::string_view path, const ml::Hash& own) {
  Level level = std::move(levels_.back());
  levels_.pop_back();
  while (true) {
    if (!ahead_) {
      auto next = next_digest();
      if (!next) return tl::unexpected(next.error());
      ahead_ = std::move(*next);
    }
    if (!ahead_) return {};  // the source has no more: its listing of the folder above tells
    if (ahead_->path == path) break;
    if (!ml::finished_before(ahead_->path, path)) return {};
    if (auto ok = list_missing(ahead_->path); !ok) return ok;
    ahead_.reset();
  }
  const bool equal = ahead_->hash == own && own != ml::kUnequal;
  ahead_.reset();
  return equal ? Result<void>() : list(std::move(level));
}

Result<std::optional<ml::Digest>> TargetCompare::next_digest() {
  std::unique_lock lock(mutex_);
  if (digests_.empty() && !complete_) {
    lock.unlock();
    if (auto ok = out_.flush(); !ok) return tl::unexpected(ok.error());
    lock.lock();
  }
  wake_.wait(lock, [&] { return stop_ || complete_ || !digests_.empty(); });
  if (stop_) return fail(Code::kRetry, "the mirror has ended");
  if (digests_.empty()) return std::optional<ml::Digest>{};
  ml::Digest digest = std::move(digests_.front());
  digests_.pop_front();
  lock.unlock();
  if (++taken_ % kReportEvery == 0) {
    if (auto ok = out_.put(ml::Compared{taken_}); !ok) return tl::unexpected(ok.error());
    if (auto ok = out_.flush(); !ok) return tl::unexpected(ok.error());
  }
  return std::optional<ml::Digest>(std::move(digest));
}

Result<void> TargetCompare::list_missing(const std::string& path) {
  ml::Listing listing;
  listing.path = path;
  listing.missing = true;
  return out_.put(listing);
}

Result<void> TargetCompare::wait_for_credit(size_t entries) {
  std::unique_lock lock(mutex_);
  if (listed_ - credited_ > kMaxListed) {
    lock.unlock();
    if (auto ok = out_.flush(); !ok) return ok;
    lock.lock();
    wake_.wait(lock, [&] { return stop_ || listed_ - credited_ <= kMaxListed; });
  }
  if (stop_) return fail(Code::kRetry, "the mirror has ended");
  listed_ += entries;
  return {};
}

Result<void> TargetCompare::list(Level level) {
  size_t at = 0;
  do {
    const size_t n = std::min(kListingPart, level.entries.size() - at);
    if (auto ok = wait_for_credit(n); !ok) return ok;
    ml::Listing part;
    part.path = level.path;
    for (size_t i = 0; i < n; ++i) {
      ml::Listed& listed = level.entries[at + i];
      if (listed.changed) {
        // What has changed is looked at closely; if that fails, it is unequal to everything.
        const std::string path = level.path.empty() ? listed.name : level.path + "/" + listed.name;
        if (auto place = anchors_.place(path)) {
          if (auto traits = read_traits(place->folder.get(), place->name, listed.status))
            listed.traits = ml::hash_of(*traits, seed_);
        }
      }
      part.entries.push_back(std::move(listed));
    }
    at += n;
    part.last = at == level.entries.size();
    if (auto ok = out_.put(part); !ok) return ok;
  } while (at < level.entries.size());
  return {};
}

}  // namespace clusterd::live
