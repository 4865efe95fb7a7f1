// What has changed at the source and is not at the target yet.
//
// Hints merge: whatever is said of a name, in the end the name is looked at. So marks are only ever added,
// and a mark too many costs a look. Renames are worth more than that, since they spare the contents: they are
// kept in order and are performed before the marks; marks of what was renamed move along. A rename is
// believed only as long as the objects (file handles) of the hints fit together: hints of one object merge
// and lose their order, so that a chain may say something that never happened. Then both names are marked,
// and looked at.
//
// A file whose contents are still to be sent when it is renamed is `unfinished`: its contents have to be sent
// under its old name first. Only then the new name, which may have shown another file until now, shows this
// one whole.
//
// All paths of marks are paths as they are now (after all hints so far). Who has a path of before translates
// it (`now`), or else marks a name that nobody has any more, and the change is lost. Where a name may lead to
// another directory than the target has there, all below it is compared. Bounded: beyond `kMaxMarks`, names
// become marks of their directory's subtree.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.hpp"
#include "mirror/manifest.hpp"

namespace clusterd::mirror::live {

struct PathOrder {
  using is_transparent = void;
  bool operator()(std::string_view a, std::string_view b) const { return path_before(a, b); }
};

// What is to be looked at.
enum Mark : uint8_t {
  kName = 1,        // is it there at all? (it was created, deleted or moved)
  kAttributes = 2,  //
  kContents = 4,    //
  kSubtree = 8,     // and all below it: by a compare
};

struct DirtyName {
  uint8_t marks = 0;
  bool created = false;  // the target has nothing of it yet
  bool deleted = false;  // the last hint said so: nobody needs to wait for one that says where it went
  bool missing = false;  // it was looked for once, and was not there
  std::string object{};  // what the hints said was there; a file may have other names as well
  Instant due{};
  Instant since{};  // the oldest hint
};

struct DirtyRename {
  std::string from, to;
  std::string object;
  bool unfinished = false;
  bool directory = false;
  uint64_t number = 0;  // DirtySet::heard, once this one had been heard of
  Instant since{};      // when it was heard of
};

class DirtySet {
 public:
  static constexpr size_t kMaxMarks = 200'000;
  static constexpr size_t kMaxRenames = 20'000;

  // `object`: what the hint says is there; empty: it does not say.
  void mark(std::string_view path, uint8_t marks, Instant now, Instant due, std::string_view object = {});
  void created(std::string_view path, uint8_t marks, std::string_view object, Instant now, Instant due);
  void deleted(std::string_view path, Instant now, Instant due);
  // What was taken, and is not done. Hints that have come meanwhile are younger. `path` as it is now: later
  // renames move these marks along.
  void put_back(std::string_view path, const DirtyName& name, Instant due);
  void renamed(std::string_view from, std::string_view to, bool directory, std::string_view object,
               Instant now, Instant due);

  // How many renames have moved marks along so far. `now`: what has become of a path that was right after so
  // many of them, and then of all that was renamed away from below it; empty: that is not known any more.
  // `forget`: nobody asks about so many any more.
  [[nodiscard]] uint64_t heard() const { return heard_; }
  [[nodiscard]] std::vector<std::string> now(std::string path, uint64_t heard) const;
  void forget(uint64_t heard);

  // Renames to be performed now, in order; the names that they lead to stay marked (kAttributes), and have to
  // hold the object that is said here.
  [[nodiscard]] std::vector<DirtyRename> take_renames();
  // Objects that have changed and are not at the name any more that they were changed by: perhaps they have
  // others. kName: that name was one of the mirror's; if not, nobody can tell where it was.
  struct Orphans {
    std::map<std::string, DirtyName> objects;
    bool too_many = false;  // there are more
  };
  void orphaned(std::string_view object, uint8_t marks, Instant since);
  [[nodiscard]] Orphans take_orphans() { return std::exchange(orphans_, {}); }
  // Directories that were made since and that `path` lies in: they have to be made first, outermost first.
  [[nodiscard]] std::vector<std::string> created_above(std::string_view path) const;
  // The contents of `path` are being sent.
  void finished(std::string_view path);
  // Marks that are due, in tree order; at most so many. `until`: only what is no younger.
  [[nodiscard]] std::vector<std::pair<std::string, DirtyName>> take(Instant now, size_t most,
                                                                    Instant until = Instant::max());
  // What is there now is due now.
  void hasten(Instant now);
  // Since when the contents of `path` are to be sent, if they are.
  [[nodiscard]] std::optional<Instant> contents_wanted(std::string_view path) const;
  [[nodiscard]] bool holds(std::string_view path) const { return names_.find(path) != names_.end(); }

  [[nodiscard]] bool is_created(std::string_view path) const {
    const auto it = names_.find(path);
    return it != names_.end() && it->second.created;
  }

  // No later than when the next mark is due; just then, after a `take` of all that was due.
  [[nodiscard]] std::optional<Instant> next_due() const;
  [[nodiscard]] std::optional<Instant> oldest() const;
  [[nodiscard]] size_t size() const { return names_.size(); }
  [[nodiscard]] bool empty() const { return names_.empty() && renames_.empty(); }
  [[nodiscard]] bool has_renames() const { return !renames_.empty(); }
  void clear();

 private:
  using Names = std::map<std::string, DirtyName, PathOrder>;
  DirtyName& at(std::string_view path, Instant now, Instant due);
  void move_marks(std::string_view from, std::string_view to);
  [[nodiscard]] std::optional<Instant> suspect_since(std::string_view path) const;
  void belongs_to(DirtyName& name, std::string_view object);
  void shrink(Instant now);
  void forget_objects(std::string_view path);

  Names names_;
  Instant next_due_ = Instant::max();
  std::vector<DirtyRename> renames_;
  Orphans orphans_;
  struct Moved {
    std::string from, to;
  };
  std::deque<Moved> moved_;  // the latest renames that have moved marks along
  uint64_t heard_ = 0;
  // What the hints since the last take_renames say is at a path; "" for nothing.
  std::map<std::string, std::string, PathOrder> objects_;
};

// `path` after `from` was renamed to `to`.
[[nodiscard]] std::optional<std::string> moved(std::string_view path, std::string_view from,
                                               std::string_view to);

}  // namespace clusterd::mirror::live
