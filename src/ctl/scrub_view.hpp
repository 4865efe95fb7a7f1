// What a person reads of a scrub: from the "scrub" of a mirror in the status. Pure.
#pragma once

#include <string>

#include "ctl/json_view.hpp"

namespace clusterd::ctl {

// In the mirror's row, behind its other notes: how far it is, what it has found, or when all was proved
// equal.
[[nodiscard]] std::string scrub_note(View scrub);
// Of one that has ended: "1204 files (3.1 GiB) compared: all equal"
[[nodiscard]] std::string scrub_text(View scrub);
// "[######----]  60 %, 1.9 of 3.1 GiB, 20.0 MiB/s, 62 s left"
[[nodiscard]] std::string scrub_bar(uint64_t done, uint64_t total, double seconds);

}  // namespace clusterd::ctl
