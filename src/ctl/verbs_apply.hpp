// Putting a configuration in force on both nodes: clusterctl apply and rollback, and what ends like them.
#pragma once

#include <string>
#include <tl/expected.hpp>

#include "ctl/verbs.hpp"
#include "keep/words.hpp"

namespace clusterd::ctl {

struct ApplyFlags {
  keep::Apply order;
  std::string trial = "60s";
  bool wait = true, json = false;
};

// Asks this node's clusterd-config for it, and says how far it is until it is kept or given up. `verb` is
// what was typed.
int apply(const Globals& globals, ApplyFlags flags, const std::string& verb);

// Asks clusterd-config of this node; complains (unless `quiet`), and gives an exit code, if there is no
// answer.
[[nodiscard]] tl::expected<std::string, int> ask_keeper(const Globals& globals, const std::string& question,
                                                        bool quiet = false);

// Where the change is, in words that change only when it goes on.
[[nodiscard]] std::string progress(const versions::Change& change);

}  // namespace clusterd::ctl
