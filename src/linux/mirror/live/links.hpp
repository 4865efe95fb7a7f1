// The names of files that have several, as far as a mirror has seen them.
//
// What it says is a guess that is checked before use: names come and go, and a rename is heard of a moment
// after it was made. Any thread.
#pragma once

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "linux/mirror/live/inode.hpp"
#include "mirror/live/dirty.hpp"

namespace clusterd::live {

class Links {
 public:
  // `sent`: the target has this name.
  void note(const Status& status, std::string_view path, bool sent) {
    if (status.type == 'd') return;
    const std::lock_guard lock(mutex_);
    auto it = names_.find(path);
    if (it != names_.end() && it->second.key != key(status)) {
      forget(it);
      it = names_.end();
    }
    if (it == names_.end()) {
      if (status.links < 2) return;
      it = names_.emplace(std::string(path), Name{key(status), false}).first;
      groups_[key(status)].names.insert(it->first);
    }
    if (sent) is_sent(it);
  }
  // The first name in tree order; "" if it is `path` itself.
  [[nodiscard]] std::string leader(const Status& status, std::string_view path) const {
    const std::lock_guard lock(mutex_);
    const auto it = status.links < 2 ? groups_.end() : groups_.find(key(status));
    if (it == groups_.end() || *it->second.names.begin() == path) return "";
    return *it->second.names.begin();
  }
  // All names that it still has here.
  [[nodiscard]] std::vector<std::string> names(const Anchors& anchors, const Status& status) const {
    return look_at(anchors, status, "", false, SIZE_MAX).here;
  }
  struct Others {
    std::vector<std::string> here;   // other names of this file that the target has
    std::vector<std::string> moved;  // the target has them, and they are not here any more: renamed, perhaps
  };
  [[nodiscard]] Others others(const Anchors& anchors, const Status& status, std::string_view path) const {
    return look_at(anchors, status, path, true, SIZE_MAX);
  }
  // One of them that is here; "" if there is none.
  [[nodiscard]] std::string other(const Anchors& anchors, const Status& status, std::string_view path) const {
    const auto others = look_at(anchors, status, path, true, 1).here;
    return others.empty() ? "" : others.front();
  }
  void moved(std::string_view from, std::string_view to) {
    const std::lock_guard lock(mutex_);
    forget_within(to);
    std::vector<std::pair<std::string, Name>> again;
    for (auto it = names_.lower_bound(from);
         it != names_.end() && mirror::live::is_within(it->first, from);) {
      again.emplace_back(*mirror::live::moved(it->first, from, to), it->second);
      it = forget(it);
    }
    for (auto& [path, name] : again) {
      groups_[name.key].names.insert(path);
      const auto it = names_.insert_or_assign(path, Name{name.key, false}).first;
      if (name.sent) is_sent(it);
    }
  }
  void removed(std::string_view path) {
    const std::lock_guard lock(mutex_);
    forget_within(path);
  }
  // For each name that is not sent yet: is it?
  template <class F>
  void settle(F has) {
    const std::lock_guard lock(mutex_);
    for (auto it = names_.begin(); it != names_.end(); ++it) {
      if (!it->second.sent && has(it->first)) is_sent(it);
    }
  }
  [[nodiscard]] bool empty() const {
    const std::lock_guard lock(mutex_);
    return names_.empty();
  }
  void clear() {
    const std::lock_guard lock(mutex_);
    names_.clear();
    groups_.clear();
  }

 private:
  using Key = std::pair<uint64_t, uint64_t>;
  struct Name {
    Key key;
    bool sent = false;
  };
  using Names = std::map<std::string, Name, mirror::live::PathOrder>;
  using Paths = std::set<std::string, mirror::live::PathOrder>;
  struct Group {  // of one file
    Paths names, sent;
  };
  static Key key(const Status& status) { return {status.device, status.inode}; }

  Names::iterator forget(Names::iterator it) {
    const auto group = groups_.find(it->second.key);
    group->second.names.erase(it->first);
    group->second.sent.erase(it->first);
    if (group->second.names.empty()) groups_.erase(group);
    return names_.erase(it);
  }
  void is_sent(Names::iterator it) {
    if (std::exchange(it->second.sent, true)) return;
    groups_[it->second.key].sent.insert(it->first);
  }
  void forget_within(std::string_view path) {
    for (auto it = names_.lower_bound(path); it != names_.end() && mirror::live::is_within(it->first, path);)
      it = forget(it);
  }
  [[nodiscard]] Others look_at(const Anchors& anchors, const Status& status, std::string_view but, bool sent,
                               size_t most) const {
    Others out;
    const std::lock_guard lock(mutex_);
    const auto it = groups_.find(key(status));
    if (it == groups_.end()) return out;
    for (const std::string& path : sent ? it->second.sent : it->second.names) {
      if (out.here.size() >= most) break;
      if (path == but) continue;
      auto now = look(anchors, path);
      const bool same = now && now->inode == status.inode && now->device == status.device;
      (same ? out.here : out.moved).push_back(path);
    }
    return out;
  }

  mutable std::mutex mutex_;
  Names names_;
  std::map<Key, Group> groups_;
};

}  // namespace clusterd::live
