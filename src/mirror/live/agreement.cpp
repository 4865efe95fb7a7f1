#include "mirror/live/agreement.hpp"

#include <algorithm>
#include <memory>
#include <set>

#include "mirror/escape.hpp"
#include "mirror/live/entry.hpp"

namespace clusterd::mirror::live {
namespace {

struct Line {
  char kind = 0;
  Entry entry;
  std::string path, to;
};

std::optional<std::string> clean_path(std::string_view text) {
  auto raw = unescape(text);
  if (!raw || !is_clean_path(*raw)) return std::nullopt;
  return std::move(*raw);
}

std::optional<Line> parse(std::string_view text) {
  if (text.size() < 3 || text[1] != ' ' || text.size() > 2 * kMaxManifestLine) return std::nullopt;
  Line line;
  line.kind = text[0];
  const std::string_view rest = text.substr(2);
  switch (line.kind) {
    case '+': {
      auto entry = parse_entry(rest);
      if (!entry) return std::nullopt;
      line.entry = std::move(*entry);
      line.path = line.entry.path;
      return line;
    }
    case '-':
    case '!': {
      auto path = clean_path(rest);
      if (!path) return std::nullopt;
      line.path = std::move(*path);
      return line;
    }
    case '>': {
      const size_t tab = rest.find('\t');
      if (tab == std::string_view::npos) return std::nullopt;
      auto from = clean_path(rest.substr(0, tab)), to = clean_path(rest.substr(tab + 1));
      if (!from || !to || is_within(*to, *from) || is_within(*from, *to)) return std::nullopt;
      line.path = std::move(*from);
      line.to = std::move(*to);
      return line;
    }
    default:
      return std::nullopt;
  }
}

using Tree = std::map<std::string, Entry, PathOrder>;

void erase_within(Tree& tree, std::string_view path) {
  for (auto it = tree.lower_bound(path); it != tree.end() && is_within(it->first, path);) it = tree.erase(it);
}

void play(Tree& tree, Line line) {
  switch (line.kind) {
    case '+':
      tree[line.path] = std::move(line.entry);
      return;
    case '-':
      erase_within(tree, line.path);
      return;
    case '!':
      for (auto it = tree.lower_bound(line.path); it != tree.end() && is_within(it->first, line.path); ++it)
        it->second = unproven(it->second);
      return;
    default:
      break;
  }
  erase_within(tree, line.to);
  std::vector<Tree::node_type> nodes;
  for (auto it = tree.lower_bound(line.path); it != tree.end() && is_within(it->first, line.path);) {
    nodes.push_back(tree.extract(it++));
  }
  for (auto& node : nodes) {
    node.key() = *moved(node.key(), line.path, line.to);
    node.mapped().path = node.key();
    tree.insert(std::move(node));
  }
}

// Paths, escaped, of which none lies within another. Escaping keeps what lies within what.
class Tops {
 public:
  void add(std::string path) {
    if (covers(path)) return;
    for (auto it = paths_.lower_bound(path); it != paths_.end() && is_within(*it, path);)
      it = paths_.erase(it);
    paths_.insert(std::move(path));
  }
  [[nodiscard]] bool covers(std::string_view path) const {
    const auto after = paths_.upper_bound(path);
    return after != paths_.begin() && is_within(path, *std::prev(after));
  }
  [[nodiscard]] std::vector<std::string> within(std::string_view path) const {
    std::vector<std::string> out;
    for (auto it = paths_.lower_bound(path); it != paths_.end() && is_within(*it, path); ++it)
      out.push_back(*it);
    return out;
  }
  [[nodiscard]] bool touches(std::string_view path) const {
    const auto at = paths_.lower_bound(path);
    return covers(path) || (at != paths_.end() && is_within(*at, path));
  }
  [[nodiscard]] const auto& paths() const { return paths_; }

