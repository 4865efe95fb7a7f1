#include "pair/code.hpp"

namespace clusterd::pair {

namespace {
constexpr std::string_view kLetters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";  // Crockford's
}

std::string code_from(const std::array<uint8_t, kCodeLength>& random) {
  std::string code;
  for (const uint8_t byte : random) code += kLetters[byte % 32U];
  return code;
}

std::string shown(std::string_view code) {
  std::string out;
  for (size_t i = 0; i < code.size(); ++i) {
    if (i == kCodeLength / 2) out += '-';
    out += code[i];
  }
  return out;
}

std::optional<std::string> typed(std::string_view text) {
  std::string code;
  for (char c : text) {
    if (c == '-' || c == ' ' || c == '\n' || c == '\r' || c == '\t') continue;
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    if (c == 'O') c = '0';
    if (c == 'I' || c == 'L') c = '1';
    if (kLetters.find(c) == std::string_view::npos || code.size() == kCodeLength) return std::nullopt;
    code += c;
  }
  if (code.size() != kCodeLength) return std::nullopt;
  return code;
}

}  // namespace clusterd::pair
