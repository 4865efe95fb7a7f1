// The pairing code: eight letters and digits that nobody confuses, as in "7K4M-Q9XR". Forty bits: plenty,
// since a guess costs a whole exchange and the third wrong one ends the code.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace clusterd::pair {

inline constexpr size_t kCodeLength = 8;
inline constexpr int kMaxWrong = 3;
inline constexpr int kCodeSeconds = 600;
inline constexpr uint16_t kDefaultPort = 7413;  // TCP, open only while a node waits for its peer

// From five bits of each random byte.
[[nodiscard]] std::string code_from(const std::array<uint8_t, kCodeLength>& random);
// "7K4M-Q9XR"
[[nodiscard]] std::string shown(std::string_view code);
// What a person typed, in any case, with or without blanks and dashes, "O" for "0", "I" and "L" for "1".
// nullopt if it cannot be a code: then nothing needs to be tried.
[[nodiscard]] std::optional<std::string> typed(std::string_view text);

}  // namespace clusterd::pair
