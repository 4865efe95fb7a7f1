#include "mirror/live/dirty.hpp"

#include <algorithm>

#include "mirror/live/entry.hpp"

namespace clusterd::mirror::live {

std::optional<std::string> moved(std::string_view path, std::string_view from, std::string_view to) {
  if (!is_within(path, from)) return std::nullopt;
  return std::string(to) + std::string(path.substr(from.size()));
}

DirtyName& DirtySet::at(std::string_view path, Instant now, Instant due) {
  auto [it, fresh] = names_.try_emplace(std::string(path));
  DirtyName& name = it->second;
  name.since = fresh ? now : std::min(name.since, now);
  name.due = fresh ? due : std::min(name.due, due);
  next_due_ = std::min(next_due_, due);
  return name;
}

void DirtySet::orphaned(std::string_view object, uint8_t marks, Instant since) {
  if (orphans_.objects.size() >= kMaxMarks) {
    orphans_.too_many = true;
    return;
  }
  auto [it, fresh] = orphans_.objects.try_emplace(std::string(object), DirtyName{.since = since});
  it->second.marks |= marks;
  it->second.since = std::min(it->second.since, since);
}

void DirtySet::belongs_to(DirtyName& name, std::string_view object) {
  if (!name.object.empty() && name.object != object && (name.marks & (kContents | kAttributes)) != 0)
    orphaned(name.object, name.marks | kName, name.since);
  name.object = object;
}

void DirtySet::mark(std::string_view path, uint8_t marks, Instant now, Instant due, std::string_view object) {
  DirtyName& name = at(path, now, due);
  if (!object.empty()) belongs_to(name, object);
  name.marks |= marks;
  if (names_.size() > kMaxMarks) shrink(now);
}

void DirtySet::created(std::string_view path, uint8_t marks, std::string_view object, Instant now,
                       Instant due) {
  DirtyName& name = at(path, now, due);
  belongs_to(name, object);
  name.marks |= kName | marks;
  name.created = true;
  name.deleted = false;
  objects_[std::string(path)] = std::string(object);
  if (names_.size() > kMaxMarks) shrink(now);
}

void DirtySet::deleted(std::string_view path, Instant now, Instant due) {
  DirtyName& name = at(path, now, due);
  belongs_to(name, {});
  // Should there be a directory by now: the target may have another one there, with what was in it.
  name.marks |= kName | kSubtree;
  name.created = false;
  name.deleted = true;
  forget_objects(path);
  objects_[std::string(path)].clear();
  if (names_.size() > kMaxMarks) shrink(now);
}

void DirtySet::put_back(std::string_view path, const DirtyName& was, Instant due) {
  auto [it, fresh] = names_.try_emplace(std::string(path), was);
  DirtyName& name = it->second;
  next_due_ = std::min(next_due_, due);
  if (fresh) {
    name.due = due;
    return;
  }
  // If another one is there by now, or none, this one is sought by its object.
  if (name.object.empty() && !name.deleted)
    name.object = was.object;
  else if (!was.object.empty() && name.object != was.object)
    orphaned(was.object, was.marks | kName, was.since);
  name.marks |= was.marks;
  name.due = std::min(name.due, due);
  name.since = std::min(name.since, was.since);
}

std::vector<std::string> DirtySet::now(std::string path, uint64_t heard) const {
  const uint64_t forgotten = heard_ - moved_.size();
  if (heard < forgotten) return {};
  std::vector<std::string> paths{std::move(path)};
  for (size_t i = static_cast<size_t>(heard - forgotten); i < moved_.size(); ++i) {
    const std::string &from = moved_[i].from, &to = moved_[i].to;
    const bool leaves = std::any_of(paths.begin(), paths.end(), [&](const std::string& p) {
      return is_within(from, p) && from != p && !is_within(to, p);
    });
    for (std::string& each : paths) {
      if (auto there = moved(each, from, to)) each = std::move(*there);
    }
    if (leaves) paths.push_back(to);
  }
  return paths;
}

// Since when all that lies in a directory above is to be compared: the target may have anything there.
std::optional<Instant> DirtySet::suspect_since(std::string_view path) const {
  std::optional<Instant> since;
  for (size_t slash = path.find('/', 1); slash != std::string_view::npos; slash = path.find('/', slash + 1)) {
    const auto above = names_.find(path.substr(0, slash));
    if (above != names_.end() && (above->second.marks & kSubtree) != 0)
      since = since ? std::min(*since, above->second.since) : above->second.since;
  }
  return since;
}

void DirtySet::forget(uint64_t heard) {
  while (!moved_.empty() && heard_ - moved_.size() < heard) moved_.pop_front();
}

std::optional<Instant> DirtySet::contents_wanted(std::string_view path) const {
  const auto it = names_.find(path);
  if (it == names_.end() || (it->second.marks & kContents) == 0) return std::nullopt;
  return it->second.since;
}

void DirtySet::finished(std::string_view path) {
  const auto it = names_.find(path);
  if (it != names_.end()) it->second.marks &= static_cast<uint8_t>(~kContents);
}

void DirtySet::hasten(Instant now) {
  for (auto& [path, name] : names_) name.due = std::min(name.due, now);
  next_due_ = std::min(next_due_, now);
}

void DirtySet::forget_objects(std::string_view path) {
  for (auto it = objects_.lower_bound(path); it != objects_.end() && is_within(it->first, path);) {
    it = objects_.erase(it);
  }
}

void DirtySet::renamed(std::string_view from, std::string_view to, bool directory, std::string_view object,
                       Instant now, Instant due) {
  const auto known = objects_.find(from);
  const bool fits = known == objects_.end() || (!object.empty() && known->second == object);
  if (!fits) {
    // Half of an exchange, or merged with another hint. Whose marks the ones here are cannot be told.
    forget_objects(from);
    forget_objects(to);
    belongs_to(at(from, now, due), {});
    belongs_to(at(to, now, due), directory ? std::string_view{} : object);
    for (const auto path : {from, to}) at(path, now, due).marks |= kName | kAttributes | kContents | kSubtree;
    objects_[std::string(to)] = std::string(object);
    return;
  }
  const auto old = names_.find(from);
  const bool is_new = old != names_.end() && old->second.created;
  const auto suspect = suspect_since(from);
  const bool unfinished = !directory && old != names_.end() && (old->second.marks & kContents) != 0;
  move_marks(from, to);
  moved_.push_back({std::string(from), std::string(to)});
  if (moved_.size() > kMaxRenames) moved_.pop_front();
  ++heard_;
  forget_objects(to);
  // What hints have said of things below a directory goes on holding below its new name.
  std::vector<std::pair<std::string, std::string>> carried;
  for (auto it = objects_.lower_bound(from); it != objects_.end() && is_within(it->first, from);) {
    if (it->first.size() > from.size()) carried.emplace_back(*moved(it->first, from, to), it->second);
    it = objects_.erase(it);
  }
  for (auto& [path, is] : carried) objects_[path] = is;
  objects_[std::string(from)].clear();
  objects_[std::string(to)] = std::string(object);

  DirtyName& here = at(to, suspect.value_or(now), due);
  if (suspect) here.marks |= kContents | kSubtree;
  here.marks |= kName | kAttributes;
  here.deleted = here.missing = false;
  // As for what is deleted. If this one is new, the target may never have had it there, but something else.
  at(from, now, due).marks |= kName | kSubtree;
  if (is_new) {
    // The target has never heard of it: there is nothing to rename there.
    here.created = true;
    here.marks |= directory ? kSubtree : kContents;
    for (DirtyRename& rename : renames_) {
      if (auto path = moved(rename.to, from, to)) rename.to = std::move(*path);
    }
  } else if (renames_.size() >= kMaxRenames) {
    here.marks |= directory ? kSubtree : kContents;
  } else {
    renames_.push_back(
        {std::string(from), std::string(to), std::string(object), unfinished, directory, heard_, now});
  }
  if (names_.size() > kMaxMarks) shrink(now);
}

void DirtySet::move_marks(std::string_view from, std::string_view to) {
  // What was at `to` is overwritten. If it is known what that was, its marks have no object any more. If not,
  // they may be of what comes there now: whoever looked at the file by its new name has made them. Those
  // below it do no harm.
  if (const auto it = names_.find(to); it != names_.end() && !it->second.object.empty()) {
    belongs_to(it->second, {});
    names_.erase(it);
  }
  std::vector<Names::node_type> nodes;
  for (auto it = names_.lower_bound(from); it != names_.end() && is_within(it->first, from);) {
    nodes.push_back(names_.extract(it++));
  }
  for (auto& node : nodes) {
    node.key() = *moved(node.key(), from, to);
    node.mapped().missing = false;
    auto placed = names_.insert(std::move(node));
    if (!placed.inserted) {
      DirtyName& there = placed.position->second;
      const DirtyName& moving = placed.node.mapped();
      there.marks |= moving.marks;
      there.created = there.created && moving.created;
      if (there.object.empty()) there.object = moving.object;
      there.due = std::min(there.due, moving.due);
      there.since = std::min(there.since, moving.since);
    }
  }
}

std::vector<DirtyRename> DirtySet::take_renames() {
  objects_.clear();
  return std::exchange(renames_, {});
}

std::vector<std::string> DirtySet::created_above(std::string_view path) const {
  std::vector<std::string> above;
  for (size_t slash = path.find('/', 1); slash != std::string_view::npos; slash = path.find('/', slash + 1)) {
    const auto it = names_.find(path.substr(0, slash));
    if (it != names_.end() && it->second.created) above.emplace_back(it->first);
  }
  return above;
}

std::vector<std::pair<std::string, DirtyName>> DirtySet::take(Instant now, size_t most, Instant until) {
  std::vector<std::pair<std::string, DirtyName>> out;
  next_due_ = Instant::max();
  for (auto it = names_.begin(); it != names_.end();) {
    if (out.size() == most) {  // with a hundred thousand of them, to look at all would cost more than this
      next_due_ = now;
      break;
    }
    if (it->second.due > now || it->second.since > until) {
      next_due_ = std::min(next_due_, it->second.due);
      ++it;
      continue;
    }
    auto node = names_.extract(it++);
    out.emplace_back(std::move(node.key()), node.mapped());
  }
  return out;
}

std::optional<Instant> DirtySet::next_due() const {
  return names_.empty() ? std::nullopt : std::optional(next_due_);
}

std::optional<Instant> DirtySet::oldest() const {
  std::optional<Instant> oldest;
  for (const auto& [path, name] : names_) oldest = oldest ? std::min(*oldest, name.since) : name.since;
  return oldest;
}

void DirtySet::clear() {
  names_.clear();
  next_due_ = Instant::max();
  renames_.clear();
  objects_.clear();
  orphans_ = {};
}

// Half of the marks become marks of their directories: those with the longest paths, where a subtree is
// smallest. What was changed by a name and has lost it since is not found by that.
void DirtySet::shrink(Instant now) {
  Names folded;
  for (auto& [path, name] : names_) {
    const size_t slash = path.rfind('/');
    std::string parent = slash == 0 ? path : path.substr(0, slash);
    auto [it, fresh] = folded.try_emplace(std::move(parent), DirtyName{.due = now, .since = name.since});
    it->second.marks |= kSubtree | kName | kAttributes;
    it->second.since = std::min(it->second.since, name.since);
    orphans_.too_many = orphans_.too_many || !name.object.empty();
  }
  names_ = std::move(folded);
  next_due_ = std::min(next_due_, now);
  renames_.clear();
  objects_.clear();
}

}  // namespace clusterd::mirror::live
