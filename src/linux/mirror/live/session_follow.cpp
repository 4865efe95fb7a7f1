// Following: flushes, and what is done with marks. The second part of session.hpp.
#include <fmt/format.h>

#include <algorithm>

#include "linux/mirror/live/object.hpp"
#include "linux/mirror/live/record.hpp"
#include "linux/mirror/live/session.hpp"
#include "mirror/escape.hpp"

namespace clusterd::live {

namespace ml = mirror::live;

namespace {

constexpr size_t kAtOnce = 2000;  // marks between two looks at what has come in

}  // namespace

// Writers may go on: neither what they change meanwhile is waited for, nor what of it is on its way.
Result<void> Session::flush() {
  if (place_.follower) place_.follower->drain();
  const Instant begun = now_instant();
  {
    const std::lock_guard lock(place_.shared.mutex);
    place_.shared.dirty.hasten(begun);
  }
  flushing_ = begun;
  sender_.rest_no_more();
  Result<void> done;
  bool all_sent = false;
  uint64_t last = 0;  // the last operation that counts
  while (true) {
    done = work();
    if (!done) break;
    std::optional<Instant> oldest, due;
    {
      const std::lock_guard lock(place_.shared.mutex);
      oldest = place_.shared.dirty.oldest();
      due = place_.shared.dirty.next_due();
    }
    // What the target has handed back may have been marked and sent once more since this looked last.
    const bool sent_more = std::exchange(sent_to_flush_, false);
    if (oldest && *oldest <= begun) {
      all_sent = false;
    } else if (!std::exchange(all_sent, true) || sent_more) {
      last = sender_.last_number();
    }
    if (all_sent && sender_.through(last)) break;
    const Instant now = now_instant();
    Instant deadline = now + std::chrono::seconds(1);
    if (!all_sent && due) deadline = std::max(std::min(deadline, *due), now + std::chrono::milliseconds(1));
    done = wait_for(deadline);
    if (!done) break;
  }
  flushing_.reset();
  return done;
}

Result<void> Session::follow(Instant until, const std::function<void()>& progress) {
  Instant said = now_instant();
  while (true) {
    if (auto ok = work(); !ok) return ok;
    settle();
    if (now_instant() - said >= std::chrono::seconds(1)) {
      said = now_instant();
      progress();
    }
    if (now_instant() >= until) return {};
    Instant deadline = std::min(until, now_instant() + std::chrono::seconds(1));
    {
      const std::lock_guard lock(place_.shared.mutex);
      if (!place_.shared.orders.empty()) return {};
      if (auto due = place_.shared.dirty.next_due()) deadline = std::min(deadline, *due);
    }
    if (!place_.store.settled()) deadline = std::min(deadline, now_instant() + kSettleEvery);
    if (auto ok = wait_for(deadline); !ok) return ok;
  }
}

// One round: what has come in, what is due, and the compares that it asks for.
Result<void> Session::work() {
  if (auto ok = take_inbox(); !ok) return ok;
  {
    const std::lock_guard lock(place_.shared.mutex);
    if (place_.shared.lost) return tl::unexpected(*place_.shared.lost);
  }
  Scopes scopes;
  // What was sent before then does not lie below any rename that is still to be heard of.
  const auto delivered =
      place_.follower ? place_.follower->delivered() : std::chrono::steady_clock::time_point::max();
  Due due;
  {
    const std::lock_guard lock(place_.shared.mutex);
    due = take_due();
  }
  auto done = perform_renames(due);
  mark_orphans();
  if (!done) {
    give_back(due.marks);
    return done;
  }
  sender_.forget_sent(delivered);
  if (done = perform_marks(due, scopes); !done) return done;
  done = out_.flush();
  if (done && !scopes.empty()) done = compare_scopes(scopes);
  if (!done) mark_scopes(scopes, kAll | ml::kSubtree);
  return done;
}

Result<void> Session::compare_scopes(const Scopes& scopes) {
  std::vector<std::string> paths;
  sender_.since = std::ranges::min_element(scopes, {}, &Scope::since)->since;
  for (const Scope& scope : scopes) paths.push_back(scope.path);
  auto done = compare(std::move(paths), nullptr, confirmed_);
  sender_.since = kFirst;
  return done;
}

void Session::mark_scopes(const Scopes& scopes, uint8_t marks) {
  for (const Scope& scope : scopes) mark(scope.path, marks, scope.since, now_instant());
}

// With the lock of what is shared.
Session::Due Session::take_due() {
  Due due;
  ml::DirtySet& dirty = place_.shared.dirty;
  if (place_.shared.exact) {
    due.renames = dirty.take_renames();
    for (const auto& rename : due.renames) due.above.push_back(dirty.created_above(rename.to));
  }
  due.heard = dirty.heard();
  due.marks = dirty.take(now_instant(), kAtOnce, flushing_.value_or(Instant::max()));
  return due;
}

// A file that was changed by a name that is gone may have other names.
void Session::mark_orphans() {
  ml::DirtySet::Orphans orphans;
  {
    const std::lock_guard lock(place_.shared.mutex);
    orphans = place_.shared.dirty.take_orphans();
  }
  std::optional<Instant> seek;  // for what has changed since then
  if (orphans.too_many && !place_.links.empty()) seek = kFirst;
  for (const auto& [object, name] : orphans.objects) {
    const auto found = find_object(place_.anchors, object);
    if (!found || found->status.type == 'd') continue;
    const Instant begun = now_instant();
    const auto names = place_.links.names(place_.anchors, found->status);
    if (!names.empty()) {
      const Instant since = not_marked_since(object, name, begun);
      for (const std::string& path : names) mark(path, name.marks & kAll, since, now_instant());
      continue;
    }
    if (found->path.empty()) {
      // Not even one of its names is known: there may be one all the same.
      if (found->status.links > 1 && (name.marks & ml::kName) != 0)
        seek = std::min(seek.value_or(name.since), name.since);
      continue;
    }
    // This one is as it is now: it may be what a rename has led to that is not heard of yet, or just now.
    mark(found->path, name.marks & kAll, name.since, now_instant());
    const std::lock_guard lock(place_.shared.mutex);
    place_.shared.dirty.mark(found->path, name.marks & kAll, name.since, now_instant());
  }
  if (seek) mark_all(*seek);
}

// All names of an object are about to be marked, for a change that may be old. What had changed before they
// were marked so the last time is known by those marks, or sent since: only what is younger needs them.
// Otherwise a file whose names come and go would make all of them as old as its oldest change, again and
// again, and a flush that waits for that would never end.
Instant Session::not_marked_since(const std::string& object, const ml::DirtyName& name, Instant now) {
  if (marked_.size() > kAtOnce * 10) marked_.clear();
  Instant since = Instant::max();
  for (const ml::Mark mark : {ml::kName, ml::kAttributes, ml::kContents}) {
    if ((name.marks & mark) == 0) continue;
    const auto [it, first] = marked_.try_emplace({object, mark}, Marked{name.since, now});
    Marked& last = it->second;
    const bool known = !first && name.since >= last.since;
    since = std::min(since, known ? last.at : name.since);
    if (!known) last.since = name.since;
    last.at = now;
  }
  return since == Instant::max() ? name.since : since;
}

void Session::mark_all(Instant since) {
  for (const std::string& root : place_.anchors.roots())
    mark(root, ml::kAttributes | ml::kSubtree, since, now_instant());
}

// The connection is broken: what was taken and not sent waits for the next one.
template <class Marks>
void Session::give_back(const Marks& marks) {
  for (auto [path, name] : marks) {
    name.marks |= kAll;
    put_back(path, name, now_instant());
  }
}

Result<void> Session::perform_marks(const Due& taken, Scopes& scopes) {
  const auto& due = taken.marks;
  if (due.empty()) return {};
  auto done = check_roots();
  if (done) done = find_names(due);
  sender_.begin_round();
  missing_ = false;
  Waiting waiting(due.begin(), due.end());
  waiting_ = &waiting;
  while (done && !waiting.empty()) {
    auto next = std::move(waiting.front());
    waiting.pop_front();
    sender_.since = next.second.since;
    if (flushing_ && next.second.since <= *flushing_) sent_to_flush_ = true;
    done = perform_mark(next.first, next.second, scopes);
    if (!done) waiting.push_front(std::move(next));  // it may have been sent in part
  }
  waiting_ = nullptr;
  sender_.since = kFirst;
  // Once for all names of a file: it may have thousands.
  mark_orphans();
  if (!done) {
    give_back(waiting);
    mark_scopes(scopes, ml::kSubtree);
    return done;
  }
  // Had they been renamed, that is known now.
  if (missing_ && place_.follower) place_.follower->drain();
  return {};
}

// A new name may be another one of a file that had a single name so far, and of which nobody took note: it is
// sought in the whole tree, once for all names of this round.
Result<void> Session::find_names(const std::vector<std::pair<std::string, ml::DirtyName>>& due) {
  std::set<std::string> fresh;
  std::map<std::string, Status> named;  // by object
  for (const auto& [path, name] : due) {
    if (name.created) fresh.insert(path);
    if ((name.marks & ml::kName) == 0) continue;
    auto status = glance(place_.anchors, path);
    if (!status || status->type == 'd' || status->links < 2) continue;
    place_.links.note(*status, path, false);
    named[object_at(place_.anchors, path)] = *status;  // not its inode's number: that comes again
  }
  bool seek = false;
  for (const auto& [object, status] : named) {
    if (place_.links.names(place_.anchors, status).size() >= status.links) continue;
    int64_t& sought = sought_[object];
    seek = seek || sought != status.ctime_ns;
    sought = status.ctime_ns;
  }
  if (!seek) return {};
  if (sought_.size() > kAtOnce * 10) sought_.clear();
  TreeWalk walk(place_.anchors, root_paths(place_.mirror), place_.mirror.exclude);
  while (true) {
    auto step = walk.next();
    if (!step) return {};  // not found: the file is sent
    if (step->kind == TreeWalk::Step::Kind::kEnd) return {};
    if (step->kind != TreeWalk::Step::Kind::kEntry || step->status.links < 2) continue;
    const std::string path(step->path);
    bool known = !fresh.contains(path);
    if (known) {
      const std::lock_guard lock(place_.shared.mutex);
      known = !place_.shared.dirty.is_created(path);
    }
    place_.links.note(step->status, path, known);
  }
}

Result<void> Session::perform_mark(const std::string& path, ml::DirtyName name, Scopes& scopes) {
  if (const auto rest = sender_.resting_until(path);
      rest && !flushing_ && (name.marks & ml::kContents) != 0) {
    put_back(path, name,
             now_instant() + std::chrono::duration_cast<Duration>(*rest - std::chrono::steady_clock::now()));
    return {};
  }
  Seen seen(place_.anchors, path);
  if (const auto it = expected_.find(path); it != expected_.end()) {
    const std::string& object = seen.object();
    if (!object.empty() && object != it->second && !name.created) name.marks |= ml::kContents | ml::kSubtree;
    expected_.erase(it);
  }
  if (!name.object.empty() && seen.object() != name.object) {
    const std::lock_guard lock(place_.shared.mutex);
    place_.shared.dirty.orphaned(name.object, name.marks, name.since);
    name.object.clear();
  }
  if (name.created) {
    // A second name of a file that the target has is no new file.
    const auto& status = seen.status();
    if (status && status->type == 'f' && place_.links.other(place_.anchors, *status, path).empty())
      name.marks |= ml::kContents;
  }
  if ((name.marks & (ml::kName | ml::kAttributes | ml::kContents)) == 0) name.marks |= ml::kAttributes;
  auto found = sender_.send(seen, name.marks);
  if (!found) return tl::unexpected(found.error());
  if (*found == Sender::Found::kDirectory && (name.marks & ml::kSubtree) != 0)
    scopes.push_back({path, name.since});
  if (*found != Sender::Found::kGone) return {};
  if (place_.anchors.is_root(path)) {
    return fail(Code::kConfig, fmt::format("{} does not exist", mirror::escape(path)));
  }
  const bool certain = (name.deleted && (name.marks & ml::kName) != 0) || name.missing;
  if (!certain && place_.follower) {
    // Perhaps it was renamed: that hint comes in a moment, takes these marks along, and spares the contents.
    missing_ = true;
    name.missing = true;
    name.marks |= ml::kName;
    put_back(path, name, now_instant());
    return {};
  }
  return place_.mirror.remove ? sender_.remove(path) : Result<void>();
}

// Between two parts of a large file: what is small and due goes first, unless it could concern that file's
// name. It has half of the time at most: there may always be something due.
Result<void> Session::between() {
  if (auto ok = take_inbox(); !ok) return ok;
  const Instant begun = now_instant();
  if (between_ || compare_ || begun < large_until_) return {};
  Due due;
  {
    const std::lock_guard lock(place_.shared.mutex);
    ml::DirtySet& dirty = place_.shared.dirty;
    const auto next = dirty.next_due();
    if (!place_.shared.exact || dirty.heard() != told_ || !next || *next > begun) return {};
    // In the order of their paths, and each with all that is known of it by now.
    for (auto& [path, name] : waiting_ ? std::exchange(*waiting_, {}) : Waiting{})
      dirty.put_back(path, name, now_instant());
    due = take_due();
  }
  between_ = true;
  const Instant since = sender_.since;
  Scopes scopes;
  mark_orphans();
  auto done = perform_marks(due, scopes);
  between_ = false;
  const Instant ended = now_instant();
  large_until_ = ended + (ended - begun);
  sender_.since = since;
  mark_scopes(scopes, ml::kSubtree);
  return done ? out_.flush() : done;
}

void Session::settle() {
  const Instant now = now_instant();
  if (now - settled_at_ < kSettleEvery) return;
  settled_at_ = now;
  if (!place_.store.settled()) {
    // Whatever was written since is known when this returns.
    if (place_.follower) place_.follower->drain();
    place_.store.settle([this](const std::string& path) -> std::optional<Status> {
      {
        const std::lock_guard lock(place_.shared.mutex);
        if (place_.shared.dirty.holds(path)) return std::nullopt;
      }
      if (sender_.in_flight(path)) return std::nullopt;
      auto status = glance(place_.anchors, path);
      return status ? std::optional(*status) : std::nullopt;
    });
  }
  place_.store.flush();
  if (place_.store.wants_fold()) (void)place_.store.fold(std::nullopt);
}

}  // namespace clusterd::live
