// A new secret for the cluster: 32 random bytes as hex, in a file that only its owner reads.
#pragma once

#include <string>
#include <tl/expected.hpp>

namespace clusterd::ctl {

// Refuses to overwrite: the running cluster's secret must not vanish by a slip of the keyboard.
[[nodiscard]] tl::expected<void, std::string> write_new_secret(const std::string& file);

}  // namespace clusterd::ctl
