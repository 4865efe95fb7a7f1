// What a returning node had that its peer never got (S9).
//
// Before a resync writes anything, the returning node compares its files with its manifest (the state that
// both nodes last had): what differs are *candidates*. After the resync, a candidate that is not as it was
// any more has been taken back: it is *lost*, and is listed in the loss report. A candidate that the resync
// left alone had reached the peer after all, or is not mirrored.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "mirror/manifest.hpp"

namespace clusterd::mirror {

struct Candidate {
  enum class Change { kChanged, kCreated, kDeleted } change = Change::kChanged;
  std::optional<Entry> here;      // the version on this node; none for kDeleted
  std::optional<Entry> mirrored;  // the version that both had; none for kCreated

  [[nodiscard]] const std::string& path() const { return here ? here->path : mirrored->path; }
  bool operator==(const Candidate&) const = default;
};

[[nodiscard]] std::string_view change_name(Candidate::Change change);  // "changed", "created", "deleted"

// nullopt: the path is as it was. At least one of both is set.
[[nodiscard]] std::optional<Candidate> candidate(const Entry* mirrored, const Entry* here);

// `after`: the path after the resync; `kept`: a version of it lies in the backup set.
[[nodiscard]] bool is_lost(const Candidate& candidate, const Entry* after, bool kept);

// One line with its newline, and back (without it).
[[nodiscard]] std::string write_candidate(const Candidate& candidate);
[[nodiscard]] Result<Candidate> parse_candidate(std::string_view line);

}  // namespace clusterd::mirror
