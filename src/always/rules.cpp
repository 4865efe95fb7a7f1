#include "always/rules.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "mirror/escape.hpp"

namespace clusterd::always {

namespace {

constexpr size_t kToldPaths = 4;
constexpr size_t kMaxStuckBytes = 900;

const Entry& entry_of(const Word& word, const std::string& path) {
  static const Entry kNone;
  const auto found = word.entries.find(path);
  return found == word.entries.end() ? kNone : found->second;
}

const Agreement* agreement_of(const Word& word, const std::string& path) {
  const auto found = word.agreed.find(path);
  return found == word.agreed.end() ? nullptr : &found->second;
}

struct Bases {
  const Agreement* mine = nullptr;
  const Agreement* theirs = nullptr;

  // The later one. Two of the same number that say different things say nothing.
  [[nodiscard]] const Agreement* valid() const {
    if (mine == nullptr || theirs == nullptr) return mine == nullptr ? theirs : mine;
    if (mine->number == theirs->number) return same(mine->entry, theirs->entry) ? mine : nullptr;
    return mine->number > theirs->number ? mine : theirs;
  }
  [[nodiscard]] uint64_t highest() const {
    return std::max(mine == nullptr ? 0 : mine->number, theirs == nullptr ? 0 : theirs->number);
  }
};

Bases bases_of(const Word& mine, const Word& theirs, const std::string& path) {
  return {agreement_of(mine, path), agreement_of(theirs, path)};
}

// It stands as this node had agreed before the base: a machine that has lost its last writes, or was put
// back.
bool put_back(const Entry& entry, const Agreement* own, const Agreement& base) {
  return own != nullptr && own != &base && own->number < base.number && same(entry, own->entry) &&
         !same(entry, base.entry);
}

bool of_no_concern(const Entry& mine, const Entry& theirs, const Agreement* base) {
  const auto nothing = [](const Entry& entry) { return !entry.there() || entry.kind == Kind::kSpecial; };
  const bool special = mine.kind == Kind::kSpecial || theirs.kind == Kind::kSpecial;
  return special && nothing(mine) && nothing(theirs) && (base == nullptr || !base->entry.there());
}

Finding judge_path(const Names& names, const std::string& path, const Entry& mine, const Entry& theirs,
                   const Bases& bases) {
  Finding out{path, Verdict::kAgree, "", mine, theirs};
  const auto is = [&](Verdict verdict, std::string why = "") {
    out.verdict = verdict;
    out.why = std::move(why);
    return out;
  };
  for (const auto& [entry, node] : {std::pair(&mine, &names.self), std::pair(&theirs, &names.peer)}) {
    if (entry->kind == Kind::kOpaque)
      return is(Verdict::kRefused, fmt::format("on {} {}", *node, mirror::escape(entry->content)));
    if (entry->kind == Kind::kSpecial)
      return is(Verdict::kRefused,
                fmt::format("on {} it is neither a file nor a directory nor a symbolic link", *node));
  }
  if (same(mine, theirs)) return out;
  const Agreement* base = bases.valid();
  if (base == nullptr) {
    if (!mine.there()) return is(Verdict::kTake);
    if (!theirs.there()) return is(Verdict::kWait);
    return is(Verdict::kConflict, "it differs, and the nodes have never agreed on it");
  }
  if (!base->decided)
    for (const auto& [back, node] : {std::pair(put_back(mine, bases.mine, *base), &names.self),
                                     std::pair(put_back(theirs, bases.theirs, *base), &names.peer)})
      if (back) return is(Verdict::kConflict, fmt::format("on {} it stands as it was before", *node));
  if (same(mine, base->entry)) return is(Verdict::kTake);
  if (same(theirs, base->entry)) return is(Verdict::kWait);
  return is(Verdict::kConflict, "it was changed on both nodes since they last agreed");
}

// What vanished at once is not made to vanish on the other node (S10): a listed path, or more than half of
// the files of a listed directory.
class Vanished {
 public:
  Vanished(const Names& names, const Word& mine, const Word& theirs)
      : names_(names), mine_(mine), theirs_(theirs) {}

  void review(std::vector<Finding>& findings, const std::string& listed) {
    const std::string root = bare(listed);
    review(findings, root, mine_, names_.self);
    review(findings, root, theirs_, names_.peer);
  }

 private:
  [[nodiscard]] const Agreement* undecided(const std::string& path) const {
    const Agreement* base = bases_of(mine_, theirs_, path).valid();
    return base == nullptr || base->decided || !base->entry.there() ? nullptr : base;
  }

