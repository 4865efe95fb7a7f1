#include "linux/mirror/live/session.hpp"

#include <fmt/format.h>
#include <malloc.h>
#include <sys/random.h>

#include <algorithm>
#include <ctime>

#include "linux/mirror/live/owners.hpp"
#include "linux/mirror/live/record.hpp"
#include "mirror/escape.hpp"
#include "mirror/halt.hpp"

namespace clusterd::live {

namespace ml = mirror::live;

namespace {

std::string folder_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

// Owners by name: the target has to know whom the numbers mean before it meets them.
Outbox<ml::SourceFrame>::Before names_first(const SessionPlace& place) {
  if (place.mirror.ids == Ids::kNumeric) return {};
  return [names = std::make_shared<NamesToTell>(place.setup.paths.ids_dir)](const ml::SourceFrame& next) {
    return names->before(next);
  };
}

}  // namespace

uint64_t random_number() {
  uint64_t number = 0;
  (void)!::getrandom(&number, sizeof number, 0);
  return number;
}

Instant now_instant() {
  return Instant(std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch()));
}

Session::Session(const SessionPlace& place, std::unique_ptr<Channel> channel)
    : place_(place),
      channel_(std::move(channel)),
      out_(*channel_, names_first(place)),
      seed_(random_number()),
      sender_(place.anchors, place.store, place.links, out_, seed_,
              {[this](const Sender::Again& a) { again(a); }, [this] { return between(); },
               [this](const std::function<bool()>& until) { return wait(until); }}) {
  {
    const std::lock_guard lock(place_.shared.mutex);
    place_.shared.inbox.clear();
    place_.shared.broken.reset();
    told_ = place_.shared.dirty.heard();
  }
  reader_ = std::thread([this] {
    Shared& shared = place_.shared;
    Result<void> ended;
    while (ended) {
      auto message = channel_->receive();
      if (!message) {
        ended = tl::unexpected(message.error());
        break;
      }
      if (!*message) {
        ended = fail(Code::kRetry, "the target has ended the connection");
        break;
      }
      ByteReader in(bytes_of(**message));
      std::vector<ml::TargetFrame> frames;
      while (true) {
        auto frame = ml::read_target_frame(in);
        if (!frame) ended = tl::unexpected(frame.error());
        if (!frame || !*frame) break;
        frames.push_back(std::move(**frame));
      }
      const std::lock_guard lock(shared.mutex);
      std::move(frames.begin(), frames.end(), std::back_inserter(shared.inbox));
      shared.wake.notify_all();
    }
    const std::lock_guard lock(shared.mutex);
    shared.broken = ended.error();
    shared.wake.notify_all();
  });
}

Session::~Session() {
  exact(false);
  channel_->close();
  reader_.join();
  scrub_.reset();
  compare_.reset();
  hand_back();
}

// Whatever is on its way may have been done there or not, and whole or in part: it is looked at again, with
// the directories that it is in. The next session finds it marked.
void Session::hand_back() {
  const Instant now = now_instant();
  std::set<std::string> folders;
  for (const auto& [path, marks] : sender_.in_doubt()) {
    mark(path, marks, now, now);
    if (folders.insert(folder_of(path)).second && place_.anchors.covers(folder_of(path)))
      mark(folder_of(path), ml::kAttributes, now, now);
  }
  // Whether a rename led to what was meant is not known yet.
  for (const auto& [path, object] : expected_) mark(path, kAll | ml::kSubtree, now, now);
}

void Session::exact(bool value) {
  const std::lock_guard lock(place_.shared.mutex);
  ml::DirtySet& dirty = place_.shared.dirty;
  place_.shared.exact = value;
  // What was renamed meanwhile is looked at by both its names: another directory may have the old one by now.
  for (const ml::DirtyRename& rename : dirty.take_renames()) {
    dirty.mark(rename.from, kAll | ml::kSubtree, rename.since, now_instant());
    dirty.mark(rename.to, kAll | ml::kSubtree, rename.since, now_instant());
  }
  told_ = dirty.heard();
  dirty.forget(told_);
}

