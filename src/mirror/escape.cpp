#include "mirror/escape.hpp"

#include <cstdint>

namespace clusterd::mirror {
namespace {

constexpr char kHex[] = "0123456789abcdef";

// Length of the well-formed UTF-8 sequence at the start of `s`, 0 if there is none (RFC 3629).
size_t utf8_length(std::string_view s) {
  auto at = [&](size_t i) { return static_cast<uint8_t>(s[i]); };
  const uint8_t c = at(0);
  if (c < 0x80) return 1;
  size_t n = 0;
  uint8_t low = 0x80, high = 0xBF;
  if (c >= 0xC2 && c <= 0xDF) {
    n = 2;
  } else if (c >= 0xE0 && c <= 0xEF) {
    n = 3;
    if (c == 0xE0) low = 0xA0;
    if (c == 0xED) high = 0x9F;
  } else if (c >= 0xF0 && c <= 0xF4) {
    n = 4;
    if (c == 0xF0) low = 0x90;
    if (c == 0xF4) high = 0x8F;
  }
  if (n == 0 || s.size() < n || at(1) < low || at(1) > high) return 0;
  for (size_t i = 2; i < n; ++i) {
    if (at(i) < 0x80 || at(i) > 0xBF) return 0;
  }
  // U+0080 to U+009F are control characters: a terminal may obey them.
  if (n == 2 && c == 0xC2 && at(1) < 0xA0) return 0;
  return n;
}

// Length of the character at the start of `s` that stands for itself, 0 if it has to be escaped.
size_t plain_length(std::string_view s) {
  const auto c = static_cast<uint8_t>(s[0]);
  return c < 0x20 || c == 0x7F ? 0 : utf8_length(s);
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

std::string escape(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (size_t i = 0; i < bytes.size();) {
    const auto c = static_cast<uint8_t>(bytes[i]);
    const size_t n = plain_length(bytes.substr(i));
    if (c == '\\') {
      out += "\\\\";
      ++i;
    } else if (n == 0) {
      out += "\\x";
      out += kHex[c >> 4];
      out += kHex[c & 15];
      ++i;
    } else {
      out.append(bytes, i, n);
      i += n;
    }
  }
  return out;
}

std::optional<std::string> unescape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      const size_t n = plain_length(text.substr(i));
      if (n == 0) return std::nullopt;
      out.append(text, i, n);
      i += n - 1;
      continue;
    }
    if (i + 1 < text.size() && text[i + 1] == '\\') {
      out += '\\';
      ++i;
      continue;
    }
    if (i + 3 >= text.size() || text[i + 1] != 'x') return std::nullopt;
    const int high = hex_value(text[i + 2]), low = hex_value(text[i + 3]);
    if (high < 0 || low < 0 || (high == 0 && low == 0)) return std::nullopt;
    out += static_cast<char>(high * 16 + low);
    i += 3;
  }
  return out;
}

std::string unescape_rsync(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  auto octal = [&](size_t i) { return i < text.size() && text[i] >= '0' && text[i] <= '7'; };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 4 < text.size() && text[i + 1] == '#' && octal(i + 2) && octal(i + 3) &&
        octal(i + 4) && text[i + 2] <= '3') {
      out += static_cast<char>((text[i + 2] - '0') * 64 + (text[i + 3] - '0') * 8 + (text[i + 4] - '0'));
      i += 4;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace clusterd::mirror
