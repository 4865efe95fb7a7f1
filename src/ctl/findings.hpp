// What `clusterctl check` found out, from this node, its daemon and the peer.
#pragma once

#include <string>
#include <vector>

#include "ctl/table.hpp"

namespace clusterd::ctl {

enum class Level { kOk, kWarning, kError };

struct Finding {
  Level level = Level::kOk;
  std::string topic;
  std::string text;
  std::string remedy;
  std::string node;  // that it is about; empty = this one
};

// The array "findings" of a JSON text, as the daemon and `clusterctl check --json` give it.
[[nodiscard]] std::vector<Finding> findings_from_json(const std::string& json, const std::string& node);
[[nodiscard]] std::string findings_to_json(const std::vector<Finding>& findings);

// Adds what the peer has found. What compares the two nodes ("likeness") is said by both in the same words:
// it is taken once.
void add_findings_of_peer(std::vector<Finding>& findings, const std::vector<Finding>& peers);

// One line each, with the remedy below what is not in order; a summary at the end.
[[nodiscard]] std::string render_findings(const std::vector<Finding>& findings, const Look& look);

// Lines that only one of the two has, "- " for ours and "+ " for the peer's.
[[nodiscard]] std::vector<std::string> differing_lines(const std::vector<std::string>& ours,
                                                       const std::vector<std::string>& theirs);

}  // namespace clusterd::ctl