void Session::told(uint64_t heard) {
  const std::lock_guard lock(place_.shared.mutex);
  told_ = heard;
  place_.shared.dirty.forget(heard);
}

// By the name that it has after all renames that have been heard of.
void Session::mark(const std::string& path, uint8_t marks, Instant since, Instant due,
                   const std::string& object) {
  const std::lock_guard lock(place_.shared.mutex);
  ml::DirtySet& dirty = place_.shared.dirty;
  const auto now = dirty.now(path, told_);
  if (!now.empty()) dirty.mark(now.front(), marks, since, due, object);
  // What has left it meanwhile is no less in doubt.
  for (size_t i = 1; i < now.size() && (marks & ml::kSubtree) != 0; ++i)
    dirty.mark(now[i], kAll | ml::kSubtree, since, due);
  if (!now.empty()) return;
  for (const std::string& root : place_.anchors.roots())
    dirty.mark(root, ml::kAttributes | ml::kSubtree, since, due);
}

void Session::put_back(const std::string& path, const ml::DirtyName& name, Instant due) {
  {
    const std::lock_guard lock(place_.shared.mutex);
    const auto now = place_.shared.dirty.now(path, told_);
    if (!now.empty()) place_.shared.dirty.put_back(now.front(), name, due);
  }
  // What has left it meanwhile; or all, if its name is not known any more.
  mark(path, name.marks, name.since, due);
}

void Session::again(const Sender::Again& a) {
  if (!place_.anchors.covers(a.path)) return;
  // Trouble and restless files do not hold up a flush for ever: it says that they wait.
  const Instant now = now_instant();
  mark(a.path, a.marks, a.since.value_or(now), now + a.after, a.object);
}

std::string Session::trouble() const {
  if (sender_.troubles.empty()) return "";
  return fmt::format(
      "{} {} at {}: {}", sender_.troubles.size(), sender_.troubles.size() == 1 ? "file waits" : "files wait",
      place_.setup.config.node(place_.setup.config.peer()).name, sender_.troubles.begin()->second);
}

Result<void> Session::take_inbox() {
  std::deque<ml::TargetFrame> frames;
  {
    const std::lock_guard lock(place_.shared.mutex);
    frames.swap(place_.shared.inbox);
    if (frames.empty() && place_.shared.broken) return tl::unexpected(*place_.shared.broken);
    if (place_.shared.stop) return fail(Code::kRetry, "cancelled");
  }
  for (ml::TargetFrame& frame : frames) {
    if (auto* x = std::get_if<ml::Acked>(&frame)) sender_.take(*x);
    if (auto* x = std::get_if<ml::Failed>(&frame)) sender_.take(*x);
    if (auto* x = std::get_if<ml::Signature>(&frame)) sender_.take(std::move(*x));
    if (auto* x = std::get_if<ml::Welcome>(&frame)) welcome_ = std::move(*x);
    if (auto* x = std::get_if<ml::Finished>(&frame)) finished_ = std::move(*x);
    if (auto* x = std::get_if<ml::PartHash>(&frame); x && scrub_ && !scrub_->take(*x))
      return fail(Code::kCorrupt, "the target has hashed what was not asked for");
    if (!compare_) continue;
    if (auto* x = std::get_if<ml::Listing>(&frame)) compare_->take(std::move(*x));
    if (auto* x = std::get_if<ml::Compared>(&frame)) compare_->take(*x);
    if (auto* x = std::get_if<ml::CompareDone>(&frame)) compare_->take(*x);
  }
  if (place_.store.crowded()) settle();
  if (place_.store.wants_fold()) (void)place_.store.fold(std::nullopt);
  return {};
}

