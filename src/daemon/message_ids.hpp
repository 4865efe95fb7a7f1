// The journal's MESSAGE_ID of each kind of notice: what `journalctl -x` looks up in
// packaging/clusterd.catalog. An id never changes its meaning; a new kind gets a new one (`systemd-id128
// new`) here and a text there.
#pragma once

#include <string_view>

namespace clusterd {

// Empty for a kind that has none.
[[nodiscard]] std::string_view message_id(std::string_view kind);

}  // namespace clusterd