  void review(std::vector<Finding>& findings, const std::string& root, const Word& here,
              const std::string& node) const {
    size_t all = 0, gone = 0;
    std::string why;
    for (const Finding& finding : findings) {
      if (!is_under(finding.path, root)) continue;
      const Agreement* base = undecided(finding.path);
      if (base == nullptr) continue;
      const Entry& now = entry_of(here, finding.path);
      const bool folder = base->entry.kind == Kind::kFolder;
      if (finding.path == root && (!now.there() || (folder && now.kind != Kind::kFolder)))
        why = fmt::format("{} has vanished on {}", mirror::escape(root), node);
      if (folder) continue;
      ++all;
      if (!now.there()) ++gone;
    }
    if (why.empty() && 2 * gone > all)
      why = fmt::format("{} of {} files of {} have vanished on {} at once", gone, all, mirror::escape(root),
                        node);
    if (why.empty()) return;
    for (Finding& finding : findings) {
      if (finding.verdict != Verdict::kTake && finding.verdict != Verdict::kWait) continue;
      const Agreement* base = undecided(finding.path);
      if (!is_under(finding.path, root) || base == nullptr) continue;
      const Entry& now = entry_of(here, finding.path);
      if (now.there() && now.kind == base->entry.kind) continue;
      finding.verdict = Verdict::kConflict;
      finding.why = why;
    }
  }

  const Names& names_;
  const Word& mine_;
  const Word& theirs_;
};

// Below something that one node cannot look into, nothing is known.
void refuse_below_opaque(std::vector<Finding>& findings) {
  std::vector<Finding> opaque;
  for (const Finding& finding : findings)
    if (finding.verdict == Verdict::kRefused) opaque.push_back(finding);
  for (Finding& finding : findings) {
    if (finding.verdict == Verdict::kRefused) continue;
    const auto above =
        std::ranges::find_if(opaque, [&](const Finding& one) { return is_under(finding.path, one.path); });
    if (above == opaque.end()) continue;
    finding.verdict = Verdict::kRefused;
    finding.why = above->why;
  }
}

std::set<std::string> all_paths(const Word& mine, const Word& theirs) {
  std::set<std::string> paths;
  for (const Word* word : {&mine, &theirs}) {
    for (const auto& [path, unused] : word->entries) paths.insert(path);
    for (const auto& [path, unused] : word->agreed) paths.insert(path);
  }
  return paths;
}

// `seen`: what the other node has seen of the store. Who has agreed on something has seen the other one.
bool is_known(const StoreMark& store, const StoreMark& seen, bool has_agreed) {
  if (seen.id.empty()) return !has_agreed;
  return seen.id == store.id && seen.turn <= store.turn;
}

Agreements agreed_after(const std::vector<Finding>& findings, const Word& mine, const Word& theirs) {
  Agreements out;
  for (const Finding& finding : findings) {
    const Bases bases = bases_of(mine, theirs, finding.path);
    const Agreement* base = bases.valid();
    if (finding.verdict != Verdict::kAgree) {
      if (bases.mine != nullptr) out.emplace(finding.path, *bases.mine);
      continue;
    }
    const bool known = base != nullptr && !base->decided && same(base->entry, finding.mine);
    // That a file is gone need not be remembered by the second one to learn of it.
    if (!finding.mine.there() && (bases.theirs == nullptr || !bases.theirs->entry.there())) continue;
    if (known && base == bases.mine) {
      out.emplace(finding.path, *bases.mine);
    } else {
      Entry entry = finding.mine;
      entry.size = 0;  // for people alone
      entry.mtime_ns = 0;
      out.emplace(finding.path,
                  Agreement{std::move(entry), known ? base->number : bases.highest() + 1, false});
    }
  }
  return out;
}

}  // namespace

const char* name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kAgree:
      return "agreed";
    case Verdict::kTake:
      return "arriving";
    case Verdict::kWait:
      return "waiting";
    case Verdict::kConflict:
      return "conflict";
    case Verdict::kRefused:
      return "refused";
  }
  return "";
}

bool stores_match(const Word& mine, const Word& theirs) {
  return is_known(mine.store, theirs.seen, !theirs.agreed.empty()) &&
         is_known(theirs.store, mine.seen, !mine.agreed.empty());
}

