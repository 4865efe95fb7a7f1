// keepalived.conf as a tree of statements: words, and a block in braces. Internal to src/import.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "import/reading.hpp"

namespace clusterd::imports {

struct Statement {
  std::vector<std::string> words;  // at least one
  int line = 0;
  std::vector<Statement> children;
};

inline constexpr size_t kMaxDepth = 8;
inline constexpr size_t kMaxStatements = 5'000;

// Braces that do not match are told of, and closed at the end of the file.
[[nodiscard]] std::vector<Statement> parse_keepalived(std::string_view text, Finder& finder);

}  // namespace clusterd::imports
