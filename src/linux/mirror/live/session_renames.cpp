// Renames, told to the target as such where it can be known what they have led to. The third part of
// session.hpp.
#include <algorithm>

#include "linux/mirror/live/object.hpp"
#include "linux/mirror/live/session.hpp"

namespace clusterd::live {

namespace ml = mirror::live;

namespace {

constexpr size_t kMaxExpected = 100'000;

}  // namespace

Result<void> Session::perform_renames(Due& due) {
  std::set<std::string> finished;
  std::vector<std::string> doubtful;  // names that the target may have something else at
  const auto touches = [&](const std::string& path) {
    return std::any_of(doubtful.begin(), doubtful.end(), [&](const std::string& d) {
      return ml::is_within(path, d) || ml::is_within(d, path);
    });
  };
  Result<bool> done;
  for (size_t i = 0; i < due.renames.size(); ++i) {
    const ml::DirtyRename& rename = due.renames[i];
    // When the connection breaks, none of those that are left is performed.
    const bool doubted = !done || touches(rename.from) || touches(rename.to);
    const Instant since = oldest_change(rename);
    sender_.since = rename.since;
    if (!doubted) done = perform_rename(due, i, finished);
    told(rename.number);
    if (!doubted && done && *done) continue;
    // Whatever the target has there is looked at by name.
    for (const std::string& path : {rename.from, rename.to}) {
      mark(path, kAll | ml::kSubtree, since, now_instant());
      doubtful.push_back(path);
    }
  }
  sender_.since = kFirst;
  told(due.heard);
  if (!done) return tl::unexpected(done.error());
  return {};
}

// What is in doubt if it cannot be performed: itself, and what was sent while it was not known.
Instant Session::oldest_change(const ml::DirtyRename& rename) const {
  Instant since = rename.since;
  for (const std::string& path : {rename.from, rename.to}) {
    for (const auto& sent : sender_.sent_lately(path)) since = std::min(since, sent.since);
  }
  return since;
}

// The contents of a renamed file that are still to be sent, or were being sent when the rename was heard of
// and were not at rest (that mark is younger than the rename), go to the old name first. False: it is not
// there any more.
Result<bool> Session::send_unfinished(Due& due, size_t which, std::set<std::string>& finished) {
  const ml::DirtyRename& rename = due.renames[which];
  std::string now = rename.to;
  for (size_t i = which + 1; i < due.renames.size(); ++i) {
    if (auto there = ml::moved(now, due.renames[i].from, due.renames[i].to)) now = std::move(*there);
  }
  bool unfinished = rename.unfinished;
  Instant since = rename.since;
  // Marks are taken in the order of their paths.
  const auto it = std::ranges::lower_bound(due.marks, now, ml::PathOrder{},
                                           [](const auto& mark) -> const std::string& { return mark.first; });
  if (it != due.marks.end() && it->first == now && (it->second.marks & ml::kContents) != 0) {
    unfinished = true;
    since = std::min(since, it->second.since);
    it->second.marks &= static_cast<uint8_t>(~ml::kContents);
  }
  {
    const std::lock_guard lock(place_.shared.mutex);
    if (const auto wanted = place_.shared.dirty.contents_wanted(now)) {
      unfinished = true;
      since = std::min(since, *wanted);
    }
    if (!unfinished || !finished.insert(now).second) return true;
    place_.shared.dirty.finished(now);
  }
  if (object_at(place_.anchors, now) != rename.object) return false;
  sender_.since = since;
  auto sent = sender_.contents(now, rename.from);
  sender_.since = rename.since;
  if (!sent) return tl::unexpected(sent.error());
  return *sent != Sender::Found::kGone;
}

// False: what the target has at the old name need not be what was renamed.
Result<bool> Session::perform_rename(Due& due, size_t which, std::set<std::string>& finished) {
  const ml::DirtyRename& rename = due.renames[which];
  for (const auto& sent : sender_.sent_lately(rename.from)) {
    if (sent.path == rename.from && sent.object != rename.object) return false;
  }
  for (const std::string& folder : due.above[which]) {
    if (auto ok = sender_.send(folder, ml::kAttributes); !ok) return tl::unexpected(ok.error());
  }
  if (!rename.directory) {
    auto ready = send_unfinished(due, which, finished);
    if (!ready || !*ready) return ready;
  }
  const auto again = to_look_at_again(rename);
  if (auto ok = sender_.rename(rename.from, rename.to, rename.object); !ok) return tl::unexpected(ok.error());
  told(rename.number);
  mark_scopes(again, kAll | ml::kSubtree);
  if (expected_.size() > kMaxExpected) {
    expected_.clear();
    mark_all(kFirst);
  }
  std::vector<std::pair<std::string, std::string>> carried;
  for (auto it = expected_.lower_bound(rename.from);
       it != expected_.end() && ml::is_within(it->first, rename.from);) {
    if (it->first != rename.from)
      carried.emplace_back(*ml::moved(it->first, rename.from, rename.to), it->second);
    it = expected_.erase(it);
  }
  for (auto& [path, object] : carried) expected_[path] = std::move(object);
  expected_[rename.from] = "";
  expected_[rename.to] = rename.object;
  return true;
}

// What was sent below either name before the rename was known may have gone to the wrong one of them: the
// names that it has after the rename.
Session::Scopes Session::to_look_at_again(const ml::DirtyRename& rename) const {
  Scopes again;
  for (const auto& sent : sender_.sent_lately(rename.from)) {
    if (sent.path == rename.from) continue;
    std::string now = *ml::moved(sent.path, rename.from, rename.to);
    if (object_at(place_.anchors, now) != sent.object)
      again.push_back({std::move(now), std::min(sent.since, rename.since)});
  }
  for (const auto& sent : sender_.sent_lately(rename.to)) {
    if (sent.path != rename.to) again.push_back({sent.path, std::min(sent.since, rename.since)});
  }
  return again;
}

}  // namespace clusterd::live
