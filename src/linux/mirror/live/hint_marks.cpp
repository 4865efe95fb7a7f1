#include "linux/mirror/live/hint_marks.hpp"

#include <chrono>
#include <string>

namespace clusterd::live {

namespace ml = mirror::live;

namespace {

constexpr std::chrono::milliseconds kNamed{4};     // a new file is usually closed by then
constexpr std::chrono::milliseconds kWritten{20};  // a writer that goes on

std::string parent_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

}  // namespace

void mark_hint(const HintMarks& marks, const Hint& hint, Instant now) {
  ml::DirtySet& dirty = marks.dirty;
  const auto in_folder = [&](const std::string& path) {
    const std::string folder = parent_of(path);
    if (marks.anchors.covers(folder))
      dirty.mark(folder, ml::kAttributes, now, now + std::chrono::milliseconds(1));
  };
  const std::string object = hint.directory ? "" : hint.object;
  switch (hint.kind) {
    case Hint::Kind::kMade:
      dirty.created(hint.path, ml::kAttributes, hint.object, now, hint.directory ? now : now + kNamed);
      return in_folder(hint.path);
    case Hint::Kind::kDeleted:
      dirty.deleted(hint.path, now, now);
      return in_folder(hint.path);
    case Hint::Kind::kRenamed:
      if (marks.renames) {
        dirty.renamed(hint.path, hint.to, hint.directory, hint.object, now, now);
      } else {
        dirty.deleted(hint.path, now, now);
        dirty.mark(hint.to, ml::kName | ml::kAttributes | ml::kContents | ml::kSubtree, now, now, object);
      }
      in_folder(hint.path);
      return in_folder(hint.to);
    case Hint::Kind::kMovedIn:
      dirty.mark(hint.path, ml::kName | ml::kAttributes | (hint.directory ? ml::kSubtree : ml::kContents),
                 now, now, object);
      return in_folder(hint.path);
    case Hint::Kind::kWritten:
      return dirty.mark(hint.path, ml::kContents, now, now + kWritten, object);
    case Hint::Kind::kClosed:
      return dirty.mark(hint.path, ml::kContents, now, now, object);
    case Hint::Kind::kAttributes:
      return dirty.mark(hint.path, ml::kAttributes, now, now, object);
    case Hint::Kind::kOrphan:
      if (!marks.links.empty()) dirty.orphaned(hint.object, ml::kContents | ml::kAttributes, now);
      return;
    case Hint::Kind::kLost:
      return dirty.mark(hint.path, ml::kAttributes | ml::kSubtree, now, now);
  }
}

}  // namespace clusterd::live
