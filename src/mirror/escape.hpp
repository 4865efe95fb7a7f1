// Names as text. A file name may hold any byte but NUL; text formats here (manifests, JSON, reports) hold
// only printable UTF-8 without a backslash of its own: every other byte becomes \xHH, a backslash becomes \\.
// `unescape` gives back exactly the bytes, and refuses what `escape` cannot have written.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace clusterd::mirror {

[[nodiscard]] std::string escape(std::string_view bytes);
[[nodiscard]] std::optional<std::string> unescape(std::string_view text);

// rsync's own way in its log lines: \#ooo, three octal digits.
[[nodiscard]] std::string unescape_rsync(std::string_view text);

}  // namespace clusterd::mirror
