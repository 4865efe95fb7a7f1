#include "mirror/exclude.hpp"

namespace clusterd::mirror {
namespace {

// Compares one character with the class that starts behind "[" at `i`; moves `i` behind its "]".
// A class without an end matches nothing.
bool class_match(std::string_view pattern, size_t& i, char c) {
  bool negated = false, hit = false, first = true;
  if (i < pattern.size() && (pattern[i] == '!' || pattern[i] == '^')) {
    negated = true;
    ++i;
  }
  for (; i < pattern.size(); first = false) {
    if (pattern[i] == ']' && !first) {
      ++i;
      return c != '/' && hit != negated;
    }
    const char low = pattern[i++];
    if (i + 1 < pattern.size() && pattern[i] == '-' && pattern[i + 1] != ']') {
      hit = hit || (c >= low && c <= pattern[i + 1]);
      i += 2;
    } else {
      hit = hit || c == low;
    }
  }
  return false;
}

}  // namespace

bool wildcard_match(std::string_view pattern, std::string_view text) {
  size_t p = 0, t = 0;
  // Where to go on after a mismatch: behind the last star, with one more character under it. Only the last
  // star is tried again, except that a "*" which may not cross "/" hands back to an earlier "**".
  struct Star {
    size_t p = std::string_view::npos, t = 0;
  } star, deep;
  auto retry = [&]() {
    if (star.p != std::string_view::npos && star.t < text.size() && text[star.t] != '/') {
      p = star.p;
      t = ++star.t;
      return true;
    }
    star.p = std::string_view::npos;
    if (deep.p == std::string_view::npos || deep.t >= text.size()) return false;
    p = deep.p;
    t = ++deep.t;
    return true;
  };
  while (true) {
    if (p < pattern.size() && pattern[p] == '*') {
      if (p + 1 < pattern.size() && pattern[p + 1] == '*') {
        while (p < pattern.size() && pattern[p] == '*') ++p;
        deep = {p, t};
        star.p = std::string_view::npos;
      } else {
        star = {++p, t};
      }
      continue;
    }
    if (p == pattern.size() && t == text.size()) return true;
    if (p < pattern.size() && t < text.size()) {
      size_t next = p + 1;
      bool hit = false;
      if (pattern[p] == '?') {
        hit = text[t] != '/';
      } else if (pattern[p] == '[') {
        hit = class_match(pattern, next, text[t]);
      } else {
        if (pattern[p] == '\\' && next < pattern.size()) ++next;
        hit = pattern[next - 1] == text[t];
      }
      if (hit) {
        p = next;
        ++t;
        continue;
      }
    }
    if (!retry()) return false;
  }
}

bool excluded(const std::vector<std::string>& patterns, std::string_view path, bool is_directory) {
  for (std::string_view pattern : patterns) {
    const bool directories_only = pattern.size() > 1 && pattern.back() == '/';
    if (directories_only) pattern.remove_suffix(1);
    if (pattern.empty() || (directories_only && !is_directory)) continue;
    if (pattern.front() == '/') {
      if (wildcard_match(pattern, path)) return true;
    } else if (pattern.find('/') == std::string_view::npos && pattern.find("**") == std::string_view::npos) {
      if (wildcard_match(pattern, path.substr(path.rfind('/') + 1))) return true;
    } else {
      // The end of the path, beginning at any part.
      for (size_t at = 0; at != std::string_view::npos; at = path.find('/', at + 1)) {
        if (wildcard_match(pattern, path.substr(at + 1))) return true;
      }
    }
  }
  return false;
}

}  // namespace clusterd::mirror