 private:
  std::set<std::string, PathOrder> paths_;
};

// Where the path begins in the line of an entry: behind its other fields.
size_t path_in_entry(std::string_view line) {
  size_t at = 0;
  for (int fields = 0; fields < 9; ++fields) {
    at = line.find(' ', at);
    if (at++ == std::string_view::npos) return line.size();
  }
  return at;
}

EntryStream failing(Error error) {
  return [error = std::move(error)]() -> Result<std::optional<Entry>> { return tl::unexpected(error); };
}

}  // namespace

std::string write_agreed(const Entry& entry) { return "+ " + write_entry(entry); }
std::string write_leaving(std::string_view path) { return "! " + escape(path) + "\n"; }
std::string write_gone(std::string_view path) { return "- " + escape(path) + "\n"; }
std::string write_moved(std::string_view from, std::string_view to) {
  return "> " + escape(from) + "\t" + escape(to) + "\n";
}

Concerned concerned(const std::vector<std::string>& lines, const std::vector<std::string>& scopes) {
  Tops tops;  // as they were called before the lines that have been looked at: from the last one backwards
  for (const std::string& scope : scopes) tops.add(escape(scope));
  Concerned out;
  for (size_t i = lines.size(); i-- > 0;) {
    const std::string_view line = lines[i];
    if (line.size() < 3) continue;
    const std::string_view rest = line.substr(2);
    bool concerns = false;
    if (line[0] == '+') {
      concerns = tops.covers(line.substr(path_in_entry(line)));
    } else if (const size_t tab = rest.find('\t'); line[0] == '>' && tab != std::string_view::npos) {
      const std::string_view from = rest.substr(0, tab), to = rest.substr(tab + 1);
      concerns = tops.touches(from) || tops.touches(to);
      if (tops.covers(to)) tops.add(std::string(from));
      for (const std::string& path : tops.within(to)) tops.add(*moved(path, to, from));
    } else {
      concerns = tops.touches(rest);
    }
    if (concerns) out.lines.push_back(i);
  }
  std::reverse(out.lines.begin(), out.lines.end());
  for (const std::string& path : tops.paths()) {
    if (auto raw = unescape(path)) out.paths.push_back(std::move(*raw));
  }
  std::sort(out.paths.begin(), out.paths.end(), PathOrder{});
  return out;
}

bool Overlay::take(std::string_view text) {
  auto line = parse(text);
  if (!line) return false;
  ++lines_;
  moves_ = moves_ || line->kind == '>';
  kept_.emplace_back(text);
  switch (line->kind) {
    case '+': {
      items_[line->path].entry = std::move(line->entry);
      break;
    }
    case '-':
      clear_below(items_, line->path);
      items_[line->path] = {std::nullopt, true, false};
      break;
    case '!':
      doubt_below(items_, line->path);
      items_[line->path].doubted = true;
      break;
    default:
      break;
  }
  return true;
}

void Overlay::clear_below(Items& items, std::string_view path) {
  for (auto it = items.lower_bound(path); it != items.end() && is_within(it->first, path);)
    it = items.erase(it);
}

void Overlay::doubt_below(Items& items, std::string_view path) {
  for (auto it = items.lower_bound(path); it != items.end() && is_within(it->first, path); ++it) {
    if (it->second.entry) it->second.entry = unproven(*it->second.entry);
  }
}

EntryStream Overlay::over(EntryStream manifest, const Parts& parts) && {
  if (lines_ == 0) return manifest;
  if (moves_) return over_moves(std::move(manifest), parts);
  kept_.clear();
  return merge(std::move(manifest), std::move(items_));
}

// What was moved, and what was there where it went, is held and played; all the rest is merged in passing.
EntryStream Overlay::over_moves(EntryStream manifest, const Parts& parts) const {
  std::vector<std::string> ends;
  for (const std::string& text : kept_) {
    if (text[0] != '>') continue;
    Line move = *parse(text);
    ends.push_back(std::move(move.path));
    ends.push_back(std::move(move.to));
  }
  auto held = std::make_shared<Concerned>(concerned(kept_, ends));
  auto tree = std::make_shared<Tree>();
  const EntryStream part = parts(held->paths);
  while (true) {
    auto entry = part();
    if (!entry) return failing(entry.error());
    if (!*entry) break;
    std::string path = (*entry)->path;
    tree->emplace_hint(tree->end(), std::move(path), std::move(**entry));
  }
  Overlay rest;
  auto next = held->lines.begin();
  for (size_t i = 0; i < kept_.size(); ++i) {
    const bool concerns = next != held->lines.end() && *next == i;
    if (concerns) ++next;
    if (concerns) play(*tree, *parse(kept_[i]));
    // What is gone or in doubt there may have been so far beyond what was moved.
    if (kept_[i][0] != '>' && !(concerns && kept_[i][0] == '+')) (void)rest.take(kept_[i]);
  }
  EntryStream others = [manifest = std::move(manifest), held, at = size_t{0}]() mutable {
    while (true) {
      auto entry = manifest();
      if (!entry || !*entry) return entry;
      const std::string& path = (*entry)->path;
      while (at < held->paths.size() && path_before(held->paths[at], path) &&
             !is_within(path, held->paths[at]))
        ++at;
      if (at == held->paths.size() || !is_within(path, held->paths[at])) return entry;
    }
  };
  EntryStream moved = [tree, it = tree->begin()]() mutable -> Result<std::optional<Entry>> {
    if (it == tree->end()) return std::optional<Entry>{};
    return std::optional<Entry>((it++)->second);
  };
  return union_of(merge(std::move(others), std::move(rest.items_)), std::move(moved));
}

EntryStream Overlay::merge(EntryStream manifest, Items items) {
  struct State {
    EntryStream manifest;
    Items items;
    Items::iterator at;
    std::optional<Entry> next;
    // The paths at and below which nothing of the manifest's holds, or what does is not proven. "": none.
    std::string cleared, doubted;
    bool begun = false;
  };
  auto state = std::make_shared<State>();
  state->manifest = std::move(manifest);
  state->items = std::move(items);
  state->at = state->items.begin();
  return [state]() -> Result<std::optional<Entry>> {
    State& s = *state;
    const auto advance = [&s]() -> Result<void> {
      auto entry = s.manifest();
      if (!entry) return tl::unexpected(entry.error());
      s.next = std::move(*entry);
      return {};
    };
    if (!s.begun) {
      s.begun = true;
      if (auto ok = advance(); !ok) return tl::unexpected(ok.error());
    }
    while (s.next || s.at != s.items.end()) {
      const bool take_item = s.at != s.items.end() && (!s.next || !path_before(s.next->path, s.at->first));
      const bool take_next = s.next && (s.at == s.items.end() || !path_before(s.at->first, s.next->path));
      const auto within = [](std::string_view path, const std::string& top) {
        return !top.empty() && is_within(path, top);
      };
      // A removal within what was removed before is no end of that.
      const auto begin = [&](bool begins, std::string& top) {
        if (begins && !within(s.at->first, top)) top = s.at->first;
      };
      if (take_item) begin(s.at->second.cleared, s.cleared);
      if (take_item) begin(s.at->second.doubted, s.doubted);
      std::optional<Entry> out;
      if (take_next && !within(s.next->path, s.cleared))
        out = within(s.next->path, s.doubted) ? unproven(*s.next) : std::move(*s.next);
      if (take_item) {
        if (s.at->second.entry) out = std::move(s.at->second.entry);
        ++s.at;
      }
      if (take_next) {
        if (auto ok = advance(); !ok) return tl::unexpected(ok.error());
      }
      if (out) return out;
    }
    return std::optional<Entry>{};
  };
}

}  // namespace clusterd::mirror::live
