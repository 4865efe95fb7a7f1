#include "mirror/itemize.hpp"

#include <fmt/format.h>

#include <charconv>

#include "mirror/escape.hpp"

namespace clusterd::mirror {
namespace {

bool take_number(std::string_view& text, uint64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  if (text.empty() || text.front() != ' ') return false;
  text.remove_prefix(1);
  return true;
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

const std::string* line_with(const std::vector<std::string>& lines, std::string_view part) {
  for (const auto& line : lines) {
    if (contains(line, part)) return &line;
  }
  return nullptr;
}

std::string wait_clause(uint64_t waiting) {
  if (waiting == 0) return "nothing was skipped, the next run tries again";
  return fmt::format("{} {}", waiting, waiting == 1 ? "file waits" : "files wait");
}

}  // namespace

std::optional<Item> parse_item(std::string_view line) {
  if (line.substr(0, 2) != "@ ") return std::nullopt;
  line.remove_prefix(2);
  const size_t blank = line.find(' ');
  if (blank == std::string_view::npos || blank < 2) return std::nullopt;
  const std::string_view what = line.substr(0, blank);
  line.remove_prefix(blank);
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  Item item;
  if (!take_number(line, item.sent) || !take_number(line, item.size) || line.empty()) return std::nullopt;
  const bool directory = line.back() == '/';
  if (what == "*deleting") {
    item.kind = Item::Kind::kRemoved;
    item.type = directory ? 'd' : '?';
  } else {
    if (what.size() < 3) return std::nullopt;
    switch (what[0]) {
      case '<':
      case '>':
        item.kind = Item::Kind::kSent;
        break;
      case 'c':
      case 'h':
        item.kind = Item::Kind::kCreated;
        break;
      case '.':
        item.kind = Item::Kind::kAttributes;
        break;
      default:
        return std::nullopt;
    }
    item.type = what[1];
  }
  item.path = unescape_rsync(line);
  while (item.path.size() > 1 && item.path.back() == '/') item.path.pop_back();
  if (item.path.front() != '/') item.path.insert(item.path.begin(), '/');
  return item;
}

void Tally::add(const Item& item) {
  bytes += item.sent;
  if (item.kind == Item::Kind::kRemoved) {
    ++removed;
  } else if (item.type != 'd') {
    ++files;
  }
}

std::string explain_failure(int exit_code, const std::vector<std::string>& lines, std::string_view target,
                            uint64_t waiting) {
  const std::string wait = wait_clause(waiting);
  if (line_with(lines, "No space left on device")) {
    return fmt::format("the disk of {} is full: {}", target, wait);
  }
  if (line_with(lines, "Disk quota exceeded")) {
    return fmt::format("the disk quota on {} is used up: {}", target, wait);
  }
  if (const auto* line = line_with(lines, "Read-only file system")) {
    return fmt::format("a file system of {} is read-only: {} ({})", target, wait, escape(*line));
  }
  if (const auto* line = line_with(lines, "Permission denied (13)")) {
    return fmt::format("{} has no permission: {} ({})", contains(*line, "[sender]") ? "this node" : target,
                       wait, escape(*line));
  }
  if (const auto* line = line_with(lines, "Operation not permitted (1)")) {
    return fmt::format("{} may not write there: {} ({})", target, wait, escape(*line));
  }
  std::string text;
  if (exit_code == 255) {
    text = fmt::format("{} cannot be reached over ssh: {}", target, wait);
  } else {
    text = fmt::format("rsync ended with code {}: {}", exit_code, wait);
  }
  for (size_t i = 0; i < lines.size() && i < 3; ++i)
    text += fmt::format("; {}", escape(lines[i].substr(0, 300)));
  return text;
}

}  // namespace clusterd::mirror
