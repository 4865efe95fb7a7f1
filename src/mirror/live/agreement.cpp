#include "mirror/live/agreement.hpp"

#include <memory>

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
    case '+':
    case '?': {
      auto entry = parse_entry(rest);
      if (!entry) return std::nullopt;
      line.entry = std::move(*entry);
      line.path = line.entry.path;
      return line;
    }
    case '-': {
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
    case '?':
      tree.try_emplace(line.path, unproven(line.entry));
      return;
    case '-':
      erase_within(tree, line.path);
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

EntryStream failing(Error error) {
  return [error]() -> Result<std::optional<Entry>> { return tl::unexpected(error); };
}

}  // namespace

std::string write_agreed(const Entry& entry) { return "+ " + write_entry(entry); }
std::string write_sending(const Entry& entry) { return "? " + write_entry(entry); }
std::string write_gone(std::string_view path) { return "- " + escape(path) + "\n"; }
std::string write_moved(std::string_view from, std::string_view to) {
  return "> " + escape(from) + "\t" + escape(to) + "\n";
}

bool Overlay::take(std::string_view text) {
  auto line = parse(text);
  if (!line) return false;
  ++lines_;
  moves_ = moves_ || line->kind == '>';
  kept_.emplace_back(text);
  switch (line->kind) {
    case '+': {
      Item& item = items_[line->path];
      item.entry = std::move(line->entry);
      item.only_if_absent = false;
      break;
    }
    case '?': {
      Item& item = items_[line->path];
      if (item.entry) break;
      item.entry = unproven(line->entry);
      item.only_if_absent = true;
      break;
    }
    case '-':
      clear_below(items_, line->path);
      items_[line->path] = {std::nullopt, false, true};
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

EntryStream Overlay::over(EntryStream manifest) && {
  if (lines_ == 0) return manifest;
  if (!moves_) {
    kept_.clear();
    return merge(std::move(manifest), std::move(items_));
  }
  auto tree = std::make_shared<Tree>();
  while (true) {
    auto entry = manifest();
    if (!entry) return failing(entry.error());
    if (!*entry) break;
    std::string path = (*entry)->path;
    tree->emplace_hint(tree->end(), std::move(path), std::move(**entry));
  }
  for (const std::string& text : kept_) play(*tree, *parse(text));
  return [tree, it = tree->begin()]() mutable -> Result<std::optional<Entry>> {
    if (it == tree->end()) return std::optional<Entry>{};
    return std::optional<Entry>((it++)->second);
  };
}

EntryStream Overlay::merge(EntryStream manifest, Items items) {
  struct State {
    EntryStream manifest;
    Items items;
    Items::iterator at;
    std::optional<Entry> next;
    std::string cleared;  // the path below which nothing of the manifest's holds
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
      // A removal within what was removed before is no end of that.
      const auto in_cleared = [&s](std::string_view path) {
        return !s.cleared.empty() && is_within(path, s.cleared);
      };
      if (take_item && s.at->second.cleared && !in_cleared(s.at->first)) s.cleared = s.at->first;
      std::optional<Entry> out;
      if (take_next && !in_cleared(s.next->path)) out = std::move(s.next);
      if (take_item) {
        Item& item = s.at->second;
        if (item.entry && !(item.only_if_absent && out)) out = std::move(item.entry);
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