// Until something has come in, or the time has come.
Result<void> Session::wait_for(Instant deadline) {
  if (auto ok = out_.flush(); !ok) return ok;
  Shared& shared = place_.shared;
  std::unique_lock lock(shared.mutex);
  const auto patience = std::min<Duration>(deadline - now_instant(), std::chrono::seconds(1));
  if (shared.inbox.empty() && !shared.broken && !shared.stop && patience > Duration::zero()) {
    shared.wake.wait_for(lock, patience);
  }
  return {};
}

Result<void> Session::wait(const std::function<bool()>& until) {
  while (true) {
    if (auto ok = take_inbox(); !ok) return ok;
    if (until()) return {};
    if (auto ok = wait_for(now_instant() + std::chrono::seconds(1)); !ok) return ok;
  }
}

Result<void> Session::begin(const MirrorOrder& order, const std::string& backup_set) {
  ml::Hello hello;
  hello.resync = !backup_set.empty();
  hello.backup_set = backup_set;
  hello.confirmed = order.confirmed;
  hello.seed = seed_;
  hello.life = place_.life;
  if (auto ok = out_.put(hello); !ok) return ok;
  if (auto ok = wait([this] { return welcome_.has_value(); }); !ok) return ok;
  const std::string peer = place_.setup.config.node(place_.setup.config.peer()).name;
  switch (welcome_->answer) {
    case ml::Welcome::Answer::kGoOn:
      return {};
    case ml::Welcome::Answer::kNeedsResync:
      needs_resync_ = true;
      return fail(Code::kRefused, welcome_->why);
    case ml::Welcome::Answer::kHalted:
      return fail(Code::kConfig, fmt::format("at {}: {}", peer, welcome_->why));
    case ml::Welcome::Answer::kRefused:
      break;
  }
  return fail(Code::kRefused, fmt::format("{} refuses: {}", peer, welcome_->why));
}

// The roots are where they were when this began.
Result<void> Session::check_roots() const {
  const std::string gone = place_.anchors.replaced();
  if (gone.empty()) return {};
  return fail(Code::kConfig,
              fmt::format("{} is not there any more, or is another directory now", mirror::escape(gone)));
}

Result<void> Session::compare(std::vector<std::string> scopes, const mirror::ManifestHeader* last,
                              bool confirmed) {
  exact(false);
  if (auto ok = wait([this] { return sender_.idle(); }); !ok) return ok;
  if (auto ok = check_roots(); !ok) return ok;
  const bool whole = scopes.empty();
  if (whole) place_.links.clear();
  compare_ = std::make_unique<SourceCompare>(place_.anchors, place_.mirror, place_.store, place_.links, seed_,
                                             out_, std::move(scopes), [this] {
                                               const std::lock_guard lock(place_.shared.mutex);
                                               place_.shared.wake.notify_all();
                                             });
  while (true) {
    if (auto ok = wait([this] { return compare_->ready() || compare_->error(); }); !ok) return ok;
    if (auto error = compare_->error()) return tl::unexpected(*error);
    if (auto ok = compare_->send_differences(sender_); !ok) return ok;
    if (compare_->finished()) break;
  }
  if (compare_->removes()) {
    auto reason = disaster(last, whole);
    if (!reason) return tl::unexpected(reason.error());
    if (*reason && !confirmed) return fail(Code::kConfig, **reason);
    if (auto ok = compare_->send_removals(sender_); !ok) return ok;
  }
  compare_.reset();
  if (whole) expected_.clear();
  // What was renamed before now was compared by its new name: it must not be renamed there once more.
  if (place_.follower) place_.follower->drain();
  exact(true);
  return {};
}

// Before anything is deleted there that is only known to be missing here: have the roots lost all that they
// held (S10)? A compare of a part has not counted what lies outside of it.
Result<std::optional<std::string>> Session::disaster(const mirror::ManifestHeader* last, bool whole) {
  mirror::RootsNow now = compare_->roots();
  std::optional<mirror::ManifestHeader> header;
  if (last) header = *last;
  if (!whole) {
    auto recorded = place_.store.header();
    if (!recorded) return tl::unexpected(recorded.error());
    header = std::move(*recorded);
    for (mirror::RootNow& root : now.roots)
      root.record.files = holds_a_file(place_.anchors, root.path, place_.mirror.exclude) ? 1 : 0;
  }
  if (!header) return mirror::halt_reason(now, nullptr);
  auto held = what_roots_held(*header, now);
  if (!held) return tl::unexpected(held.error());
  return mirror::halt_reason(now, &*held);
}

