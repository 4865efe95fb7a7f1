// Which paths a mirror leaves out, as rsync's --exclude decides it. Used to keep what rsync does not copy out
// of the manifest; what is copied, and what is not, is rsync's own decision.
//
// The patterns are rsync's: without "/" a pattern is compared with the last part of the path, with an inner
// "/" with its end, with a leading "/" with the whole absolute path; "/" at the end means directories only;
// "*" and "?" stop at "/", "**" does not; "[…]" is a class.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace clusterd::mirror {

[[nodiscard]] bool wildcard_match(std::string_view pattern, std::string_view text);
[[nodiscard]] bool excluded(const std::vector<std::string>& patterns, std::string_view path,
                            bool is_directory);

}  // namespace clusterd::mirror
