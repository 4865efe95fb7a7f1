#include "mirror/loss.hpp"

#include <array>

#include "base/canary.hpp"
#include "base/mark.hpp"

namespace clusterd::mirror {

std::string_view change_name(Candidate::Change change) {
  static constexpr std::array<std::string_view, 3> kNames = {"changed", "created", "deleted"};
  return kNames.at(static_cast<size_t>(change));
}

std::optional<Candidate> candidate(const Entry* mirrored, const Entry* here) {
  using Change = Candidate::Change;
  if (mirrored && is_unproven(*mirrored)) {
    return here ? Candidate{Change::kCreated, *here, std::nullopt}
                : Candidate{Change::kDeleted, std::nullopt, *mirrored};
  }
  if (mirrored && here) {
    if (same_state(*mirrored, *here)) return std::nullopt;
    return Candidate{Change::kChanged, *here, *mirrored};
  }
  if (here) return Candidate{Change::kCreated, *here, std::nullopt};
  return Candidate{Change::kDeleted, std::nullopt, *mirrored};
}

bool is_lost(const Candidate& candidate, const Entry* after, bool kept) {
  if (sabotaged(Canary::kLossReportEmpty)) return false;
  if (candidate.change == Candidate::Change::kDeleted) {
    if (after != nullptr) mark(Mark::kLostDeletion);
    return after != nullptr;
  }
  // Inode and change time are left out: linking a file anew changes them, and takes nothing away.
  const bool lost = kept || !after || !same_content(*candidate.here, *after);
  if (lost) mark(Mark::kLostChanged);
  return lost;
}

// The versions are separated by a TAB: `escape` leaves none in a line.
std::string write_candidate(const Candidate& candidate) {
  auto text = [](const std::optional<Entry>& e) {
    std::string line = e ? write_entry(*e) : "-\n";
    line.pop_back();
    return line;
  };
  return text(candidate.here) + "\t" + text(candidate.mirrored) + "\n";
}

Result<Candidate> parse_candidate(std::string_view line) {
  const size_t tab = line.find('\t');
  if (tab == std::string_view::npos) return fail(Code::kCorrupt, "a list of changes is damaged");
  Candidate c;
  auto side = [](std::string_view text, std::optional<Entry>& out) -> Result<void> {
    if (text == "-") return {};
    auto e = parse_entry(text);
    if (!e) return tl::unexpected(e.error());
    out = std::move(*e);
    return {};
  };
  if (auto ok = side(line.substr(0, tab), c.here); !ok) return tl::unexpected(ok.error());
  if (auto ok = side(line.substr(tab + 1), c.mirrored); !ok) return tl::unexpected(ok.error());
  if ((!c.here && !c.mirrored) || (c.here && c.mirrored && c.here->path != c.mirrored->path)) {
    return fail(Code::kCorrupt, "a list of changes is damaged");
  }
  c.change = !c.here       ? Candidate::Change::kDeleted
             : !c.mirrored ? Candidate::Change::kCreated
                           : Candidate::Change::kChanged;
  return c;
}

}  // namespace clusterd::mirror
