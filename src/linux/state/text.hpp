// Texts that may hold anything, made fit for JSON, environments and mail. Internal to this folder.
#pragma once

#include <string>
#include <string_view>

namespace clusterd {

// Valid UTF-8 without NUL, at most `limit` bytes: every byte that is not part of a valid sequence becomes
// '?'.
[[nodiscard]] std::string clean_utf8(std::string_view text, size_t limit);

// Printable ASCII on one line, at most `limit` bytes: fit for a header of a mail.
[[nodiscard]] std::string header_text(std::string_view text, size_t limit);

}  // namespace clusterd