std::vector<Finding> judge(const AlwaysConfig& config, const Names& names, const Word& mine,
                           const Word& theirs) {
  std::vector<Finding> out;
  for (const std::string& path : all_paths(mine, theirs)) {
    const Entry &here = entry_of(mine, path), &there = entry_of(theirs, path);
    const bool folder = here.kind == Kind::kFolder || there.kind == Kind::kFolder;
    const Bases bases = bases_of(mine, theirs, path);
    if (!covers(config, path, folder) || of_no_concern(here, there, bases.valid())) continue;
    out.push_back(judge_path(names, path, here, there, bases));
  }
  refuse_below_opaque(out);
  Vanished vanished(names, mine, theirs);
  for (const std::string& listed : config.paths) vanished.review(out, listed);
  return out;
}

Stored noted(const std::vector<Finding>& findings, const Word& mine, const Word& theirs,
             const std::string& fresh_id) {
  Stored out{mine.store, theirs.store, {}};
  if (stores_match(mine, theirs)) {
    out.agreed = agreed_after(findings, mine, theirs);
  } else if (theirs.seen.id == mine.store.id && theirs.seen.turn > mine.store.turn) {
    out.store = {fresh_id, 0};
    return out;
  }
  if (out.agreed != mine.agreed) ++out.store.turn;
  return out;
}

std::optional<Agreements> kept(const std::vector<Finding>& findings, const Word& mine, const Word& theirs,
                               const std::string& path, bool mine_holds) {
  Agreements out = mine.agreed;
  bool any = false;
  for (const Finding& finding : findings) {
    if (finding.verdict != Verdict::kConflict || !is_under(finding.path, path)) continue;
    any = true;
    out.insert_or_assign(finding.path, Agreement{mine_holds ? finding.theirs : finding.mine,
                                                 bases_of(mine, theirs, finding.path).highest() + 1, true});
  }
  return any ? std::optional(std::move(out)) : std::nullopt;
}

namespace {

std::string fault_of_entry(const Entry& entry) {
  const auto is_name = [](const std::string& text) {
    return text.size() <= 64 && text.find('\0') == std::string::npos;
  };
  if (entry.mode > 07777U) return "a mode that is none";
  if (entry.uid == UINT32_MAX || entry.gid == UINT32_MAX || !is_name(entry.user) || !is_name(entry.group))
    return "an owner that is none";
  if (entry.kind == Kind::kFile && (!is_digest(entry.content) || entry.size > kMaxFileBytes))
    return "a file that is none";
  if (entry.kind == Kind::kFolder && !entry.content.empty()) return "a folder that is none";
  if (entry.kind == Kind::kLink && (entry.content.empty() || entry.content.size() > kMaxPathBytes ||
                                    entry.content.find('\0') != std::string::npos))
    return "a link that is none";
  return "";
}

}  // namespace

std::string fault_of(const AlwaysConfig& config, const Word& word) {
  if (word.entries.size() > kMaxEntries || word.agreed.size() > 2 * kMaxEntries) return "too many files";
  uint64_t bytes = 0;
  const auto fault = [&](const std::string& path, const Entry& entry) -> std::string {
    if (!is_plain(path) || !covers(config, path, entry.kind == Kind::kFolder))
      return mirror::escape(path.substr(0, 200)) + ", which is not listed";
    return fault_of_entry(entry);
  };
  for (const auto& [path, entry] : word.entries) {
    if (!entry.there()) return "a file that is not there";
    if (std::string why = fault(path, entry); !why.empty()) return why;
    bytes += entry.kind == Kind::kFile ? entry.size : 0;
  }
  if (bytes > kMaxAllBytes) return "too many bytes";
  for (const auto& [path, agreement] : word.agreed) {
    // What was listed before may still stand there: it is left out by `judge`.
    if (!is_plain(path)) return "a path that is none";
    if (std::string why = fault_of_entry(agreement.entry); !why.empty()) return why;
    if (agreement.number == 0 || agreement.number > UINT64_MAX / 2) return "an agreement that is none";
  }
  return "";
}

std::string stuck(const std::vector<Finding>& findings) {
  std::string out;
  size_t count = 0, told = 0;
  std::set<std::string> reasons;  // each is told once
  for (const Finding& finding : findings) {
    if (finding.verdict != Verdict::kConflict && finding.verdict != Verdict::kRefused) continue;
    ++count;
    if (told == kToldPaths || !reasons.insert(finding.why).second) continue;
    ++told;
    const std::string one = fmt::format("{}: {}", mirror::escape(finding.path), finding.why);
    if (out.size() + one.size() < kMaxStuckBytes) out += (out.empty() ? "" : "; ") + one;
  }
  if (count == 0) return "";
  if (out.empty()) out = "files with very long names";
  if (count > told) out += fmt::format("; and {} more", count - told);
  return out;
}

}  // namespace clusterd::always
