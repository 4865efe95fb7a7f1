// The only file that includes toml++: header-only and without its own exceptions, so that a syntax error is a
// value.
//
// Version 3.3 has inputs that break its own assertions (a table header that begins with an odd character, as
// in "[,]"), and takes them for granted in release builds. So its assertions stay on in every build of this
// file, and a broken one is an exception that parse_toml catches.
#undef NDEBUG
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#define TOML_MAX_NESTED_VALUES 16
#define TOML_ASSERT(expr) ((expr) ? static_cast<void>(0) : clusterd::config::parser_gives_up())
namespace clusterd::config {
[[noreturn]] static void parser_gives_up();
}
#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <exception>
#include <optional>

#include "config/value.hpp"

namespace clusterd::config {

namespace {

struct ParserGaveUp : std::exception {
  [[nodiscard]] const char* what() const noexcept override {
    return "the line makes no sense, perhaps an odd character in a [table] header";
  }
};

// toml++ and the tree's destructor recurse once per dotted part, so one long line "a.a.a.…" could exhaust the
// stack. Nothing of ours is deeper than three levels.
constexpr int kMaxDotsPerLine = 64;
constexpr int kMaxDepth = 12;

// Line and column of the first line that has more dots outside of strings and comments than any sane file.
// Multi-line strings are not understood and need not be: it only errs towards counting their dots.
std::optional<Place> too_many_dots(std::string_view content, const std::string& file) {
  int line = 1;
  int column = 0;
  int dots = 0;
  char quote = 0;
  bool comment = false;
  bool escaped = false;
  for (const char c : content) {
    ++column;
    if (c == '\n') {
      ++line;
      column = dots = 0;
      quote = 0;
      comment = escaped = false;
    } else if (comment) {
      continue;
    } else if (quote != 0) {
      if (!escaped && c == quote) quote = 0;
      escaped = !escaped && c == '\\' && quote == '"';
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '#') {
      comment = true;
    } else if (c == '.' && ++dots > kMaxDotsPerLine) {
      return Place{file, line, column};
    }
  }
  return std::nullopt;
}

Place place_of(const toml::source_region& source, const std::string& file) {
  return Place{file, static_cast<int>(source.begin.line), static_cast<int>(source.begin.column)};
}

Value convert(const toml::node& node, const std::string& file, int depth) {
  Value out;
  out.place = place_of(node.source(), file);
  if (depth > kMaxDepth) return out;  // stays kOther, which no setting accepts
  if (const auto* text = node.as_string()) {
    out.kind = Value::Kind::kString;
    out.text = text->get();
  } else if (const auto* integer = node.as_integer()) {
    out.kind = Value::Kind::kInteger;
    out.integer = integer->get();
  } else if (const auto* boolean = node.as_boolean()) {
    out.kind = Value::Kind::kBool;
    out.boolean = boolean->get();
  } else if (const auto* array = node.as_array()) {
    out.kind = Value::Kind::kArray;
    for (const toml::node& item : *array) out.items.push_back(convert(item, file, depth + 1));
  } else if (const auto* table = node.as_table()) {
    out.kind = Value::Kind::kTable;
    for (const auto& [key, value] : *table)
      out.entries.push_back(
          {std::string(key.str()), place_of(key.source(), file), convert(value, file, depth + 1)});
    std::sort(out.entries.begin(), out.entries.end(),
              [](const Entry& a, const Entry& b) { return a.key < b.key; });
  }
  return out;
}

// Where the parser gives up: it reads from front to back, so it does so for a beginning of the file exactly
// when that holds the bad line.
int first_bad_line(std::string_view content) {
  std::vector<size_t> ends;
  for (size_t i = 0; i < content.size(); ++i)
    if (content[i] == '\n') ends.push_back(i + 1);
  ends.push_back(content.size());
  const auto bad = std::partition_point(ends.begin(), ends.end(), [content](size_t end) {
    try {
      (void)toml::parse(content.substr(0, end));
      return true;
    } catch (const ParserGaveUp&) {
      return false;
    }
  });
  return static_cast<int>(bad - ends.begin()) + 1;
}

ConfigProblem syntax_problem(const Place& place, std::string text) {
  return {place.file, place.line, place.column, std::move(text),
          "correct the line; texts stand in quotes, tables begin with [name], see docs/configuration.md"};
}

}  // namespace

static void parser_gives_up() { throw ParserGaveUp(); }

const Value* Value::find(std::string_view key) const {
  const auto at =
      std::find_if(entries.begin(), entries.end(), [key](const Entry& e) { return e.key == key; });
  return at == entries.end() ? nullptr : &at->value;
}

const char* name(Value::Kind kind) {
  switch (kind) {
    case Value::Kind::kString:
      return "a text in quotes";
    case Value::Kind::kInteger:
      return "a whole number";
    case Value::Kind::kBool:
      return "true or false";
    case Value::Kind::kArray:
      return "a list";
    case Value::Kind::kTable:
      return "a table";
    case Value::Kind::kOther:
      break;
  }
  return "a date, a time or a fraction";
}

tl::expected<Value, ConfigProblem> parse_toml(std::string_view content, const std::string& file) {
  if (const auto place = too_many_dots(content, file))
    return tl::unexpected(syntax_problem(*place, "too many dots in one line"));
  if (const size_t zero = content.find('\0'); zero != std::string_view::npos)
    return tl::unexpected(
        syntax_problem({file, 0, 0}, fmt::format("byte {} is zero: not a text file", zero + 1)));
  try {
    const toml::parse_result result = toml::parse(content);
    if (!result) {
      const toml::parse_error& error = result.error();
      return tl::unexpected(syntax_problem(place_of(error.source(), file),
                                           fmt::format("syntax error: {}", error.description())));
    }
    return convert(result.table(), file, 0);
  } catch (const ParserGaveUp& error) {
    return tl::unexpected(
        syntax_problem({file, first_bad_line(content), 1}, fmt::format("syntax error: {}", error.what())));
  } catch (const std::exception& error) {  // std::bad_alloc at most
    return tl::unexpected(syntax_problem({file, 0, 0}, fmt::format("cannot be read: {}", error.what())));
  }
}

}  // namespace clusterd::config
