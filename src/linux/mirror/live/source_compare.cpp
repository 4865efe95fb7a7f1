#include "linux/mirror/live/source_compare.hpp"

#include <fcntl.h>

#include <algorithm>
#include <ctime>

#include "linux/mirror/live/record.hpp"
#include "mirror/exclude.hpp"

namespace clusterd::live {

namespace ml = mirror::live;

namespace {

constexpr uint64_t kMaxAhead = 20'000;      // digests that the target has not dealt with
constexpr uint64_t kTellEvery = 64;         // digests: the target walks at the same time, and waits for them
constexpr uint64_t kManyEntries = 150'000;  // below what the target sends without credit

int64_t now_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

std::string join(const std::string& folder, const std::string& name) {
  return folder.empty() ? name : folder + "/" + name;
}

}  // namespace

SourceCompare::SourceCompare(const Anchors& anchors, const MirrorConfig& mirror, AgreementStore& store,
                             Links& links, uint64_t seed, Outbox<ml::SourceFrame>& out,
                             std::vector<std::string> scopes, std::function<void()> walked)
    : anchors_(anchors),
      mirror_(mirror),
      store_(store),
      links_(links),
      seed_(seed),
      out_(out),
      whole_(scopes.empty()),
      scopes_(scopes.empty() ? root_paths(mirror) : distinct_scopes(std::move(scopes))),
      walked_(std::move(walked)),
      begun_ns_(now_ns() - 2 * kClockGrainNs),
      roots_(look_at_roots(mirror.paths)),
      thread_([this] { run(); }) {}

SourceCompare::~SourceCompare() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void SourceCompare::run() {
  auto done = out_.put(ml::CompareBegin{scopes_});
  if (done) done = out_.flush();
  if (done) done = walk();
  if (!done && done.error().code == Code::kCorrupt) store_.put_aside();
  if (done) done = out_.put(ml::CompareEnd{});
  if (done) done = out_.flush();
  {
    const std::lock_guard lock(mutex_);
    walk_done_ = true;
    if (!done) error_ = done.error();
  }
  walked_();
}

Result<void> SourceCompare::walk() {
  levels_.emplace_back();
  CompareVisitor visitor;
  visitor.entry = [this](std::string_view path, std::string_view folder, const Status& status,
                         const mirror::Entry* /*agreed*/, bool changed) {
    Changes& level = levels_.back();
    ++level.names;
    if (changed) level.changed.emplace_back(folder.empty() ? path : path.substr(folder.size() + 1));
    links_.note(status, path, false);
    if (status.type == 'd')
      levels_.emplace_back();
    else
      count_entry(roots_, ml::to_entry(status, std::string(path)));
  };
  visitor.vanished = [](const mirror::Entry& /*agreed*/) {};
  visitor.folder = [this](std::string_view path, const ml::Hash& digest) -> Result<void> {
    Changes level = std::move(levels_.back());
    levels_.pop_back();
    bool tell = false;
    {
      std::unique_lock lock(mutex_);
      if (!level.changed.empty()) {
        level.all = level.changed.size() == level.names;
        if (level.all) level.changed = {};
        changes_[std::string(path)] = std::move(level);
      }
      tell = ++digests_ % kTellEvery == 0;
      if (digests_ - compared_ > kMaxAhead) {
        lock.unlock();
        if (auto ok = out_.flush(); !ok) return ok;
        lock.lock();
        wake_.wait(lock, [&] { return stop_ || digests_ - compared_ <= kMaxAhead; });
      }
      if (stop_) return fail(Code::kRetry, "the mirror has ended");
    }
    auto told = out_.put(ml::Digest{std::string(path), digest});
    return told && tell ? out_.flush() : told;
  };
  return walk_for_compare(anchors_, scopes_, mirror_.exclude, store_, seed_, visitor, !whole_);
}

void SourceCompare::take(ml::Listing listing) {
  entries_ += listing.entries.size();
  listed_.insert(listing.path);
  // Parts of one directory come one after another.
  if (!listings_.empty() && listings_.back().path == listing.path && !listings_.back().last) {
    ml::Listing& whole = listings_.back();
    whole.last = listing.last;
    std::move(listing.entries.begin(), listing.entries.end(), std::back_inserter(whole.entries));
  } else {
    listings_.push_back(std::move(listing));
  }
}

void SourceCompare::take(const ml::Compared& compared) {
  const std::lock_guard lock(mutex_);
  compared_ = std::max(compared_, compared.digests);
  wake_.notify_all();
}

void SourceCompare::take(const ml::CompareDone& /*done*/) { target_done_ = true; }

bool SourceCompare::ready() const {
  const std::lock_guard lock(mutex_);
  if (error_) return false;
  return (walk_done_ && target_done_) || (entries_ > kManyEntries && listings_.back().last);
}

bool SourceCompare::finished() const { return ready() && target_done_ && listings_.empty(); }

std::optional<Error> SourceCompare::error() const {
  const std::lock_guard lock(mutex_);
  return error_;
}

bool SourceCompare::is_listed(const std::string& path) const {
  const bool scope = std::binary_search(scopes_.begin(), scopes_.end(), path, mirror::path_before);
  return listed_.contains(scope ? "" : path.substr(0, path.rfind('/')));
}

Result<void> SourceCompare::send_differences(Sender& sender) {
  std::vector<ml::Listing> listings = std::exchange(listings_, {});
  std::sort(listings.begin(), listings.end(),
            [](const auto& a, const auto& b) { return mirror::path_before(a.path, b.path); });
  const uint64_t entries = std::exchange(entries_, 0);
  if (target_done_ && !settled_) {
    settled_ = true;
    // A directory that is not listed is equal, with all its names.
    links_.settle([&](const std::string& path) { return !is_listed(path); });
  }
  sender.begin_round();
  for (const ml::Listing& listing : listings) {
    auto ok = listing.missing ? send_missing(sender, listing.path) : send_listing(sender, listing);
    if (!ok) return ok;
  }
  if (entries > 0) {
    if (auto ok = out_.put(ml::Credit{entries}); !ok) return ok;
  }
  return out_.flush();
}

// The names of a directory as they are now, with what the walk knows of them.
Result<std::vector<ml::SourceName>> SourceCompare::names_here(const std::string& folder) {
  std::vector<Named> names;
  if (folder.empty()) {
    for (const std::string& scope : scopes_) {
      if (auto status = look(anchors_, scope)) names.push_back({scope, *status});
    }
  } else {
    auto fd = anchors_.open_at(folder, O_RDONLY | O_DIRECTORY);
    if (!fd) {
      if (is_absent(fd.error().error)) return std::vector<ml::SourceName>{};
      return fail(Code::kRefused, fd.error().text);
    }
    auto listed = list_directory(fd->get(), folder, mirror_.exclude);
    if (!listed && listed.error().code != Code::kRetry) return tl::unexpected(listed.error());
    if (listed) names = std::move(*listed);
  }
  const std::lock_guard lock(mutex_);
  const auto known = changes_.find(folder);
  std::vector<ml::SourceName> out;
  for (Named& each : names) {
    ml::SourceName name{std::move(each.name), each.status, false, ""};
    // What has changed since the walk began is not what the walk has seen.
    name.changed = each.status.ctime_ns >= begun_ns_;
    if (known != changes_.end() && !name.changed) {
      const auto& changed = known->second.changed;
      name.changed = known->second.all ||
                     std::binary_search(changed.begin(), changed.end(), name.name, mirror::path_before);
    }
    if (each.status.links > 1 && each.status.type != 'd') {
      const std::string path = join(folder, name.name);
      links_.note(each.status, path, false);
      name.leader = links_.leader(each.status, path);
    }
    out.push_back(std::move(name));
  }
  return out;
}

Result<void> SourceCompare::send_listing(Sender& sender, const ml::Listing& listing) {
  auto here = names_here(listing.path);
  if (!here) return tl::unexpected(here.error());
  size_t at = 0;
  for (const ml::Step& step : ml::plan_directory(*here, listing.entries)) {
    while (at < here->size() && (*here)[at].name != step.name &&
           mirror::path_before((*here)[at].name, step.name))
      ++at;
    const ml::SourceName* name = at < here->size() && (*here)[at].name == step.name ? &(*here)[at] : nullptr;
    if (auto ok = perform(sender, step, join(listing.path, step.name), name); !ok) return ok;
  }
  return {};
}

Result<void> SourceCompare::make_folders_above(Sender& sender, const std::string& path) {
  std::vector<std::string> above;
  for (std::string folder = path; anchors_.covers(folder) && !made_.contains(folder);) {
    above.push_back(folder);
    if (anchors_.is_root(folder)) break;
    folder.resize(folder.rfind('/'));
  }
  for (; !above.empty(); above.pop_back()) {
    made_.insert(above.back());
    if (auto ok = sender.send(above.back(), ml::kAttributes); !ok) return tl::unexpected(ok.error());
  }
  return {};
}

// A directory that the target has not: everything in it is new.
Result<void> SourceCompare::send_missing(Sender& sender, const std::string& folder) {
  if (auto ok = make_folders_above(sender, folder); !ok) return ok;
  auto here = names_here(folder);
  if (!here) return tl::unexpected(here.error());
  for (const ml::Step& step : ml::plan_directory(*here, {})) {
    const auto name =
        std::find_if(here->begin(), here->end(), [&](const auto& n) { return n.name == step.name; });
    if (auto ok = perform(sender, step, join(folder, step.name), &*name); !ok) return ok;
  }
  return {};
}

Result<void> SourceCompare::perform(Sender& sender, const ml::Step& step, const std::string& path,
                                    const ml::SourceName* here) {
  using Kind = ml::Step::Kind;
  const auto done = [](const Result<Sender::Found>& found) {
    return found ? Result<void>() : tl::unexpected(found.error());
  };
  // The target has it. Another name of it may have been sent as a file of its own.
  const auto joined = [&](const Result<void>& sent) -> Result<void> {
    if (!sent || !here || here->status.links < 2 || here->status.type == 'd') return sent;
    const std::string other = links_.other(anchors_, here->status, path);
    return other.empty() ? Result<void>() : sender.link(other, path);
  };
  switch (step.kind) {
    case Kind::kEqual:
      if (here) links_.note(here->status, path, true);
      return joined({});
    case Kind::kSplit:
      if (auto ok = sender.remove(path); !ok) return ok;
      return done(sender.send(path, ml::kAttributes));
    case Kind::kMake:
      if (here && here->status.type == 'd') made_.insert(path);
      return done(sender.send(path, ml::kAttributes));
    case Kind::kAttributes:
      return joined(sender.check_time(path));
    case Kind::kHash:
      return joined(sender.check_hash(path));
    case Kind::kContents:
      return done(sender.contents(path));
    case Kind::kLink: {
      // Its leader has been dealt with if the target has it by now; if not, the file is sent.
      const std::string other = here ? links_.other(anchors_, here->status, path) : "";
      if (other.empty())
        return done(here && here->status.type != 'f' ? sender.send(path, ml::kAttributes)
                                                     : sender.contents(path));
      return sender.link(other, path);
    }
    case Kind::kRemove:
      if (mirror_.remove) removals_.push_back(path);
      return {};
  }
  return {};
}

Result<void> SourceCompare::send_removals(Sender& sender) {
  std::vector<std::string> gone = std::exchange(removals_, {});
  // It may have come into being meanwhile.
  std::erase_if(gone, [this](const std::string& path) { return look(anchors_, path).has_value(); });
  if (auto ok = sender.remove(gone); !ok) return ok;
  return out_.flush();
}

}  // namespace clusterd::live
