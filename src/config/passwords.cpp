#include "config/passwords.hpp"

#include <algorithm>
#include <cctype>

namespace clusterd {

namespace {

constexpr size_t kLeastToFind = 4;

bool is_key_char(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-'; }

// Where the text in quotes that begins at `at` ends; npos if it does not.
size_t end_of_text(const std::string& text, size_t at) {
  const char quote = text[at];
  const std::string three(3, quote);
  const bool multi = text.compare(at, 3, three) == 0;
  for (size_t i = at + (multi ? 3 : 1); i < text.size(); ++i) {
    if (quote == '"' && text[i] == '\\') {
      ++i;
    } else if (multi ? text.compare(i, 3, three) == 0 : text[i] == quote) {
      return i + (multi ? 3 : 1);
    }
  }
  return std::string::npos;
}

}  // namespace

bool may_be_password(std::string key) {
  for (char& c : key) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (key == "secret") return false;  // the path of a file
  for (const char* part : {"pass", "pwd", "secret", "token", "community", "key"}) {
    if (key.find(part) != std::string::npos) return true;
  }
  return false;
}

std::string hide_passwords(const std::map<std::string, std::string>& parameters, std::string text) {
  for (const auto& [name, value] : parameters) {
    if (value.empty() || !may_be_password(name)) continue;
    if (value.size() < kLeastToFind && text.find(value) != std::string::npos)
      return "(its output is not shown: it may hold a password)";
    for (size_t at = text.find(value); at != std::string::npos; at = text.find(value, at + 3))
      text.replace(at, value.size(), "***");
  }
  return text;
}

std::string without_passwords(const std::string& text) {
  std::string out;
  size_t at = 0;
  std::string key;
  while (at < text.size()) {
    const char c = text[at];
    if (c == '#') {  // a comment may hold anything: it is not needed
      const size_t end = std::min(text.find('\n', at), text.size());
      out += "#";
      at = end;
    } else if (c == '"' || c == '\'') {
      const size_t end = std::min(end_of_text(text, at), text.size());
      const size_t next = text.find_first_not_of(" \t", end);
      const bool is_key = next != std::string::npos && text[next] == '=';
      const std::string whole = text.substr(at, end - at);
      if (is_key) {
        key = whole.size() >= 2 ? whole.substr(1, whole.size() - 2) : whole;
        out += whole;
      } else {
        out += may_be_password(key) ? "\"(not recorded)\"" : whole;
      }
      at = end;
    } else if (is_key_char(c)) {
      size_t end = at;
      while (end < text.size() && is_key_char(text[end])) ++end;
      const size_t next = text.find_first_not_of(" \t", end);
      if (next != std::string::npos && text[next] == '=') key = text.substr(at, end - at);
      out.append(text, at, end - at);
      at = end;
    } else {
      out += c;
      ++at;
    }
  }
  return out;
}

}  // namespace clusterd
