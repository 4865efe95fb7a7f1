#include "ctl/table.hpp"

#include <algorithm>
#include <cstdio>

namespace clusterd::ctl {

namespace {

const char* code(Style style) {
  switch (style) {
    case Style::kPlain:
      return "";
    case Style::kDim:
      return "\033[2m";
    case Style::kBold:
      return "\033[1m";
    case Style::kGood:
      return "\033[32m";
    case Style::kWarn:
      return "\033[33m";
    case Style::kBad:
      return "\033[1;31m";
  }
  return "";
}

bool continues(char c) { return (static_cast<unsigned char>(c) & 0xc0U) == 0x80U; }

}  // namespace

std::string styled(std::string_view text, Style style, const Look& look) {
  if (!look.colour || style == Style::kPlain || text.empty()) return std::string(text);
  return code(style) + std::string(text) + "\033[0m";
}

size_t display_width(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return !continues(c); }));
}

std::string cut(std::string_view text, size_t width) {
  if (display_width(text) <= width) return std::string(text);
  if (width == 0) return "";
  size_t end = 0;
  for (size_t seen = 0; end < text.size(); ++end) {
    if (!continues(text[end]) && ++seen == width) break;
  }
  return std::string(text.substr(0, end)) + "…";
}

namespace {

// Bytes of the UTF-8 character at the start of `text`, 1 for what begins none.
size_t character_bytes(std::string_view text) {
  const auto first = static_cast<unsigned char>(text.front());
  const size_t bytes = first >= 0xf0 && first <= 0xf4 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 1;
  if (first > 0xf4 || text.size() < bytes) return 1;
  for (size_t i = 1; i < bytes; ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xc0U) != 0x80U) return 1;
  }
  return bytes;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string clean;
  clean.reserve(text.size());
  while (!text.empty()) {
    const size_t bytes = character_bytes(text);
    const auto first = static_cast<unsigned char>(text.front());
    const bool control = bytes == 1 ? first < 0x20 || first == 0x7f
                                    // U+0080 to U+009F: some terminals obey them, too.
                                    : first == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0;
    if (control) {
      clean += ' ';
    } else if (bytes == 1 && first >= 0x80) {
      clean += '?';
    } else {
      clean += text.substr(0, bytes);
    }
    text.remove_prefix(bytes);
  }
  return clean;
}

std::string printable_lines(std::string_view text) {
  std::string out;
  for (size_t end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
    out += printable(text.substr(0, end)) + "\n";
    text.remove_prefix(end + 1);
  }
  return out + printable(text);
}

std::string join(const std::vector<std::string>& parts, std::string_view between) {
  std::string all;
  for (const std::string& part : parts) {
    if (part.empty()) continue;
    if (!all.empty()) all += between;
    all += part;
  }
  return all;
}

void print(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

std::string Table::text(const Look& look) const {
  std::vector<size_t> widths;
  for (const std::string& title : header_) widths.push_back(display_width(title));
  for (const auto& cells : rows_) {
    for (size_t i = 0; i < cells.size() && i < widths.size(); ++i) {
      widths[i] = std::max(widths[i], display_width(cells[i].text));
    }
  }
  const auto line = [&](const std::vector<Cell>& cells) {
    std::string out;
    size_t used = 0;
    for (size_t i = 0; i < cells.size() && used < look.width; ++i) {
      const std::string text = cut(cells[i].text, look.width - used);
      out += styled(text, cells[i].style, look);
      if (i + 1 == cells.size()) break;
      const size_t pad = widths[i] - std::min(widths[i], display_width(text)) + 2;
      out.append(pad, ' ');
      used += widths[i] + 2;
    }
    out.erase(out.find_last_not_of(' ') + 1);
    return out + "\n";
  };
  std::vector<Cell> titles;
  for (const std::string& title : header_) titles.push_back({title, Style::kDim});
  std::string out = line(titles);
  for (const auto& cells : rows_) out += line(cells);
  return out;
}

}  // namespace clusterd::ctl
