// What the always mirror does with each file: pure, from what both nodes have and what they last agreed on
// (docs/decisions/0015).
//
// Each node only ever writes its own files. Both judge by the same rules from the same facts, so where one of
// them takes, the other one waits. Whatever is not plain is a conflict: nothing is touched, and a human
// decides.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "always/entry.hpp"

namespace clusterd::always {

// What both nodes were seen to have. The one with the higher number holds.
struct Agreement {
  Entry entry;
  uint64_t number = 0;
  bool decided = false;  // by a human, who so made the conflict's loser what both had agreed on
  bool operator==(const Agreement&) const = default;
};
using Agreements = std::map<std::string, Agreement>;

// What a node has on disk of its agreements: which store, and how often it has changed. Each node keeps what
// it has seen of the other's, and so finds out one that was lost, or put back to an earlier state.
struct StoreMark {
  std::string id;  // random; empty: none
  uint64_t turn = 0;
  bool operator==(const StoreMark&) const = default;
};

// What a node says of itself.
struct Word {
  uint64_t hash = 0;   // of the configuration in force: only nodes with the same one carry anything
  std::string halted;  // why this node carries nothing; empty: it does
  StoreMark store;
  StoreMark seen;  // the other node's store, as this one has last seen it
  std::map<std::string, Entry> entries;
  Agreements agreed;
  bool operator==(const Word&) const = default;
};

// False: one of the two stores is not what the other node knows. Then what was agreed on is void, on both.
[[nodiscard]] bool stores_match(const Word& mine, const Word& theirs);

enum class Verdict : uint8_t {
  kAgree,     // both have the same
  kTake,      // the other node's is the newer one
  kWait,      // this node's is: the other one takes it
  kConflict,  // a human decides
  kRefused,   // cannot be carried
};
[[nodiscard]] const char* name(Verdict verdict);

struct Finding {
  std::string path;
  Verdict verdict = Verdict::kAgree;
  std::string why;  // of a conflict, or a refusal
  Entry mine, theirs;
};

// `self` and `peer`: the nodes' names, for the reasons. In the order of the paths.
struct Names {
  std::string self, peer;
};
[[nodiscard]] std::vector<Finding> judge(const AlwaysConfig& config, const Names& names, const Word& mine,
                                         const Word& theirs);

// What a node keeps on disk.
struct Stored {
  StoreMark store, seen;
  Agreements agreed;
  bool operator==(const Stored&) const = default;
};

// What this node has to keep after these findings. Where the stores do not match, nothing that was agreed on;
// and a store that turns out to have been put back goes on as another one, called `fresh_id`: else it would
// in time be taken for the one that the other node knows.
[[nodiscard]] Stored noted(const std::vector<Finding>& findings, const Word& mine, const Word& theirs,
                           const std::string& fresh_id);

// A human's decision on the conflicts at and below `path`: what one node has there holds. nullopt: there is
// none.
[[nodiscard]] std::optional<Agreements> kept(const std::vector<Finding>& findings, const Word& mine,
                                             const Word& theirs, const std::string& path, bool mine_holds);

// The other node's word is what a node may say: within what is listed and within all bounds. Else why not.
[[nodiscard]] std::string fault_of(const AlwaysConfig& config, const Word& word);

// Which of the findings wait for a human, in a few words; empty: none.
[[nodiscard]] std::string stuck(const std::vector<Finding>& findings);

}  // namespace clusterd::always
