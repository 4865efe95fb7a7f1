// What the importers share: lines, words, and collecting what could not be expressed. Internal to src/import.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "import/import.hpp"

namespace clusterd::imports {

struct Line {
  int number = 0;  // of its first line, where a backslash joins several
  std::string text;
};

inline constexpr size_t kMaxLines = 20'000;
inline constexpr size_t kMaxWords = 400;  // per line

// The lines of a text without line ends. `joined`: a backslash at the end goes on with the next line.
[[nodiscard]] std::vector<Line> lines_of(std::string_view text, bool joined);

// Words between blanks; quotes ("…" or '…') hold a word together and are taken off, and
// an empty one is none. What follows one of
// `comments` at the beginning of a word is left out.
[[nodiscard]] std::vector<std::string> words_of(std::string_view line, std::string_view comments);

[[nodiscard]] std::string_view trimmed(std::string_view text);
[[nodiscard]] std::string lowered(std::string_view text);

// Decimal digits and nothing else, at most `most`.
[[nodiscard]] std::optional<long> number_of(std::string_view text, long most);

// The last part of a path, and what stands before it without the slash.
[[nodiscard]] std::string base_name(std::string_view path);
[[nodiscard]] std::string folder_name(std::string_view path);

// "1500ms", "2s", "5min" of milliseconds: as our files write durations.
[[nodiscard]] std::string duration_of_ms(long ms);

// The length that a network of this address had before there were masks: A 8, B 16, C 24; 64 for IPv6.
[[nodiscard]] int classful_length(const IpAddress& address);

class Finder {  // collects into `left`, and says where
 public:
  explicit Finder(Imported& out) : out_(out) {}
  void in(const std::string& file) { file_ = file; }
  void left(int line, std::string what, std::string instead);
  [[nodiscard]] const std::string& file() const { return file_; }

 private:
  Imported& out_;
  std::string file_;
};

// As our files may call a node.
[[nodiscard]] std::string node_name(std::string_view text);
// A new node of that name, or nullptr if there is one, or there are too many.
[[nodiscard]] setup::NodeSketch* add_node(setup::Sketch& sketch, std::string_view name);

// A name for a service that none of the sketch has yet.
[[nodiscard]] std::string free_name(const setup::Sketch& sketch, std::string_view wanted);

// Whether the text can be a systemd unit's name as our loader takes it.
[[nodiscard]] bool is_unit_name(std::string_view text);

}  // namespace clusterd::imports
