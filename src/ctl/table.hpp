// Aligned columns for a terminal, with colours where they are wanted. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace clusterd::ctl {

enum class Style { kPlain, kDim, kBold, kGood, kWarn, kBad };

struct Look {
  bool colour = false;
  size_t width = 100;  // lines are cut to it
};

struct Cell {
  std::string text;
  Style style = Style::kPlain;
};

[[nodiscard]] std::string styled(std::string_view text, Style style, const Look& look);

// Characters on the screen, for UTF-8 without combining or wide characters.
[[nodiscard]] size_t display_width(std::string_view text);
[[nodiscard]] std::string cut(std::string_view text, size_t width);

// Control characters of a peer, a file or a child must not reach the terminal.
[[nodiscard]] std::string printable(std::string_view text);
// The same, but line ends stay.
[[nodiscard]] std::string printable_lines(std::string_view text);

// Without those that are empty.
[[nodiscard]] std::string join(const std::vector<std::string>& parts, std::string_view between);

// To stdout, at once.
void print(std::string_view text);

class Table {
 public:
  explicit Table(std::vector<std::string> header) : header_(std::move(header)) {}
  void row(std::vector<Cell> cells) { rows_.push_back(std::move(cells)); }
  [[nodiscard]] bool empty() const { return rows_.empty(); }
  [[nodiscard]] std::string text(const Look& look) const;

 private:
  std::vector<std::string> header_;
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace clusterd::ctl