// The header is as old as the manifest's last writing; how many files a root held that is empty now stands in
// the log as well.
Result<mirror::ManifestHeader> Session::what_roots_held(const mirror::ManifestHeader& last,
                                                        const mirror::RootsNow& now) {
  mirror::ManifestHeader known = last;
  const auto& roots = now.roots;
  if (std::none_of(roots.begin(), roots.end(), [](const mirror::RootNow& r) { return r.record.files == 0; }))
    return known;
  auto opened = place_.store.open();
  if (!opened) return tl::unexpected(opened.error());
  mirror::RootsNow counted = now;
  for (auto& root : counted.roots) root.record.files = 0;
  while (true) {
    auto entry = opened->entries();
    if (!entry) return tl::unexpected(entry.error());
    if (!*entry) break;
    count_entry(counted, **entry);
  }
  for (auto& was : known.roots) {
    for (const auto& root : counted.roots) {
      if (root.path == was.path) was.files = std::max(was.files, root.record.files);
    }
  }
  return known;
}

Result<void> Session::compare_all(const MirrorOrder& order, ml::Finished& finished) {
  auto opened = place_.store.open();
  if (!opened) return tl::unexpected(opened.error());
  const auto last = opened->header;
  opened->entries = nullptr;
  // Whatever was marked is seen by the walk, if only what nobody has changed since is said to be agreed on.
  // Not with the lock of what is shared: the store looks at that with its own.
  place_.store.doubt();
  {
    const std::lock_guard lock(place_.shared.mutex);
    place_.shared.dirty.clear();
  }
  sender_.since = kFirst;
  sender_.troubles.clear();
  confirmed_ = order.confirmed;
  if (auto ok = compare({}, last ? &*last : nullptr, order.confirmed); !ok) return ok;
  if (auto ok = flush(); !ok) return ok;
  if (!sender_.troubles.empty()) return {};
  std::this_thread::sleep_for(std::chrono::milliseconds(place_.store.settled() ? 0 : 25));
  settle();
  auto ok =
      record_agreement(place_.store, place_.mirror, mirror::ManifestHeader::Role::kSource, order.epoch.value);
  if (!ok) return ok;
  confirmed_ = false;
  finished_.reset();
  if (ok = out_.put(ml::Finish{}); !ok) return ok;
  if (ok = wait([this] { return finished_.has_value(); }); !ok) return ok;
  finished = std::move(*finished_);
  if (!finished.problem.empty()) return fail(Code::kRetry, finished.problem);
  ::malloc_trim(0);  // what a copy of a large tree has needed is not needed to follow it
  return {};
}

// What was sent over the connection before has to be looked at by the names that it had then: renames made
// until now are not performed as such.
Result<void> Session::take_up() {
  if (place_.follower) place_.follower->drain();
  sender_.since = kFirst;
  sender_.troubles.clear();
  exact(true);
  return flush();
}

void Session::scrub(ScrubPlace& place) {
  const auto at_rest = [this](const std::string& path) {
    if (sender_.in_flight(path)) return false;
    const std::lock_guard lock(place_.shared.mutex);
    return !place_.shared.dirty.holds(path);
  };
  scrub_ = std::make_unique<Scrub>(place_.anchors, place_.mirror, seed_, out_, place,
                                   Scrub::Hooks{at_rest, [this](const std::string& path) {
                                                  mark(path, kAll, now_instant(), now_instant());
                                                  const std::lock_guard lock(place_.shared.mutex);
                                                  place_.shared.wake.notify_all();
                                                }});
}

}  // namespace clusterd::live
