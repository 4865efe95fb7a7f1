// The end of a whole compare: the manifest says who was the source, at which epoch, and how the roots look.
#pragma once

#include <string>
#include <vector>

#include "core/config.hpp"
#include "linux/mirror/live/agreement_store.hpp"

namespace clusterd::live {

[[nodiscard]] std::vector<std::string> root_paths(const MirrorConfig& mirror);  // in tree order

// Where there is no manifest: an empty one, so that the log of a long first copy can be folded into it now
// and then.
[[nodiscard]] Result<void> begin_agreement(AgreementStore& store, const MirrorConfig& mirror,
                                           mirror::ManifestHeader::Role role, uint64_t epoch);

// Writes the manifest anew if it does not say so yet, or if its log has grown long.
[[nodiscard]] Result<void> record_agreement(AgreementStore& store, const MirrorConfig& mirror,
                                            mirror::ManifestHeader::Role role, uint64_t epoch);

}  // namespace clusterd::live
